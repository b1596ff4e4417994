//! A platform in memory that walks at random through sensible things: calls in and out, answered, held, consulted,
//! transferred, conferenced, re-keyed, recorded, after-call work, chats. Its adapter reports one transition at a time,
//! or merges what waits, or loses some and makes up with a snapshot: the tree is the platform every time.

use std::collections::{BTreeMap, BTreeSet};

use jackfield_model::{Diagnostics, Tree};
use jackfield_plugin_api::{
    Report, merge,
    report::{
        Availability, Channel, ChannelInfo, ChannelStatus, ChannelType, Conversation, ConversationState, Direction,
        Interaction, InteractionState, Member, MemberRole, Reason, Recording, Role,
    },
};

use super::{
    desk::{AT, Desk, capabilities},
    dice::{Dice, seeds},
    keys::by_keys,
};

use ConversationState::{Alerting, Dialing, Held, Talking};
use InteractionState::{Ended, Started};

const CHANNELS: [(&str, ChannelType); 2] = [("tel", ChannelType::Telephony), ("chat", ChannelType::Chat)];

/// One contact on the platform.
struct Contact {
    direction: Direction,
    state: InteractionState,
    data: BTreeMap<&'static str, usize>,
    recording: Recording,
    muted: bool,
    calls: Vec<Leg>,
    reason: Option<Reason>,
}

struct Leg {
    key: String,
    was: Option<String>,
    role: Role,
    state: ConversationState,
    parties: Vec<String>,
}

/// A switch with one agent.
struct Platform {
    dice: Dice,
    keys: usize,
    status: [ChannelStatus; 2],
    contacts: [BTreeMap<String, Contact>; 2],
    done: BTreeSet<&'static str>,
}

/// What has changed: the channel, and the contact on it.
type Change = (usize, Option<String>);

impl Platform {
    fn new(seed: u64) -> Self {
        let ready = || ChannelStatus::Active(ChannelInfo::ready());
        Self {
            dice: Dice::new(seed),
            keys: 0,
            status: [ready(), ready()],
            contacts: Default::default(),
            done: BTreeSet::new(),
        }
    }

    fn key(&mut self, letter: char) -> String {
        self.keys += 1;
        format!("{letter}{}", self.keys)
    }

    /// Something happens.
    fn step(&mut self) -> Change {
        let mut may = vec![("availability", 0, None)];
        if self.contacts[0].len() < 2 {
            may.extend([("inbound", 0, None), ("inbound", 0, None), ("dial", 0, None)]);
        }
        if self.contacts[1].len() < 2 {
            may.push(("chat", 1, None));
        }
        for (key, contact) in &self.contacts[0] {
            may.extend(call_may(contact).into_iter().map(|what| (what, 0, Some(key.clone()))));
        }
        for (key, contact) in &self.contacts[1] {
            let chat_may: &[_] = match contact.state {
                InteractionState::Alerting => &["accept", "gone"],
                Started => &["end", "gone"],
                _ => &["gone"],
            };
            may.extend(chat_may.iter().map(|&what| (what, 1, Some(key.clone()))));
        }
        let (what, channel, key) = self.dice.one_of(&may);
        self.done.insert(what);
        match (what, key) {
            ("availability", _) => {
                let channel = self.dice.below(2);
                self.status[channel] = self.any_status();
                (channel, None)
            }
            (_, None) => (channel, Some(self.begin(what, channel))),
            ("gone", Some(key)) => {
                self.contacts[channel].remove(&key);
                (channel, Some(key))
            }
            (_, Some(key)) => {
                let mut contact = self.contacts[channel].remove(&key).unwrap();
                contact.reason = None;
                self.change(what, &mut contact);
                self.contacts[channel].insert(key.clone(), contact);
                (channel, Some(key))
            }
        }
    }

    fn any_status(&mut self) -> ChannelStatus {
        if self.dice.chance(25) {
            return ChannelStatus::Inactive;
        }
        let mut info = ChannelInfo::default();
        info.availability = Some(self.dice.one_of(&[Availability::Ready, Availability::NotReady, Availability::Acw]));
        info.reason_code = Some(self.dice.one_of(&["1", "2"]).into());
        ChannelStatus::Active(info)
    }

    fn leg(&mut self, role: Role, state: ConversationState) -> Leg {
        Leg { key: self.key('C'), was: None, role, state, parties: vec![self.key('p')] }
    }

    fn begin(&mut self, what: &str, channel: usize) -> String {
        let key = self.key('M');
        let (direction, state, calls) = match what {
            "inbound" => (Direction::Inbound, InteractionState::Alerting, vec![self.leg(Role::Primary, Alerting)]),
            "dial" => (Direction::Outbound, InteractionState::Dialing, vec![self.leg(Role::Primary, Dialing)]),
            _ => (Direction::Inbound, InteractionState::Alerting, vec![]),
        };
        let contact = Contact {
            direction,
            state,
            data: BTreeMap::from([("ani", self.keys)]),
            recording: Recording::Off,
            muted: false,
            calls,
            reason: None,
        };
        self.contacts[channel].insert(key.clone(), contact);
        key
    }

    fn change(&mut self, what: &str, contact: &mut Contact) {
        let [primary, consult] = [Role::Primary, Role::Consult].map(|role| contact.at(role));
        let flip = |state: &mut ConversationState| *state = if *state == Talking { Held } else { Talking };
        match what {
            "accept" => contact.state = Started,
            "answer" => (contact.state, contact.calls[0].state) = (Started, Talking),
            "end" | "transfer" => {
                contact.calls.clear();
                (contact.state, contact.recording) = (Ended, Recording::Off);
                contact.reason = (what == "transfer").then_some(Reason::Transferred);
            }
            "end primary" | "end consult" => {
                contact.calls.remove(if what == "end primary" { primary } else { consult }.unwrap());
                if contact.calls.is_empty() {
                    (contact.state, contact.recording) = (Ended, Recording::Off);
                }
            }
            "data" => drop(contact.data.insert(self.dice.one_of(&["x", "y", "z"]), self.dice.below(10))),
            "record" => contact.recording = self.dice.one_of(&[Recording::Off, Recording::On, Recording::Paused]),
            "mute" => contact.muted = !contact.muted,
            "hold primary" => flip(&mut contact.calls[primary.unwrap()].state),
            "hold consult" => flip(&mut contact.calls[consult.unwrap()].state),
            "join" => contact.calls[primary.unwrap()].parties.push(self.key('p')),
            "leave" => drop(contact.calls[primary.unwrap()].parties.remove(0)),
            "rekey" => {
                let leg = &mut contact.calls[primary.unwrap()];
                leg.was = Some(std::mem::replace(&mut leg.key, self.key('C')));
            }
            "consult" => {
                contact.calls[primary.unwrap()].state = Held;
                contact.calls.push(self.leg(Role::Consult, Dialing));
            }
            "consult answered" => {
                contact.calls[consult.unwrap()].state = Talking;
                if let Some(at) = primary.filter(|at| contact.calls[*at].state == Talking) {
                    contact.calls[at].state = Held;
                }
            }
            "alternate" => {
                let talks = contact.calls[primary.unwrap()].state == Talking;
                contact.calls[primary.unwrap()].state = if talks { Held } else { Talking };
                contact.calls[consult.unwrap()].state = if talks { Talking } else { Held };
            }
            "conference" => {
                let parties = contact.calls.remove(consult.unwrap()).parties;
                let at = contact.at(Role::Primary).unwrap();
                contact.calls[at].state = Talking;
                contact.calls[at].parties.extend(parties);
            }
            other => panic!("{other}"),
        }
    }

    // ---- its adapter

    fn interaction(&self, channel: usize, key: &str) -> Interaction {
        let Some(contact) = self.contacts[channel].get(key) else { return Interaction::gone(key) };
        let mut stated = Interaction::create(key, contact.direction).state(contact.state).recording(contact.recording);
        stated.reason = contact.reason;
        for (key, value) in &contact.data {
            stated = stated.data(*key, serde_json::Value::from(*value));
        }
        if channel == 1 {
            return stated;
        }
        contact.calls.iter().fold(stated.no_conversations(), |stated, leg| {
            let mut call = Conversation::new(&*leg.key, leg.role, leg.state).muted(contact.muted);
            call.was.clone_from(&leg.was);
            call.members = Some(leg.parties.iter().map(|key| Member::new(key, key, MemberRole::Customer)).collect());
            stated.conversation(call)
        })
    }

    fn channel(&self, channel: usize) -> Channel {
        let (key, kind) = CHANNELS[channel];
        Channel::create(key, kind, key, key)
    }

    fn report(&self, (channel, key): &Change) -> Report {
        let stated = self.channel(*channel);
        Report::new().channel(match key {
            Some(key) => stated.interaction(self.interaction(*channel, key)),
            None => stated.status(self.status[*channel].clone()),
        })
    }

    fn snapshot(&self) -> Report {
        (0..2).fold(Report::snapshot(), |report, at| {
            let stated = self.channel(at).status(self.status[at].clone());
            let keys = self.contacts[at].keys();
            report.channel(keys.fold(stated, |stated, key| stated.interaction(self.interaction(at, key))))
        })
    }

    /// The tree that a session would have that began now.
    fn tree(&self) -> serde_json::Value {
        let mut tree = Tree::new("S", capabilities(), false);
        tree.apply(&self.snapshot(), AT, &mut Diagnostics::new());
        by_keys(&tree)
    }
}

impl Contact {
    fn at(&self, role: Role) -> Option<usize> {
        self.calls.iter().position(|leg| leg.role == role)
    }
}

/// What may happen to a call.
fn call_may(contact: &Contact) -> Vec<&'static str> {
    let mut may = vec!["data", "gone"];
    let [primary, consult] =
        [Role::Primary, Role::Consult].map(|role| contact.at(role).map(|at| contact.calls[at].state));
    let live = |state: &ConversationState| matches!(state, Talking | Held);
    match contact.state {
        InteractionState::Alerting => may.extend(["answer", "answer"]),
        InteractionState::Dialing => may.extend(["answer", "answer", "end"]),
        Started => {
            may.extend(["record", "mute", "transfer"]);
            may.extend(primary.map(|_| "end primary"));
            may.extend(consult.map(|_| "end consult"));
            may.extend(consult.filter(|&state| state == Dialing).map(|_| "consult answered"));
            if primary.is_some_and(|state| live(&state)) {
                may.extend(["join", "rekey"]);
                may.extend((consult != Some(Talking)).then_some("hold primary"));
                may.extend(if consult.is_none() { &["consult"; 3][..] } else { &[] });
                may.extend(
                    (consult.is_some_and(|state| live(&state)) && primary == Some(Held)).then_some("hold consult"),
                );
                if consult.is_some_and(|state| live(&state)) {
                    may.extend(["alternate", "alternate", "conference", "transfer"]);
                }
            }
            let several = contact.at(Role::Primary).is_some_and(|at| contact.calls[at].parties.len() > 1);
            may.extend(several.then_some("leave"));
        }
        _ => may.extend(["gone"; 3]),
    }
    may
}

/// Walks, and hands each report to the test.
fn walks(each: impl Fn(&mut Platform, &mut dyn FnMut(&mut Platform) -> Report)) {
    let mut done = BTreeSet::new();
    for seed in seeds(25) {
        let mut platform = Platform::new(seed);
        each(&mut platform, &mut |platform| {
            let change = platform.step();
            let report = platform.report(&change);
            for leg in platform.contacts[0].values_mut().flat_map(|contact| &mut contact.calls) {
                leg.was = None; // said once
            }
            report
        });
        done.append(&mut platform.done);
    }
    assert!(done.len() > 20, "the walks do too little: {done:?}");
}

#[test]
fn one_report_a_transition_leaves_nothing_out() {
    walks(|platform, step| {
        let mut desk = Desk::new(platform.dice.chance(50));
        desk.apply(&platform.snapshot());
        for _ in 0..50 {
            let report = step(platform);
            let told = desk.apply(&report);
            assert!(told.notes.is_empty(), "left out: {:?} of {report:#?}", told.notes);
            assert_eq!(by_keys(&desk.tree), platform.tree(), "{:?} after {report:#?}", told.words);
        }
    });
}

#[test]
fn reports_that_waited_and_were_merged_end_in_the_same_tree() {
    walks(|platform, step| {
        let mut desk = Desk::new(false);
        desk.apply(&platform.snapshot());
        for _ in 0..12 {
            let mut waiting: Vec<Report> = Vec::new();
            for _ in 0..=platform.dice.up_to(6) {
                let report = step(platform);
                match waiting.last().and_then(|last| merge(last, &report)) {
                    Some(merged) => *waiting.last_mut().unwrap() = merged,
                    None => waiting.push(report),
                }
            }
            for report in &waiting {
                let told = desk.apply(report);
                assert!(told.notes.is_empty(), "left out: {:?} of {report:#?}", told.notes);
            }
            assert_eq!(by_keys(&desk.tree), platform.tree(), "{waiting:#?}");
        }
    });
}

#[test]
fn a_snapshot_makes_up_for_reports_that_were_lost() {
    walks(|platform, step| {
        let mut desk = Desk::new(platform.dice.chance(50));
        desk.apply(&platform.snapshot());
        for _ in 0..8 {
            for _ in 0..6 {
                let report = step(platform);
                if platform.dice.chance(60) {
                    desk.apply(&report);
                }
            }
            let told = desk.apply(&platform.snapshot());
            assert_eq!(by_keys(&desk.tree), platform.tree(), "{:?}", told.words);
        }
    });
}
