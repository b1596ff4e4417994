//! Supervision: hearing an agent's call, speaking to the agent alone, or to both.
//!
//! Owns: who may, and how long it lasts. Asterisk makes a channel that hears what another one hears and says; it is a party
//! of a room of its own, in which the supervisor sits. So a supervisor's desktop has an interaction, whose release ends it.
//! Must never: change the supervised call, or outlive it.

use jackfield_plugin_api::{
    Code, Failure, Outcome,
    report::{ConversationState, Direction, MemberRole, Supervision, SupervisionMode},
};

use super::{
    Switch, What,
    model::{ChannelId, CommandId, Interaction, Owner, Party, PartyState, Phone, PhoneKey, RoomId},
    rooms::{Left, segment},
};
use crate::ari::{Caller, Request};

/// What a channel enters the application with that supervises another one.
pub(super) const SUPERVISES: &str = "supervises";

/// Which way the supervisor's voice goes, in ARI's words: out is to the agent's phone, in is from it.
const fn whisper(mode: SupervisionMode) -> Option<&'static str> {
    match mode {
        SupervisionMode::Listen => Some("none"),
        SupervisionMode::Whisper => Some("out"),
        SupervisionMode::Barge => Some("both"),
        _ => None,
    }
}

/// A supervision that Asterisk is asked for.
#[derive(Debug)]
pub(super) struct AskedSupervision {
    command: CommandId,
    /// Whose phone hears it.
    supervisor: PhoneKey,
    /// Whom.
    agent: Caller,
    /// The interaction of theirs with which it ends.
    interaction: String,
    mode: SupervisionMode,
}

impl Switch {
    pub(super) fn supervise(&mut self, id: CommandId, supervisor: &str, whom: &str, mode: SupervisionMode) {
        if !self.is_supervisor(supervisor) {
            return self.refuse(id, Code::Forbidden, "the settings do not name this agent as a supervisor");
        }
        let Some(whisper) = whisper(mode) else {
            return self.refuse(id, Code::Unsupported, "Asterisk has no such supervision");
        };
        let is_meant = |phone: &&Phone| phone.agent != supervisor && (phone.agent == whom || phone.key == whom);
        let colleague = self.phones.values().find(is_meant).map(|phone| phone.agent.clone());
        let Some(colleague) = colleague.or_else(|| self.settings.agents.contains_key(whom).then(|| whom.to_owned()))
        else {
            return self.refuse(id, Code::NotFound, "there is no such colleague");
        };
        let talks = self.phones.values().filter(is_meant).find_map(|phone| {
            let own = phone.live().filter(|live| live.supervises.is_none() && is_talked(live))?;
            Some((phone.leg.up()?.clone(), phone.key.clone(), own.key.clone()))
        });
        let Some((leg, number, interaction)) = talks else {
            return self.refuse(id, Code::InvalidState, "the agent is not talking to anybody");
        };
        let own = self.phones_of(supervisor);
        let goes_on = own.iter().find_map(|key| {
            let supervision = self.phones.get(key)?.live()?.supervises.as_ref()?;
            (supervision.agent == colleague).then(|| (key.clone(), supervision.mode))
        });
        let supervisor = match goes_on {
            Some((_, before)) if before == mode => return self.reply(id, Outcome::success()),
            Some((key, _)) => Some(key),
            None => own.into_iter().find(|key| self.phones.get(key).is_some_and(can_hear)),
        };
        let Some(supervisor) = supervisor else {
            return self.refuse(id, Code::InvalidState, "the supervisor's phone is not connected and free");
        };
        let channel = self.new_channel_id();
        let request = Request::post(format!("channels/{}/snoop/{}", segment(&leg), segment(&channel)))
            .with("spy", "both")
            .with("whisper", whisper)
            .with("app", self.settings.address.application.clone())
            .with("appArgs", SUPERVISES);
        self.owners.insert(channel.clone(), Owner::Party);
        let agent = Caller { number, name: colleague };
        let asked = AskedSupervision { command: id, supervisor, agent, interaction, mode };
        self.supervisions.insert(channel.clone(), asked);
        self.send(request, What::Supervised(channel));
    }

    /// Asterisk has not made the channel, or it is gone before it came.
    pub(super) fn not_supervised(&mut self, channel: &str, failure: Failure) {
        if let Some(asked) = self.supervisions.remove(channel) {
            self.disown(channel, false);
            self.reply(asked.command, Outcome::Failure(failure));
        }
    }

    /// The channel is there: the supervisor hears.
    pub(super) fn supervised(&mut self, channel: &ChannelId) {
        let Some(asked) = self.supervisions.remove(channel) else { return };
        let AskedSupervision { command, supervisor, agent, interaction, mode } = asked;
        let supervision = Supervision::new(&agent.name, mode);
        let goes_on = self.supervision_on(&supervisor, &agent.name);
        let free = self.phones.get(&supervisor).is_some_and(can_hear);
        if !self.is_going_on(&interaction) || goes_on.is_none() && !free {
            self.hang_up_channel(channel, "normal");
            return self.refuse(command, Code::InvalidState, "the call has ended, or the supervisor has another one");
        }
        let room = goes_on.unwrap_or_else(|| self.new_room_of_call(&agent.number, &interaction));
        let before = self.rooms.get(&room).map(|room| room.parties.clone()).unwrap_or_default();
        let mut party = Party::new(&agent, MemberRole::Agent, PartyState::Up, room);
        party.supervises = Some(interaction);
        self.add_party(room, channel.clone(), party);
        for other in before {
            self.supervising.remove(&other);
            self.hang_up_party(&other);
        }
        if goes_on.is_none() {
            self.open_interaction(&supervisor, room, Direction::Internal, ConversationState::Talking, None);
        }
        if let Some(live) = self.phones.get_mut(&supervisor).and_then(Phone::live_mut) {
            live.supervises = Some(supervision);
        }
        self.touch_phone(&supervisor);
        self.reply(command, Outcome::success());
    }

    /// The room in which a phone hears a colleague.
    fn supervision_on(&self, phone: &str, colleague: &str) -> Option<RoomId> {
        let live = self.phones.get(phone)?.live()?;
        live.supervises.as_ref().filter(|supervision| supervision.agent == colleague)?;
        live.conversations.first().map(|conversation| conversation.room)
    }

    fn is_going_on(&self, interaction: &str) -> bool {
        self.phones.values().filter_map(Phone::live).any(|live| live.key == interaction)
    }

    /// Supervisions whose call is over end with it.
    pub(super) fn end_supervisions(&mut self) {
        // While Asterisk is asked how things are, nobody knows yet who talks.
        if !self.up || self.resync.is_some() {
            return;
        }
        let over = |channel: &&ChannelId| {
            let party = self.parties.get(*channel).and_then(|party| party.supervises.as_ref());
            party.is_none_or(|interaction| !self.is_going_on(interaction))
        };
        for channel in self.supervising.iter().filter(over).cloned().collect::<Vec<_>>() {
            self.supervising.remove(&channel);
            if let Some(room) = self.parties.get(&channel).map(|party| party.room) {
                self.hang_up_party(&channel);
                self.settle(room, Left::hung_up());
            }
        }
    }
}

/// Whether a phone is connected and has no call.
fn can_hear(phone: &Phone) -> bool {
    phone.is_free() && phone.leg.up().is_some()
}

/// Whether the agent of an interaction has somebody to talk to.
fn is_talked(interaction: &Interaction) -> bool {
    let connected = [ConversationState::Talking, ConversationState::Held];
    interaction.conversations.iter().any(|conversation| connected.contains(&conversation.state))
}
