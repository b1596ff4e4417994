//! A platform that does this and that, told in one report a step: merged or not, the same picture comes of it.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::merge;
use crate::{
    report::{
        Channel, ChannelInfo, ChannelStatus, ChannelType, Conversation, ConversationState, Direction, ExtensionEvent,
        Group, Interaction, InteractionState, Member, MemberRole, Reason, Report, Role, Target,
    },
    testkit::View,
};

/// One thing that happens on the platform; numbers choose among what is there.
#[derive(Debug, Clone)]
enum Step {
    AddGroup,
    RemoveGroup(usize),
    AddChannel { in_group: Option<usize> },
    RemoveChannel(usize),
    Status { channel: usize, queue: u8, active: bool },
    Call { channel: usize, inbound: bool },
    Advance(usize),
    Consult(usize),
    EndOne { call: usize, reason: Reason },
    Rekey(usize),
    Data { call: usize, key: u8, value: Option<u8> },
    Join(usize),
    Mute { call: usize, muted: bool },
    Wrap(usize),
    Complete(usize),
    Event,
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..4usize;
    prop_oneof![
        1 => Just(Step::AddGroup),
        1 => n.clone().prop_map(Step::RemoveGroup),
        2 => proptest::option::of(n.clone()).prop_map(|in_group| Step::AddChannel { in_group }),
        1 => n.clone().prop_map(Step::RemoveChannel),
        3 => (n.clone(), any::<u8>(), any::<bool>())
            .prop_map(|(channel, queue, active)| Step::Status { channel, queue, active }),
        4 => (n.clone(), any::<bool>()).prop_map(|(channel, inbound)| Step::Call { channel, inbound }),
        4 => n.clone().prop_map(Step::Advance),
        3 => n.clone().prop_map(Step::Consult),
        3 => (n.clone(), prop_oneof![Just(Reason::Released), Just(Reason::Transferred)])
            .prop_map(|(call, reason)| Step::EndOne { call, reason }),
        2 => n.clone().prop_map(Step::Rekey),
        3 => (n.clone(), 0..3u8, proptest::option::of(any::<u8>()))
            .prop_map(|(call, key, value)| Step::Data { call, key, value }),
        2 => n.clone().prop_map(Step::Join),
        2 => (n.clone(), any::<bool>()).prop_map(|(call, muted)| Step::Mute { call, muted }),
        2 => n.clone().prop_map(Step::Wrap),
        2 => n.prop_map(Step::Complete),
        1 => Just(Step::Event),
    ]
}

/// The platform: a picture of how things are, and fresh keys.
#[derive(Default)]
pub(crate) struct Toy {
    view: View,
    keys: usize,
}

impl Toy {
    fn key(&mut self, prefix: &str) -> String {
        self.keys += 1;
        format!("{prefix}{}", self.keys)
    }

    /// The interactions that there are, as (channel's key, interaction).
    fn calls(&self) -> Vec<(String, Interaction)> {
        let on = |channel: &Channel| {
            let key = channel.key.clone();
            channel.interactions.clone().into_iter().map(move |it| (key.clone(), it)).collect::<Vec<_>>()
        };
        self.view.channels.iter().flat_map(on).collect()
    }

    fn call(&self, number: usize) -> Option<(String, Interaction)> {
        let calls = self.calls();
        calls.get(number % calls.len().max(1)).cloned()
    }

    fn living(&self, number: usize) -> Option<(String, Interaction, Vec<Conversation>)> {
        let (channel, call) = self.call(number)?;
        let conversations = call.conversations.clone().filter(|list| !list.is_empty())?;
        Some((channel, call, conversations))
    }

    /// What the platform would report of a step; `None`: it is not possible now.
    fn step(&mut self, step: &Step) -> Option<Report> {
        let channel = |number: usize| self.view.channels.get(number % self.view.channels.len().max(1));
        let group = |number: usize| self.view.groups.iter().nth(number % self.view.groups.len().max(1)).cloned();
        let report = match *step {
            Step::AddGroup => Report::new().group(Group::new(self.key("g"), "group")),
            Step::RemoveGroup(number) => Report::new().group(Group::gone(group(number)?)),
            Step::AddChannel { in_group } => {
                let group = in_group.and_then(group);
                let key = self.key("c");
                let channel = Channel::create(&key, ChannelType::Telephony, &key, "phone");
                Report::new().channel(Channel { group, ..channel }.status(ChannelStatus::Inactive))
            }
            Step::RemoveChannel(number) => Report::new().channel(Channel::gone(&channel(number)?.key)),
            Step::Status { channel: number, queue, active } => {
                let info = ChannelInfo::ready().queue(queue.to_string());
                let status = if active { ChannelStatus::Active(info) } else { ChannelStatus::Unavailable };
                Report::new().channel(Channel::new(&channel(number)?.key).status(status))
            }
            Step::Call { channel: number, inbound } => {
                let on = channel(number)?.key.clone();
                let (direction, state) = match inbound {
                    true => (Direction::Inbound, ConversationState::Alerting),
                    false => (Direction::Outbound, ConversationState::Dialing),
                };
                let leg = Conversation::new(self.key("v"), Role::Primary, state);
                let leg = leg.member(Member::new("m0", "1", MemberRole::Customer));
                on_channel(on, Interaction::create(self.key("i"), direction).conversation(leg))
            }
            Step::Event => Report::new().event(ExtensionEvent::new(Target::Session, "session.toy.event", "x")),
            _ => return self.step_of_call(step),
        };
        Some(self.told(report))
    }

    fn step_of_call(&mut self, step: &Step) -> Option<Report> {
        let report = match *step {
            Step::Advance(number) => {
                let (channel, call, mut legs) = self.living(number)?;
                for leg in &mut legs {
                    leg.state = Some(match leg.state? {
                        ConversationState::Talking => ConversationState::Held,
                        _ => ConversationState::Talking,
                    });
                }
                on_channel(channel, with_legs(&call, legs))
            }
            Step::Consult(number) => {
                let (channel, call, mut legs) = self.living(number)?;
                legs.push(Conversation::new(self.key("v"), Role::Consult, ConversationState::Dialing));
                on_channel(channel, with_legs(&call, legs))
            }
            Step::EndOne { call: number, reason } => {
                let (channel, call, mut legs) = self.living(number)?;
                let ended = legs.remove(0);
                legs.push(Conversation::ended(ended.key, reason));
                on_channel(channel, with_legs(&call, legs))
            }
            Step::Rekey(number) => {
                let (channel, call) = self.call(number)?;
                let mut renamed = Interaction::new(self.key("i"));
                renamed.was = Some(call.key);
                on_channel(channel, renamed)
            }
            Step::Data { call: number, key, value } => {
                let (channel, call) = self.call(number)?;
                let mut said = Interaction::new(call.key);
                said.data.insert(key.to_string(), value.map(|value| value.to_string().into()));
                on_channel(channel, said)
            }
            Step::Join(number) => {
                let (channel, call, mut legs) = self.living(number)?;
                let member = Member::new(self.key("m"), "2", MemberRole::External);
                legs[0] = legs[0].clone().member(member);
                on_channel(channel, with_legs(&call, legs))
            }
            Step::Mute { call: number, muted } => {
                let (channel, call, legs) = self.living(number)?;
                on_channel(channel, with_legs(&call, legs.into_iter().map(|leg| leg.muted(muted)).collect()))
            }
            Step::Wrap(number) => {
                let (channel, call) = self.call(number)?;
                on_channel(channel, Interaction::new(call.key).state(InteractionState::Ended).no_conversations())
            }
            Step::Complete(number) => {
                let (channel, call) = self.call(number)?;
                on_channel(channel, Interaction::gone(call.key))
            }
            _ => return None,
        };
        Some(self.told(report))
    }

    fn told(&mut self, report: Report) -> Report {
        self.view.apply(&report);
        report
    }
}

fn on_channel(channel: String, interaction: Interaction) -> Report {
    Report::new().channel(Channel::new(channel).interaction(interaction))
}

fn with_legs(call: &Interaction, legs: Vec<Conversation>) -> Interaction {
    Interaction { conversations: Some(legs), ..Interaction::new(&call.key) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// However the reports of a platform are grouped into merged ones, the last picture is the same.
    #[test]
    fn merged_reports_give_the_same_picture(steps in proptest::collection::vec((step(), any::<bool>()), 0..60)) {
        let mut toy = Toy::default();
        let (mut told, mut events) = (View::default(), 0);
        let mut waiting: Option<Report> = None;
        for (step, hold) in &steps {
            let Some(report) = toy.step(step) else { continue };
            events += report.events.len();
            waiting = match waiting.take() {
                None => Some(report),
                Some(earlier) => Some(merge(&earlier, &report).unwrap_or_else(|| {
                    told.apply(&earlier);
                    events -= earlier.events.len();
                    report
                })),
            };
            if !hold && let Some(report) = waiting.take() {
                told.apply(&report);
                events -= report.events.len();
            }
        }
        if let Some(report) = waiting {
            told.apply(&report);
            events -= report.events.len();
        }
        prop_assert_eq!(told, toy.view);
        prop_assert_eq!(events, 0, "no extension event is lost or doubled");
    }
}

fn talking(key: &str) -> Conversation {
    Conversation::new(key, Role::Primary, ConversationState::Talking)
}

#[test]
fn nothing_is_merged_across_a_snapshot() {
    let plain = Report::new().channel(Channel::new("c"));
    let snapshot = Report::snapshot().channel(Channel::new("c"));
    assert_eq!(merge(&plain, &snapshot), None);
    assert_eq!(merge(&snapshot, &plain), None);
    assert_eq!(merge(&snapshot, &snapshot), None);
}

#[test]
fn state_changes_stay_behind_an_earlier_event() {
    let event = Report::new().event(ExtensionEvent::new(Target::Session, "session.toy.event", "x"));
    let change = Report::new().channel(Channel::new("c").status(ChannelStatus::Inactive));
    assert_eq!(merge(&event, &change), None);
    assert_eq!(merge(&change, &event).unwrap().events.len(), 1);
    assert_eq!(merge(&event, &event).unwrap().events.len(), 2);
}

#[test]
fn what_is_over_is_not_merged_with_what_lives() {
    let channel = "c".to_owned();
    let over = [
        Interaction::gone("i"),
        Interaction::new("i").state(InteractionState::Ended),
        Interaction::new("i").state(InteractionState::Completed),
        Interaction::new("i").no_conversations(),
        Interaction::new("i").conversation(Conversation::ended("w", Reason::Released)),
    ];
    let alive = [
        Interaction::new("i").conversation(talking("v")),
        Interaction::new("i").state(InteractionState::Started),
        Interaction::create("i", Direction::Inbound),
    ];
    for over in &over {
        for alive in &alive {
            let (over, alive) = (on_channel(channel.clone(), over.clone()), on_channel(channel.clone(), alive.clone()));
            assert_eq!(merge(&over, &alive), None, "{over:?} then {alive:?}");
            assert!(merge(&alive, &over).is_some(), "{alive:?} then {over:?}");
        }
    }
    let ended =
        on_channel(channel.clone(), Interaction::new("i").conversation(Conversation::ended("v", Reason::Released)));
    assert_eq!(merge(&ended, &on_channel(channel, Interaction::new("i").conversation(talking("v")))), None);
    assert_eq!(merge(&Report::new().channel(Channel::gone("c")), &Report::new().channel(Channel::new("c"))), None);
}

#[test]
fn a_state_that_goes_back_is_not_merged() {
    let on = |interaction| on_channel("c".to_owned(), interaction);
    let started = on(Interaction::new("i").state(InteractionState::Started));
    assert_eq!(merge(&started, &on(Interaction::new("i").state(InteractionState::Alerting))), None);
    let ringing = Conversation::new("v", Role::Primary, ConversationState::Alerting);
    let talks = on(Interaction::new("i").conversation(talking("v")));
    assert_eq!(merge(&talks, &on(Interaction::new("i").conversation(ringing))), None);
}

#[test]
fn a_chain_of_rekeyings_is_not_merged() {
    let renamed = |key: &str, was: &str| {
        on_channel("c".to_owned(), Interaction { was: Some(was.to_owned()), ..Interaction::new(key) })
    };
    assert_eq!(merge(&renamed("b", "a"), &renamed("c", "b")), None);
    assert_eq!(merge(&renamed("b", "a"), &on_channel("c".to_owned(), Interaction::new("a"))), None, "a is used again");
    assert!(merge(&renamed("b", "a"), &on_channel("c".to_owned(), Interaction::new("b"))).is_some());
}

#[test]
fn the_reason_of_an_end_survives() {
    let on = |interaction| on_channel("c".to_owned(), interaction);
    let transferred = on(Interaction::new("i").conversation(Conversation::ended("v", Reason::Transferred)));
    let later = on(Interaction::new("i").state(InteractionState::Ended).no_conversations());
    let merged = merge(&transferred, &later).unwrap();
    let conversations = merged.channels[0].interactions[0].conversations.as_ref().unwrap();
    assert_eq!(conversations[0].reason, Some(Reason::Transferred));

    let rejected = on(Interaction::new("i").state(InteractionState::Ended).reason(Reason::Rejected));
    let merged = merge(&rejected, &on(Interaction::gone("i"))).unwrap();
    assert_eq!(merged.channels[0].interactions[0].reason, Some(Reason::Rejected));
}
