//! The protocol's page and the types say the same.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use jackfield_plugin_api::{Code, command::StandardCommand, manifest::PROTOCOL_EVENTS};
use jackfield_protocol::{close::CloseCode, command::ProtocolCommand, event::EventName};

const PAGE: &str = include_str!("../../docs/protocol.md");

/// The text of a section, from its heading to the next one of the same rank.
fn section(heading: &str) -> &'static str {
    let start = PAGE.find(&format!("\n## {heading}")).unwrap_or_else(|| panic!("there is no section {heading}")) + 1;
    let end = PAGE[start..].find("\n## ").map_or(PAGE.len(), |end| start + end);
    &PAGE[start..end]
}

/// The first cells of a table that begins with this header, as they stand.
fn first_cells(text: &'static str, header: &str) -> Vec<&'static str> {
    let table = &text[text.find(header).unwrap_or_else(|| panic!("there is no table {header}"))..];
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('|').nth(1).unwrap().trim()).collect()
}

/// `a.request.b / c` is `a.request.b` and `a.request.c`; `a.request.b.c / d` is `a.request.b.c` and `a.request.b.d`.
fn expanded(cell: &str) -> Vec<String> {
    let mut names = cell.split(" / ");
    let first = names.next().unwrap();
    let (stem, _) = first.rsplit_once('.').unwrap();
    std::iter::once(first.to_owned()).chain(names.map(|name| format!("{stem}.{name}"))).collect()
}

#[test]
fn the_table_of_commands_has_every_standard_command_and_no_other() {
    let told: Vec<String> =
        first_cells(section("4. Commands"), "| command | `data`").into_iter().flat_map(expanded).collect();
    let declared: Vec<&str> = StandardCommand::ALL.iter().map(|command| command.name()).collect();
    assert_eq!(told, declared);
}

#[test]
fn the_page_names_the_hosts_own_commands() {
    for command in ProtocolCommand::all().filter(|command| !matches!(command, ProtocolCommand::Standard(_))) {
        assert!(section("3. From connection").contains(&format!("`{}`", command.name())), "{command:?}");
    }
}

#[test]
fn the_table_of_events_has_every_event() {
    let cells = first_cells(section("5. Events"), "| event | data |").join(" | ");
    for name in EventName::STANDARD {
        let (object, verb) = name.as_str().rsplit_once('.').unwrap();
        let bare = matches!(verb, "initialized" | "complete" | "disposed") && object != "session";
        let told = if bare {
            cells.contains(verb)
        } else {
            cells.contains(name.as_str()) || told_with_others(&cells, object, verb)
        };
        assert!(told, "{}", name.as_str());
    }
}

/// `conversation.member.added / removed`
fn told_with_others(cells: &str, object: &str, verb: &str) -> bool {
    cells.split(" | ").any(|cell| cell.starts_with(object) && cell.split([' ', '/', ',']).any(|word| word == verb))
}

#[test]
fn an_adapter_cannot_declare_an_event_of_the_protocol() {
    let own: BTreeSet<&str> = EventName::STANDARD.iter().map(EventName::as_str).collect();
    assert_eq!(own, PROTOCOL_EVENTS.iter().copied().collect());
}

/// The words of a text that are written as code.
fn code_words(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_list_of_failure_codes_has_every_code_and_no_other() {
    let listed = section("7. Failure codes").lines().find(|line| line.starts_with('`')).unwrap();
    // What stands behind the list is about another member.
    let listed = listed.split(". ").next().unwrap();
    assert_eq!(code_words(listed), Code::ALL.iter().map(|code| code.as_str()).collect());
}

#[test]
fn the_table_of_close_codes_has_every_code_and_no_other() {
    let cells = first_cells(section("9. When the connection"), "| closed with | means").join(" ");
    let told: BTreeSet<u16> = cells.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    // Nobody sends 1006: it is what a client's own library says where there was no close.
    let sent = CloseCode::ALL.iter().map(|code| code.number());
    assert_eq!(told, sent.chain([1006]).collect());
}

#[test]
fn every_reason_of_an_end_stands_on_the_page() {
    use jackfield_plugin_api::report::Reason;
    let all = [
        Reason::Released,
        Reason::Rejected,
        Reason::Transferred,
        Reason::Abandoned,
        Reason::Redirected,
        Reason::Lost,
        Reason::Failed,
    ];
    let row = section("5. Events").lines().find(|line| line.starts_with("| interaction.ended ")).unwrap();
    for reason in all {
        let word = serde_json::to_value(reason).unwrap();
        assert!(row.contains(word.as_str().unwrap()), "{reason:?}");
    }
}
