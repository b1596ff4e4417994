//! What those who wait in a queue are told: their position, and how long they will wait about.
//!
//! Owns: when that is due, which of Asterisk's sounds say it, and the estimate. Both are `app_queue`'s, so that callers hear
//! what they are used to; but nothing is said of a time that nobody can know.

use std::collections::BTreeMap;

use super::{
    Switch, What, callback_store::can_be_called_back, model::PartyState, queue_history::seconds_since, rooms::segment,
};
use crate::{ari::Request, settings::AnnounceHoldtime};

impl Switch {
    /// Tells all who are to be told now.
    pub(super) fn announce(&mut self) {
        let now = self.now;
        let tickets = self.rooms.values().filter_map(|room| room.ticket.as_ref());
        if !tickets.filter_map(|ticket| ticket.announce_at).any(|at| at <= now) {
            return;
        }
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for id in self.waiting_in_order() {
            let Some(room) = self.rooms.get_mut(&id) else { continue };
            let (channel, rings) = (room.parties.first().cloned(), !room.seats.is_empty());
            let Some(ticket) = room.ticket.as_mut() else { continue };
            let place = places.entry(ticket.queue.clone()).or_default();
            *place += 1;
            if ticket.announce_at.is_none_or(|at| at > now) {
                continue;
            }
            let Some(settings) = self.settings.queues.get(&ticket.queue) else { continue };
            ticket.announce_at = settings.announce.map(|every| now + every);
            let hears = |it: &String| self.parties.get(it).is_some_and(|party| party.state == PartyState::Up);
            let is_told = |it: &String| hears(it) && !self.announcing.contains_key(&segment(it));
            let Some(channel) = channel.filter(is_told).filter(|_| !rings) else { continue };
            let tells_time = match settings.announce_holdtime {
                AnnounceHoldtime::No => false,
                AnnounceHoldtime::Yes => true,
                AnnounceHoldtime::Once => !ticket.told_holdtime,
            };
            let holdtime = self.figures.get(&ticket.queue).and_then(|figures| figures.holdtime);
            let waited = ticket.entry.as_ref().map(|entry| seconds_since(entry.entered));
            let minutes = holdtime.zip(waited).and_then(|(holdtime, waited)| minutes_left(holdtime, waited));
            let minutes = minutes.filter(|_| tells_time);
            ticket.told_holdtime |= minutes.is_some();
            let number = self.parties.get(&channel).map_or("", |party| party.number.as_str());
            let prompt = settings.callback.as_ref().filter(|_| can_be_called_back(number));
            let prompt = prompt.and_then(|callback| callback.prompt.clone());
            let media = [Some(sounds(*place, minutes)), prompt].into_iter().flatten().collect::<Vec<_>>().join(",");
            let playback = self.new_channel_id();
            let request = Request::post(format!("channels/{}/play", segment(&channel)));
            self.send(request.with("media", media).with("playbackId", playback.clone()), What::Lenient);
            self.announcing.insert(segment(&channel), playback);
        }
    }

    /// Ends what is played to a channel that is asked to do something: Asterisk does that only when it has played all of it,
    /// and until then it answers no other request either.
    pub(super) fn end_announcement(&mut self, request: &Request) {
        if self.announcing.is_empty() {
            return;
        }
        if let Some(playback) = asked_channel(request).and_then(|channel| self.announcing.remove(&channel)) {
            self.send(Request::delete(format!("playbacks/{}", segment(&playback))), What::Lenient);
        }
    }
}

/// The channel that is asked to do something, as one part of a path.
fn asked_channel(request: &Request) -> Option<String> {
    let named = request.query.iter().find(|(name, _)| *name == "channel").map(|(_, channel)| segment(channel));
    named.or_else(|| Some(request.uri.strip_prefix("channels/")?.split('/').next()?.to_owned()))
}

/// How many whole minutes it takes until somebody is served who has waited so many seconds, where that usually takes
/// `holdtime` seconds. `None`: less than half of one, or longer than it usually takes.
fn minutes_left(holdtime: u64, waited: u64) -> Option<u64> {
    let left = holdtime.checked_sub(waited)?;
    Some((left + 30) / 60).filter(|minutes| *minutes > 0)
}

/// What says it.
fn sounds(place: usize, minutes: Option<u64>) -> String {
    let position = match place {
        1 => "sound:queue-youarenext".to_owned(),
        _ => format!("sound:queue-thereare,number:{place},sound:queue-callswaiting"),
    };
    match minutes {
        None => position,
        Some(1) => format!("{position},sound:queue-holdtime,number:1,sound:queue-minute"),
        Some(minutes) => format!("{position},sound:queue-holdtime,number:{minutes},sound:queue-minutes"),
    }
}

#[cfg(test)]
mod tests {
    use super::{minutes_left, sounds};

    #[test]
    fn a_time_is_told_in_whole_minutes_and_not_where_it_is_past_or_nearly_over() {
        let left = |holdtime, waited| minutes_left(holdtime, waited);
        assert_eq!((left(29, 0), left(30, 0), left(89, 0), left(90, 0)), (None, Some(1), Some(1), Some(2)));
        assert_eq!((left(300, 120), left(300, 280), left(300, 300), left(300, 400)), (Some(3), None, None, None));
    }

    #[test]
    fn who_is_next_and_who_is_not_are_told_by_asterisks_sounds() {
        assert_eq!(sounds(1, None), "sound:queue-youarenext");
        assert_eq!(sounds(1, Some(1)), "sound:queue-youarenext,sound:queue-holdtime,number:1,sound:queue-minute");
        assert_eq!(
            sounds(3, Some(7)),
            "sound:queue-thereare,number:3,sound:queue-callswaiting,sound:queue-holdtime,number:7,sound:queue-minutes"
        );
    }
}
