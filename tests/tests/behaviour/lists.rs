//! Lists that desktops read and watch (section 4, "Lists").

use jackfield_tests::{
    agent::Agent,
    host::{Host, Setup, Tenant},
    puppet::{Answer, Puppet},
};
use serde_json::{Value, json};

const SETTINGS: &str = r#"
queues = ["sales", { name = "service", dispositions = ["Solved"] }]
reasons = [{ code = "lunch", desc = "Lunch" }, { code = "7" }]
dispositions = ["Sold", "Call back", "Solved"]
endpoints = [{ endpoint = "2001", type = "Telephony", name = "Desk 1" }, { endpoint = "web", type = "Chat" }]
agents = [{ id = "1001", name = "Ada", password = "secret" }, { id = "1002", name = "Ben", password = "secret" }]
directory = [
    { number = "+15550100", name = "Head office" },
    { number = "+15550101", name = "Warehouse", book = "Suppliers" },
    { number = "+15550102", name = "Wholesale", book = "Suppliers" },
]
"#;

async fn simulator() -> Host {
    Setup::new().tenant(Tenant::simulator("demo").settings(SETTINGS)).start().await
}

/// A page, without the number of the event that it is as of.
async fn list(agent: &mut Agent, data: Value) -> Value {
    let session = agent.session.clone();
    let response = agent.command("session.request.list", &session, data).await;
    assert_eq!(response["result"], "success", "{response}");
    let mut page = response["data"].clone();
    assert!(page.as_object_mut().unwrap().remove("seq").unwrap().is_u64(), "{response}");
    page
}

async fn entries(agent: &mut Agent, kind: &str) -> Value {
    list(agent, json!({"kind": kind})).await["entries"].clone()
}

fn ids(page: &Value) -> Vec<&str> {
    page["entries"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).collect()
}

async fn watch(agent: &mut Agent, kind: &str) {
    let session = agent.session.clone();
    agent.does("session.request.watch", &session, json!({"kind": kind}), "").await;
}

/// The data of the next change.
async fn change(agent: &mut Agent) -> Value {
    agent.hears("session.listchanged").await.data("session.listchanged").clone()
}

#[tokio::test]
async fn every_kind_of_list_is_read_in_the_simulator() {
    let host = simulator().await;
    let mut agent = host.connect().await;
    let heard = agent.log_in("1001").await;
    let declared = &heard.data("session.initialized")["capabilities"]["lists"];
    let kinds: Vec<&str> = declared.as_array().unwrap().iter().map(|list| list["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["reasons", "dispositions", "queues", "groups", "endpoints", "destinations"]);
    assert_eq!(entries(&mut agent, "reasons").await, json!([{"id": "lunch", "name": "Lunch"}, {"id": "7"}]));
    assert_eq!(
        entries(&mut agent, "dispositions").await,
        json!([{"id": "Sold"}, {"id": "Call back"}, {"id": "Solved"}])
    );
    assert_eq!(
        entries(&mut agent, "queues").await,
        json!([{"id": "sales", "waiting": 0, "ready": 0}, {"id": "service", "waiting": 0, "ready": 0}])
    );
    assert_eq!(entries(&mut agent, "groups").await, json!([{"id": "all"}]));
    assert_eq!(
        entries(&mut agent, "endpoints").await,
        json!([{"id": "2001", "name": "Desk 1", "channelType": "Telephony", "inUse": false},
            {"id": "web", "channelType": "Chat", "inUse": false}])
    );
    let queue = |name: &str| json!({"id": format!("queue:{name}"), "name": name, "type": "queue", "addresses": [{"address": name}]});
    assert_eq!(
        entries(&mut agent, "destinations").await,
        json!([{"id": "agent:1002", "name": "Ben", "type": "colleague", "presence": {"state": "OFFLINE"}},
            queue("sales"), queue("service"),
            {"id": "+15550100", "name": "Head office", "type": "external", "addresses": [{"address": "+15550100"}]},
            {"id": "book:Suppliers", "name": "Suppliers", "type": "book"}])
    );
    agent.finish().await;
}

#[tokio::test]
async fn a_list_is_searched_read_page_by_page_and_opened() {
    let host = simulator().await;
    let mut agent = host.log_in("1001").await;
    let first = list(&mut agent, json!({"kind": "destinations", "limit": 2})).await;
    assert_eq!(ids(&first), ["agent:1002", "queue:sales"]);
    let rest = list(&mut agent, json!({"kind": "destinations", "limit": 200, "after": first["next"]})).await;
    assert_eq!((ids(&rest), &rest["next"]), (vec!["queue:service", "+15550100", "book:Suppliers"], &Value::Null));
    let book = list(&mut agent, json!({"kind": "destinations", "under": "book:Suppliers"})).await;
    assert_eq!(ids(&book), ["+15550101", "+15550102"]);
    // What is in a book is found from the top.
    let found = list(&mut agent, json!({"kind": "destinations", "query": "WARE"})).await;
    assert_eq!(ids(&found), ["+15550101"]);
    let session = agent.session.clone();
    let nothing = json!({"kind": "destinations", "under": "book:Nothing"});
    agent.fails("session.request.list", &session, nothing, "not_found").await;
    agent.finish().await;
}

#[tokio::test]
async fn an_interaction_has_the_dispositions_of_its_queue() {
    let host = simulator().await;
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    agent
        .command("session.request.addchannel", &session, json!({"channel": {"endpoint": "web", "type": "Chat"}}))
        .await;
    let chat = agent.the("channel");
    agent.command("channel.request.activate", &chat, json!({})).await;
    agent.command("channel.request.ready", &chat, json!({})).await;
    let contact = json!({"type": "Chat", "from": "ada@example.org", "queue": "service"});
    agent.command("session.request.simulator.inbound", &session, contact).await;
    agent.hears_until("interaction.initialized").await;
    let interaction = agent.the("interaction");
    let page = list(&mut agent, json!({"kind": "dispositions", "under": interaction})).await;
    assert_eq!(ids(&page), ["Solved"]);
    agent.command("interaction.request.accept", &interaction, json!({})).await;
    let set = |disposition: &str| json!({"disposition": disposition});
    agent.fails_quickly("interaction.request.setdisposition", &interaction, set("Sold"), "rejected").await;
    agent.command("interaction.request.setdisposition", &interaction, set("Solved")).await;
    agent
        .fails_quickly("session.request.list", &session, json!({"kind": "dispositions", "under": chat}), "not_found")
        .await;
}

#[tokio::test]
async fn every_kind_of_list_is_watched_in_the_simulator() {
    let host = simulator().await;
    let (mut agent, mut admin) = (host.log_in("1001").await, host.log_in("1002").await);
    let (own, session) = (agent.session.clone(), admin.session.clone());
    for (kind, id) in [("reasons", "pause"), ("dispositions", "Lost"), ("groups", "night"), ("endpoints", "2009")] {
        watch(&mut agent, kind).await;
        let set = json!({"kind": kind, "id": id});
        admin.command("session.request.simulator.list", &session, set).await;
        let told = change(&mut agent).await;
        assert_eq!((&told["kind"], &told["changed"][0]["id"]), (&json!(kind), &json!(id)), "{told}");
        let gone = json!({"kind": kind, "id": id, "gone": true});
        admin.command("session.request.simulator.list", &session, gone.clone()).await;
        assert_eq!(change(&mut agent).await, json!({"kind": kind, "removed": [id]}));
        agent.does("session.request.unwatch", &own, json!({"kind": kind}), "").await;
        admin.command("session.request.simulator.list", &session, json!({"kind": kind, "id": id})).await;
        agent.hears_no_more().await;
    }
    watch(&mut agent, "queues").await;
    let contact = json!({"type": "Telephony", "from": "+15550199", "queue": "sales"});
    admin.command("session.request.simulator.inbound", &session, contact).await;
    let told = change(&mut agent).await;
    let queue = &told["changed"][0];
    assert_eq!((&queue["id"], &queue["waiting"], &queue["ready"]), (&json!("sales"), &json!(1), &json!(0)), "{told}");
    let since = queue["waitingSince"].as_u64().unwrap();
    assert!(since > 1_700_000_000_000, "milliseconds since 1970: {since}");
    // Whoever is ready is counted in all queues that they serve, until they are offered the contact.
    let phone = json!({"channel": {"endpoint": "2002", "type": "Telephony"}});
    admin.command("session.request.addchannel", &session, phone).await;
    let phone = admin.the("channel");
    admin.command("channel.request.activate", &phone, json!({})).await;
    admin.command("channel.request.ready", &phone, json!({})).await;
    loop {
        let told = change(&mut agent).await;
        let served = told["changed"].as_array().unwrap().iter().find(|queue| queue["id"] == "sales").cloned();
        if served.is_some_and(|queue| queue["waiting"] == 0 && queue["ready"] == 0) {
            break;
        }
    }
}

#[tokio::test]
async fn a_colleagues_presence_is_seen_as_it_changes() {
    let host = simulator().await;
    let mut agent = host.log_in("1001").await;
    watch(&mut agent, "destinations").await;
    let mut colleague = host.log_in("1002").await;
    let session = colleague.session.clone();
    let phone = json!({"channel": {"endpoint": "2002", "type": "Telephony"}});
    colleague.command("session.request.addchannel", &session, phone).await;
    let phone = colleague.the("channel");
    colleague.command("channel.request.activate", &phone, json!({})).await;
    colleague.command("channel.request.ready", &phone, json!({})).await;
    let mut presences = Vec::new();
    let mut until = async |agent: &mut Agent, state: &str| {
        loop {
            let told = change(agent).await;
            assert_eq!((&told["kind"], &told["changed"][0]["id"]), (&json!("destinations"), &json!("agent:1002")));
            let presence = told["changed"][0]["presence"].clone();
            presences.push(presence.clone());
            if presence["state"] == state {
                return told["changed"][0].clone();
            }
        }
    };
    let ready = until(&mut agent, "READY").await;
    assert_eq!((&ready["name"], &ready["addresses"]), (&json!("Ben"), &json!([{"address": "2002"}])));
    assert!(ready["presence"]["since"].as_u64().unwrap() > 1_700_000_000_000, "{ready}");
    colleague.command("channel.request.dial", &phone, json!({"destination": "+15550100"})).await;
    until(&mut agent, "BUSY").await;
    let call = colleague.the("primary");
    colleague.command("conversation.request.release", &call, json!({})).await;
    until(&mut agent, "READY").await;
    colleague.command("channel.request.notready", &phone, json!({"reasoncode": "lunch"})).await;
    let away = until(&mut agent, "NOTREADY").await;
    assert_eq!((&away["presence"]["reasoncode"], &away["presence"]["reasondesc"]), (&json!("lunch"), &json!("Lunch")));
    colleague.command("session.request.logout", &session, json!({})).await;
    let gone = until(&mut agent, "OFFLINE").await;
    assert_eq!(gone["addresses"], Value::Null, "{gone}");
    agent.finish().await;
}

#[tokio::test]
async fn a_caller_can_be_handed_to_a_queue() {
    let host = simulator().await;
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    let phone = json!({"channel": {"endpoint": "2001", "type": "Telephony"}});
    agent.command("session.request.addchannel", &session, phone).await;
    let phone = agent.the("channel");
    agent.command("channel.request.activate", &phone, json!({})).await;
    agent
        .command("session.request.simulator.inbound", &session, json!({"type": "Telephony", "from": "+15550199"}))
        .await;
    agent.hears_until("interaction.initialized").await;
    let call = agent.the("primary");
    agent.command("conversation.request.answer", &call, json!({})).await;
    agent.command("conversation.request.blindtransfer", &call, json!({"destination": "sales"})).await;
    let queues = entries(&mut agent, "queues").await;
    assert_eq!((&queues[0]["id"], &queues[0]["waiting"]), (&json!("sales"), &json!(1)));
    let heard = agent.hears_until("interaction.ended").await;
    assert_eq!(heard.data("interaction.ended")["reason"], "transferred");
}

// ---- what the host does of itself

#[tokio::test]
async fn what_cannot_be_listed_is_refused_before_the_adapter_is_asked() {
    let (host, puppet) = Host::puppet().await;
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    for (command, data, code) in [
        ("list", json!({}), "bad_request"),
        ("list", json!({"kind": "faxes"}), "bad_request"),
        ("list", json!({"kind": "queues", "limit": 201}), "bad_request"),
        ("list", json!({"kind": "groups"}), "unsupported"),
        ("list", json!({"kind": "dispositions", "under": session}), "not_found"),
        ("watch", json!({"kind": "reasons"}), "unsupported"),
        ("unwatch", json!({"kind": "groups"}), "unsupported"),
    ] {
        agent.fails(&format!("session.request.{command}"), &session, data, code).await;
    }
    assert_eq!(puppet.times_asked("list") + puppet.times_asked("watch"), 0);
    agent.finish().await;
}

#[tokio::test]
async fn what_is_no_page_of_the_list_is_not_passed_on() {
    let (host, puppet) = Host::puppet().await;
    let mut agent = host.log_in("1001").await;
    let session = agent.session.clone();
    let full: Vec<Value> = (0..3).map(|id| json!({"id": id.to_string()})).collect();
    for (answer, limit) in [
        (Answer::success(), 2),
        (Answer::data(json!([])), 2),
        (Answer::data(json!({"entries": [{"name": "no id"}]})), 2),
        (Answer::data(json!({"entries": full})), 2),
        (Answer::data(json!({"entries": [{"id": "x".repeat(300_000)}]})), 2),
    ] {
        puppet.when("list", answer);
        agent
            .fails("session.request.list", &session, json!({"kind": "queues", "limit": limit}), "adapter_failed")
            .await;
    }
    puppet.when("list", Answer::data(json!({"entries": full, "next": "2"})));
    let page = list(&mut agent, json!({"kind": "queues", "query": "q", "limit": 3, "after": "1"})).await;
    assert_eq!(page, json!({"entries": full, "next": "2"}));
    agent.finish().await;
}

#[tokio::test]
async fn a_page_says_after_which_event_it_was_made() {
    let (host, puppet) = Host::puppet().await;
    let mut agent = host.log_in("1001").await;
    watch(&mut agent, "queues").await;
    let report = json!({"lists": [{"kind": "queues", "changed": [{"id": "a", "waiting": 1}]}]});
    puppet.when("list", Answer::data(json!({"entries": [{"id": "a", "waiting": 1}]})).report(report));
    let session = agent.session.clone();
    let response = agent.command("session.request.list", &session, json!({"kind": "queues"})).await;
    let heard = agent.hears("session.listchanged").await;
    assert_eq!(response["data"]["seq"], json!(heard.event("session.listchanged").seq));
    agent.finish().await;
}

#[tokio::test]
async fn changes_of_lists_that_are_not_watched_are_not_told() {
    let (host, puppet) = Host::puppet().await;
    let mut agent = host.log_in("1001").await;
    let changed = |kind: &str, entry: Value| json!({"lists": [{"kind": kind, "changed": [entry]}]});
    puppet.report("1001", changed("queues", json!({"id": "a"}))).await;
    watch(&mut agent, "queues").await;
    puppet.report("1001", changed("destinations", json!({"id": "b"}))).await;
    puppet.report("1001", changed("queues", json!({"id": "a", "waiting": 2}))).await;
    assert_eq!(change(&mut agent).await, json!({"kind": "queues", "changed": [{"id": "a", "waiting": 2}]}));
    // Too much to be told.
    puppet.report("1001", changed("queues", json!({"id": "a", "name": "x".repeat(300_000)}))).await;
    assert_eq!(change(&mut agent).await, json!({"kind": "queues", "reload": true}));
    let session = agent.session.clone();
    agent.does("session.request.unwatch", &session, json!({"kind": "queues"}), "").await;
    puppet.report("1001", changed("queues", json!({"id": "a", "waiting": 3}))).await;
    agent.finish().await;
}

#[tokio::test]
async fn after_a_lost_link_what_was_watched_is_to_be_read_anew() {
    let (host, puppet) = Host::puppet().await;
    let mut agent = host.log_in("1001").await;
    watch(&mut agent, "queues").await;
    puppet.asked("watch").await;
    puppet.link(false).await;
    puppet.link(true).await;
    agent.hears("session.linkchanged session.linkchanged").await;
    let asked = puppet.asked("watch").await;
    assert_eq!(asked["command"]["watch"], json!({"kind": "queues"}));
    assert_eq!(change(&mut agent).await, json!({"kind": "queues", "reload": true}));
    agent.finish().await;
}

#[tokio::test]
async fn an_adapter_that_was_started_again_is_asked_to_watch_again() {
    let puppet = Puppet::start().await;
    let host = Setup::new().tenant(Tenant::puppet("acme", &puppet).isolation("tenant")).start().await;
    let mut agent = Agent::connect(&host, "acme").await;
    agent.log_in("1001").await;
    watch(&mut agent, "destinations").await;
    puppet.asked("watch").await;
    host.kill_worker("acme").await;
    agent.hears("session.linkchanged session.linkchanged").await;
    assert_eq!(puppet.asked("watch").await["command"]["watch"], json!({"kind": "destinations"}));
    assert_eq!(change(&mut agent).await, json!({"kind": "destinations", "reload": true}));
    agent.finish().await;
}

#[tokio::test]
async fn a_list_waits_for_no_command_and_no_command_for_it() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(json!({"channels": [
        {"key": "p", "type": "Telephony", "endpoint": "p", "name": "P", "status": {"ACTIVE": {}}}]}));
    let mut agent = host.log_in("1001").await;
    let (session, channel) = (agent.session.clone(), agent.the("channel"));
    puppet.when("list", Answer::never());
    let slow = agent.send("session.request.list", &session, json!({"kind": "destinations"})).await;
    let question = puppet.asked("list").await;
    let status = json!({"channels": [{"key": "p", "status": {"ACTIVE": {"availability": "READY"}}}]});
    puppet.when("ready", Answer::success().report(status));
    assert_eq!(agent.command("channel.request.ready", &channel, json!({})).await["result"], "success");
    puppet.when("not_ready", Answer::never());
    let waits = agent.send("channel.request.notready", &channel, json!({"reasoncode": "1"})).await;
    let not_ready = puppet.asked("not_ready").await;
    puppet.when("list", Answer::data(json!({"entries": []})));
    list(&mut agent, json!({"kind": "queues"})).await;
    puppet.answer(&question, Answer::data(json!({"entries": []}))).await;
    puppet.answer(&not_ready, Answer::failure("rejected", "no")).await;
    assert_eq!(agent.response(slow).await["result"], "success");
    assert_eq!(agent.response(waits).await["failure"]["code"], "rejected");
}
