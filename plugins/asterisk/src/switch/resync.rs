//! The link: lost, and back.
//!
//! Owns: what is done then. While the link is down the model stands still. Asterisk replays nothing, so when the link is
//! back the adapter asks for all channels and bridges, takes what is missing for ended, what has answered for answered,
//! what it does not know for new, and lets [`converge`](super::converge) repair the rest. Only then is the link up and
//! are sessions asked for snapshots.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use jackfield_plugin_api::Outcome;

use super::{
    CommandId, Effect, RoomId, Switch, What,
    converge::bridge_uri,
    model::{ChannelId, Leg, LegWaiter, Owner, PartyState, Work},
    rooms::segment,
};
use crate::ari::{self, Bridge, Channel, Request, Response};

/// How long an earlier life's calls wait for their agents: the host logs them in again right after a crash.
pub(super) const STRAYS_STAY: Duration = Duration::from_secs(10);

/// What Asterisk was asked, and what it listed so far.
#[derive(Debug)]
pub(super) struct Listing {
    /// The link was down before.
    news: bool,
    /// What was there when it was asked; the lists say nothing of what is newer.
    ours: BTreeSet<ChannelId>,
    rooms: BTreeSet<RoomId>,
    channels: Option<Vec<Channel>>,
    /// It must be asked once more: something older than the lists is known since.
    again: bool,
}

impl Switch {
    pub(super) fn connected(&mut self) {
        self.up = true;
        self.list(true);
    }

    /// Asks Asterisk how things are.
    fn list(&mut self, news: bool) {
        self.resync = Some(Listing {
            news,
            ours: self.owners.keys().cloned().collect(),
            rooms: self.rooms.keys().copied().collect(),
            channels: None,
            again: false,
        });
        self.send(Request::get("channels"), What::Channels);
        self.send(Request::get("bridges"), What::Bridges);
    }

    /// The same, if there is a connection; once for all who want to know at the same time.
    pub(super) fn list_again(&mut self) {
        match &mut self.resync {
            Some(listing) => listing.again = true,
            None if self.up => self.list(false),
            None => {}
        }
    }

    /// Reports everything that an agent has, as soon as it is known.
    pub(super) fn snapshot(&mut self, id: CommandId, agent: String) {
        if !self.up {
            self.handle_late(id);
        } else if self.resync.is_some() {
            self.snapshots.push((id, agent));
        } else {
            self.report_snapshot(&agent);
            self.reply(id, Outcome::success());
        }
    }

    pub(super) fn look_for_strays(&mut self) {
        let due = self.strays_stay_until.is_some_and(|until| until <= self.now);
        if due && self.up && self.resync.is_none() {
            self.list(false);
        }
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
        let snapshots = std::mem::take(&mut self.snapshots).into_iter().map(|(id, _)| id);
        let waiting: Vec<_> = waiting.into_iter().chain(parties).chain(seats).chain(snapshots).collect();
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
        let Some(listing) = self.resync.take() else { return };
        let Some(channels) = listing.channels else { return };
        if listing.again {
            return self.list(listing.news);
        }
        let bridges = ari::bridges(&response.body);
        self.end_missing(&channels, &listing.ours);
        self.take_answers(&channels);
        self.note_bridges(&bridges, &listing.rooms);
        if self.strays_stay_until.is_none_or(|until| until <= self.now) {
            self.strays_stay_until = None;
            self.clear_strays(&channels, &bridges);
        }
        for key in self.phones.keys().cloned().collect::<Vec<_>>() {
            self.restore_leg(&key);
        }
        for room in self.rooms.keys().copied().collect::<Vec<_>>() {
            self.touch_room(room);
        }
        self.queues_touched = true;
        if listing.news {
            self.effects.push(Effect::Ready);
        }
        for (id, agent) in std::mem::take(&mut self.snapshots) {
            self.report_snapshot(&agent);
            self.reply(id, Outcome::success());
        }
    }

    /// What ended while nobody listened.
    fn end_missing(&mut self, channels: &[Channel], ours: &BTreeSet<ChannelId>) {
        let there: BTreeSet<&str> = channels.iter().map(|channel| channel.id.as_str()).collect();
        let missing: Vec<ChannelId> = ours
            .iter()
            .filter(|channel| self.owners.contains_key(*channel) && !there.contains(channel.as_str()))
            .cloned()
            .collect();
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
    fn note_bridges(&mut self, bridges: &[Bridge], rooms: &BTreeSet<RoomId>) {
        let by_id: HashMap<&str, &Bridge> = bridges.iter().map(|bridge| (bridge.id.as_str(), bridge)).collect();
        for id in rooms {
            let music = self.wanted(*id).music;
            let Some(room) = self.rooms.get_mut(id) else { continue };
            let bridge = by_id.get(room.bridge.as_str());
            room.told_bridge = bridge.is_some();
            room.told_music = room.told_bridge && !music;
            room.placed = bridge.map(|bridge| bridge.channels.iter().cloned().collect()).unwrap_or_default();
        }
        for key in self.phones.keys().cloned().collect::<Vec<_>>() {
            let ringing = self.wants_ringing(&key);
            let Some(phone) = self.phones.get_mut(&key) else { continue };
            phone.told_ringing = !ringing;
            phone.told_muted = !phone.muted;
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
