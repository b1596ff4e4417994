//! Channels and the agent's state.

use jackfield_plugin_api::{
    Code, Failure, Report,
    report::{Channel, ChannelType},
};
use serde_json::{Value, json};

use super::{Waiting, act, no_params, phone, rejected};
use crate::{
    api::{Group, list, text, truth},
    line::Line,
    model::{After, Desk, DeskChannel, Facts, LegStatus, Media},
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

pub(super) fn add_channel(line: &Line, endpoint: &str, kind: ChannelType) -> Result<(), Failure> {
    let Some(media) = media_of_type(kind) else {
        return Err(Failure::new(Code::Unsupported, "CXone has no such channels"));
    };
    line.with(|model| {
        if model.desk.get(media).is_some() {
            return Err(rejected("CXone has one channel of each type for an agent"));
        }
        let station = model.facts.session.as_ref().map(|session| session.station.clone());
        match station {
            Some(station) if media == Media::Call && !same_station(&station, endpoint) => {
                return Err(rejected("the agent has a session in CXone at another station").context(station));
            }
            _ => {}
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
        set_state_after(line, After::Nothing, false, "").await?;
    }
    if media == Media::Call && line.look(|facts| facts.leg != LegStatus::Down) {
        let down = |facts: &Facts| (facts.leg == LegStatus::Down).then(|| Ok(String::new()));
        act(line, After::Nothing, Group::Phone, "agent-phone/end", no_params(), down).await?;
        line.with(|model| model.leg_is_no_news());
    }
    set_opened(line, media, false);
    Ok(())
}

pub(super) async fn ready(line: &Line) -> Result<(), Failure> {
    set_state(line, true, "").await
}

/// Asks for a state and waits until it holds, or is to hold after the contact. Who goes on to something else has done with
/// the contacts that only wait to be completed.
async fn set_state(line: &Line, available: bool, reason: &str) -> Result<(), Failure> {
    set_state_after(line, After::State, available, reason).await?;
    line.with(|model| {
        for key in model.cases.release_kept() {
            model.touch_case(&key, std::time::Instant::now());
        }
    });
    Ok(())
}

async fn set_state_after(line: &Line, after: After, available: bool, reason: &str) -> Result<(), Failure> {
    let wanted = if available { "Available" } else { "Unavailable" };
    let mut params = json!({"state": wanted});
    if !reason.is_empty() {
        params["reason"] = json!(reason);
    }
    let why = reason.trim().to_ascii_lowercase();
    let before = line.look(|facts| facts.state.clone());
    let look = move |facts: &Facts| {
        let state = &facts.state;
        // What CXone calls no reason is its own: any other than before will do.
        let none = |given: &str| given.trim().is_empty() || given != before.reason || before.current != state.current;
        let fits = |given: &str| available || given.trim().to_ascii_lowercase() == why || why.is_empty() && none(given);
        let is = |name: &str, given: &str| name.eq_ignore_ascii_case(wanted) && fits(given);
        let next = state.next.as_ref().is_some_and(|(name, reason)| is(name, reason));
        (is(&state.current, &state.reason) || next).then(|| Ok(String::new()))
    };
    act(line, after, Group::Session, "state", params, look).await?;
    Ok(())
}

pub(super) async fn not_ready(line: &Line, reason: &str) -> Result<(), Failure> {
    let codes = match codes(line).await {
        Ok(codes) => codes,
        // Who may not read the codes can name one all the same: CXone knows whether it is there.
        Err(failure) if matches!(failure.code, Code::Forbidden | Code::NotFound) && reason != "acw" => {
            return set_state(line, false, reason).await;
        }
        Err(failure) => return Err(failure),
    };
    let active = |code: &&Value| code["isActive"].is_null() || truth(code, "isActive");
    let is_acw = |code: &Value| truth(code, "isAcw") || truth(code, "isACW");
    let found = if reason == "acw" {
        codes.iter().filter(active).find(|code| is_acw(code))
    } else {
        let by_name = |code: &&Value| text(code, "outStateName").eq_ignore_ascii_case(reason);
        let by_id = |code: &&Value| text(code, "outStateId") == reason;
        codes.iter().filter(active).find(by_name).or_else(|| codes.iter().filter(active).find(by_id))
    };
    // Unavailable for no reason in particular, which CXone has too.
    if found.is_none() && (reason.trim().is_empty() || reason.eq_ignore_ascii_case("Unavailable")) {
        return set_state(line, false, "").await;
    }
    let Some(code) = found else {
        let known: Vec<_> = codes.iter().filter(active).map(|code| text(code, "outStateName")).collect();
        let failure = rejected(format!("CXone has no unavailable code {reason:?} for this agent"));
        return Err(failure.context(format!("known: {}", known.join(", "))));
    };
    set_state(line, false, &text(code, "outStateName")).await
}

/// The unavailable codes of the agent's team.
pub(super) async fn codes(line: &Line) -> Result<Vec<Value>, Failure> {
    if let Some(codes) = line.lists().codes.clone() {
        return Ok(codes);
    }
    let agent = line.read(Group::Admin, &format!("agents/{}", line.agent), json!({})).await?;
    let team = list(agent).first().map(|agent| agent["teamId"].clone()).unwrap_or_default();
    let team = team.as_str().map_or_else(|| team.to_string(), str::to_owned);
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
    let id = contact.to_owned();
    let done = move |facts: &Facts| match facts.contact(&id) {
        Some(contact) if !contact.now.done => None,
        _ => Some(Ok(String::new())),
    };
    let key = line.with(|model| model.cases.key_of(&model.facts, contact));
    let waiting = Waiting::new(line, After::Case(key), done);
    let mut params = json!({"state": if available { "Available" } else { "Unavailable" }});
    if !reason.is_empty() {
        params["reason"] = json!(reason);
    }
    line.post(Group::Session, "state", params).await?;
    waiting.come("state").await.map(drop)
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
