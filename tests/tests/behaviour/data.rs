//! The data of every event, member by member (section 5).

use jackfield_tests::{
    agent::{Heard, members},
    host::Host,
    puppet::Answer,
    words::{ANSWERED, CALL_COMES, CALL_ENDS, COMPLETED, PAIR},
};
use serde_json::{Value, json};

fn id(target: &str) -> &str {
    target.rsplit('.').next().unwrap()
}

fn phone(interactions: Value) -> Value {
    json!({"channels": [{"key": "p", "type": "Telephony", "endpoint": "2001", "name": "Desk",
        "status": {"ACTIVE": {"availability": "READY", "queue": "sales"}}, "interactions": interactions}]})
}

fn call(conversations: Value) -> Value {
    json!({"channels": [{"key": "p", "interactions": [{"key": "i", "conversations": conversations}]}]})
}

fn data<'a>(heard: &'a Heard, word: &str) -> &'a Value {
    heard.data(word)
}

#[tokio::test]
async fn session_initialized_tells_what_the_session_can() {
    let (host, _puppet) = Host::puppet().await;
    let mut agent = host.connect().await;
    let heard = agent.log_in("1001").await;
    assert_eq!(heard.words(), ["session.initialized"]);
    let data = data(&heard, "session.initialized");
    assert_eq!(members(data), ["capabilities"]);
    assert_eq!(members(&data["capabilities"]), ["channelTypes", "commands", "lists"]);
    let commands: Vec<&str> =
        data["capabilities"]["commands"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    for command in [
        "session.request.addchannel",
        "conversation.request.hold",
        "session.request.puppet.two.words",
        "session.request.logout",
    ] {
        assert!(commands.contains(&command), "{command} is missing in {commands:?}");
    }
    assert_eq!(data["capabilities"]["channelTypes"], json!(["Telephony", "Chat", "Email"]));
    agent.finish().await;
}

#[tokio::test]
async fn groups_and_channels() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(json!({
        "groups": [{"key": "g", "name": "Sales"}],
        "channels": [{"key": "a", "group": "g", "type": "Chat", "endpoint": "c-1", "name": "Chat"}]
    }));
    let mut agent = host.connect().await;
    let heard = agent.log_in("1001").await;
    let (session, group, channel) = (agent.session.clone(), agent.the("channelgroup"), agent.the("channel"));
    let expected = [
        (&session, "channelgroup.created", json!({"channelgroup": {"id": id(&group), "name": "Sales"}})),
        (&group, "state.updated", json!({"state": "POPULATED"})),
        (
            &group,
            "channel.created",
            json!({"channel": {"id": id(&channel), "type": "Chat", "endpoint": "c-1", "name": "Chat"}}),
        ),
        (&channel, "state.updated", json!({"state": "INACTIVE"})),
        (&channel, "channel.initialized", json!({})),
        (&group, "channelgroup.initialized", json!({})),
    ];
    for (event, (target, name, data)) in heard.0.iter().zip(&expected) {
        assert_eq!((&event.target, event.name.as_str(), &event.data), (*target, *name, data));
    }
    assert_eq!(heard.0.len(), expected.len() + 1);
    let info = json!({"ACTIVE": {"availability": "NOTREADY", "reason_code": "3", "reason_desc": "Training",
        "queue": "web", "pending": {"availability": "READY"}}});
    puppet.report("1001", json!({"channels": [{"key": "a", "status": info}]})).await;
    let heard = agent.hears(PAIR).await;
    let info = &data(&heard, "channel.infochanged")["channel"];
    assert_eq!(members(data(&heard, "channel.infochanged")), ["channel"]);
    for (name, value) in [
        ("availability", json!("NOTREADY")),
        ("reasoncode", json!("3")),
        ("reasondesc", json!("Training")),
        ("queue", json!("web")),
        ("occupied", json!(false)),
    ] {
        assert_eq!(info[name], value, "{name} in {info}");
    }
    assert_eq!(info["pending"]["availability"], "READY");
    assert_eq!(data(&heard, "state.updated(channel)"), &json!({"state": "ACTIVE", "availability": "NOTREADY"}));
    agent.finish().await;
}

#[tokio::test]
async fn an_interaction_and_its_conversation() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(phone(json!([])));
    let mut agent = host.log_in("1001").await;
    let customer = json!({"key": "m", "address": "+15550100", "name": "A. Caller", "role": "customer"});
    let offered = json!({"channels": [{"key": "p", "interactions": [{"key": "i", "direction": "inbound",
        "url": "https://crm.example/1", "data": {"number": 2.50, "account": {"id": 4711}},
        "conversations": [{"key": "c", "role": "primary", "state": "ALERTING", "members": [customer]}]}]}]});
    puppet.report("1001", offered).await;
    let heard = agent.hears(CALL_COMES).await;
    let (channel, interaction, primary) = (agent.the("channel"), agent.the("interaction"), agent.the("primary"));
    let created = heard.event("interaction.created");
    assert_eq!(created.target, channel);
    let shape = json!({"interaction": {"id": id(&interaction), "type": "Telephony", "direction": "inbound"}});
    assert_eq!(created.data, shape);
    assert_eq!(
        data(&heard, "state.updated(interaction)"),
        &json!({"state": "ALERTING", "calls": "SINGLE", "recording": "OFF"})
    );
    assert_eq!(data(&heard, "conversation.created"), &json!({"conversation": {"id": id(&primary), "role": "primary"}}));
    assert_eq!(data(&heard, "state.updated(primary)"), &json!({"state": "ALERTING", "muted": false}));
    let member = data(&heard, "conversation.member.added(primary)");
    assert_eq!(members(&member["member"]), ["address", "id", "name", "role"]);
    assert_eq!(member["member"]["role"], "customer");
    assert_eq!(member["member"]["name"], "A. Caller");
    let call_data = json!({"account": {"id": 4711}, "number": 2.50});
    assert_eq!(data(&heard, "interaction.datachanged"), &json!({"data": call_data}));
    let card = |state: &str| {
        json!({"interaction": {"id": id(&interaction), "type": "Telephony", "direction": "inbound", "state": state,
            "data": call_data}, "url": "https://crm.example/1"})
    };
    assert_eq!(data(&heard, "interaction.preview"), &card("ALERTING"));
    assert_eq!(data(&heard, "interaction.initialized"), &json!({}));
    assert_eq!(data(&heard, "conversation.initialized"), &json!({}));

    puppet.report("1001", call_report("TALKING")).await;
    let heard = agent.hears(ANSWERED).await;
    let popped = data(&heard, "interaction.screenpop");
    assert_eq!(popped["url"], "https://crm.example/1");
    assert_eq!(popped["interaction"]["data"], call_data);
    assert_eq!(members(&popped["interaction"]), ["data", "direction", "id", "state", "type"]);

    let ended = call(json!([]));
    puppet.report("1001", ended).await;
    let heard = agent.hears(CALL_ENDS).await;
    assert_eq!(data(&heard, "conversation.disposed(primary)"), &json!({}));
    assert_eq!(data(&heard, "interaction.ended"), &json!({"reason": "released"}));
    puppet.when(
        "complete",
        Answer::success().report(json!({"channels": [{"key": "p",
        "interactions": [{"key": "i", "gone": true}]}]})),
    );
    let heard = agent.interaction("complete", COMPLETED).await;
    assert_eq!(data(&heard, "interaction.complete"), &json!({}));
    assert_eq!(data(&heard, "interaction.disposed"), &json!({}));
    agent.finish().await;
}

fn call_report(state: &str) -> Value {
    call(json!([{"key": "c", "role": "primary", "state": state}]))
}

#[tokio::test]
async fn numbers_and_strings_of_call_data_survive_unchanged() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(phone(json!([{"key": "i", "direction": "inbound",
        "conversations": [{"key": "c", "role": "primary", "state": "TALKING"}]}])));
    let mut agent = host.log_in("1001").await;
    let text = r#"{"channels":[{"key":"p","interactions":[{"key":"i","data":{"n":2.50,"e":"\u00e9\"\\"}}]}]}"#;
    puppet.report("1001", serde_json::from_str(text).unwrap()).await;
    let heard = agent.hears("interaction.datachanged").await;
    assert_eq!(data(&heard, "interaction.datachanged"), &json!({"data": {"e": "é\"\\", "n": 2.5}}));
    agent.finish().await;
}

#[tokio::test]
async fn every_reason_and_cause_is_told() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(phone(json!([])));
    let mut agent = host.log_in("1001").await;
    for (number, (reason, cause)) in [
        ("released", None),
        ("transferred", None),
        ("failed", Some("busy")),
        ("failed", Some("noanswer")),
        ("failed", Some("unreachable")),
        ("failed", Some("cancelled")),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("i{number}");
        let begin = json!({"key": key, "direction": "outbound",
            "conversations": [{"key": "c", "role": "primary", "state": "DIALING"}]});
        puppet.report("1001", json!({"channels": [{"key": "p", "interactions": [begin]}]})).await;
        agent.hears_until("interaction.initialized").await;
        let end = json!({"key": key, "gone": true, "reason": reason, "cause": cause, "conversations": []});
        puppet.report("1001", json!({"channels": [{"key": "p", "interactions": [end]}]})).await;
        let heard = agent.hears_until("interaction.disposed").await;
        let expected = cause.map_or(json!({"reason": reason}), |cause| json!({"reason": reason, "cause": cause}));
        assert_eq!(data(&heard, "interaction.ended"), &expected);
        agent.hears(PAIR).await;
    }
    agent.finish().await;
}

#[tokio::test]
async fn the_agent_legs_events_are_the_adapters_to_raise() {
    let (host, puppet) = Host::puppet().await;
    let mut agent = host.log_in("1001").await;
    for (name, data) in [
        ("session.agentleg.connected", json!({})),
        ("session.agentleg.disconnected", json!({})),
        ("session.agentleg.failed", json!({"message": "no answer"})),
    ] {
        puppet.report("1001", json!({"events": [{"on": "session", "name": name, "data": data}]})).await;
        let heard = agent.hears(name).await;
        assert_eq!(heard.data(name), &data);
    }
    agent.finish().await;
}

#[tokio::test]
async fn actions_are_told_where_they_were_asked_for() {
    let host = Host::simulator().await;
    let mut agent = host.connect().await;
    agent.prepare("1001", false).await;
    agent.start(json!({"actions": true})).await;
    let session = agent.session.clone();
    let new = json!({"channel": {"endpoint": "2001", "type": "Telephony"}});
    let heard = agent.does("session.request.addchannel", &session, new, jackfield_tests::words::NEW_CHANNEL).await;
    assert_eq!(actions(heard.data("state.updated(channel)")), ["channel.request.activate"]);
    let channel = agent.the("channel");
    let heard = agent.does("channel.request.activate", &channel, json!({}), PAIR).await;
    assert_eq!(
        actions(heard.data("state.updated(channel)")),
        ["channel.request.deactivate", "channel.request.dial", "channel.request.notready", "channel.request.ready"]
    );
    let heard = agent.is_offered("Telephony").await;
    assert_eq!(
        actions(heard.data("state.updated(interaction)")),
        ["interaction.request.accept", "interaction.request.reject"]
    );
    assert_eq!(
        actions(heard.data("state.updated(primary)")),
        ["conversation.request.answer", "conversation.request.release"]
    );
    agent.finish().await;
}

/// The standard commands among the actions; the simulator's own are always possible.
fn actions(state: &Value) -> Vec<&str> {
    let all = state["actions"].as_array().unwrap_or_else(|| panic!("no actions in {state}"));
    let mut names: Vec<&str> =
        all.iter().map(|name| name.as_str().unwrap()).filter(|name| !name.contains("simulator")).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn actions_are_not_told_where_they_were_not_asked_for() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    let heard = agent.is_offered("Telephony").await;
    assert!(heard.0.iter().all(|event| event.data.get("actions").is_none()));
    agent.finish().await;
}
