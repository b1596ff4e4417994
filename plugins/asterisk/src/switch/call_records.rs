//! What makes Asterisk's own records of calls (CDR and CEL) tell customers apart, although many of them talk to the same
//! leg of an agent.
//!
//! Owns: the name of the customer's call on all channels of it, where the settings say under which name, and whose record
//! tells of a call. Must never: matter to a call; what Asterisk refuses of this is left.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    Switch, What,
    confirm::set_variable,
    converge::bridge_uri,
    model::{ChannelId, Owner, PartyState, Phone, RoomId},
};
use crate::{ari::Request, settings::LegMode};

impl Switch {
    /// A room for a part of an agent's call: a consultation of it, or one who hears it.
    pub(super) fn new_room_of_call(&mut self, phone: &str, interaction: &str) -> RoomId {
        let interactions = self.phones.get(phone).map(|phone| phone.interactions.as_slice()).unwrap_or_default();
        let conversations = interactions.iter().find(|it| it.key == interaction).map(|it| it.conversations.as_slice());
        let rooms = conversations.into_iter().flatten().filter_map(|it| self.rooms.get(&it.room));
        let call = rooms.filter_map(|room| room.call.clone()).next();
        let id = self.new_room(None);
        if let Some(room) = self.rooms.get_mut(&id) {
            room.call = call;
        }
        id
    }

    /// The call that is on a phone, also while it is only offered; empty: none.
    pub(super) fn call_on(&self, key: &str) -> String {
        let live = self.phones.get(key).and_then(Phone::live);
        let rooms = live.into_iter().flat_map(|live| &live.conversations).filter_map(|it| self.rooms.get(&it.room));
        rooms.filter_map(|room| room.call.clone()).next().unwrap_or_default()
    }

    /// Tells the parties of a room whose call it is, before they are in its bridge.
    pub(super) fn name_call_to_parties(&mut self, room: RoomId) {
        let Some((call, parties)) = self.rooms.get(&room).map(|it| (it.call.clone(), it.parties.clone())) else {
            return;
        };
        for channel in parties {
            if let Some(party) = self.parties.get_mut(&channel)
                && party.state != PartyState::Away
                && party.told_call != call
            {
                party.told_call.clone_from(&call);
                self.name_call(&channel, call.clone().unwrap_or_default());
            }
        }
    }

    /// The same for an agent's leg: as soon as the call is offered, so that it is known before the agent is in it.
    pub(super) fn name_call_to_leg(&mut self, key: &str) {
        let call = self.call_on(key);
        if !call.is_empty() {
            self.name_call_on_leg(key, call);
        }
    }

    /// Before the name of its call is taken from a leg, it is out of the call's bridge: of that Asterisk tells with the name.
    /// When a bridge is deleted, it takes them out some time later.
    pub(super) fn take_legs_out(&mut self, bridge: &str, inside: &BTreeSet<ChannelId>) {
        if self.settings.call_id.is_none() {
            return;
        }
        let is_elsewhere = |channel: &&ChannelId| self.rooms.values().any(|room| room.placed.contains(*channel));
        let is_leg = |channel: &&ChannelId| matches!(self.owners.get(*channel), Some(Owner::Leg(_)));
        for leg in inside.iter().filter(is_leg).filter(|leg| !is_elsewhere(leg)).cloned().collect::<Vec<_>>() {
            let request = Request::post(format!("{}/removeChannel", bridge_uri(bridge)));
            self.send(request.with("channel", leg), What::Lenient);
        }
    }

    /// A leg that has left a call is in none.
    pub(super) fn take_call_from_leg(&mut self, key: &str) {
        if self.call_on(key).is_empty() {
            self.name_call_on_leg(key, String::new());
        }
    }

    fn name_call_on_leg(&mut self, key: &str, call: String) {
        let Some(phone) = self.phones.get_mut(key) else { return };
        let Some(leg) = phone.leg.up().cloned().filter(|_| phone.told_call.as_ref() != Some(&call)) else { return };
        phone.told_call = Some(call.clone());
        self.name_call(&leg, call);
    }

    fn name_call(&mut self, channel: &ChannelId, call: String) {
        if let Some(name) = self.settings.call_id.clone() {
            self.send(set_variable(channel, &name, &json!(call).into()), What::Lenient);
        }
    }

    /// A customer has come: his record is to say whom he talked to. A leg that stays is older than its customers, so the
    /// records would be the leg's and be written when it ends.
    pub(super) fn mark_record(&mut self, channel: &str) {
        if self.marks_records && self.settings.leg == LegMode::Stay {
            self.send(set_variable(channel, "CDR_PROP(party_a)", &json!("1").into()), What::Lenient);
        }
    }
}
