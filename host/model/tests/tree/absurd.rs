//! Reports that no sane adapter makes: whatever they say, the desktop is told a legal story.

use std::collections::BTreeSet;

use jackfield_model::{DiagnosticKind, Diagnostics, Tree};
use jackfield_plugin_api::{
    Json, Report,
    report::{
        Availability, Channel, ChannelInfo, ChannelStatus, ChannelType, Conversation, ConversationState, Direction,
        Group, Interaction, InteractionState, Member, MemberRole, Pending, Reason, Recording, Role,
    },
};

use super::{
    desk::{AT, Desk, capabilities, kept},
    dice::{Dice, seeds},
    keys::{as_snapshot, by_keys},
};

/// How absurd, in cases of a hundred: another role, direction or type than before, odd re-keyings, keys named twice.
pub type Wild = usize;

pub fn member(dice: &mut Dice) -> Member {
    let role = dice.one_of(&[MemberRole::Customer, MemberRole::Customer, MemberRole::Agent]);
    let member = Member::new(dice.one_of(&["m", "n", "o", "p"]), dice.one_of(&["1", "2"]), role);
    let member = member.muted(dice.chance(20)).held(dice.chance(20));
    if dice.chance(50) { member.name(dice.one_of(&["a", "b"])) } else { member }
}

pub fn members(dice: &mut Dice, wild: Wild) -> Vec<Member> {
    let members = (0..dice.up_to(3)).map(|_| member(dice)).collect();
    if dice.chance(wild / 5) { members } else { once(members, |member| &member.key) }
}

/// The last of each key.
fn once<T>(list: Vec<T>, key: impl Fn(&T) -> &String) -> Vec<T> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<T> = list.into_iter().rev().filter(|one| seen.insert(key(one).clone())).collect();
    kept.reverse();
    kept
}

const REASONS: &[Reason] = &[Reason::Transferred, Reason::Released, Reason::Rejected, Reason::Failed];

pub fn conversation(dice: &mut Dice, wild: Wild) -> Conversation {
    use ConversationState::{Alerting, Dialing, Ended, Held, Talking};
    let mut one = Conversation::default();
    one.key = dice.one_of(&["P", "Q", "R"]).into();
    let usual = if one.key == "Q" { Role::Consult } else { Role::Primary };
    let role = if dice.chance(wild / 3) { dice.one_of(&[Role::Primary, Role::Consult]) } else { usual };
    one.role = dice.maybe(80, &[role]);
    one.state = dice.maybe(85, &[Alerting, Dialing, Talking, Talking, Held, Held, Ended]);
    one.muted = dice.maybe(20, &[true, false]);
    one.members = dice.chance(40).then(|| members(dice, wild));
    one.reason = dice.maybe(30, REASONS);
    one.was = dice.maybe(wild / 5, &["P", "Q", "R", "X"]).map(str::to_owned);
    one
}

pub fn interaction(dice: &mut Dice, wild: Wild) -> Interaction {
    use InteractionState::{Alerting, Completed, Dialing, Ended, Started};
    let mut one = Interaction::default();
    one.key = dice.one_of(&["I", "J", "K"]).into();
    let direction = if dice.chance(wild / 10) { Direction::Outbound } else { Direction::Inbound };
    one.direction = dice.maybe(80, &[direction]);
    one.state = dice.maybe(45, &[Alerting, Dialing, Started, Started, Ended, Completed]);
    one.reason = dice.maybe(20, REASONS);
    one.recording = dice.maybe(20, &[Recording::Off, Recording::On, Recording::Paused]);
    if dice.chance(30) {
        let value = dice.one_of(&[Some("1"), None, Some(r#"{"a":[1]}"#), Some("\"s\"")]);
        let value = value.map(|text| Json::from_text(text.into()).unwrap());
        one.data.insert(dice.one_of(&["x", "y", "z"]).into(), value);
    }
    one.url = dice.maybe(10, &["u1", "u2"]).map(str::to_owned);
    one.was = dice.maybe(wild / 7, &["I", "J", "K", "Z"]).map(str::to_owned);
    one.gone = dice.chance(7);
    if dice.chance(80) {
        let all: Vec<_> = (0..dice.up_to(3)).map(|_| conversation(dice, wild)).collect();
        one.conversations = Some(if dice.chance(wild / 5) { all } else { once(all, |one| &one.key) });
    }
    one
}

fn status(dice: &mut Dice) -> ChannelStatus {
    if !dice.chance(60) {
        return dice.one_of(&[ChannelStatus::Inactive, ChannelStatus::Unavailable]);
    }
    let mut info = ChannelInfo::default();
    info.availability = dice.maybe(75, &[Availability::Ready, Availability::NotReady, Availability::Acw]);
    info.reason_code = dice.maybe(50, &["1".to_owned()]);
    info.queue = dice.maybe(50, &["q".to_owned()]);
    info.pending = dice.maybe(50, &[Pending::new(Availability::Ready, None, None)]);
    ChannelStatus::Active(info)
}

fn channel(dice: &mut Dice, wild: Wild) -> Channel {
    let key = dice.one_of(&["a", "a", "b", "b", "c", "d"]);
    let usual = match key {
        "c" => ChannelType::Chat,
        "d" => ChannelType::Email,
        _ => ChannelType::Telephony,
    };
    let mut one = Channel::new(key);
    let kind = if dice.chance(wild / 20) { ChannelType::Chat } else { usual };
    one.kind = dice.maybe(80, &[kind]);
    if dice.chance(50) {
        one.endpoint = Some(format!("e{key}"));
        one.name = Some(format!("n{key}"));
    }
    if matches!(key, "b" | "d") {
        one.group = Some(if dice.chance(wild / 20) { "H" } else { "G" }.to_owned());
    }
    one.status = dice.chance(60).then(|| status(dice));
    one.gone = dice.chance(4);
    one.was = dice.maybe(wild / 20, &["a", "b", "c", "d", "z"]).map(str::to_owned);
    if dice.chance(80) {
        let all: Vec<_> = (0..dice.up_to(3)).map(|_| interaction(dice, wild)).collect();
        one.interactions = if dice.chance(wild / 5) { all } else { once(all, |one| &one.key) };
    }
    one
}

pub fn report(dice: &mut Dice, wild: Wild, snapshots: usize) -> Report {
    let mut report = Report::new();
    report.snapshot = dice.chance(snapshots);
    if report.snapshot || dice.chance(25) {
        report.groups.push(if dice.chance(10) { Group::gone("G") } else { Group::new("G", "g") });
    }
    let most = if report.snapshot { 4 } else { 2 };
    let all: Vec<_> = (0..=dice.up_to(most)).map(|_| channel(dice, wild)).collect();
    report.channels = if dice.chance(wild / 5) { all } else { once(all, |one| &one.key) };
    report
}

#[test]
fn any_sequence_of_reports_is_a_legal_story() {
    let mut kinds = BTreeSet::new();
    for seed in seeds(120) {
        let mut dice = Dice::new(seed);
        let wild = [100, 30, 0][usize::try_from(seed % 3).unwrap()];
        let mut desk = Desk::new(seed % 2 == 1);
        for step in 0..25 {
            // now and then a session that is not begun by an empty snapshot
            let report = if step == 0 && seed % 5 > 0 { Report::snapshot() } else { report(&mut dice, wild, 8) };
            let told =
                desk.try_apply(&report).unwrap_or_else(|why| panic!("seed {seed} step {step}: {why}\n{report:#?}"));
            kinds.extend(told.notes.counts().map(|(kind, _)| kind.as_str()));
        }
    }
    for kind in DiagnosticKind::ALL {
        let elsewhere = matches!(
            kind,
            DiagnosticKind::TooMany
                | DiagnosticKind::TooLong
                | DiagnosticKind::ChannelType
                | DiagnosticKind::ExtensionEvent
        );
        assert!(elsewhere || kinds.contains(kind.as_str()), "never noted {}", kind.as_str());
    }
}

/// A tree after a few rather sane reports.
fn grown(seed: u64, reports: usize) -> Tree {
    let mut dice = Dice::new(seed);
    let mut tree = Tree::new("S", capabilities(), false);
    tree.apply(&Report::snapshot(), AT, &mut Diagnostics::new());
    for _ in 0..dice.up_to(reports) {
        tree.apply(&report(&mut dice, 30, 2), AT, &mut Diagnostics::new());
    }
    tree
}

#[test]
fn a_snapshot_leads_from_any_tree_to_any_other() {
    let mut other_trees = 0;
    for seed in seeds(300) {
        let wanted = grown(seed + 1_000_000, 12);
        let mut desk = Desk::new(false);
        desk.tree = grown(seed, 12);
        let so_far = kept(&desk.tree.snapshot());
        desk.hear(&so_far).unwrap();
        let mut snapshot = as_snapshot(&wanted);
        for interaction in snapshot.channels.iter_mut().flat_map(|channel| &mut channel.interactions) {
            for key in ["x", "y", "z"] {
                interaction.data.entry(key.into()).or_insert(None); // a patch: what is no longer there must be said
            }
        }
        let told = desk.try_apply(&snapshot).unwrap_or_else(|why| panic!("seed {seed}: {why}\n{snapshot:#?}"));
        let ignored = told.notes.counts().any(|(kind, _)| matches!(kind, DiagnosticKind::WentBack));
        let [mut now, mut wanted] = [&desk.tree, &wanted].map(by_keys);
        forget_what_is_read_at_creation(&mut now);
        forget_what_is_read_at_creation(&mut wanted);
        // a conversation never goes back under its key; that is the one thing that a snapshot cannot bring about
        assert!(ignored || now == wanted, "seed {seed}: {now:#}\nwanted: {wanted:#}");
        other_trees += usize::from(!ignored);
    }
    assert!(other_trees > 270, "too few cases said anything: {other_trees}");
}

/// Names, and what a report that leaves it out does not deny. An address is never taken back, only replaced.
fn forget_what_is_read_at_creation(tree: &mut serde_json::Value) {
    for channel in tree["channels"].as_object_mut().unwrap().values_mut() {
        for interaction in channel["interactions"].as_object_mut().unwrap().values_mut() {
            interaction.as_object_mut().unwrap().retain(|name, _| !matches!(name.as_str(), "url" | "direction"));
        }
        channel.as_object_mut().unwrap().retain(|name, _| !matches!(name.as_str(), "endpoint" | "name"));
    }
}

#[test]
fn two_reports_merged_into_one_end_in_the_same_tree() {
    let (mut merged, mut refused) = (0, 0);
    for seed in seeds(2000) {
        let mut dice = Dice::new(seed);
        let [mut one, mut other] = [(); 2].map(|()| grown(seed + 5_000_000, 8));
        let (earlier, later) = (report(&mut dice, 0, 0), report(&mut dice, 0, 0));
        let Some(both) = jackfield_plugin_api::merge(&earlier, &later) else {
            refused += 1;
            continue;
        };
        let mut notes = Diagnostics::new();
        one.apply(&earlier, AT, &mut notes);
        one.apply(&later, AT, &mut notes);
        other.apply(&both, AT, &mut notes);
        if !notes.is_empty() {
            continue; // nonsense may be settled otherwise
        }
        merged += 1;
        let [one, other] = [by_keys(&one), by_keys(&other)];
        assert_eq!(one, other, "seed {seed}\n{earlier:#?}\n{later:#?}\nmerged: {both:#?}");
    }
    assert!(merged > 60, "only {merged} of {refused} were merged");
}
