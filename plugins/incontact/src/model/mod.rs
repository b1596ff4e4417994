//! An agent as CXone has him, and what the host is told of that.
//!
//! Owns: the facts that the long poll brought, the interactions made of them, and *when* they are reported: whole, at
//! rest. A platform tells a transfer in several events, in any order and cut anywhere; what is in the middle of something
//! waits for the rest of it, at the latest for [`SETTLE`], or [`HOLD`] where a command of ours is under way. Must never:
//! wait or ask; the time is handed in. Events come in from the poll, reports and answers to those who wait go out.
//!
//! ```text
//! event.rs   CXone's events, read
//! facts.rs   the newest word on each thing
//! cases.rs   interactions made of contacts
//! desk.rs    channels, and what the agent's state means for them
//! ```

mod cases;
mod desk;
mod event;
mod facts;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jackfield_plugin_api::{
    Failure,
    report::{Channel, ExtensionEvent, Group, Interaction, Report, Target},
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

pub(crate) use self::{
    cases::{Blind, Case, Cases, Conv, Intent, cause},
    desk::{Desk, DeskChannel, DeskGroup},
    event::{AgentState, CallType, Event, LegStatus, Media, SessionStart, Stage},
    facts::{Contact, Facts, Touched},
};

/// How long what is in the middle of something waits for the rest of it.
pub(crate) const SETTLE: Duration = Duration::from_millis(500);
/// The same while a command of ours is under way for it.
pub(crate) const HOLD: Duration = Duration::from_secs(3);

/// What has come of something that a command waits for: what it looked for, or why it will not come.
pub(crate) type Verdict = Result<String, Failure>;

/// Looks whether what is waited for has come. `None`: not yet.
type Look = Box<dyn Fn(&Facts) -> Option<Verdict> + Send>;

/// What must have been told to the host before a command is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing: it is a step of a command.
    Nothing,
    /// The channels.
    State,
    /// This interaction, which is held back meanwhile so that it is told in one piece.
    Case(String),
}

/// Something that a command waits for.
struct Want {
    number: u64,
    after: After,
    look: Look,
    verdict: Option<Verdict>,
    tell: oneshot::Sender<Verdict>,
}

/// An agent.
#[derive(Default)]
pub(crate) struct Model {
    /// What CXone told.
    pub(crate) facts: Facts,
    /// Interactions.
    pub(crate) cases: Cases,
    /// Channels.
    pub(crate) desk: Desk,
    /// What has changed since the last report, and since when.
    dirty: BTreeMap<String, Instant>,
    dirty_state: Option<Instant>,
    wants: Vec<Want>,
    next_want: u64,
    /// The agent's own phone, as the host was told; nothing before the first snapshot.
    told_leg: Option<bool>,
    /// It has rung since.
    leg_rang: bool,
    /// Commands under way of whose steps on the channels nothing may be seen.
    state_holds: u32,
}

impl Model {
    /// Takes an event of the long poll.
    pub(crate) fn apply(&mut self, event: &Value, now: Instant) -> Event {
        let event = Event::read(event, |id| self.facts.contact(id).map(|contact| &contact.now));
        let new = match &event {
            Event::Contact(contact) if self.facts.contact(&contact.id).is_none() => Some(contact.id.clone()),
            _ => None,
        };
        let touched = self.facts.apply(event.clone());
        if let Some(id) = new {
            self.cases.claim(&mut self.facts, &id);
        }
        match touched {
            Touched::Nothing => {}
            Touched::State => {
                self.desk.learn(&self.facts);
                self.leg_rang |= self.facts.leg == LegStatus::Dialing;
                self.dirty_state.get_or_insert(now);
            }
            // The agent is mute in every conversation.
            Touched::Mute => self.touch_all(now),
            Touched::Session => {
                self.desk.learn(&self.facts);
                self.touch_all(now);
            }
            Touched::Contact(id) => self.touch(&id, now),
        }
        event
    }

    /// Takes a batch of the long poll. The start of the session stands first in it, wherever CXone has put it.
    pub(crate) fn take(&mut self, events: &[Value], now: Instant) -> Vec<Event> {
        let (first, rest): (Vec<_>, Vec<_>) = events.iter().partition(|event| Event::is_start(event));
        first.into_iter().chain(rest).map(|event| self.apply(event, now)).collect()
    }

    fn touch(&mut self, contact: &str, now: Instant) {
        let key = self.cases.key_of(&self.facts, contact);
        self.dirty.entry(key).or_insert(now);
    }

    /// Everything is to be told again.
    pub(crate) fn touch_all(&mut self, now: Instant) {
        self.dirty_state.get_or_insert(now);
        let keys: Vec<_> =
            self.facts.contacts.iter().map(|contact| self.cases.key_of(&self.facts, &contact.now.id)).collect();
        let cases: Vec<_> = self.cases.list.iter().map(|case| case.key.clone()).collect();
        for key in keys.into_iter().chain(cases) {
            self.dirty.entry(key).or_insert(now);
        }
    }

    /// An interaction is to be told again.
    pub(crate) fn touch_case(&mut self, key: &str, now: Instant) {
        self.dirty.entry(key.to_owned()).or_insert(now);
    }

    /// The channels are to be told again.
    pub(crate) fn touch_desk(&mut self, now: Instant) {
        self.dirty_state.get_or_insert(now);
    }

    /// Whether a replay may not be whole: it lacks what must be in it, or what the host was told before a crash.
    pub(crate) fn awaits_more(&self, certain: bool) -> bool {
        let mut told = self.cases.list.iter().flat_map(|case| &case.convs);
        let missing = |conv: &Conv| conv.contacts.iter().all(|id| self.facts.contact(id).is_none());
        self.facts.awaits_more(certain) || told.any(missing)
    }

    /// The replay has come to its end.
    pub(crate) fn finish_replay(&mut self, now: Instant) {
        for id in self.facts.finish_replay() {
            self.touch(&id, now);
        }
        self.touch_all(now);
    }

    /// Waits for something.
    pub(crate) fn want(
        &mut self,
        after: After,
        look: impl Fn(&Facts) -> Option<Verdict> + Send + 'static,
    ) -> (u64, oneshot::Receiver<Verdict>) {
        let (tell, told) = oneshot::channel();
        self.next_want += 1;
        let number = self.next_want;
        self.wants.push(Want { number, after, look: Box::new(look), verdict: None, tell });
        (number, told)
    }

    /// Waits no more.
    pub(crate) fn unwant(&mut self, number: u64) {
        self.wants.retain(|want| want.number != number);
    }

    /// All that wait are told that it will not come.
    pub(crate) fn fail_wants(&mut self, failure: &Failure) {
        for want in self.wants.drain(..) {
            // Whoever waited may have gone.
            let _ = want.tell.send(Err(failure.clone()));
        }
    }

    fn look(&mut self) {
        for want in self.wants.iter_mut().filter(|want| want.verdict.is_none()) {
            want.verdict = (want.look)(&self.facts);
        }
    }

    /// How long an interaction may still be held back, from when it changed.
    fn patience(&self, key: &str) -> Duration {
        let waiting = |want: &Want| want.verdict.is_none() && matches!(&want.after, After::Case(case) if case == key);
        if self.wants.iter().any(waiting) {
            HOLD
        } else if !self.cases.at_rest(&self.facts, key) || self.state_must_follow() {
            SETTLE
        } else {
            Duration::ZERO
        }
    }

    /// The agent's last contact is over and CXone still says that he works on it, or it is done and CXone still says
    /// that he is in after-contact work: the word on his state is on its way, and both are one transition.
    fn state_must_follow(&self) -> bool {
        let state = &self.facts.state;
        let stale = state.working() && !self.facts.live() || state.acw && !self.facts.at_hand();
        stale && self.facts.session.is_some()
    }

    /// The same the other way round: CXone says that he works on a contact, or no more, and the contact's word on that
    /// is on its way.
    fn contacts_must_follow(&self) -> bool {
        let state = &self.facts.state;
        let begun = self.facts.at_work() && !state.working();
        let done = !state.working() && !state.acw && !self.facts.live() && self.facts.at_hand();
        begun || done
    }

    /// Nothing is told of the channels until as many have let go.
    pub(crate) fn hold_state(&mut self) {
        self.state_holds += 1;
    }

    /// The steps of a command on the channels are over.
    pub(crate) fn let_state_go(&mut self) {
        self.state_holds = self.state_holds.saturating_sub(1);
    }

    /// The host knows how the agent's phone is: what a command does to it as a matter of course is no news.
    pub(crate) fn leg_is_no_news(&mut self) {
        self.told_leg = Some(self.facts.leg == LegStatus::Up);
        self.leg_rang = false;
    }

    fn state_patience(&self) -> Duration {
        if self.state_holds > 0 {
            return HOLD;
        }
        if self.contacts_must_follow() || self.state_must_follow() { SETTLE } else { Duration::ZERO }
    }

    /// What is at rest, or has waited long enough, as one report; and then answers those whose wish has come true.
    /// Call it after every batch and at [`next_deadline`](Self::next_deadline). The report must be handed on before
    /// [`answer`](Self::answer) is called.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Report> {
        if !self.facts.known() {
            return None;
        }
        self.look();
        let ready: Vec<_> = self
            .dirty
            .iter()
            .filter(|(key, since)| now.saturating_duration_since(**since) >= self.patience(key))
            .map(|(key, _)| key.clone())
            .collect();
        let state = self.dirty_state.is_some_and(|since| now.saturating_duration_since(since) >= self.state_patience());
        if ready.is_empty() && !state {
            return None;
        }
        let mut told = Vec::new();
        for key in ready {
            self.dirty.remove(&key);
            told.extend(self.cases.settle(&mut self.facts, &key));
        }
        // Nothing of it may be half told: with an interaction goes the state of its channel.
        if state || !told.is_empty() && self.state_patience() == Duration::ZERO {
            self.dirty_state = None;
        }
        let with_state = self.dirty_state.is_none();
        Some(self.report(Report::new(), told, with_state)).filter(|report| !report.is_empty())
    }

    /// When [`due`](Self::due) should be called again though nothing has come.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if !self.facts.known() {
            return None;
        }
        let cases = self.dirty.iter().map(|(key, since)| *since + self.patience(key));
        let state = self.dirty_state.map(|since| since + self.state_patience());
        cases.chain(state).min()
    }

    /// Answers those whose wish has come true and has been reported.
    pub(crate) fn answer(&mut self) {
        self.look();
        let mut left = Vec::new();
        for mut want in std::mem::take(&mut self.wants) {
            let settled = match &want.after {
                After::Nothing => true,
                After::State => self.dirty_state.is_none(),
                After::Case(case) => !self.dirty.contains_key(case),
            };
            match want.verdict.take() {
                Some(verdict) if settled => {
                    // Whoever waited may have gone.
                    let _ = want.tell.send(verdict);
                }
                verdict => left.push(Want { verdict, ..want }),
            }
        }
        self.wants = left;
    }

    /// Everything, complete: what it does not name is gone.
    pub(crate) fn snapshot(&mut self) -> Report {
        self.look();
        self.touch_all(Instant::now());
        let keys: Vec<_> = std::mem::take(&mut self.dirty).into_keys().collect();
        self.dirty_state = None;
        let mut told = Vec::new();
        for key in keys {
            told.extend(self.cases.settle(&mut self.facts, &key));
        }
        self.report(Report::snapshot(), told, true)
    }

    fn report(&mut self, mut report: Report, told: Vec<(Media, Interaction)>, with_state: bool) -> Report {
        for (media, interaction) in &told {
            if !interaction.gone {
                self.desk.need(*media, &self.facts);
            }
        }
        if with_state {
            for group in &self.desk.groups {
                report = report.group(Group::new(group.key.as_str(), group.name.as_str()));
            }
        }
        for channel in &self.desk.channels {
            let mut told_of: Channel = channel.create();
            if with_state {
                told_of = told_of.status(self.desk.status(channel, &self.facts));
            }
            let mine = told.iter().filter(|(media, _)| *media == channel.media);
            told_of.interactions = mine.map(|(_, interaction)| interaction.clone()).collect();
            if with_state || !told_of.interactions.is_empty() {
                report = report.channel(told_of);
            }
        }
        match self.leg_event() {
            Some(event) if with_state => report.event(event),
            _ => report,
        }
    }

    /// What has become of the agent's own phone since the host was told last.
    fn leg_event(&mut self) -> Option<ExtensionEvent> {
        let up = self.facts.leg == LegStatus::Up;
        let told = self.told_leg.replace(up);
        if self.facts.leg == LegStatus::Dialing {
            return None;
        }
        let rang = std::mem::take(&mut self.leg_rang);
        let (name, data) = match (told, up) {
            (Some(false), true) => ("session.agentleg.connected", json!({})),
            (Some(true), false) => ("session.agentleg.disconnected", json!({})),
            (Some(false), false) if rang => {
                ("session.agentleg.failed", json!({"message": "the agent's phone was not answered"}))
            }
            _ => return None,
        };
        Some(ExtensionEvent::new(Target::Session, name, data))
    }
}
