//! Supervision: hearing an agent's call, speaking to the agent alone, or to both.
//!
//! Owns: who may, and how long it lasts. Asterisk makes a channel that hears what another one hears and says; it is a party
//! of a room of its own, in which the supervisor sits. So a supervisor's desktop has an interaction, whose release ends it.
//! Must never: change the supervised call, or outlive it.

use jackfield_plugin_api::{
    Code, Failure, Json, Outcome,
    report::{ConversationState, Direction, MemberRole},
};
use serde::Deserialize;

use super::{
    Switch, What,
    model::{ChannelId, CommandId, Owner, Party, PartyState, PhoneKey},
    rooms::{Left, segment},
};
use crate::ari::{Caller, Request};

/// What a channel enters the application with that supervises another one.
pub(super) const SUPERVISES: &str = "supervises";

/// How a supervisor takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Hears both, and is heard by nobody.
    Listen,
    /// Is heard by the agent only.
    Whisper,
    /// Is heard by both.
    Barge,
}

impl Mode {
    /// Which way the supervisor's voice goes, in ARI's words: out is to the agent's phone, in is from it.
    const fn whisper(self) -> &'static str {
        match self {
            Self::Listen => "none",
            Self::Whisper => "out",
            Self::Barge => "both",
        }
    }
}

/// The command's data.
#[derive(Debug, Deserialize)]
struct Wish {
    agent: String,
    mode: Mode,
}

/// A supervision that Asterisk is asked for.
#[derive(Debug)]
pub(super) struct Supervision {
    command: CommandId,
    supervisor: PhoneKey,
    /// Whom.
    agent: Caller,
    /// The conversation with which it ends.
    conversation: String,
}

impl Switch {
    pub(super) fn supervise(&mut self, id: CommandId, supervisor: &str, data: &Json) {
        let wish: Wish = match data.parse() {
            Ok(wish) => wish,
            Err(error) => return self.refuse(id, Code::BadRequest, format!("the supervision: {error}")),
        };
        if !self.settings.agents.get(supervisor).is_some_and(|known| known.supervisor) {
            return self.refuse(id, Code::Forbidden, "the settings do not name this agent as a supervisor");
        }
        let own = |key: &PhoneKey| {
            self.phones.get(key).filter(|phone| phone.is_free()).and_then(|phone| phone.leg.up()).is_some()
        };
        let Some(own) = self.phones_of(supervisor).into_iter().find(own) else {
            return self.refuse(id, Code::InvalidState, "the supervisor's phone is not connected and free");
        };
        let talks = self.phones.values().filter(|phone| phone.agent == wish.agent || phone.key == wish.agent);
        let talks = talks.filter(|phone| phone.agent != supervisor).find_map(|phone| {
            let conversations = &phone.live()?.conversations;
            let talking = conversations.iter().find(|it| it.state == ConversationState::Talking)?;
            Some((phone.leg.up()?.clone(), phone.key.clone(), phone.agent.clone(), talking.key.clone()))
        });
        let Some((leg, number, name, conversation)) = talks else {
            return self.refuse(id, Code::InvalidState, "the agent is not talking to anybody");
        };
        let channel = self.new_channel_id();
        let request = Request::post(format!("channels/{}/snoop/{}", segment(&leg), segment(&channel)))
            .with("spy", "both")
            .with("whisper", wish.mode.whisper())
            .with("app", self.settings.address.application.clone())
            .with("appArgs", SUPERVISES);
        self.owners.insert(channel.clone(), Owner::Party);
        let agent = Caller { number, name };
        self.supervisions.insert(channel.clone(), Supervision { command: id, supervisor: own, agent, conversation });
        self.send(request, What::Supervised(channel));
    }

    /// Asterisk has not made the channel, or it is gone before it came.
    pub(super) fn not_supervised(&mut self, channel: &str, failure: Failure) {
        if let Some(supervision) = self.supervisions.remove(channel) {
            self.owners.remove(channel);
            self.reply(supervision.command, Outcome::Failure(failure));
        }
    }

    /// The channel is there: the supervisor hears.
    pub(super) fn supervised(&mut self, channel: &ChannelId) {
        let Some(supervision) = self.supervisions.remove(channel) else { return };
        let Supervision { command, supervisor, agent, conversation } = supervision;
        let free = self.phones.get(&supervisor).is_some_and(|phone| phone.is_free() && phone.leg.up().is_some());
        if !free || !self.is_talked(&conversation) {
            self.owners.remove(channel);
            self.hang_up_channel(channel, "normal");
            return self.refuse(command, Code::InvalidState, "the call has ended, or the supervisor has another one");
        }
        let room = self.new_room(None);
        let mut party = Party::new(&agent, MemberRole::Agent, PartyState::Up, room);
        party.supervises = Some(conversation);
        self.add_party(room, channel.clone(), party);
        self.open_interaction(&supervisor, room, Direction::Internal, ConversationState::Talking, None);
        self.reply(command, Outcome::success());
    }

    fn is_talked(&self, conversation: &str) -> bool {
        let live = self.phones.values().filter_map(super::model::Phone::live);
        live.flat_map(|live| &live.conversations).any(|it| it.key == conversation)
    }

    /// Supervisions whose call is over end with it.
    pub(super) fn end_supervisions(&mut self) {
        // While Asterisk is asked how things are, nobody knows yet who talks.
        if !self.up || self.resync.is_some() {
            return;
        }
        let over = |channel: &&ChannelId| {
            let party = self.parties.get(*channel).and_then(|party| party.supervises.as_ref());
            party.is_none_or(|conversation| !self.is_talked(conversation))
        };
        for channel in self.supervising.iter().filter(over).cloned().collect::<Vec<_>>() {
            self.supervising.remove(&channel);
            if let Some(room) = self.parties.get(&channel).map(|party| party.room) {
                self.hang_up_party(&channel);
                self.settle(room, Left::hung_up());
            }
        }
    }

    /// Whether an agent's call is a supervision, which is only released.
    pub(super) fn is_supervising(&self, agent: &str) -> bool {
        !self.supervising.is_empty()
            && self.phones_of(agent).iter().filter_map(|key| self.phones.get(key)?.live()).any(|live| {
                let rooms = live.conversations.iter().filter_map(|it| self.rooms.get(&it.room));
                rooms.flat_map(|room| &room.parties).any(|channel| self.supervising.contains(channel))
            })
    }
}
