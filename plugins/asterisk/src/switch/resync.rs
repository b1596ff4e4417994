//! The link: lost, and back.
//!
//! Owns: what is done then. While the link is down the model stands still. Asterisk replays nothing, so when the link is
//! back the adapter asks for all channels and bridges, takes what is missing for ended and what has answered for
//! answered, takes over what an earlier life left by what Asterisk keeps on it (see [`memory`](super::memory)), and lets
//! [`converge`](super::converge) repair the rest. Only then is the link up and are sessions asked for snapshots. Must
//! never: hang up a channel that somebody hears.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use jackfield_plugin_api::{Outcome, report::MemberRole};

use super::{
    CommandId, Effect, RoomId, Switch, What,
    converge::bridge_uri,
    memory::{Memory, VARIABLE},
    model::{ChannelId, Leg, LegWaiter, Owner, Party, PartyState, Work},
    rooms::{Left, segment},
};
use crate::ari::{self, Bridge, Channel, Request, Response};

/// How long what nobody knows and nobody hears is left alone: it may be on its way to somebody.
pub(super) const STRAYS_STAY: Duration = Duration::from_secs(10);

/// What a channel of ours can be in, in the dialplan's words: nothing, the application, or being called. In anything else
/// it is the dialplan's, which has it from us.
const APPLICATIONS: [&str; 3] = ["", "Stasis", "AppDial2"];

/// How long a look at everything does for whoever else wants one.
pub(super) const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long Asterisk may take until what was hung up is gone.
const GONE_AFTER: Duration = Duration::from_secs(10);

/// A channel that is ours no more.
#[derive(Debug)]
pub(super) struct Gone {
    channel: ChannelId,
    at: Instant,
    /// By us; else it ended, or goes on in the dialplan.
    hung_up: bool,
}

/// What Asterisk was asked, and what it listed so far.
#[derive(Debug)]
pub(super) struct Listing {
    /// The link was down before.
    news: bool,
    /// What was there when it was asked; the lists say nothing of what is newer.
    ours: BTreeSet<ChannelId>,
    rooms: BTreeSet<RoomId>,
    channels: Option<Vec<Channel>>,
    bridges: Vec<Bridge>,
    /// What Asterisk keeps on channels of ours that are not known, as far as it was read.
    records: HashMap<ChannelId, Option<Memory>>,
    unread: usize,
    /// It must be asked once more: something is known since that the lists may not have.
    again: bool,
}

impl Switch {
    pub(super) fn connected(&mut self, leaves_transfers: bool) {
        self.up = true;
        self.leaves_transfers = leaves_transfers;
        self.list(true);
    }

    /// Asks Asterisk how things are.
    fn list(&mut self, news: bool) {
        self.looked_at = Some(self.now);
        self.look_at = None;
        self.resync = Some(Listing {
            news,
            ours: self.owners.keys().cloned().collect(),
            rooms: self.rooms.keys().copied().collect(),
            channels: None,
            bridges: Vec::new(),
            records: HashMap::new(),
            unread: 0,
            again: false,
        });
        if news {
            self.list_device_states();
        }
        self.send(Request::get("channels"), What::Channels);
        self.send(Request::get("bridges"), What::Bridges);
    }

    /// Something is not as the model has it: Asterisk is asked how things are, once a second at the most, for all is asked.
    pub(super) fn look_soon(&mut self) {
        let not_before = self.looked_at.map_or(self.now, |at| (at + LOOK_AGAIN_AFTER).max(self.now));
        self.look_at.get_or_insert(not_before);
    }

    pub(super) fn look(&mut self) {
        if self.look_at.is_some_and(|at| at <= self.now) {
            self.list_again();
        }
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
        let silent = self.silent.take().map(|(since, _)| since);
        // One that is lost again before all is known has not been back.
        if std::mem::take(&mut self.up) && self.resync.as_ref().is_none_or(|listing| !listing.news) {
            self.down_since = silent.unwrap_or(self.now);
        }
        self.resync = None;
        self.announcing.clear();
        self.callbacks.end_confirmations(self.now);
        self.drop_requests();
        self.give_up_parking();
        for room in self.rooms.values_mut() {
            room.starts_recording = false;
        }
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

    /// A channel is ours no more.
    pub(super) fn disown(&mut self, channel: &str, hung_up: bool) {
        self.owners.remove(channel);
        self.note_while_listing(channel, None);
        if self.up && self.resync.is_none() {
            let is_over = |gone: &Gone| gone.at + GONE_AFTER <= self.now;
            while self.gone.front().is_some_and(is_over) {
                self.gone.pop_front();
            }
        }
        self.gone.push_back(Gone { channel: channel.to_owned(), at: self.now, hung_up });
    }

    pub(super) fn channels_listed(&mut self, response: &Response) {
        let Some(listing) = &self.resync else { return };
        let (news, asked) = (listing.news, self.looked_at.unwrap_or(self.now));
        let gone: HashMap<&str, &Gone> = self.gone.iter().map(|gone| (gone.channel.as_str(), gone)).collect();
        let mut hang_up_again = Vec::new();
        let mut channels = ari::channels(&response.body);
        channels.retain(|channel| {
            let gone = gone.get(channel.id.as_str()).filter(|_| !self.owners.contains_key(&channel.id));
            let Some(gone) = gone else { return true };
            // What was asked before the link was lost may never have reached Asterisk.
            if news && gone.at < asked {
                if gone.hung_up {
                    hang_up_again.push(channel.id.clone());
                }
                return !gone.hung_up;
            }
            !news && gone.at + GONE_AFTER <= self.now
        });
        for channel in hang_up_again {
            self.hang_up_channel(&channel, "normal");
        }
        if let Some(listing) = &mut self.resync {
            listing.channels = Some(channels);
        }
    }

    /// Asks what Asterisk keeps on the channels that are ours and that are not known.
    pub(super) fn bridges_listed(&mut self, response: &Response) {
        let Some(mut listing) = self.resync.take() else { return };
        let Some(channels) = &listing.channels else { return };
        listing.bridges = ari::bridges(&response.body);
        let unknown = channels.iter().filter(|it| !self.owners.contains_key(&it.id) && self.is_ours(it));
        let unknown: Vec<ChannelId> = unknown.map(|channel| channel.id.clone()).collect();
        listing.unread = unknown.len();
        for channel in unknown {
            let uri = format!("channels/{}/variable", segment(&channel));
            self.send(Request::get(uri).with("variable", VARIABLE), What::Kept(channel));
        }
        self.resync = Some(listing);
        self.listed();
    }

    /// What Asterisk keeps on a channel.
    pub(super) fn record_read(&mut self, channel: ChannelId, response: &Response) {
        let Some(listing) = &mut self.resync else { return };
        let text = response.body.get("value").and_then(serde_json::Value::as_str).unwrap_or_default();
        listing.records.insert(channel, Memory::read(text));
        listing.unread = listing.unread.saturating_sub(1);
        self.listed();
    }

    /// A channel is ours no more, or is Up, before all that was asked for was answered.
    pub(super) fn note_while_listing(&mut self, channel: &str, there: Option<&Channel>) {
        let Some(channels) = self.resync.as_mut().and_then(|listing| listing.channels.as_mut()) else { return };
        match there {
            None => channels.retain(|it| it.id != channel),
            Some(news) => {
                channels.iter_mut().filter(|it| it.id == channel).for_each(|it| it.state.clone_from(&news.state))
            }
        }
    }

    /// Everything is known: takes it over, repairs it and says so.
    fn listed(&mut self) {
        let Some(mut listing) = self.resync.take_if(|listing| listing.unread == 0) else { return };
        let Some(channels) = listing.channels.take() else { return };
        if listing.news {
            self.time_stood_still(self.down_since);
            for key in self.phones.keys().cloned().collect::<Vec<_>>() {
                self.watch_phone(&key);
            }
        }
        self.end_missing(&channels, &listing.ours);
        let mut taken_over = self.take_over(&channels, &mut listing);
        self.note_bridges(&listing.bridges, &listing.rooms);
        self.take_answers(&channels);
        self.recall_agents();
        taken_over.retain(|room| self.rooms.contains_key(room));
        for room in taken_over {
            self.settle(room, Left::lost());
        }
        self.leave_lost_queues();
        self.clear_strays(&channels, &listing.bridges);
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
        if self.leaving {
            self.close();
        } else if listing.again {
            self.list(false);
        }
    }

    /// While the link was down, or silent, nobody could answer an offer or take a caller: that time does not count.
    pub(super) fn time_stood_still(&mut self, since: Instant) {
        let pause = self.now.duration_since(since);
        let later = |at: &mut Instant| *at += pause;
        for phone in self.phones.values_mut() {
            let wrap_up = phone.wrap_up.as_mut().and_then(|wrap_up| wrap_up.until.as_mut());
            wrap_up.into_iter().chain(phone.unreachable.as_mut()).for_each(later);
        }
        for room in self.rooms.values_mut() {
            room.seats.iter_mut().filter_map(|seat| seat.until.as_mut()).for_each(later);
            if let Some(ticket) = &mut room.ticket {
                let announced = ticket.announce_at.as_mut();
                ticket.overflow_at.iter_mut().chain(announced).chain(ticket.refused.values_mut()).for_each(later);
            }
        }
        self.desks
            .values_mut()
            .filter_map(|desk| desk.keep_until.as_mut())
            .chain(&mut self.strays_stay_until)
            .for_each(later);
    }

    /// Whether a channel is one that we made and have not handed to the dialplan, or one that the dialplan gave us.
    fn is_ours(&self, channel: &Channel) -> bool {
        // The far half of a pair of Local channels ends with its near half.
        let made = channel.id.starts_with(&self.own_prefix()) && !channel.id.ends_with(";2");
        let made = made && APPLICATIONS.contains(&&*channel.dialplan.app_name);
        let dialplan = &channel.dialplan;
        let given = dialplan.app_name == "Stasis"
            && dialplan.app_data.split(',').next() == Some(self.settings.address.application.as_str());
        made || given
    }

    /// Takes over the channels that an earlier life left, the oldest first, so that who waits keeps the place.
    fn take_over(&mut self, channels: &[Channel], listing: &mut Listing) -> BTreeSet<RoomId> {
        let mut rooms = BTreeSet::new();
        let unknown = channels.iter().filter(|it| !self.owners.contains_key(&it.id) && self.is_ours(it));
        let mut unknown: Vec<&Channel> = unknown.collect();
        unknown.sort_by(|a, b| a.created.cmp(&b.created));
        for channel in unknown {
            if let Some(memory) = listing.records.remove(&channel.id).flatten() {
                rooms.extend(self.recall_channel(channel, memory));
            }
            if self.owners.contains_key(&channel.id) {
                continue;
            }
            let bridge = listing.bridges.iter().find(|it| it.channels.len() > 1 && it.channels.contains(&channel.id));
            if let Some(bridge) = bridge.filter(|bridge| bridge.id.starts_with(&self.own_prefix())) {
                rooms.insert(self.take_over_party(channel, &bridge.id));
            } else if !channel.id.starts_with(&self.own_prefix()) {
                let args: Vec<String> = channel.dialplan.app_data.split(',').skip(1).map(str::to_owned).collect();
                self.stranger_enters(channel, &args);
            }
        }
        listing.rooms.extend(rooms.iter().copied());
        rooms
    }

    /// Nothing is known of a channel but that somebody talks to it.
    fn take_over_party(&mut self, channel: &Channel, bridge: &str) -> RoomId {
        let there = self.rooms.iter().find(|(_, room)| room.bridge == bridge).map(|(id, _)| *id);
        let room = there.unwrap_or_else(|| {
            let id = self.new_room(None);
            if let Some(room) = self.rooms.get_mut(&id) {
                bridge.clone_into(&mut room.bridge);
            }
            id
        });
        let state = if channel.is_up() { PartyState::Up } else { PartyState::Dialing };
        let party = Party::new(&channel.caller, MemberRole::External, state, room);
        self.add_party(room, channel.id.clone(), party);
        room
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
        for channel in parties {
            self.party_over(&channel, None, true);
        }
        for channel in legs {
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

    /// Who is in which bridge; nothing is known of music, ringing, mute and transfers, so all of them are said again.
    fn note_bridges(&mut self, bridges: &[Bridge], rooms: &BTreeSet<RoomId>) {
        let by_id: HashMap<&str, &Bridge> = bridges.iter().map(|bridge| (bridge.id.as_str(), bridge)).collect();
        for id in rooms {
            let music = self.wanted(*id).bridge_music;
            let Some(room) = self.rooms.get_mut(id) else { continue };
            let bridge = by_id.get(room.bridge.as_str());
            room.told_bridge = bridge.is_some();
            room.told_music = room.told_bridge && !music;
            room.placed = bridge.map(|bridge| bridge.channels.iter().cloned().collect()).unwrap_or_default();
        }
        for key in self.phones.keys().cloned().collect::<Vec<_>>() {
            let (ringing, music) = (self.wants_ringing(&key), self.wants_music(&key));
            let Some(phone) = self.phones.get_mut(&key) else { continue };
            phone.told_ringing = !ringing;
            phone.told_music = !music;
            phone.told_muted = !phone.muted;
            phone.told_transfers = None;
        }
        for room in self.rooms.keys().copied().collect::<Vec<_>>() {
            let wanted = self.wanted(room);
            for channel in self.rooms.get(&room).map(|room| room.parties.clone()).unwrap_or_default() {
                // Who is just told something hears no music, and would be told no more if it were begun.
                if self.announcing.contains_key(&segment(&channel)) {
                    continue;
                }
                if let Some(party) = self.parties.get_mut(&channel).filter(|party| party.state == PartyState::Up) {
                    party.told_music = !wanted.music.contains(&channel);
                }
            }
        }
    }

    /// What was left and is nobody's: bridges in which nobody is, phones that ring for nobody, and, after a while, channels of
    /// ours that hear nobody.
    fn clear_strays(&mut self, channels: &[Channel], bridges: &[Bridge]) {
        let late = self.strays_stay_until.is_none_or(|until| until <= self.now);
        if late && self.strays_stay_until.take().is_some() {
            self.look_for_members();
        }
        let prefix = self.own_prefix();
        let strays = channels.iter().filter(|it| it.id.starts_with(&prefix) && self.is_ours(it));
        let strays: Vec<_> = strays.filter(|it| (late || !it.is_up()) && !self.owners.contains_key(&it.id)).collect();
        for channel in strays {
            self.send(Request::delete(format!("channels/{}", segment(&channel.id))), What::Lenient);
        }
        let ours: BTreeSet<&str> = self.rooms.values().map(|room| room.bridge.as_str()).collect();
        let empty = bridges.iter().filter(|it| it.id.starts_with(&prefix) && (late || it.channels.is_empty()));
        let empty = empty.filter(|it| !ours.contains(it.id.as_str()) && !self.dead_bridges.contains_key(&it.id));
        for uri in empty.map(|bridge| bridge_uri(&bridge.id)).collect::<Vec<_>>() {
            self.send(Request::delete(uri), What::Lenient);
        }
    }

    /// A phone that lost its leg is called at once.
    pub(super) fn restore_leg(&mut self, key: &str) {
        let Some(phone) = self.phones.get_mut(key) else { return };
        if phone.work == Work::Lost && phone.leg == Leg::None {
            phone.recalls = 0;
            phone.recall_at = Some(self.now);
        }
        self.touch_phone(key);
    }
}
