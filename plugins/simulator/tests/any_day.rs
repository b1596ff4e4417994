//! Whatever agents do and whatever happens to them, in any order: each report can be applied, leaves nothing out, and
//! together they tell all; members of a conversation see each other; and nothing is left when everybody has gone.
#![allow(clippy::unwrap_used)]

mod driver;

use driver::{Session, activate, extension, inbound, stage::Stage};
use jackfield_plugin_api::{
    Command, Ending,
    command::RecordAction,
    report::{
        ChannelType, ConversationAt, ConversationState, InteractionAt, MemberRole, Role, SupervisionMode, Target,
    },
};
use jackfield_simulator::switch::message::Request;
use proptest::prelude::*;
use serde_json::json;

/// One step: who, what, and two numbers to choose with.
type Step = (usize, usize, usize, u64);

const AGENTS: [(&str, &str); 3] = [("anna", "1001"), ("berta", "1002"), ("carl", "1003")];

const NUMBERS: [&str; 7] = ["1001", "1002", "1003", "5551234", "486", "480", "404"];

const HAPPENINGS: [&str; 17] = [
    "abandon",
    "answered",
    "available",
    "completed",
    "elsewhere",
    "endedandcompleted",
    "hangup",
    "memberchanged",
    "partyjoins",
    "partyleaves",
    "recall",
    "screenpop",
    "taken",
    "takenandover",
    "transferred",
    "unavailable",
    "removechannel",
];

fn open(stage: &mut Stage, agent: usize) {
    let (name, phone) = AGENTS[agent];
    let session = stage.session(name);
    let _ = stage.driver.command(session, Command::AddChannel { endpoint: phone.into(), kind: ChannelType::Telephony });
    let chat = format!("{name}-chat");
    let _ = stage.driver.command(session, Command::AddChannel { endpoint: chat, kind: ChannelType::Chat });
}

fn step(stage: &mut Stage, sessions: &mut [Session], step: Step) {
    let (who, what, choice, ms) = step;
    let who = who % AGENTS.len();
    let session = sessions[who];
    let (name, phone) = AGENTS[who];
    let channel = if choice % 3 == 0 { format!("{name}-chat") } else { phone.to_owned() };
    let number = NUMBERS[choice % NUMBERS.len()].to_owned();
    let at = newest(stage, session, choice);
    let conversation = at.as_ref().and_then(|at| conversation(stage, session, at, choice));
    let command = match what % 33 {
        0 => activate(&channel),
        1 => Command::Ready { channel },
        2 => Command::NotReady { channel, reason_code: "1".into(), reason_desc: None },
        3 => Command::Deactivate { channel, queues: Vec::new(), reason: None },
        4 => Command::Dial { channel, destination: number, extensions: json!({}).into() },
        5 => inbound(if choice % 2 == 0 { "Telephony" } else { "Chat" }, "+15550100", Some("sales")),
        6 => inbound(if choice % 2 == 0 { "Telephony" } else { "Chat" }, "+15550101", None),
        7 => return stage.driver.pass(ms),
        8 => return change_session(stage, sessions, who, choice),
        9 => extension("session.request.simulator.link", Target::Session, json!({ "up": false, "ms": ms })),
        10 | 11 => {
            let what = HAPPENINGS[choice % HAPPENINGS.len()];
            let data = json!({ "what": what, "endpoint": phone, "name": "n", "url": format!("u{ms}"), "from": "f" });
            extension("session.request.simulator.cause", Target::Session, data)
        }
        30 => {
            let mode = SupervisionMode::ALL[choice % 3];
            Command::Supervise { agent: AGENTS[choice % AGENTS.len()].0.into(), mode }
        }
        31 => Command::ColleagueReady { agent: AGENTS[choice % AGENTS.len()].0.into() },
        32 => Command::ColleagueNotReady {
            agent: AGENTS[choice % AGENTS.len()].0.into(),
            reason_code: "1".into(),
            reason_desc: None,
        },
        other => match (at, conversation) {
            // The host lets a supervision be muted, released and completed.
            (Some(at), _) if ![14, 23, 26, 29].contains(&other) && supervises(stage, session, &at) => return,
            (Some(at), conversation) => match contact_command(other, choice, at, conversation, number) {
                Some(command) => command,
                None => return,
            },
            _ => return,
        },
    };
    // Most of it is refused; what a blind conference comes to is told later.
    let _ = stage.driver.ask(session, Request::Command(command));
}

fn contact_command(
    what: usize,
    choice: usize,
    interaction: InteractionAt,
    conversation: Option<ConversationAt>,
    destination: String,
) -> Option<Command> {
    let actions = [RecordAction::Start, RecordAction::Stop, RecordAction::Pause, RecordAction::Resume];
    Some(match what {
        12 => Command::Accept { interaction },
        13 => Command::Reject { interaction },
        14 => Command::Complete { interaction },
        15 => Command::SetInteractionData { interaction, key: format!("k{}", choice % 3), value: json!(choice).into() },
        16 | 17 => Command::Consult { interaction, destination },
        18 => Command::ConsultTransfer { interaction },
        19 => Command::ConsultConference { interaction },
        20 => Command::Record { interaction, action: actions[choice % 4] },
        21 | 22 => Command::Answer { conversation: conversation? },
        23 => Command::Release { conversation: conversation? },
        24 => Command::Hold { conversation: conversation? },
        25 => Command::Retrieve { conversation: conversation? },
        26 => Command::Mute { conversation: conversation? },
        27 => Command::BlindTransfer { conversation: conversation?, destination },
        28 => Command::BlindConference { conversation: conversation?, destination },
        _ => Command::Unmute { conversation: conversation? },
    })
}

/// The agent goes home and comes back, or opens a second desktop.
fn change_session(stage: &mut Stage, sessions: &mut [Session], who: usize, choice: usize) {
    if !stage.driver.link_is_up() {
        return;
    }
    let ending = if choice.is_multiple_of(2) { Ending::LogOut } else { Ending::Leave };
    let ticket = stage.driver.ask(sessions[who], Request::LogOut(ending));
    assert!(stage.driver.answers.remove(&ticket).is_some());
    stage.forget(sessions[who]);
    open(stage, who);
    sessions[who] = stage.newest_session();
}

fn newest(stage: &mut Stage, session: Session, choice: usize) -> Option<InteractionAt> {
    let tree = stage.tree(session);
    let mut all: Vec<(u64, InteractionAt)> = Vec::new();
    for channel in tree.channels() {
        for interaction in &channel.interactions {
            let at = InteractionAt { channel: channel.key.to_string(), interaction: interaction.key.to_string() };
            all.push((interaction.id, at));
        }
    }
    all.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    let at = if choice.is_multiple_of(5) { choice % all.len().max(1) } else { 0 };
    all.into_iter().nth(at).map(|(_, at)| at)
}

fn supervises(stage: &mut Stage, session: Session, at: &InteractionAt) -> bool {
    let mut interactions = stage.tree(session).channels().iter().flat_map(|channel| &channel.interactions);
    interactions.any(|it| *it.key == *at.interaction && it.supervises.is_some())
}

fn conversation(stage: &mut Stage, session: Session, at: &InteractionAt, choice: usize) -> Option<ConversationAt> {
    let tree = stage.tree(session);
    let channel = tree.channels().iter().find(|channel| *channel.key == *at.channel)?;
    let interaction = channel.interactions.iter().find(|it| *it.key == *at.interaction)?;
    let conversation = interaction.conversations.get(choice % interaction.conversations.len().max(1))?;
    Some(ConversationAt {
        channel: at.channel.clone(),
        interaction: at.interaction.clone(),
        conversation: conversation.key.to_string(),
    })
}

/// Whoever has a colleague connected in a conversation is in the colleague's, unless he only hears the colleague.
fn members_see_each_other(stage: &mut Stage, sessions: &[Session]) {
    let mut seen: Vec<(String, String, bool)> = Vec::new();
    for session in sessions {
        for channel in stage.tree(*session).channels() {
            let own = channel.interactions.iter().filter(|it| it.supervises.is_none());
            for conversation in own.flat_map(|it| &it.conversations) {
                if matches!(conversation.state, ConversationState::Talking | ConversationState::Held) {
                    for member in &conversation.members {
                        let address = member.address.as_deref().unwrap().to_owned();
                        seen.push((channel.key.to_string(), address, member.role == MemberRole::Agent));
                    }
                }
            }
        }
    }
    for (me, other, _) in seen.iter().filter(|(.., agent)| *agent) {
        let back = (other.clone(), me.clone(), true);
        assert!(seen.contains(&back), "{me} sees {other}, who does not see {me}: {seen:?}");
    }
    for session in sessions {
        for channel in stage.tree(*session).channels() {
            for interaction in &channel.interactions {
                let talking = interaction.conversations.iter().filter(|it| it.state == ConversationState::Talking);
                assert!(talking.count() <= 1, "two conversations talk");
                assert!(interaction.conversations.iter().filter(|it| it.role == Role::Primary).count() <= 1);
            }
        }
    }
}

fn live_through(settings: serde_json::Value, steps: Vec<Step>) {
    let mut stage = Stage::new(settings);
    let mut sessions = Vec::new();
    for agent in 0..AGENTS.len() {
        open(&mut stage, agent);
        sessions.push(stage.newest_session());
        let phone = AGENTS[agent].1;
        let _ = stage.driver.command(sessions[agent], activate(phone));
        let _ = stage.driver.command(sessions[agent], Command::Ready { channel: phone.into() });
    }
    for one in steps {
        step(&mut stage, &mut sessions, one);
        if stage.driver.link_is_up() {
            for session in &sessions {
                if stage.driver.link_came_back() {
                    stage.resynchronise(*session);
                }
                let _ = stage.events(*session);
            }
            stage.driver.link_was_noticed();
            members_see_each_other(&mut stage, &sessions);
        }
    }
    stage.driver.pass(10_000);
    for session in sessions {
        let ticket = stage.driver.ask(session, Request::LogOut(Ending::LogOut));
        assert!(stage.driver.answers.remove(&ticket).is_some());
    }
    stage.driver.nothing_is_left();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_day_is_told_truly(steps in prop::collection::vec((0..3_usize, 0..33_usize, 0..1000_usize, 0..3000_u64), 1..120)) {
        live_through(json!({ "no_answer_ms": 2000, "offer_ms": 2500 }), steps);
    }

    #[test]
    fn any_day_with_after_call_work_is_told_truly(
        steps in prop::collection::vec((0..3_usize, 0..33_usize, 0..1000_usize, 0..3000_u64), 1..120)
    ) {
        live_through(json!({ "acw": true, "acw_ms": 1000, "capacity": { "chat": 3 }, "ring_ms": 0 }), steps);
    }
}
