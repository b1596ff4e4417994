//! Channels and the agent's state.

use jackfield_plugin_api::{
    Code, Failure, Report,
    report::{Channel, ChannelType},
};
use serde_json::{Value, json};

use super::{A_MOMENT, Waiting, act, no_params, phone, rejected};
use crate::{
    api::{Group, active, inside, list, text, truth},
    line::Line,
    model::{After, AgentState, Desk, DeskChannel, Facts, LegStatus, Media, SessionStart, Verdict},
};

fn media_of_type(kind: ChannelType) -> Option<Media> {
    match kind {
        ChannelType::Telephony => Some(Media::Call),
        ChannelType::Chat => Some(Media::Chat),
        ChannelType::Email => Some(Media::Email),
        _ => None,
    }
}

fn media_of_key(key: &str) -> Result<Media, Failure> {
    DeskChannel::media_of(key).ok_or_else(|| Failure::new(Code::NotFound, "no such channel"))
}

/// Whether two ways to write a station mean the same: of a telephone number only the digits count.
pub(super) fn same_station(one: &str, other: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let number = |text: &str| text.chars().all(|letter| letter.is_ascii_digit() || "+-. ()/".contains(letter));
    one == other || number(one) && number(other) && digits(one) == digits(other) && !digits(one).is_empty()
}

/// Whether an agent session may be at a station. What CXone does not tell of it is no other one.
fn is_at(session: &SessionStart, endpoint: &str) -> bool {
    let mut told = [&session.station, &session.station_id].into_iter().filter(|station| !station.is_empty()).peekable();
    told.peek().is_none() || told.any(|station| same_station(station, endpoint))
}

pub(super) fn add_channel(line: &Line, endpoint: &str, kind: ChannelType) -> Result<(), Failure> {
    let Some(media) = media_of_type(kind) else {
        return Err(Failure::new(Code::Unsupported, "CXone has no such channels"));
    };
    line.with(|model| {
        if model.desk.get(media).is_some() {
            return Err(rejected("CXone has one channel of each type for an agent"));
        }
        if let Some(session) = &model.facts.session
            && media == Media::Call
            && !is_at(session, endpoint)
        {
            let failure = rejected("the agent has a session in CXone at another station");
            return Err(failure.context(session.endpoint(line.api.settings.station)));
        }
        let at_work = media == Media::Call && model.facts.session.is_some() && model.facts.leg == LegStatus::Up;
        model.desk.channels.push(DeskChannel { opened: at_work, ..DeskChannel::new(media, endpoint) });
        model.touch_desk(std::time::Instant::now());
        Ok(())
    })
}

pub(super) async fn remove_channel(line: &Line, key: &str) -> Result<(), Failure> {
    let media = media_of_key(key)?;
    if line.with(|model| model.desk.get(media).is_some_and(|channel| Desk::active(channel, &model.facts))) {
        deactivate(line, key).await?;
    }
    line.with(|model| model.desk.channels.retain(|channel| channel.media != media));
    line.report_extra(Report::new().channel(Channel::gone(key)));
    Ok(())
}

/// Makes sure that there is an agent session.
async fn session(line: &Line) -> Result<(), Failure> {
    if line.id().is_ok() {
        return line.in_step(line.api.settings.timing.event()).await;
    }
    if line.find_session().await? {
        return Ok(());
    }
    let station = line.with(|model| model.desk.get(Media::Call).map(|channel| channel.endpoint.clone()));
    match station {
        Some(station) => line.start_session(&station).await,
        None => Err(rejected("CXone wants a station: add a telephony channel first")),
    }
}

pub(super) async fn activate(line: &Line, key: &str) -> Result<(), Failure> {
    let media = media_of_key(key)?;
    session(line).await?;
    if media == Media::Call {
        phone::phone_up(line).await?;
    }
    set_opened(line, media, true);
    Ok(())
}

fn set_opened(line: &Line, media: Media, opened: bool) {
    line.with(|model| {
        if let Some(channel) = model.desk.get_mut(media)
            && std::mem::replace(&mut channel.opened, opened) != opened
        {
            model.touch_desk(std::time::Instant::now());
        }
    });
}

/// While this lives, nothing is told of the channels; then all that was done to them at once.
struct AtOnce<'a>(&'a Line);

impl<'a> AtOnce<'a> {
    fn new(line: &'a Line) -> Self {
        line.with(|model| model.hold_state());
        Self(line)
    }
}

impl Drop for AtOnce<'_> {
    fn drop(&mut self) {
        self.0.with(|model| model.let_state_go());
    }
}

pub(super) async fn deactivate(line: &Line, key: &str) -> Result<(), Failure> {
    let media = media_of_key(key)?;
    let (last, available, busy) = line.with(|model| {
        let others = model.desk.channels.iter().filter(|channel| channel.media != media);
        let last = !others.clone().any(|channel| Desk::active(channel, &model.facts));
        let busy = model.facts.calls().any(|call| call.now.stage.spoken());
        (last, model.desk.base().0, busy && media == Media::Call)
    });
    if busy {
        return Err(rejected("a call is going on on the agent's phone"));
    }
    let _at_once = AtOnce::new(line);
    // CXone has one state for all channels: once none is active, it must not send contacts any more.
    if last && available {
        set_state_after(line, After::Nothing, Wanted::unavailable("")).await?;
    }
    if media == Media::Call && line.look(|facts| facts.leg != LegStatus::Down) {
        let down = |facts: &Facts| (facts.leg == LegStatus::Down).then(|| Ok(String::new()));
        let ended = act(line, After::Nothing, Group::Phone, "agent-phone/end", no_params(), down).await;
        if let Err(failed) = ended {
            // The channel stays active, and so he stays available on it.
            if last
                && available
                && failed.certain
                && let Err(left) = set_state_after(line, After::Nothing, Wanted::AVAILABLE).await
            {
                tracing::warn!("the agent stays unavailable: {left}");
            }
            return Err(failed.into());
        }
        line.with(|model| model.leg_is_no_news());
    }
    set_opened(line, media, false);
    Ok(())
}

/// A state that is asked for.
struct Wanted<'a> {
    available: bool,
    /// An unavailable code's name, or nothing.
    reason: &'a str,
    /// The code is one of after-contact work.
    acw: bool,
}

impl<'a> Wanted<'a> {
    const AVAILABLE: Wanted<'static> = Wanted { available: true, reason: "", acw: false };

    const fn unavailable(reason: &'a str) -> Self {
        Self { available: false, reason, acw: false }
    }

    const fn name(&self) -> &'static str {
        if self.available { "Available" } else { "Unavailable" }
    }

    fn params(&self) -> Value {
        match self.reason {
            "" => json!({"state": self.name()}),
            reason => json!({"state": self.name(), "reason": reason}),
        }
    }

    /// Looks whether the state holds, or is to hold after the contact.
    fn look(&self, before: AgentState) -> impl Fn(&Facts) -> Option<Verdict> + Send + 'static {
        let (available, acw, wanted) = (self.available, self.acw, self.name());
        let why = self.reason.trim().to_ascii_lowercase();
        move |facts| {
            let state = &facts.state;
            // What CXone calls no reason is its own: any other than before will do.
            let none =
                |given: &str| given.trim().is_empty() || given != before.reason || before.current != state.current;
            let fits =
                |given: &str| available || given.trim().to_ascii_lowercase() == why || why.is_empty() && none(given);
            let is = |name: &str, given: &str| name.eq_ignore_ascii_case(wanted) && fits(given);
            // In after-contact work the agent is unavailable too, but for that; what is to come next is told then, and
            // while he handles a contact.
            let now = is(&state.current, &state.reason) && (acw || !state.acw);
            let next = state.next.as_ref().is_some_and(|(name, reason)| is(name, reason)) && !facts.idle();
            (now || next).then(|| Ok(String::new()))
        }
    }
}

pub(super) async fn ready(line: &Line) -> Result<(), Failure> {
    set_state(line, Wanted::AVAILABLE).await
}

/// Asks for a state and waits until it holds, or is to hold after the contact. Who goes on to something else has done with
/// the contacts that only wait to be completed.
async fn set_state(line: &Line, wanted: Wanted<'_>) -> Result<(), Failure> {
    set_state_after(line, After::State, wanted).await?;
    line.with(|model| {
        for key in model.cases.release_kept() {
            model.touch_case(&key, std::time::Instant::now());
        }
    });
    Ok(())
}

async fn set_state_after(line: &Line, after: After, wanted: Wanted<'_>) -> Result<(), Failure> {
    let before = line.look(|facts| facts.state.clone());
    act(line, after, Group::Session, "state", wanted.params(), wanted.look(before)).await?;
    Ok(())
}

pub(super) async fn not_ready(line: &Line, reason: &str) -> Result<(), Failure> {
    let codes = match codes(line).await {
        // Who may not read the codes can name one all the same: CXone knows whether it is there.
        Ok(codes) if codes.is_empty() && reason != "acw" => return set_state(line, Wanted::unavailable(reason)).await,
        Ok(codes) => codes,
        Err(failure) if matches!(failure.code, Code::Forbidden | Code::NotFound) && reason != "acw" => {
            return set_state(line, Wanted::unavailable(reason)).await;
        }
        Err(failure) => return Err(failure),
    };
    let is_acw = |code: &Value| truth(code, "isAcw") || truth(code, "isACW");
    let mut usable = codes.iter().filter(|code| active(code));
    let found = if reason == "acw" {
        usable.find(|code| is_acw(code))
    } else {
        let by_name = |code: &&Value| code_name(code).trim().eq_ignore_ascii_case(reason.trim());
        let by_id = |code: &&Value| ["outStateId", "id"].into_iter().any(|name| text(code, name) == reason);
        usable.clone().find(by_name).or_else(|| usable.find(by_id)).filter(|_| !reason.trim().is_empty())
    };
    // Unavailable for no reason in particular, which CXone has too.
    if found.is_none() && (reason.trim().is_empty() || reason.eq_ignore_ascii_case("Unavailable")) {
        return set_state(line, Wanted::unavailable("")).await;
    }
    let Some(code) = found else {
        let known: Vec<_> = codes.iter().filter(|code| active(code)).map(code_name).collect();
        let failure = rejected(format!("CXone has no unavailable code {reason:?} for this agent"));
        return Err(failure.context(format!("known: {}", known.join(", "))));
    };
    set_state(line, Wanted { available: false, reason: &code_name(code), acw: is_acw(code) }).await
}

/// What an unavailable code is called; the list of a team has it under another name than the code itself.
pub(super) fn code_name(code: &Value) -> String {
    let names = ["outStateName", "name"].into_iter().map(|name| text(code, name));
    names.into_iter().find(|name| !name.is_empty()).unwrap_or_default()
}

/// The unavailable codes of the agent's team.
pub(super) async fn codes(line: &Line) -> Result<Vec<Value>, Failure> {
    if let Some(codes) = line.lists().codes.clone() {
        return Ok(codes);
    }
    let agent = line.read(Group::Admin, &format!("agents/{}", line.agent), json!({})).await?;
    // One agent, or a list of one.
    let one = text(inside(&agent), "teamId");
    let team =
        if one.is_empty() { list(agent).first().map(|agent| text(agent, "teamId")).unwrap_or_default() } else { one };
    if team.is_empty() {
        return Err(Failure::new(Code::NotFound, "CXone does not say which team the agent is in"));
    }
    let codes = list(line.read(Group::Admin, &format!("teams/{team}/unavailable-codes"), json!({})).await?);
    line.lists().codes = Some(codes.clone());
    Ok(codes)
}

/// Puts the agent back into the state from before the contact, which ends after-contact work.
pub(super) async fn end_after_contact_work(line: &Line, contact: &str) -> Result<(), Failure> {
    let (available, reason) = line.with(|model| {
        let (available, reason) = model.desk.base();
        (available, reason.to_owned())
    });
    let next = line.look(|facts| facts.state.next.clone());
    let (available, reason) = match next {
        Some((name, reason)) => (name.eq_ignore_ascii_case("Available"), reason),
        None => (available, reason),
    };
    let key = line.with(|model| model.cases.key_of(&model.facts, contact));
    let told = || Waiting::new(line, After::Case(key.clone()), done(contact));
    // The agent's state tells it too; then CXone says it of the contact a moment later, or not at all.
    if line.look(Facts::idle) && told().come_soon(A_MOMENT).await.is_some() {
        return Ok(());
    }
    if !line.look(Facts::idle) {
        let over = done(contact);
        let either = move |facts: &Facts| over(facts).or(facts.idle().then(|| Ok(String::new())));
        let waiting = Waiting::new(line, After::Case(key.clone()), either);
        line.post(Group::Session, "state", Wanted { available, reason: &reason, acw: false }.params()).await?;
        waiting.come("state").await?;
        if told().come_soon(A_MOMENT).await.is_some() {
            return Ok(());
        }
    }
    line.with(|model| {
        model.facts.conclude(contact);
        model.touch_case(&key, std::time::Instant::now());
    });
    Ok(())
}

/// Looks whether nothing is left of a contact.
fn done(contact: &str) -> impl Fn(&Facts) -> Option<Verdict> + Send + 'static {
    let id = contact.to_owned();
    move |facts| match facts.contact(&id) {
        Some(contact) if !contact.now.done => None,
        _ => Some(Ok(String::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::same_station;

    #[test]
    fn a_number_is_the_same_however_it_is_written() {
        assert!(same_station("+15557001", "15557001") && same_station("+1 (555) 7001", "1-555-7001"));
        assert!(!same_station("7001", "7002") && !same_station("desk-1", "desk1") && !same_station("+", "-"));
    }
}
