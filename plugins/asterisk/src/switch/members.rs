//! One member of a conference: taken out, not heard by the others, or waiting while they go on.
//!
//! Owns: finding the member that a command means. Must never: leave the others alone in a bridge; how somebody leaves is
//! [`rooms`](super::rooms)' to say.

use jackfield_plugin_api::{Code, Failure, Outcome, command::MemberAction, report::ConversationState};

use super::{
    CommandId, Switch,
    confirm::Act,
    model::{ChannelId, Party, RoomId, Seat},
    report::colleague_key,
    rooms::Left,
};

/// Who a member is.
enum Member {
    Party(ChannelId),
    Colleague(Seat),
}

impl Switch {
    /// The protocol's commands, which name a member by its key.
    pub(super) fn member(&mut self, id: CommandId, seat: &Seat, key: &str, action: MemberAction) {
        let is_party = |channel: &str, party: &Party| party.member_key(channel) == key;
        // Who is still held when the others have gone can be taken back.
        let least = if action == MemberAction::Retrieve { 2 } else { 3 };
        match (action, self.find_member(seat, least, is_party, |other| colleague_key(&other.phone) == key)) {
            (_, Err(failure)) => self.reply(id, failure),
            (MemberAction::Remove, Ok((room, member))) => self.remove(id, room, member),
            (MemberAction::Mute, Ok((_, Member::Party(channel)))) => {
                self.ask(id, Act::MuteParty { channel, muted: true });
            }
            (MemberAction::Unmute, Ok((_, Member::Party(channel)))) => {
                self.ask(id, Act::MuteParty { channel, muted: false });
            }
            (MemberAction::Hold, Ok((room, Member::Party(channel)))) => self.ask(id, Act::HoldParty { channel, room }),
            (MemberAction::Retrieve, Ok((_, Member::Party(channel)))) => self.ask(id, Act::RetrieveParty(channel)),
            (
                MemberAction::Mute | MemberAction::Unmute | MemberAction::Hold | MemberAction::Retrieve,
                Ok((_, Member::Colleague(_))),
            ) => self.refuse(id, Code::Rejected, "a colleague's phone is the colleague's own"),
            _ => self.reply(id, Outcome::unsupported()),
        }
    }

    /// The adapter's own command, which names it by its address.
    pub(super) fn remove_member(&mut self, id: CommandId, seat: &Seat, address: &str) {
        match self.find_member(seat, 3, |_, party| party.number == address, |other| other.phone == address) {
            Ok((room, member)) => self.remove(id, room, member),
            Err(failure) => self.reply(id, failure),
        }
    }

    /// `least`: how many must be in the call for it.
    fn find_member(
        &self,
        seat: &Seat,
        least: usize,
        is_party: impl Fn(&str, &Party) -> bool,
        is_colleague: impl Fn(&Seat) -> bool,
    ) -> Result<(RoomId, Member), Failure> {
        let room_id = self.conversation(seat).map(|it| it.room);
        let Some((room_id, room)) = room_id.and_then(|id| Some((id, self.rooms.get(&id)?))) else {
            return Err(Failure::new(Code::InvalidState, "the call has ended"));
        };
        if room.parties.len() + room.seats.len() < least {
            return Err(Failure::new(Code::InvalidState, "this is no conference; release the call instead"));
        }
        let mut parties = room.parties.iter();
        let party = parties.find(|channel| self.parties.get(*channel).is_some_and(|party| is_party(channel, party)));
        let mut others = room.seats.iter().filter(|other| other.phone != seat.phone);
        match (party, others.find(|other| is_colleague(other))) {
            (Some(channel), _) => Ok((room_id, Member::Party(channel.clone()))),
            (None, Some(other)) => Ok((room_id, Member::Colleague(other.clone()))),
            (None, None) => Err(Failure::new(Code::NotFound, "there is no such member in the call")),
        }
    }

    /// No agent is left who could take back those who are held one by one: they are in the call again.
    pub(super) fn retrieve_members(&mut self, room: RoomId) {
        let Some(state) = self.rooms.get(&room).filter(|state| state.seats.is_empty()) else { return };
        for channel in state.parties.clone() {
            self.set_party_held(&channel, false);
        }
    }

    pub(super) fn set_party_held(&mut self, channel: &str, held: bool) -> Option<()> {
        let party = self.parties.get_mut(channel)?;
        party.held = held;
        let room = party.room;
        self.touch_room(room);
        Some(())
    }

    fn remove(&mut self, id: CommandId, room: RoomId, member: Member) {
        match member {
            Member::Party(channel) => {
                self.hang_up_party(&channel);
                self.settle(room, Left::hung_up());
            }
            Member::Colleague(other) => {
                let state = self.conversation(&other).map_or(ConversationState::Ended, |it| it.state);
                self.release(&other, state);
            }
        }
        self.reply(id, Outcome::success());
    }
}
