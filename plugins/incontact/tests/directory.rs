//! The address book: what stands in it, what is told of changes, and how often CXone is asked.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use jackfield_plugin_api::{Code, Command, report::Target};
use serde_json::{Value, json};

fn book(realtime: bool) -> Command {
    extension("session.request.incontact.addressbook", Target::Session, json!({"realtime": realtime}))
}

fn stop() -> Command {
    extension("session.request.incontact.addressbook.stop", Target::Session, json!({}))
}

fn find<'a>(books: &'a Value, name: &str) -> &'a Value {
    let books = books["addressbooks"].as_array().unwrap();
    books.iter().find(|book| book["name"] == name).unwrap_or_else(|| panic!("no book {name} in {books:#?}"))
}

fn updates(desk: &Desk) -> Vec<Value> {
    let reports = desk.session.reports();
    let events = reports.iter().flat_map(|report| report.events.clone());
    let updates = events.filter(|event| event.name == "session.incontact.addressbook.updated");
    updates.map(|event| event.data.parse().unwrap()).collect()
}

#[tokio::test]
async fn the_address_book_has_books_agents_by_team_and_skills_by_media() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    let books = anna.data(book(false)).await;
    let partner = &find(&books, "Partners")["entries"][0];
    assert_eq!(partner["name"], "Ada Example");
    assert_eq!(partner["destinations"][0], json!({"label": "phone", "value": "5550100"}));
    assert_eq!(find(&books, "Field")["entries"][0]["properties"]["state"], "Online");
    let teams = find(&books, "Agents")["groups"].as_array().unwrap();
    let anna_there = &teams[0]["entries"][0];
    assert_eq!((&anna_there["name"], &anna_there["properties"]["state"]), (&json!("Anna Agent"), &json!("Available")));
    assert_eq!(anna_there["destinations"][0]["value"], "agent:1001");
    let skills = find(&books, "Skills")["groups"].as_array().unwrap();
    let phone = skills.iter().find(|group| group["name"] == "Phone Call").unwrap();
    let sales = phone["entries"].as_array().unwrap().iter().find(|entry| entry["name"] == "Sales").unwrap();
    assert_eq!(sales["properties"], json!({"mediaType": "Phone Call", "numAvailable": 1, "numUnavailable": 0}));
    bench.no_complaints();
}

#[tokio::test]
async fn changes_are_told_until_the_listener_stops() {
    let bench = Bench::new().await;
    let anna = bench.ready("anna", "7001").await;
    anna.data(book(true)).await;
    let first = bench.emulator.count("agents/states");
    eventually("a poll", || bench.emulator.count("agents/states") > first + 1).await;
    let entry = json!({"id": "ext-2", "firstName": "Cy", "lastName": "Example", "phone": "5550300", "state": "Away"});
    bench.emulator.control("entry", json!({"book": 701, "entry": entry}));
    let _ben = bench.ready("ben", "7002").await;
    let told = |name: &str| updates(&anna).iter().any(|update| update.to_string().contains(name));
    eventually("the new entry is told", || told("Cy Example")).await;
    eventually("Ben's state is told", || told("\"state\":\"Available\"")).await;
    bench.emulator.control("entry", json!({"book": 701, "deleted": true, "entry": entry}));
    eventually("the deletion is told", || told("\"deleted\":true")).await;
    assert_eq!(anna.data(stop()).await, json!({}));
    let polls = bench.emulator.count("skills/activity");
    // That nothing comes has no condition: a poll and a half, one a second while somebody listens.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(bench.emulator.count("skills/activity"), polls, "nobody listens, nobody asks");
    bench.no_complaints();
}

#[tokio::test]
async fn polling_does_not_grow_with_the_listeners() {
    let bench = Bench::new().await;
    let desks =
        [bench.ready("anna", "7001").await, bench.ready("ben", "7002").await, bench.ready("cleo", "7003").await];
    // All names are read once for each listener's answer, and once by whoever begins to poll.
    let names = bench.emulator.count("agents");
    for desk in &desks {
        desk.data(book(true)).await;
    }
    let states = bench.emulator.count("agents/states");
    eventually("three more polls", || bench.emulator.count("agents/states") >= states + 3).await;
    assert_eq!(bench.emulator.count("agents") - names, 3 + 1, "three listeners, one poller");
    // The last listener's going ends it, however he goes.
    let [anna, ben, cleo] = desks;
    anna.data(stop()).await;
    ben.session.log_out(jackfield_plugin_api::Ending::LogOut).await.unwrap();
    drop(cleo);
    let polls = bench.emulator.count("agents/states");
    // That nothing comes has no condition: a poll and a half, one a second while somebody listens.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert!(bench.emulator.count("agents/states") <= polls + 1);
}

#[tokio::test]
async fn all_pages_are_read_and_deletions_are_told() {
    let mut data = data();
    data.behaviour.page = 2;
    let bench = Bench::of(data, |_| ()).await;
    let anna = bench.ready("anna", "7001").await;
    let books = anna.data(book(true)).await;
    let agents: usize = find(&books, "Agents")["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|team| team["entries"].as_array().unwrap().len())
        .sum();
    assert_eq!(agents, 5);
    let skills = find(&books, "Skills").to_string();
    assert!(
        skills.contains("Tasks") && !skills.contains("Old mail"),
        "what is not used any more is left out: {skills}"
    );
    let loads = bench.emulator.count("address-books/dynamic-entries");
    eventually("two polls", || bench.emulator.count("address-books/dynamic-entries") > loads + 1).await;
    let entry = json!({"id": "ext-1", "firstName": "Bo", "lastName": "Example", "phone": "5550200", "state": "Online"});
    bench.emulator.control("entry", json!({"book": 701, "deleted": true, "entry": entry}));
    eventually("the deletion is told", || updates(&anna).iter().any(|it| it.to_string().contains("\"deleted\":true")))
        .await;
}

#[tokio::test]
async fn what_may_not_be_read_is_left_out_and_the_rest_is_shown() {
    let mut data = data();
    for agent in data.business_unit.iter_mut().flat_map(|unit| &mut unit.agent) {
        agent.denied = vec!["agents/states".to_owned(), "agents".to_owned()];
    }
    let bench = Bench::of(data, |_| ()).await;
    let anna = bench.ready("anna", "7001").await;
    let books = anna.data(book(false)).await;
    assert_eq!(find(&books, "Partners")["entries"].as_array().unwrap().len(), 2);
    assert!(!books["addressbooks"].as_array().unwrap().iter().any(|book| book["name"] == "Agents"));
}

#[tokio::test]
async fn lists_are_what_cxone_has_for_the_menus_of_a_desktop() {
    use jackfield_plugin_api::lists::{ListKind, ListParent, ListRequest};
    let bench = Bench::with(|settings| settings["timing"]["directory_seconds"] = 60.into()).await;
    let anna = bench.ready("anna", "7001").await;
    let _ben = bench.ready("ben", "7002").await;
    let list = async |request: ListRequest| anna.data(Command::List(request)).await["entries"].clone();
    let ids = |entries: &Value| entries.as_array().unwrap().iter().map(|it| it["id"].clone()).collect::<Vec<_>>();
    let of = |kind| ListRequest::new(kind, 200);

    let reasons = ids(&list(of(ListKind::Reasons)).await);
    assert!(reasons.contains(&json!("Lunch")), "{reasons:?}");
    let key = anna.talking(&bench, ANNA).await;
    let mut under = of(ListKind::Dispositions);
    under.under = Some(ListParent::Interaction(at(&key)));
    assert_eq!(ids(&list(under).await), ["Sold", "Call back later", "Not interested"]);
    assert!(ids(&list(of(ListKind::Dispositions)).await).contains(&json!("No answer")), "those of all skills");

    let top = list(of(ListKind::Destinations)).await;
    let find = |entries: &Value, id: &str| entries.as_array().unwrap().iter().find(|it| it["id"] == id).cloned();
    let colleague = find(&top, "agent:1002").unwrap();
    assert_eq!((&colleague["type"], &colleague["presence"]["state"]), (&json!("colleague"), &json!("READY")));
    assert_eq!(find(&top, "skill:100").unwrap()["addresses"][0]["address"], "skill:100");
    assert_eq!(find(&top, "book:700").unwrap()["name"], "Partners");
    assert!(find(&top, "entry:700:1").is_none(), "what is in a book stands under it");
    let mut book = of(ListKind::Destinations);
    book.under = Some(ListParent::Entry("book:700".to_owned()));
    let ada = find(&list(book).await, "entry:700:1").unwrap();
    assert_eq!((&ada["addresses"][0]["address"], ada["addresses"].as_array().unwrap().len()), (&json!("5550100"), 2));
    let mut query = of(ListKind::Destinations);
    query.query = Some("ADA".to_owned());
    assert_eq!(ids(&list(query).await), ["entry:700:1"]);
    let mut nowhere = of(ListKind::Destinations);
    nowhere.under = Some(ListParent::Entry("book:1".to_owned()));
    anna.fails_with(Command::List(nowhere), Code::NotFound).await;
    assert_eq!(bench.emulator.count("address-books/entries"), 1, "typing a name does not ask each time");
    bench.no_complaints();
}
