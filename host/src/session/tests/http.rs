//! The same by requests and an event stream.

use super::*;

async fn prepare(tenant: &Tenant, identity: &Identity) -> String {
    let answer =
        tenant.manager.prepare(identity.clone(), HERE, &Client::prepare_message("ann", false).to_string()).await;
    let answer: Value = serde_json::from_str(&answer.text).unwrap();
    answer["data"]["session"]["id"].as_str().unwrap().to_owned()
}

async fn command(tenant: &Tenant, session: &str, command: &str, target: &str, data: Value) -> Value {
    let message = json!({"command": command, "target": format!("{session}{target}"), "data": data});
    let answer = tenant.manager.command(&Identity::Anyone, session, &message.to_string()).await.unwrap();
    serde_json::from_str(&answer.text).unwrap()
}

async fn stream(tenant: &Tenant, session: &str, after: Option<u64>) -> (EventStream, Outlet) {
    let (outbox, outlet) = tenant.manager.outbox();
    (tenant.manager.stream(&Identity::Anyone, session, after, outbox).await.unwrap(), outlet)
}

async fn events(outlet: &mut Outlet) -> Vec<String> {
    settle().await;
    std::iter::from_fn(|| outlet.try_next())
        .map(|out| match out {
            OutboxItem::Message(message) => words(&serde_json::from_slice(&message.text).unwrap()),
            OutboxItem::Close(code, _) => format!("close {}", code.number()),
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_session_works_by_requests_and_a_stream() {
    let tenant = Tenant::new();
    let session = prepare(&tenant, &Identity::Anyone).await;
    // Opened before the start, the stream has all events from the first on.
    let (first, mut outlet) = stream(&tenant, &session, None).await;
    assert_eq!(&first.bound[..], br#"{"replay":"events","seq":0}"#);
    assert_eq!(command(&tenant, &session, "session.start", "", json!({})).await["result"], "success");
    assert_eq!(events(&mut outlet).await.last().unwrap(), "session.initialized");
    let answer = command(&tenant, &session, "nonsense", "", json!({})).await;
    assert_eq!(answer["failure"]["code"], "unknown_command");
    // A new stream takes over.
    let (second, mut newer) = stream(&tenant, &session, None).await;
    assert_eq!(&second.bound[..], br#"{"replay":"snapshot","seq":8}"#);
    assert_eq!(events(&mut outlet).await, ["close 4001"]);
    assert_eq!(events(&mut newer).await.last().unwrap(), "session.initialized");
    let (third, mut newest) = stream(&tenant, &session, Some(16)).await;
    assert_eq!(&third.bound[..], br#"{"replay":"events","seq":16}"#);
    assert_eq!(events(&mut newest).await, [""; 0]);
    let (outbox, _outlet) = tenant.manager.outbox();
    let refused = tenant.manager.stream(&Identity::Anyone, &session, Some(17), outbox.clone()).await;
    assert_eq!(refused.err(), Some(StreamRefused::BadAfter));
    let refused = tenant.manager.stream(&Identity::Anyone, "nonsense", None, outbox).await;
    assert_eq!(refused.err(), Some(StreamRefused::NotFound));
}

#[tokio::test(start_paused = true)]
async fn each_command_restarts_the_grace() {
    let tenant = Tenant::new();
    let session = prepare(&tenant, &Identity::Anyone).await;
    command(&tenant, &session, "session.start", "", json!({})).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        command(&tenant, &session, "nonsense", "", json!({})).await;
    }
    let line = tenant.adapter.line();
    assert!(line.is_idle().await);
    tokio::time::sleep(Duration::from_secs(61)).await;
    let (request, asked) = line.next().await.unwrap();
    assert_eq!(asked, Asked::LogOut(Ending::LogOut));
    line.answer(request, Outcome::success());
    assert!(tenant.list().await.is_empty());
    assert!(tenant.manager.command(&Identity::Anyone, &session, "{}").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_unparsable_body_is_told_from_a_bad_message() {
    let tenant = Tenant::new();
    let named = Identity::Holder("crm".into());
    let session = prepare(&tenant, &named).await;
    let (unparsable, carried) = (HttpOutcome::Unparsable, HttpOutcome::Carried);
    for (body, outcome) in [("nonsense", unparsable), ("[]", unparsable), (r#"{"command":5}"#, carried)] {
        let answer = tenant.manager.command(&named, &session, body).await.unwrap();
        assert_eq!(answer.outcome, outcome, "{body}");
    }
    assert!(tenant.manager.command(&Identity::Anyone, &session, "{}").await.is_none());
    for name in ["prepareSession", "bindSession"] {
        let data = json!({"agent": {"id": "a", "password": "b"}, "session": {"id": "x"}});
        let message = json!({"command": name, "data": data}).to_string();
        let answer = tenant.manager.command(&named, &session, &message).await.unwrap();
        let answer: Value = serde_json::from_str(&answer.text).unwrap();
        assert_eq!(words(&answer), format!("invalid_state {name}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_is_undone_when_it_prepares_and_carried_out_when_it_commands() {
    let tenant = Tenant::new();
    *tenant.adapter.slow.lock().unwrap() = Duration::from_secs(1);
    let message = Client::prepare_message("ann", false).to_string();
    let given_up =
        tokio::time::timeout(Duration::from_millis(500), tenant.manager.prepare(Identity::Anyone, HERE, &message));
    assert!(given_up.await.is_err());
    assert!(tenant.list().await.is_empty());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(tenant.list().await.is_empty() && tenant.adapter.line().is_gone().await);

    let session = prepare(&tenant, &Identity::Anyone).await;
    command(&tenant, &session, "session.start", "", json!({})).await;
    let (_stream, mut outlet) = stream(&tenant, &session, None).await;
    events(&mut outlet).await;
    let notready = command(&tenant, &session, "channel.request.notready", ".c1", json!({"reasoncode": "a"}));
    assert!(tokio::time::timeout(Duration::from_secs(1), notready).await.is_err());
    let line = tenant.adapter.line();
    let (request, _) = line.next_command().await;
    line.report(ready(false));
    line.answer(request, Outcome::success());
    assert_eq!(events(&mut outlet).await, ["channel.infochanged", "state.updated"]);
}

#[tokio::test(start_paused = true)]
async fn a_password_that_nobody_waited_for_counts_for_what_the_platform_says_of_it() {
    let tenant = Tenant::new();
    *tenant.adapter.slow.lock().unwrap() = Duration::from_millis(100);
    let message = Client::prepare_message("ann", false).to_string();
    let give_up = async || {
        let prepared = tenant.manager.prepare(Identity::Anyone, HERE, &message);
        assert!(tokio::time::timeout(Duration::from_millis(50), prepared).await.is_err());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    // A page that is loaded again and again while its log-in takes its time.
    for _ in 0..10 {
        give_up().await;
    }
    prepare(&tenant, &Identity::Anyone).await;
    tenant.adapter.refuse(Code::Unauthorized);
    for _ in 0..5 {
        give_up().await;
    }
    let answer = tenant.manager.prepare(Identity::Anyone, HERE, &message).await;
    assert!(answer.text.contains("rate_limited"), "{}", answer.text);
}

#[tokio::test(start_paused = true)]
async fn an_agent_who_sends_too_much_is_refused_and_its_colleagues_are_not() {
    let connection_commands = Rate { per_second: 5, burst: 5 };
    let tenant = Tenant::with(SessionLimits { connection_commands, ..SessionLimits::default() });
    let session = prepare(&tenant, &Identity::Anyone).await;
    let ask = async || {
        let message = json!({"command": "nonsense", "target": session}).to_string();
        tenant.manager.command(&Identity::Anyone, &session, &message).await.unwrap().outcome
    };
    let mut outcomes = Vec::new();
    for _ in 0..7 {
        outcomes.push(ask().await);
    }
    assert_eq!(outcomes[4..], [HttpOutcome::Carried, HttpOutcome::RateLimited, HttpOutcome::RateLimited]);
    let (mut colleague, _) = tenant.at_work_as("bob").await;
    colleague.send("nonsense", "", json!({}));
    assert_eq!(words(&colleague.wait().await), "unknown_command nonsense");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ask().await, HttpOutcome::Carried);
    while ask().await == HttpOutcome::Carried {}
    let logout = json!({"command": "session.request.logout", "target": session}).to_string();
    let ended = tenant.manager.command(&Identity::Anyone, &session, &logout).await.unwrap();
    assert_eq!(ended.outcome, HttpOutcome::Carried, "what ends something is refused last");
}
