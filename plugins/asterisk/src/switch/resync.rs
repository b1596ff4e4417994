//! The link: lost, and back.
//!
//! Owns: what is done then. While the link is down the model stands still. Asterisk replays nothing, so when the link is
//! back the adapter asks for all channels and bridges, takes what is missing for ended, what has answered for answered,
//! what it does not know for new, and lets [`converge`](super::converge) repair the rest. Only then is the link up and
//! are sessions asked for snapshots.

use std::collections::{BTreeSet, HashMap};

use super::{
    Effect, Switch, What,
    converge::bridge_uri,
    model::{Leg, LegWaiter, Owner, PartyState, Work},
    rooms::segment,
};
use crate::ari::{self, Bridge, Channel, Request, Response};

/// What Asterisk listed so far.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    channels: Option<Vec<Channel>>,
}

impl Switch {
    pub(super) fn connected(&mut self) {
        self.up = true;
        self.resync = Some(Listing::default());
        self.send(Request::get("channels"), What::Channels);
        self.send(Request::get("bridges"), What::Bridges);
    }

    pub(super) fn disconnected(&mut self) {
        self.up = false;
        self.resync = None;
        self.drop_requests();
        // What waits for a phone to be picked up waits in vain: its answer may never be told.
        let waiting: Vec<_> = self
            .phones
            .values_mut()
            .filter_map(|phone| match phone.waiting.take() {
                Some(LegWaiter::Activate(id) | LegWaiter::Dial { command: id, .. }) => Some(id),
                _ => None,
            })
            .collect();
        let parties = self.parties.values_mut().filter_map(|party| party.waiter.take());
        let seats = self.rooms.values_mut().flat_map(|room| &mut room.seats).filter_map(|seat| seat.waiter.take());
        let waiting: Vec<_> = waiting.into_iter().chain(parties).chain(seats).collect();
        for id in waiting {
            self.reply(id, super::link_lost());
        }
    }

    pub(super) fn channels_listed(&mut self, response: &Response) {
        if let Some(listing) = &mut self.resync {
            listing.channels = Some(ari::channels(&response.body));
        }
    }

    pub(super) fn bridges_listed(&mut self, response: &Response) {
        let Some(channels) = self.resync.take().and_then(|listing| listing.channels) else { return };
        let bridges = ari::bridges(&response.body);
        self.end_missing(&channels);
        self.take_answers(&channels);
        self.note_bridges(&bridges);
        self.clear_strays(&channels, &bridges);
        for key in self.phones.keys().cloned().collect::<Vec<_>>() {
            self.restore_leg(&key);
        }
        for room in self.rooms.keys().copied().collect::<Vec<_>>() {
            self.touch_room(room);
        }
        self.queues_touched = true;
        self.effects.push(Effect::Ready);
    }

    /// What ended while nobody listened.
    fn end_missing(&mut self, channels: &[Channel]) {
        let there: BTreeSet<&str> = channels.iter().map(|channel| channel.id.as_str()).collect();
        let missing: Vec<String> =
            self.owners.keys().filter(|channel| !there.contains(channel.as_str())).cloned().collect();
        // Customers first: a call whose both ends are gone ended; it was not the phone that was lost.
        let (parties, legs): (Vec<_>, Vec<_>) =
            missing.into_iter().partition(|channel| self.owners.get(channel) == Some(&Owner::Party));
        for channel in parties.into_iter().chain(legs) {
            self.channel_over(&channel, None);
        }
    }

    /// What was answered while nobody listened.
    fn take_answers(&mut self, channels: &[Channel]) {
        for channel in channels.iter().filter(|channel| channel.is_up()) {
            match self.owners.get(&channel.id).cloned() {
                Some(Owner::Leg(phone)) => {
                    let calling = self.phones.get(&phone).is_some_and(|it| matches!(it.leg, Leg::Calling(_)));
                    if calling {
                        self.leg_up(&phone, &channel.id);
                    }
                }
                Some(Owner::Party) => {
                    let dialing = self.parties.get(&channel.id).is_some_and(|it| it.state == PartyState::Dialing);
                    if dialing {
                        self.party_answers(&channel.id);
                    }
                }
                None => {}
            }
        }
    }

    /// Who is in which bridge; nothing is known of music, ringing and mute, so all three are said again.
    fn note_bridges(&mut self, bridges: &[Bridge]) {
        let by_id: HashMap<&str, &Bridge> = bridges.iter().map(|bridge| (bridge.id.as_str(), bridge)).collect();
        for room in self.rooms.values_mut() {
            let bridge = by_id.get(room.bridge.as_str());
            room.told_bridge = bridge.is_some();
            room.told_music = false;
            room.placed = bridge.map(|bridge| bridge.channels.iter().cloned().collect()).unwrap_or_default();
        }
        for phone in self.phones.values_mut() {
            // Says "not muted" again only where it may be wrong.
            phone.told_muted = !phone.muted && phone.told_muted;
            phone.told_ringing = false;
        }
    }

    /// What an earlier life of this adapter, or of Asterisk, left: our own legs and bridges go; customers who entered
    /// from the dialplan and belong to nobody are taken into their queue.
    fn clear_strays(&mut self, channels: &[Channel], bridges: &[Bridge]) {
        let prefix = self.own_prefix();
        let application = self.settings.address.application.clone();
        for channel in channels.iter().filter(|channel| !self.owners.contains_key(&channel.id)).collect::<Vec<_>>() {
            // The far half of a pair of Local channels ends with its near half.
            if channel.id.starts_with(&prefix) && !channel.id.ends_with(";2") {
                self.send(Request::delete(format!("channels/{}", segment(&channel.id))), What::Lenient);
            } else if channel.dialplan.app_name == "Stasis" {
                let mut args = channel.dialplan.app_data.split(',').map(str::to_owned);
                if args.next().as_deref() == Some(application.as_str()) {
                    self.stranger_enters(channel, &args.collect::<Vec<_>>());
                }
            }
        }
        let ours: BTreeSet<&str> = self.rooms.values().map(|room| room.bridge.as_str()).collect();
        let strays: Vec<String> = bridges
            .iter()
            .filter(|bridge| bridge.id.starts_with(&prefix) && !ours.contains(bridge.id.as_str()))
            .map(|bridge| bridge_uri(&bridge.id))
            .collect();
        for uri in strays {
            self.send(Request::delete(uri), What::Lenient);
        }
    }

    /// A phone that lost its leg is called at once.
    fn restore_leg(&mut self, key: &str) {
        let Some(phone) = self.phones.get_mut(key) else { return };
        if phone.work == Work::Lost && phone.leg == Leg::None {
            phone.recalls = 0;
            phone.recall_at = Some(self.now);
        }
        self.touch_phone(key);
    }
}
