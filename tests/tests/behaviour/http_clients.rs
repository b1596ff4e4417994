//! Clients without a WebSocket: POST for commands, an event stream for events (section 6).

use jackfield_tests::{
    agent::members,
    host::{Host, Setup, Tenant},
    http::Http,
    patience, until,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn login(agent: &str) -> Value {
    json!({"agent": {"id": agent, "password": "secret"}})
}

async fn prepared(http: &Http, agent: &str) -> String {
    let reply = http.prepare(login(agent)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let response = reply.json();
    assert_eq!(response["result"], "success", "{response}");
    response["data"]["session"]["id"].as_str().unwrap().to_owned()
}

async fn started(http: &Http, agent: &str) -> String {
    let session = prepared(http, agent).await;
    let response = http.command(&session, json!({"command": "session.start", "target": session})).await;
    assert_eq!(response["result"], "success", "{response}");
    session
}

#[tokio::test]
async fn a_whole_session_over_http() {
    let host = Host::simulator().await;
    let http = Http::new(&host, "demo");
    let session = prepared(&http, "1001").await;
    // Before session.start: all events from 1.
    let mut stream = http.events(&session, None).await.unwrap();
    let bind = stream.next().await.unwrap();
    assert_eq!((bind.event.as_str(), bind.id.clone()), ("bind", None));
    assert_eq!(bind.data, json!({"replay": "events", "seq": 0}));
    let start = json!({"command": "session.start", "target": session, "data": {}, "requestId": "r"});
    let response = http.command(&session, start).await;
    assert_eq!(response["result"], "success", "{response}");
    assert_eq!(response["requestId"], "r");
    let entries = stream.until("session.initialized").await;
    assert_eq!(entries[0].id.as_deref(), Some("1"));
    let data = json!({"channel": {"endpoint": "2001", "type": "Telephony"}});
    let add = json!({"command": "session.request.addchannel", "target": session, "data": data});
    let response = http.command(&session, add).await;
    assert_eq!(members(&response), ["command", "data", "result", "target"]);
    let entries = stream.until("channel.initialized").await;
    let names: Vec<&str> = entries.iter().map(|entry| entry.data["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["channel.created", "state.updated", "channel.initialized"]);
    for entry in &entries {
        assert_eq!(entry.id.as_deref(), Some(entry.data["seq"].to_string().as_str()), "id is seq");
        assert_eq!(entry.data["messageType"], "objectEvent");
        assert_eq!(entry.event, "");
    }
}

#[tokio::test]
async fn last_event_id_is_after() {
    let host = Host::simulator().await;
    let http = Http::new(&host, "demo");
    let session = started(&http, "1001").await;
    let mut stream = http.events(&session, None).await.unwrap();
    let bind = stream.next().await.unwrap();
    assert_eq!(bind.data["replay"], "snapshot", "after session.start, without Last-Event-ID");
    let last = stream.until("session.initialized").await.pop().unwrap().id.unwrap();
    for endpoint in ["2001", "2002"] {
        let data = json!({"channel": {"endpoint": endpoint, "type": "Telephony"}});
        let add = json!({"command": "session.request.addchannel", "target": session, "data": data});
        assert_eq!(http.command(&session, add).await["result"], "success");
    }
    // A new stream takes over, the old one ends.
    let mut second = http.events(&session, Some(&last)).await.unwrap();
    let bind = second.next().await.unwrap();
    assert_eq!(bind.data, json!({"replay": "events", "seq": last.parse::<u64>().unwrap()}));
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(second.next().await.unwrap().id.unwrap().parse::<u64>().unwrap());
    }
    let first = last.parse::<u64>().unwrap() + 1;
    assert_eq!(seen, (first..first + 6).collect::<Vec<_>>(), "nothing lost, nothing twice");
    let mut closed = None;
    while let Some(entry) = stream.next().await {
        assert!(closed.is_none(), "nothing follows the end");
        if entry.event == "closed" {
            assert_eq!(entry.id, None, "it is no event of the session");
            closed = Some(entry.data["code"].clone());
        } else {
            assert!(entry.data["seq"].as_u64().is_some());
        }
    }
    assert_eq!(closed, Some(json!(4001)), "a page must know that it should not connect again");
}

#[tokio::test]
async fn an_empty_last_event_id_is_as_if_there_was_none() {
    let host = Host::simulator().await;
    let http = Http::new(&host, "demo");
    let session = started(&http, "1001").await;
    let mut stream = http.events(&session, Some("")).await.unwrap();
    assert_eq!(stream.next().await.unwrap().data["replay"], "snapshot");
}

#[tokio::test]
async fn a_stream_says_that_the_host_shuts_down() {
    let host = Host::simulator().await;
    let http = Http::new(&host, "demo");
    let session = started(&http, "1001").await;
    let mut stream = http.events(&session, None).await.unwrap();
    stream.until("session.initialized").await;
    host.terminate();
    stream.until("session.disposed").await;
    let closed = stream.next().await.unwrap();
    assert_eq!((closed.event.as_str(), &closed.data["code"]), ("closed", &json!(1001)));
    assert!(!closed.data["reason"].as_str().unwrap().is_empty());
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_connection_is_kept_between_requests_for_longer_than_a_head_may_take() {
    let listener = "header_timeout = \"2s\"\nidle_timeout = \"40s\"";
    let host = Setup::new().listener(listener).tenant(Tenant::simulator("demo")).start().await;
    let request =
        format!("POST /v1/tenants/demo/sessions HTTP/1.1\r\nhost: {}\r\ncontent-length: 1\r\n\r\n{{", host.address);
    let mut kept = tokio::net::TcpStream::connect(&host.address).await.unwrap();
    let ask = async |socket: &mut tokio::net::TcpStream| {
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 400");
        while !answer.ends_with(b"}}") {
            answer.push(socket.read_u8().await.unwrap());
        }
    };
    ask(&mut kept).await;
    // These came later, and their heads do not come in time.
    for late in ["", "GET /v1/tenants/demo/ws HTTP/1.1\r\nhost: x\r\n"] {
        jackfield_tests::http::raw(&host.address, late.as_bytes()).await;
    }
    let mut late = tokio::net::TcpStream::connect(&host.address).await.unwrap();
    ask(&mut late).await;
    late.write_all(b"GET /v1/t").await.unwrap();
    let end = patience("a second head that does not come in time", late.read_to_end(&mut Vec::new())).await;
    assert!(matches!(end, Ok(0)), "{end:?}");
    ask(&mut kept).await;
}

#[tokio::test]
async fn a_connection_that_is_kept_and_not_used_is_closed() {
    let host = Setup::new().listener("idle_timeout = \"300ms\"").tenant(Tenant::simulator("demo")).start().await;
    let request = format!("GET /nothing HTTP/1.1\r\nhost: {}\r\n\r\n", host.address);
    let answer = jackfield_tests::http::raw(&host.address, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    // A stream is not idle, however long nothing happens.
    let http = Http::new(&host, "demo");
    let session = started(&http, "1001").await;
    let mut stream = http.events(&session, None).await.unwrap();
    stream.until("session.initialized").await;
    jackfield_tests::http::raw(&host.address, request.as_bytes()).await;
    let add = json!({"command": "session.request.addchannel", "target": session,
        "data": {"channel": {"endpoint": "2001", "type": "Telephony"}}});
    assert_eq!(http.command(&session, add).await["result"], "success");
    stream.until("channel.initialized").await;
}

#[tokio::test]
async fn an_impossible_last_event_id_is_a_failure() {
    let host = Host::simulator().await;
    let http = Http::new(&host, "demo");
    let session = started(&http, "1001").await;
    for id in ["999", "-1", "x"] {
        let status = http.events(&session, Some(id)).await.err();
        assert_eq!(status, Some(400), "{id}");
    }
}

#[tokio::test]
async fn failures_are_those_of_the_messages_and_statuses_those_of_http() {
    let host = Setup::new().tenant(Tenant::simulator("demo").limits("message_bytes = 2048")).start().await;
    let http = Http::new(&host, "demo");
    let session = started(&http, "1001").await;
    let path = format!("/sessions/{session}/commands");
    let response = http.command(&session, json!({"command": "session.request.nothing", "target": session})).await;
    assert_eq!(response["failure"]["code"], "unknown_command", "200, with the failure in the message");
    let reply = http.post(&path, "{").await;
    assert_eq!((reply.status, reply.json()["failure"]["code"].clone()), (400, json!("bad_request")));
    let reply = http.post("/sessions/nothing/commands", "{}").await;
    assert_eq!(reply.status, 404);
    assert_eq!(http.events("nothing", None).await.err(), Some(404));
    let reply = http.post(&path, "x".repeat(4096)).await;
    assert_eq!(reply.status, 413);
    let reply = http.post("/sessions", "{").await;
    assert_eq!(reply.status, 400);
    let reply = http.post("/nothing", "{}").await;
    assert_eq!(reply.status, 404);
    let reply = http.prepare(json!({"agent": {"id": "1001", "password": "secret-word"}})).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["result"], "confirm");
    assert!(!String::from_utf8_lossy(&reply.body).contains("secret-word"));
}

#[tokio::test]
async fn websocket_and_http_clients_share_a_session() {
    let host = Host::simulator().await;
    let http = Http::new(&host, "demo");
    let session = started(&http, "1001").await;
    let mut stream = http.events(&session, None).await.unwrap();
    stream.until("session.initialized").await;
    let mut desktop = host.connect().await;
    assert_eq!(desktop.bind(&session, None).await["result"], "success");
    desktop.hears_until("session.initialized").await;
    while stream.next().await.is_some() {}
    let add = json!({"command": "session.request.addchannel", "target": session,
        "data": {"channel": {"endpoint": "2001", "type": "Telephony"}}});
    assert_eq!(http.command(&session, add).await["result"], "success");
    desktop.hears(jackfield_tests::words::NEW_CHANNEL).await;
    desktop.finish().await;
}

#[tokio::test]
async fn logout_over_http_ends_the_session_and_its_stream() {
    let host = Host::simulator().await;
    let http = Http::new(&host, "demo");
    let session = started(&http, "1001").await;
    let mut stream = http.events(&session, None).await.unwrap();
    stream.until("session.initialized").await;
    let logout = json!({"command": "session.request.logout", "target": session});
    let response = http.command(&session, logout.clone()).await;
    assert_eq!(response["result"], "success");
    let reply = http.post(&format!("/sessions/{session}/commands"), logout.to_string()).await;
    assert_eq!(reply.status, 404);
    let closed = stream.next().await.unwrap();
    assert_eq!((closed.event.as_str(), &closed.data["code"]), ("closed", &json!(1000)));
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_session_lives_while_a_stream_is_open_or_commands_come() {
    let tenant = Tenant::simulator("demo").limits("resume_grace = \"4s\"");
    let host = Setup::new().tenant(tenant).start().await;
    let http = Http::new(&host, "demo");
    let with_stream = started(&http, "1001").await;
    let mut stream = http.events(&with_stream, None).await.unwrap();
    stream.until("session.initialized").await;
    let with_commands = started(&http, "1002").await;
    let alone = started(&http, "1003").await;
    // The one that is left alone ends; the other two have lived longer than their grace by then.
    let ended = || async {
        for session in [&with_stream, &with_commands] {
            let link = json!({"command": "session.request.simulator.link", "target": session, "data": {"up": true}});
            if session == &with_commands {
                assert_eq!(http.command(session, link).await["result"], "success");
            }
        }
        (host.metric("jackfield_sessions{tenant=\"demo\"}").await == 2.0).then_some(())
    };
    until("the session that nobody uses has ended", ended).await;
    let reply = http.post(&format!("/sessions/{alone}/commands"), "{}").await;
    assert_eq!(reply.status, 404);
    drop(stream);
    let ended = || async { (host.metric("jackfield_sessions{tenant=\"demo\"}").await == 0.0).then_some(()) };
    until("the others have ended too", ended).await;
}
