//! What the events tell of each object.
//!
//! Owns the data of every standard event of `protocol.md` section 5, for the difference and for the replay alike. Must
//! never decide whether or when something is said. Data comes from the objects of the tree and becomes
//! [`Events`].

use std::collections::HashSet;

use jackfield_plugin_api::{
    Json,
    report::{
        Availability, Cause, ChannelStatus, ChannelType, ConversationState, Direction, InteractionState, MemberRole,
        Reason, Recording, Role,
    },
};

use super::{
    Channel, Conversation, Event, Events, Group, Interaction, Member, Tree,
    event::{Members, event, member, number},
    rules::{self, Actions},
};

/// How many calls an interaction has, told as `calls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Calls {
    None,
    Single,
    Consult,
    Conference,
}

impl Calls {
    /// From the number of members of each conversation.
    pub(super) fn of(mut members: impl Iterator<Item = usize>) -> Self {
        match (members.next(), members.next()) {
            (None, _) => Self::None,
            (Some(_), Some(_)) => Self::Consult,
            (Some(members), None) if members > 1 => Self::Conference,
            _ => Self::Single,
        }
    }

    pub(super) fn now(interaction: &Interaction) -> Self {
        Self::of(interaction.conversations.iter().map(|conversation| conversation.members.len()))
    }

    fn member(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Single => Some(member!("calls": "SINGLE")),
            Self::Consult => Some(member!("calls": "CONSULT")),
            Self::Conference => Some(member!("calls": "CONFERENCE")),
        }
    }
}

/// Writes events, each about the object that it is at.
pub(super) struct Pen {
    path: String,
    pub(super) said: Events,
}

impl Pen {
    /// At the session. `path`: where the path is written, whatever is there.
    pub(super) fn at(session: &str, mut path: String) -> Self {
        path.clear();
        path.push_str(session);
        Self { path, said: Events::with_room() }
    }

    /// What was said, and where the path was written.
    pub(super) fn put_down(self) -> (Events, String) {
        (self.said, self.path)
    }

    /// Goes to a child; the answer is the way back.
    pub(super) fn enter(&mut self, letter: char, id: u64) -> usize {
        let back = self.path.len();
        self.path.push('.');
        self.path.push(letter);
        number(&mut self.path, id);
        back
    }

    /// Goes to a channel from the session.
    pub(super) fn enter_channel(&mut self, channel: &Channel) -> usize {
        let back = self.path.len();
        if let Some(group) = channel.group {
            self.enter('g', group);
        }
        self.enter('c', channel.id);
        back
    }

    /// Goes back.
    pub(super) fn leave(&mut self, back: usize) {
        self.path.truncate(back);
    }

    pub(super) fn say(&mut self, name: &'static str, fill: impl FnOnce(&mut Members<'_>)) {
        self.said.write(&self.path, name, fill);
    }

    /// An event of the adapter's own.
    pub(super) fn say_extension(&mut self, path: &str, name: &str, data: &Json) {
        self.said.push(Event { target: path, name, data: data.get() });
    }

    /// An event without data.
    pub(super) fn say_that(&mut self, name: &'static str) {
        self.say(name, |_| {});
    }

    // ---- groups ----

    pub(super) fn group_created(&mut self, group: &Group) {
        self.say(event!("channelgroup.created"), |data| {
            data.object(member!("channelgroup"), |data| {
                data.id(member!("id"), 'g', group.id);
                data.text_if(member!("name"), group.name.as_deref());
            });
        });
    }

    pub(super) fn group_state(&mut self, group: &Group) {
        self.say(event!("state.updated"), |data| {
            data.whole(if group.populated { member!("state": "POPULATED") } else { member!("state": "EMPTY") })
        });
    }

    // ---- channels ----

    /// The whole bundle, from the parent.
    pub(super) fn channel_created(&mut self, channel: &Channel) {
        self.say(event!("channel.created"), |data| {
            data.object(member!("channel"), |data| {
                data.id(member!("id"), 'c', channel.id);
                data.text(member!("type"), channel.kind.as_str());
                data.text_if(member!("endpoint"), channel.endpoint.as_deref());
                data.text_if(member!("name"), channel.name.as_deref());
            });
        });
        let back = self.enter('c', channel.id);
        if channel.is_active() || channel.occupied {
            self.channel_info(channel);
        }
        self.channel_state(channel);
        self.say_that(event!("channel.initialized"));
        self.leave(back);
    }

    /// `channel.infochanged` and `state.updated`, which always come together.
    pub(super) fn channel_pair(&mut self, channel: &Channel) {
        self.channel_info(channel);
        self.channel_state(channel);
    }

    fn channel_info(&mut self, channel: &Channel) {
        self.say(event!("channel.infochanged"), |data| {
            data.object(member!("channel"), |data| {
                if let ChannelStatus::Active(info) = &channel.status {
                    data.whole_if(info.availability.map(availability));
                    data.text_if(member!("reasoncode"), info.reason_code.as_deref());
                    data.text_if(member!("reasondesc"), info.reason_desc.as_deref());
                    data.text_if(member!("queue"), info.queue.as_deref());
                    if let Some(pending) = &info.pending {
                        data.object(member!("pending"), |data| {
                            data.whole(availability(pending.availability));
                            data.text_if(member!("reasoncode"), pending.reason_code.as_deref());
                            data.text_if(member!("reasondesc"), pending.reason_desc.as_deref());
                        });
                    }
                }
                data.whole(if channel.occupied { member!("occupied": true) } else { member!("occupied": false) });
            });
        });
    }

    pub(super) fn channel_state(&mut self, channel: &Channel) {
        self.say(event!("state.updated"), |data| {
            data.whole(match channel.status {
                ChannelStatus::Inactive => member!("state": "INACTIVE"),
                ChannelStatus::Active(_) => member!("state": "ACTIVE"),
                ChannelStatus::Unavailable => member!("state": "UNAVAILABLE"),
            });
            data.whole_if(channel.availability().map(availability));
        });
    }

    // ---- interactions ----

    /// From the channel.
    pub(super) fn interaction_created(&mut self, kind: ChannelType, interaction: &Interaction) {
        self.say(event!("interaction.created"), |data| {
            data.object(member!("interaction"), |data| card(data, kind, interaction));
        });
    }

    pub(super) fn interaction_state(
        &mut self,
        kind: ChannelType,
        state: InteractionState,
        calls: Calls,
        recording: Recording,
    ) {
        self.say(event!("state.updated"), |data| {
            data.whole(interaction_state(state));
            data.whole_if(calls.member());
            // Only calls can be recorded.
            data.whole_if((kind == ChannelType::Telephony).then_some(match recording {
                Recording::Off => member!("recording": "OFF"),
                Recording::On => member!("recording": "ON"),
                Recording::Paused => member!("recording": "PAUSED"),
            }));
        });
    }

    /// All call data.
    pub(super) fn interaction_data(&mut self, interaction: &Interaction) {
        self.say(event!("interaction.datachanged"), |data| {
            data.object(member!("data"), |data| call_data(data, interaction))
        });
    }

    /// The entries that were set (`None`: removed).
    pub(super) fn data_changed(&mut self, patch: &[(&str, Option<&Json>)]) {
        self.say(event!("interaction.datachanged"), |data| {
            data.object(member!("data"), |data| {
                for (key, value) in patch {
                    data.entry(key, value.map_or("null", |value| value.get()));
                }
            });
        });
    }

    pub(super) fn preview(&mut self, kind: ChannelType, interaction: &Interaction) {
        self.say(event!("interaction.preview"), |data| shown(data, kind, interaction));
    }

    pub(super) fn screenpop(&mut self, kind: ChannelType, interaction: &Interaction) {
        self.say(event!("interaction.screenpop"), |data| shown(data, kind, interaction));
    }

    pub(super) fn focus(&mut self, interaction: &Interaction) {
        self.say(event!("interaction.focuschanged"), |data| match interaction.focus {
            Some(id) => data.object(member!("conversation"), |data| data.id(member!("id"), 'v', id)),
            None => data.whole(member!("conversation": null)),
        });
    }

    pub(super) fn interaction_ended(&mut self, reason: Reason, cause: Option<Cause>) {
        self.say(event!("interaction.ended"), |data| {
            end(data, reason, cause);
        });
    }

    // ---- conversations ----

    /// The whole bundle, from the interaction.
    pub(super) fn conversation_created(&mut self, conversation: &Conversation) {
        self.say(event!("conversation.created"), |data| {
            data.object(member!("conversation"), |data| {
                data.id(member!("id"), 'v', conversation.id);
                data.whole(match conversation.role {
                    Role::Primary => member!("role": "primary"),
                    Role::Consult => member!("role": "consult"),
                });
            });
        });
        let back = self.enter('v', conversation.id);
        self.conversation_state(conversation.state, conversation.muted);
        for member in &conversation.members {
            self.member_added(member);
        }
        self.say_that(event!("conversation.initialized"));
        self.leave(back);
    }

    pub(super) fn conversation_state(&mut self, state: ConversationState, muted: bool) {
        self.say(event!("state.updated"), |data| {
            data.whole(match state {
                ConversationState::Alerting => member!("state": "ALERTING"),
                ConversationState::Dialing => member!("state": "DIALING"),
                ConversationState::Talking => member!("state": "TALKING"),
                ConversationState::Held => member!("state": "HELD"),
                ConversationState::Ended => member!("state": "ENDED"),
            });
            data.whole(if muted { member!("muted": true) } else { member!("muted": false) });
        });
    }

    /// `why`: where nothing else tells it.
    pub(super) fn conversation_disposed(&mut self, why: Option<(Reason, Option<Cause>)>) {
        self.say(event!("conversation.disposed"), |data| {
            if let Some((reason, cause)) = why {
                end(data, reason, cause);
            }
        });
    }

    pub(super) fn member_added(&mut self, member: &Member) {
        self.say(event!("conversation.member.added"), |data| member_data(data, member));
    }

    pub(super) fn member_removed(&mut self, member: &Member) {
        self.say(event!("conversation.member.removed"), |data| member_data(data, member));
    }
}

impl Tree {
    /// Puts the actions into every `state.updated`: those that hold when all of it has been said. An object that is
    /// gone by then has none.
    pub(super) fn add_actions(&self, said: &mut Events) {
        said.rewrite("state.updated", |event, data| {
            let actions = self.find(event.target).map(|object| rules::actions(object, &self.capabilities));
            data.push_str(event.data.strip_suffix('}').expect("the data is an object"));
            data.push_str(",\"actions\":[");
            for (n, name) in actions.unwrap_or_default().names().enumerate() {
                data.push_str(if n > 0 { ",\"" } else { "\"" });
                data.push_str(name);
                data.push('"');
            }
            data.push_str("]}");
        });
    }

    /// Says the state once more of each object of which nothing changed but what can be done with it now.
    pub(super) fn say_new_actions(&mut self, pen: &mut Pen) {
        let told: HashSet<&str> =
            pen.said.iter().filter(|event| event.name == "state.updated").map(|event| event.target).collect();
        let mut again = Vec::new();
        for (path, object) in self.objects() {
            let (before, now) = (told_before(object), rules::actions(object, &self.capabilities));
            if before != Some(now) && before.is_some() && !told.contains(path.as_str()) {
                again.push(path);
            }
        }
        for path in again {
            let session = std::mem::replace(&mut pen.path, path);
            match self.find(&pen.path) {
                Some(super::Object::Channel(channel)) => pen.channel_state(channel),
                Some(super::Object::Interaction(channel, i)) => {
                    pen.interaction_state(channel.kind, i.state, Calls::now(i), i.recording);
                }
                Some(super::Object::Conversation(_, _, conversation)) => {
                    pen.conversation_state(conversation.state, conversation.muted)
                }
                _ => {}
            }
            pen.path = session;
        }
        self.remember_actions();
    }

    /// Takes down what the desktop has been told.
    pub(super) fn remember_actions(&mut self) {
        let all: Vec<Actions> =
            self.objects().into_iter().map(|(_, object)| rules::actions(object, &self.capabilities)).collect();
        let mut all = all.into_iter().skip(1 + self.groups.len());
        for channel in &mut self.channels {
            channel.told = all.next().unwrap_or_default();
            for interaction in &mut channel.interactions {
                interaction.told = all.next().unwrap_or_default();
                for conversation in &mut interaction.conversations {
                    conversation.told = all.next().unwrap_or_default();
                }
            }
        }
    }
}

/// What the desktop was told of it; `None` for objects whose actions never change.
fn told_before(object: super::Object<'_>) -> Option<Actions> {
    match object {
        super::Object::Session | super::Object::Group(_) => None,
        super::Object::Channel(channel) => Some(channel.told),
        super::Object::Interaction(_, interaction) => Some(interaction.told),
        super::Object::Conversation(_, _, conversation) => Some(conversation.told),
    }
}

fn card(data: &mut Members<'_>, kind: ChannelType, interaction: &Interaction) {
    data.id(member!("id"), 'i', interaction.id);
    data.text(member!("type"), kind.as_str());
    data.whole(match interaction.direction {
        Direction::Inbound => member!("direction": "inbound"),
        Direction::Outbound => member!("direction": "outbound"),
        Direction::Internal => member!("direction": "internal"),
    });
}

/// The data of preview and screenpop.
fn shown(data: &mut Members<'_>, kind: ChannelType, interaction: &Interaction) {
    data.object(member!("interaction"), |data| {
        card(data, kind, interaction);
        data.whole(interaction_state(interaction.state));
        data.object(member!("data"), |data| call_data(data, interaction));
    });
    data.text_if(member!("url"), interaction.url.as_deref());
}

fn call_data(data: &mut Members<'_>, interaction: &Interaction) {
    for (key, value) in interaction.data.iter() {
        data.entry(key, value.get());
    }
}

fn member_data(data: &mut Members<'_>, member: &Member) {
    data.object(member!("member"), |data| {
        data.id(member!("id"), 'm', member.id);
        data.text_if(member!("address"), member.address.as_deref());
        data.text_if(member!("name"), member.name.as_deref());
        data.whole(match member.role {
            MemberRole::Customer => member!("role": "customer"),
            MemberRole::Agent => member!("role": "agent"),
            MemberRole::External => member!("role": "external"),
        });
    });
}

fn end(data: &mut Members<'_>, reason: Reason, cause: Option<Cause>) {
    data.whole(match reason {
        Reason::Released => member!("reason": "released"),
        Reason::Rejected => member!("reason": "rejected"),
        Reason::Transferred => member!("reason": "transferred"),
        Reason::Abandoned => member!("reason": "abandoned"),
        Reason::Redirected => member!("reason": "redirected"),
        Reason::Lost => member!("reason": "lost"),
        Reason::Failed => member!("reason": "failed"),
    });
    let cause = cause.filter(|_| reason == Reason::Failed);
    data.whole_if(cause.map(|cause| match cause {
        Cause::Busy => member!("cause": "busy"),
        Cause::NoAnswer => member!("cause": "noanswer"),
        Cause::Unreachable => member!("cause": "unreachable"),
        Cause::Cancelled => member!("cause": "cancelled"),
    }));
}

fn availability(availability: Availability) -> &'static str {
    match availability {
        Availability::Ready => member!("availability": "READY"),
        Availability::NotReady => member!("availability": "NOTREADY"),
        Availability::Acw => member!("availability": "ACW"),
    }
}

fn interaction_state(state: InteractionState) -> &'static str {
    match state {
        InteractionState::Alerting => member!("state": "ALERTING"),
        InteractionState::Dialing => member!("state": "DIALING"),
        InteractionState::Started => member!("state": "STARTED"),
        InteractionState::Ended => member!("state": "ENDED"),
        InteractionState::Completed => member!("state": "COMPLETED"),
    }
}
