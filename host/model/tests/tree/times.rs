//! Since when states hold.

use jackfield_plugin_api::{
    Report, Timestamp,
    report::{
        Availability, Channel, ChannelInfo, ChannelStatus, ChannelType, Conversation, ConversationState as C,
        Direction, Interaction, Pending, Role,
    },
};

use super::desk::{AT, Desk};

fn later(ms: u64) -> Timestamp {
    Timestamp(AT.0 + ms)
}

fn phone() -> Channel {
    Channel::create("p", ChannelType::Telephony, "p", "P")
}

fn call(state: C) -> Interaction {
    Interaction::create("i", Direction::Inbound).conversation(Conversation::new("c", Role::Primary, state))
}

/// A desk with a phone that is ready since [`AT`].
fn desk() -> Desk {
    let mut desk = Desk::started(false);
    desk.apply(&Report::new().channel(phone().status(ChannelStatus::Active(ChannelInfo::ready()))));
    desk
}

/// Since when the phone, its interaction and that one's conversation are in their states.
fn since(desk: &Desk) -> [Option<Timestamp>; 3] {
    let channel = &desk.tree.channels()[0];
    let interaction = channel.interactions.first();
    let conversation = interaction.and_then(|interaction| interaction.conversations.first());
    [Some(channel.since), interaction.map(|one| one.since), conversation.map(|one| one.since)]
}

#[test]
fn a_state_holds_since_the_report_that_brought_it() {
    let mut desk = desk();
    desk.now = later(1);
    desk.apply(&Report::new().channel(phone().interaction(call(C::Alerting))));
    assert_eq!(since(&desk), [Some(AT), Some(later(1)), Some(later(1))]);
    desk.now = later(2);
    desk.apply(&Report::new().channel(phone().interaction(call(C::Talking))));
    assert_eq!(since(&desk), [Some(AT), Some(later(2)), Some(later(2))]);
    desk.now = later(3);
    desk.apply(&Report::new().channel(phone().interaction(call(C::Held))));
    assert_eq!(since(&desk), [Some(AT), Some(later(2)), Some(later(3))], "the contact goes on");
    desk.now = later(4);
    desk.apply(&Report::new().channel(phone().interaction(Interaction::new("i").no_conversations())));
    assert_eq!(since(&desk), [Some(AT), Some(later(4)), None]);
}

#[test]
fn what_is_no_part_of_a_state_does_not_begin_it_anew() {
    let mut desk = desk();
    desk.apply(&Report::new().channel(phone().interaction(call(C::Talking))));
    desk.now = later(1);
    let mut muted = Conversation::new("c", Role::Primary, C::Talking);
    muted.muted = Some(true);
    let interaction = Interaction::new("i").data("key", "value").conversation(muted);
    let pending = Pending::new(Availability::NotReady, Some("lunch".to_owned()), None);
    let info = ChannelInfo::ready().queue("sales").pending(pending);
    desk.apply(&Report::new().channel(phone().status(ChannelStatus::Active(info)).interaction(interaction)));
    assert_eq!(since(&desk), [Some(AT); 3]);
    let lunch = ChannelInfo::not_ready(Some("lunch".to_owned()), None);
    desk.apply(&Report::new().channel(phone().status(ChannelStatus::Active(lunch))));
    assert_eq!(since(&desk)[0], Some(later(1)));
    desk.now = later(2);
    let pause = ChannelInfo::not_ready(Some("pause".to_owned()), None);
    desk.apply(&Report::new().channel(phone().status(ChannelStatus::Active(pause))));
    assert_eq!(since(&desk)[0], Some(later(2)), "another reason is another state");
}

#[test]
fn an_adapter_says_since_when_what_it_found_has_been_going_on() {
    let mut desk = Desk::started(false);
    desk.now = later(9);
    let talking = Conversation::new("c", Role::Primary, C::Talking).since(later(3));
    let found = Interaction::create("i", Direction::Inbound).since(later(2)).conversation(talking);
    let ready = ChannelStatus::Active(ChannelInfo::ready());
    desk.apply(&Report::new().channel(phone().status(ready).since(later(1)).interaction(found)));
    assert_eq!(since(&desk), [Some(later(1)), Some(later(2)), Some(later(3))]);
    // What it says later of a state that is known already changes nothing.
    desk.now = later(10);
    let again = Conversation::new("c", Role::Primary, C::Talking).since(later(7));
    desk.apply(&Report::new().channel(phone().interaction(Interaction::new("i").conversation(again))));
    assert_eq!(since(&desk)[2], Some(later(3)));
}

#[test]
fn no_state_holds_since_a_moment_that_is_still_to_come() {
    let mut desk = Desk::started(false);
    let talking = Conversation::new("c", Role::Primary, C::Talking).since(later(60_000));
    let found = Interaction::create("i", Direction::Inbound).conversation(talking);
    desk.apply(&Report::new().channel(phone().since(later(1)).interaction(found)));
    assert_eq!(since(&desk), [Some(AT); 3]);
}
