//! What CXone has told of an agent so far: the newest word on each thing.
//!
//! Late, repeated and replayed events are folded here: a contact's own time of change decides which word is newer, and
//! contacts that are done are remembered for a while so that a late word does not bring them back. Nothing here knows
//! the protocol; what the desktop is told is made in [`cases`](super::cases).

use std::collections::VecDeque;

use super::event::{AgentLeg, AgentState, ContactEvent, Event, LegStatus, Media, SessionStart, Stage};

/// How many contacts that are done are remembered.
const REMEMBERED: usize = 256;

/// A contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contact {
    /// The newest word.
    pub(crate) now: ContactEvent,
    /// Somebody was spoken to.
    pub(crate) spoken: bool,
    /// The interaction that it belongs to, by that one's key; set when it is first settled.
    pub(crate) case: Option<String>,
    /// A screen-pop address that came by itself.
    pub(crate) pop: Option<String>,
    /// Nobody saw how it ended, or CXone has cut it together with the agent session.
    pub(crate) lost: bool,
    /// It was called from here, as far as one of its events or a command of ours has told.
    pub(super) called: bool,
    /// The running replay has named it.
    seen: bool,
}

impl Contact {
    /// It goes on.
    pub(crate) fn live(&self) -> bool {
        self.now.stage != Stage::Over
    }

    fn new(event: ContactEvent) -> Self {
        let spoken = event.stage.spoken() || event.stage == Stage::Over;
        let called = event.is_called();
        Self { now: event, spoken, case: None, pop: None, lost: false, called, seen: true }
    }

    fn end_unseen(&mut self) {
        self.now.stage = Stage::Over;
        self.now.done = true;
        self.lost = true;
    }

    /// A call that the agent makes, or that CXone makes for him: not one that is offered to him.
    pub(crate) fn made_here(&self) -> bool {
        self.now.media == Media::Call && self.now.stage != Stage::Offered && self.called
    }
}

/// A contact that is done.
#[derive(Debug)]
struct Done {
    id: String,
    /// When it changed last.
    changed: String,
    /// Nobody saw how it ended: it may be there after all.
    lost: bool,
}

/// All that was told.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// There is an agent session.
    pub(crate) session: Option<SessionStart>,
    /// The agent's state.
    pub(crate) state: AgentState,
    /// The agent's own phone.
    pub(crate) leg: LegStatus,
    leg_id: String,
    /// The agent's own phone is mute.
    pub(crate) muted: bool,
    /// Contacts, oldest first.
    pub(crate) contacts: Vec<Contact>,
    /// Contacts that are done.
    done: VecDeque<Done>,
    /// A word was older than what was known: something else may have been missed.
    pub(crate) out_of_order: bool,
    /// A replay was asked for: it is not known yet what is gone.
    pub(crate) replaying: bool,
    /// The session's start has been told since: what comes is a replay indeed.
    pub(crate) restarted: bool,
    /// The number of the agent's conference, as it was told last.
    pub(crate) conference: Option<String>,
    /// No replay has begun yet, though there may be a session: nothing is known but that.
    pub(super) unknown: bool,
}

/// What an event changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Touched {
    /// Nothing.
    Nothing,
    /// The agent's state or phone.
    State,
    /// Whether the agent's phone is mute.
    Mute,
    /// Everything: the session began, was replayed, or ended.
    Session,
    /// A contact.
    Contact(String),
}

impl Facts {
    /// What is known after a crash: there may be a session.
    pub(crate) fn unknown() -> Self {
        Self { unknown: true, ..Self::default() }
    }

    /// The host may be told.
    pub(crate) fn known(&self) -> bool {
        !self.replaying && !self.unknown
    }

    /// A contact.
    pub(crate) fn contact(&self, id: &str) -> Option<&Contact> {
        self.contacts.iter().find(|contact| contact.now.id == id)
    }

    /// How far a contact is; one that is not known is over.
    pub(crate) fn stage(&self, id: &str) -> Stage {
        self.contact(id).map_or(Stage::Over, |contact| contact.now.stage)
    }

    /// Takes an event.
    pub(crate) fn apply(&mut self, event: Event) -> Touched {
        match event {
            Event::SessionStart(start) => {
                self.session = Some(start);
                self.restarted = true;
                // Nobody has asked for it: what it will name is not known, so it is asked for in full.
                self.out_of_order |= !self.replaying;
                Touched::Session
            }
            Event::SessionEnd { .. } | Event::StartFailed { .. } => {
                self.end();
                Touched::Session
            }
            Event::SessionGoesOn { .. } => {
                // Whether it does is seen when the state is told anew.
                self.out_of_order |= !self.replaying;
                Touched::Nothing
            }
            Event::Conference(number) => {
                self.conference = Some(number);
                Touched::Nothing
            }
            Event::State(state) => self.apply_state(state),
            Event::Leg(leg) => self.apply_leg(leg),
            Event::Mute(muted) => {
                let changed = std::mem::replace(&mut self.muted, muted) != muted;
                if changed { Touched::Mute } else { Touched::Nothing }
            }
            Event::Contact(contact) => self.apply_contact(*contact),
            Event::Pop { contact, url } => {
                let found = self.contacts.iter_mut().find(|known| known.now.id == contact);
                match found {
                    Some(known) if !url.is_empty() && known.pop.as_ref() != Some(&url) => {
                        known.pop = Some(url);
                        Touched::Contact(contact)
                    }
                    _ => Touched::Nothing,
                }
            }
            Event::ReadAgain
            | Event::Messages
            | Event::CallbackDue(_)
            | Event::CallbackStatus(_)
            | Event::Callbacks
            | Event::Other => Touched::Nothing,
        }
    }

    fn apply_state(&mut self, state: AgentState) -> Touched {
        // A replay is the newest word, whatever time it tells.
        if !self.replaying && is_older(&state.since, &self.state.since) {
            self.out_of_order = true;
            return Touched::Nothing;
        }
        let changed = self.state != state;
        self.state = state;
        if changed { Touched::State } else { Touched::Nothing }
    }

    fn apply_leg(&mut self, leg: AgentLeg) -> Touched {
        // A call to the agent's phone never goes back: it rings, is up, is down.
        let rank = |status| match status {
            LegStatus::Dialing => 0,
            LegStatus::Up => 1,
            LegStatus::Down => 2,
        };
        // A replay is the newest word, also where CXone uses a number again.
        let same = !leg.id.is_empty() && leg.id == self.leg_id && !self.replaying;
        if same && rank(leg.status) < rank(self.leg) {
            self.out_of_order = true;
            return Touched::Nothing;
        }
        self.leg_id = leg.id;
        if std::mem::replace(&mut self.leg, leg.status) == leg.status {
            return Touched::Nothing;
        }
        if self.leg != LegStatus::Up {
            self.muted = false;
        }
        Touched::State
    }

    fn apply_contact(&mut self, event: ContactEvent) -> Touched {
        let id = event.id.clone();
        if let Some(known) = self.contacts.iter_mut().find(|known| known.now.id == id) {
            // What a replay says of it first is the newest word, whatever time it tells.
            let newest = self.replaying && !std::mem::replace(&mut known.seen, true);
            if !newest && is_older(&event.changed, &known.now.changed) {
                self.out_of_order = true;
                return Touched::Nothing;
            }
            if known.now == event {
                return Touched::Nothing;
            }
            known.spoken |= event.stage.spoken();
            known.called |= event.is_called();
            known.now = event;
            return Touched::Contact(id);
        }
        let mut old = self.done.iter().filter(|done| done.id == id && !is_older(&done.changed, &event.changed));
        let old = old.any(|done| !(self.replaying && done.lost));
        if old || event.done {
            self.out_of_order |= old && !event.done;
            return Touched::Nothing;
        }
        self.contacts.push(Contact::new(event));
        Touched::Contact(id)
    }

    /// Something that must be in a replay, or that was there before, has not been told: the rest may still be on its way.
    /// Where it is a replay for `certain`, the start of the session need not be in it.
    pub(super) fn awaits_more(&self, certain: bool) -> bool {
        let missing = |contact: &Contact| !contact.seen && contact.live();
        let of_which = self.state.working() && !self.live();
        !(certain || self.restarted) || self.state.current.is_empty() || of_which || self.contacts.iter().any(missing)
    }

    /// There is a session, though CXone has not told its start.
    pub(crate) fn assume_session(&mut self) {
        self.session.get_or_insert_default();
        self.unknown = false;
    }

    /// All that is there will be told anew, in whatever order. Where the start of the session stands among it does not
    /// matter: what is named from now on is seen.
    pub(crate) fn begin_replay(&mut self) {
        self.replaying = true;
        self.restarted = false;
        self.contacts.iter_mut().for_each(|contact| contact.seen = false);
    }

    /// What came was no replay: nothing is known to be gone.
    pub(crate) fn cancel_replay(&mut self) {
        self.replaying = false;
        self.contacts.iter_mut().for_each(|contact| contact.seen = true);
    }

    /// The replay is over: contacts that it did not name are gone. Gives those.
    pub(crate) fn finish_replay(&mut self) -> Vec<String> {
        self.replaying = false;
        self.unknown = false;
        self.out_of_order = false;
        let mut missing = Vec::new();
        for contact in self.contacts.iter_mut().filter(|contact| !contact.seen && !contact.now.done) {
            contact.end_unseen();
            contact.seen = true;
            missing.push(contact.now.id.clone());
        }
        missing
    }

    /// The session is over, and all contacts with it.
    pub(crate) fn end(&mut self) {
        self.session = None;
        self.replaying = false;
        self.unknown = false;
        self.state = AgentState::default();
        self.leg = LegStatus::Down;
        self.leg_id.clear();
        self.muted = false;
        self.conference = None;
        self.contacts.iter_mut().for_each(Contact::end_unseen);
    }

    /// Forgets a contact that is done.
    pub(crate) fn forget(&mut self, id: &str) {
        let Some(at) = self.contacts.iter().position(|contact| contact.now.id == id) else { return };
        let contact = self.contacts.remove(at);
        if self.done.len() == REMEMBERED {
            self.done.pop_front();
        }
        let Contact { now, lost, .. } = contact;
        self.done.push_back(Done { id: now.id, changed: now.changed, lost });
    }

    /// CXone has nothing left of a contact that is over, though it has not said so of the contact.
    pub(crate) fn conclude(&mut self, id: &str) {
        if let Some(contact) = self.contacts.iter_mut().find(|contact| contact.now.id == id && !contact.live()) {
            contact.now.done = true;
        }
    }

    /// The agent neither handles a contact nor has work left from one, as his state tells.
    pub(crate) fn idle(&self) -> bool {
        !self.state.acw && !self.state.working() && !self.at_work()
    }

    /// The agent handles a contact, as far as the contacts tell.
    pub(crate) fn at_work(&self) -> bool {
        self.contacts.iter().any(|contact| contact.live() && contact.now.stage != Stage::Offered)
    }

    /// A contact lives, or is over and has left work to the agent.
    pub(crate) fn at_hand(&self) -> bool {
        self.contacts.iter().any(|contact| !contact.now.done)
    }

    /// Whether anything lives.
    pub(crate) fn live(&self) -> bool {
        self.contacts.iter().any(Contact::live)
    }

    /// How many calls the agent has taken or made: those that are only offered to him are not his yet.
    pub(crate) fn own_calls(&self) -> usize {
        self.calls().filter(|call| call.now.stage != Stage::Offered).count()
    }

    /// The agent's live calls, oldest first.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &Contact> {
        self.contacts.iter().filter(|contact| contact.live() && contact.now.media == Media::Call)
    }
}

/// Whether a word is older than another by their times. Words without a time are taken as they come, and so are those whose
/// times are not in ISO 8601 and UTC: they cannot be told apart by their letters.
pub(super) fn is_older(one: &str, other: &str) -> bool {
    match (moment(one), moment(other)) {
        (Some(one), Some(other)) => one < other,
        _ => false,
    }
}

/// A time up to its seconds, and what there is of a fraction without the zeros at its end.
fn moment(text: &str) -> Option<(&str, &str)> {
    let time = text.strip_suffix(['Z', 'z']).or_else(|| text.strip_suffix("+00:00")).unwrap_or(text);
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    let fits = seconds.len() == "2026-01-01T00:00:00".len() && seconds.as_bytes()[10] == b'T';
    let only = |text: &str, more: &str| text.chars().all(|it| it.is_ascii_digit() || more.contains(it));
    (fits && only(seconds, "-T:") && only(fraction, "")).then(|| (seconds, fraction.trim_end_matches('0')))
}

#[cfg(test)]
mod tests {
    use super::is_older;

    #[test]
    fn times_are_compared_however_exactly_they_are_told() {
        let older = [
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z"),
            ("2026-01-01T00:00:00.123Z", "2026-01-01T00:00:00.1234567Z"),
            ("2026-01-01T00:00:00.9Z", "2026-01-01T00:00:01"),
            ("2026-01-01T00:00:00.9+00:00", "2026-01-01T00:00:01Z"),
        ];
        for (one, other) in older {
            assert!(is_older(one, other) && !is_older(other, one), "{one} {other}");
        }
        assert!(!is_older("2026-01-01T00:00:00.500Z", "2026-01-01T00:00:00.5Z"));
    }

    #[test]
    fn words_whose_times_cannot_be_compared_are_taken_as_they_come() {
        let foreign = [("1/2/2026 9:00:00 AM", "1/2/2026 10:00:00 PM"), ("", "2026-01-01T00:00:00Z")];
        for (one, other) in foreign {
            assert!(!is_older(one, other) && !is_older(other, one), "{one} {other}");
        }
    }
}
