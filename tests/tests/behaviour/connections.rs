//! WebSocket connections: subprotocols, close codes, clients that do not read (section 6).

use jackfield_tests::{
    agent::{Agent, Connect},
    host::{Host, Setup, Tenant},
    http::Kept,
    puppet::Answer,
    until,
    words::PAIR,
};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

fn offers(subprotocols: &str) -> Connect {
    Connect { token: None, subprotocols: Some(subprotocols.into()) }
}

#[tokio::test]
async fn only_our_subprotocol_is_ever_selected() {
    let host = Host::simulator().await;
    for (offered, expected) in [
        ("", Ok(None)),
        ("jackfield.v1", Ok(Some("jackfield.v1"))),
        ("other, jackfield.v1", Ok(Some("jackfield.v1"))),
        ("other", Err(400)),
        ("jackfield.v2, other", Err(400)),
    ] {
        match (Agent::connect_with(&host, "demo", offers(offered)).await, expected) {
            (Ok(mut agent), Ok(selected)) => {
                assert_eq!(agent.subprotocol.as_deref(), selected, "{offered}");
                agent.log_in(&format!("agent {}", offered.len())).await;
            }
            (Err(status), Err(expected)) => assert_eq!(status, expected, "{offered}"),
            (result, _) => panic!("{offered}: {:?}", result.map(|_| "connected")),
        }
    }
}

#[tokio::test]
async fn an_oversized_message_closes_with_1009() {
    let host = Setup::new().tenant(Tenant::simulator("demo").limits("message_bytes = 2048")).start().await;
    let mut agent = host.log_in("1001").await;
    let text = |length: usize| {
        let frame = json!({"command": "x", "pad": ""}).to_string();
        json!({"command": "x", "pad": "p".repeat(length - frame.len())}).to_string()
    };
    agent.send_text(&text(2048)).await;
    assert_eq!(agent.any_response().await["failure"]["code"], "unknown_command", "just small enough");
    agent.send_text(&text(2049)).await;
    assert_eq!(agent.is_closed().await.code, Some(1009));
    // Its session waits.
    let session = agent.session.clone();
    agent.reconnect().await;
    assert_eq!(agent.bind(&session, None).await["result"], "success");
}

#[tokio::test]
async fn a_large_message_in_small_fragments_closes_with_1009_too() {
    let host = Setup::new().tenant(Tenant::simulator("demo").limits("message_bytes = 2048")).start().await;
    let mut agent = host.log_in("1001").await;
    agent.send_fragments(&"x".repeat(4096), 512).await;
    assert_eq!(agent.is_closed().await.code, Some(1009));
}

/// A client's frame: opcode with or without the bit of the last fragment, a mask that changes nothing, the content.
fn frame(opcode: u8, content: &str) -> Vec<u8> {
    let mut frame = vec![opcode];
    match content.len() {
        short @ ..126 => frame.push(0x80 | short as u8),
        medium @ 126..=0xFFFF => frame.extend([[0x80 | 126].as_slice(), &(medium as u16).to_be_bytes()].concat()),
        long => frame.extend([[0x80 | 127].as_slice(), &(long as u64).to_be_bytes()].concat()),
    }
    frame.extend([0; 4]);
    frame.extend(content.as_bytes());
    frame
}

#[tokio::test]
async fn all_that_comes_in_one_piece_is_answered_without_anything_more() {
    const TEXT: u8 = 0x81;
    const FIRST: u8 = 0x01;
    const REST: u8 = 0x80;
    const PING: u8 = 0x89;
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let padded = |length: usize| {
        let bare = json!({"command": "x", "pad": ""}).to_string().len();
        json!({"command": "x", "pad": "p".repeat(length - bare)}).to_string()
    };
    let (short, medium, long) = (padded(40), padded(200), padded(65_536));
    let (begin, end) = medium.split_at(70);
    let messages: [(usize, Vec<Vec<u8>>); 7] = [
        (1, vec![frame(TEXT, &short)]),
        (3, vec![frame(TEXT, &short), frame(TEXT, &medium), frame(TEXT, &short)]),
        (2, vec![frame(TEXT, &short), frame(PING, "alive?"), frame(TEXT, &short)]),
        (2, vec![frame(TEXT, &long), frame(TEXT, &short)]),
        (2, vec![frame(FIRST, begin), frame(REST, end), frame(TEXT, &short)]),
        (2, vec![frame(FIRST, begin), frame(PING, ""), frame(REST, end), frame(TEXT, &short)]),
        (2, vec![frame(TEXT, &short), frame(TEXT, &short)]),
    ];
    for (answers, frames) in messages {
        agent.send_bytes(&frames.concat()).await;
        for _ in 0..answers {
            assert_eq!(agent.any_response().await["failure"]["code"], "unknown_command");
        }
    }
    // One in the next write's place: a whole message and the beginning of another.
    let (whole, cut) = (frame(TEXT, &short), frame(TEXT, &medium));
    agent.send_bytes(&[whole.as_slice(), &cut[..5]].concat()).await;
    assert_eq!(agent.any_response().await["failure"]["code"], "unknown_command");
    agent.send_bytes(&cut[5..]).await;
    assert_eq!(agent.any_response().await["failure"]["code"], "unknown_command");
}

#[tokio::test]
async fn the_default_limit_is_64_kib() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.send_text(&"x".repeat(65_536)).await;
    assert_eq!(agent.any_response().await["failure"]["code"], "bad_request");
    agent.send_text(&"x".repeat(65_537)).await;
    assert_eq!(agent.is_closed().await.code, Some(1009));
}

#[tokio::test]
async fn a_binary_message_closes_with_1003() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.send_raw(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(agent.is_closed().await.code, Some(1003));
}

#[tokio::test]
async fn text_that_is_not_utf8_closes_with_1007() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    // A masked text frame of two bytes that are no UTF-8, by hand: the client library would not send it.
    agent.send_bytes(&[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28]).await;
    assert_eq!(agent.is_closed().await.code, Some(1007));
}

#[tokio::test]
async fn an_unmasked_frame_closes_with_1002() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.send_bytes(&[0x81, 0x02, b'{', b'}']).await;
    assert_eq!(agent.is_closed().await.code, Some(1002));
}

#[tokio::test]
async fn a_connection_without_a_session_is_closed_with_4002() {
    let host = Host::simulator().await;
    let mut idle = host.connect().await;
    let mut busy = host.connect().await;
    busy.send_text("nonsense").await;
    let bound = host.log_in("1001").await;
    assert_eq!(idle.is_closed().await.code, Some(4002));
    busy.any_response().await;
    assert_eq!(busy.is_closed().await.code, Some(4002), "messages alone do not keep it");
    bound.finish().await;
}

/// A Close as a client may write it: anything behind the first two bytes is the reason.
fn close(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x88, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    frame.extend(payload);
    frame
}

#[tokio::test]
async fn a_close_of_the_client_is_answered_with_its_code() {
    let host = Host::simulator().await;
    // The last: a code that means that there was none, which is how the library reads an empty answer.
    for (payload, answer) in
        [(&[0x03, 0xE8][..], 1000), (&[0x03, 0xE9, b'b', b'y', b'e'], 1001), (&[0x10, 0xE1], 4321), (&[], 1005)]
    {
        let mut agent = host.log_in("1001").await;
        agent.send_bytes(&close(payload)).await;
        assert_eq!(agent.is_closed().await.code, Some(answer), "{payload:?}");
        // Its session waits.
        let session = agent.session.clone();
        agent.reconnect().await;
        assert_eq!(agent.bind(&session, None).await["result"], "success");
        agent.hears_until("session.initialized").await;
        let gone = agent.command("session.request.logout", &session, json!({})).await;
        assert_eq!(gone["result"], "success", "{gone}");
    }
}

#[tokio::test]
async fn a_close_that_no_client_may_send_is_answered_with_1002() {
    let host = Host::simulator().await;
    let codes = [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535];
    let payloads = codes.map(|code| code.to_be_bytes().to_vec());
    for payload in payloads.into_iter().chain([vec![3]]) {
        let mut agent = host.connect().await;
        agent.send_bytes(&close(&payload)).await;
        assert_eq!(agent.is_closed().await.code, Some(1002), "{payload:?}");
    }
    let mut agent = host.connect().await;
    agent.send_bytes(&close(&[0x03, 0xE8, 0xC3, 0x28])).await;
    assert_eq!(agent.is_closed().await.code, Some(1007), "the reason is text");
}

#[tokio::test]
async fn what_comes_before_a_close_is_answered_first() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    let text = frame(0x81, r#"{"command": "x"}"#);
    agent.send_bytes(&[text.clone(), text, close(&[0x03, 0xE8])].concat()).await;
    for _ in 0..2 {
        assert_eq!(agent.any_response().await["failure"]["code"], "unknown_command");
    }
    assert_eq!(agent.is_closed().await.code, Some(1000));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_with_4008_and_its_session_waits() {
    let (host, puppet) = Host::puppet().await;
    puppet.starts_with(json!({"channels": [{"key": "p", "type": "Chat", "endpoint": "c", "name": "C",
        "status": {"ACTIVE": {}}, "interactions": [{"key": "i", "direction": "inbound", "state": "STARTED"}]}]}));
    let mut slow = host.log_in("1001").await;
    let mut other = host.connect().await;
    let session = slow.session.clone();
    // Large events until socket and queue are full; nobody else is held up meanwhile.
    let pad = "p".repeat(16_000);
    let mut number = 0;
    let closed = "jackfield_connections_closed_total{reason=\"slow\"}";
    while host.metric(closed).await == 0.0 {
        for _ in 0..50 {
            number += 1;
            let data = json!({"channels": [{"key": "p", "interactions": [{"key": "i", "data": {"pad": format!("{number}{pad}")}}]}]});
            puppet.report("1001", data).await;
        }
        assert!(number < 20_000, "the queue has a bound");
    }
    other.log_in("1002").await;
    // What was on its way arrives, then the close.
    assert_eq!(slow.is_closed().await.code, Some(4008));
    slow.reconnect().await;
    slow.forget_heard();
    let response = slow.bind(&session, None).await;
    assert_eq!(response["result"], "success", "{response}");
    slow.hears_until("session.initialized").await;
    slow.finish().await;
    other.finish().await;
}

#[tokio::test]
async fn too_many_unanswered_commands_are_rate_limited() {
    let puppet = jackfield_tests::puppet::Puppet::start().await;
    let tenant = Tenant::puppet("demo", &puppet).limits("commands_in_flight = 3");
    let host = Setup::new().tenant(tenant).start().await;
    puppet.starts_with(json!({"channels": [{"key": "a", "type": "Telephony", "endpoint": "a", "name": "A"}]}));
    let mut agent = host.log_in("1001").await;
    let channel = agent.the("channel");
    puppet.when("activate", Answer::never());
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(agent.send("channel.request.activate", &channel, json!({})).await);
    }
    let asked = puppet.asked("activate").await;
    agent.fails_quickly("channel.request.activate", &channel, json!({}), "rate_limited").await;
    // The envelope is looked at first, the name later.
    agent.fails_quickly("channel.request.nothing", &channel, json!({}), "rate_limited").await;
    agent.send_text("{").await;
    assert_eq!(agent.any_response().await["failure"]["code"], "bad_request");
    let active = json!({"channels": [{"key": "a", "status": {"ACTIVE": {}}}]});
    puppet.answer(&asked, Answer::success().report(active)).await;
    assert_eq!(agent.response(waiting[0]).await["result"], "success");
    for request in &waiting[1..] {
        assert_eq!(agent.response(*request).await["failure"]["code"], "invalid_state");
    }
    agent.hears(PAIR).await;
    agent.finish().await;
}

#[tokio::test]
async fn connections_over_a_tenants_quota_are_refused() {
    let host = Setup::new().tenant(Tenant::simulator("demo").limits("connections = 1")).start().await;
    let first = host.connect().await;
    assert_eq!(Agent::connect_with(&host, "demo", Connect::default()).await.err(), Some(503));
    first.cut();
    let free = || async { (host.metric("jackfield_connections{tenant=\"demo\"}").await == 0.0).then_some(()) };
    until("the first is gone", free).await;
    host.log_in("1001").await;
}

#[tokio::test]
async fn what_is_no_handshake_is_refused_and_hurts_nobody() {
    let host = Host::simulator().await;
    let agent = host.log_in("1001").await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"GET /v1/tenants/demo/ws HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v1/tenants/demo/ws HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"POST /v1/tenants/demo/ws HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n",
    ] {
        let mut socket = tokio::net::TcpStream::connect(&host.address).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut answer);
        // An answer or just the end; a request that is complete may keep its connection.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), read).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    }
    agent.finish().await;
}

#[tokio::test]
async fn a_request_that_a_proxy_may_read_otherwise_is_refused() {
    let host = Host::simulator().await;
    let post = "POST /v1/tenants/demo/sessions HTTP/1.1\r\nhost: x\r\n";
    let shake = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n";
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (request, status) in [
        (format!("{post}host: y\r\ncontent-length: 2\r\n\r\n{{}}"), 400),
        ("POST /v1/tenants/demo/sessions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}".to_owned(), 400),
        (format!("{post}transfer-encoding: identity, chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"), 400),
        (format!("{post}transfer-encoding: gzip, chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"), 400),
        (format!("GET /v1/tenants/demo/ws HTTP/1.0\r\nhost: x\r\n{shake}{key}\r\n"), 426),
        (
            format!(
                "GET /v1/tenants/demo/ws HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{shake}sec-websocket-key: \
                 not//base64//at/all!!==\r\n\r\n"
            ),
            400,
        ),
    ] {
        let answer = jackfield_tests::http::raw(&host.address, request.as_bytes()).await;
        let (head, rest) = answer.split_once("\r\n").unwrap();
        assert!(head.contains(&format!(" {status} ")), "{request}: {answer}");
        assert!(!rest.contains("HTTP/1."), "what follows is not read as another request: {answer}");
    }
}

#[tokio::test]
async fn whoever_is_not_let_in_leaves_a_line_in_the_log_and_a_flood_of_them_not_many() {
    let tenant = Tenant::simulator("demo")
        .tokens(&[("desk", "right-token")])
        .settings("agents = [{ id = \"1001\", password = \"right\" }]");
    let host = Setup::new().listener("origins = [\"https://desk.example\"]").tenant(tenant).start().await;
    let how = |token: &str| Connect { token: Some(token.into()), subprotocols: None };
    for _ in 0..100 {
        let refused = Agent::connect_with(&host, "demo", how("wrong-token")).await.err();
        assert!(matches!(refused, Some(401 | 429)), "{refused:?}");
    }
    host.logs("a request was refused").await;
    let lines = host.log_lines("a request was refused");
    assert!((1..=30).contains(&lines.len()), "{} lines", lines.len());
    let line = &lines[0];
    assert_eq!(line["client"], "127.0.0.1", "{line}");
    assert!(line["tenant"].as_str().unwrap().contains("demo"), "{line}");
    assert!(!host.log().contains("wrong-token"), "a token is not written");

    let page = hyper::Request::get("/v1/tenants/demo/ws").header("host", &host.address);
    let page = page.header("origin", "https://evil.example").body(http_body_util::Full::default()).unwrap();
    assert_eq!(jackfield_tests::http::status(&host.address, page).await, 403);
    host.logs("a page was refused").await;
    let lines = host.log_lines("a page was refused");
    assert!(lines[0]["origin"].as_str().unwrap().contains("https://evil.example"), "{lines:?}");

    // As soon as he may try again.
    let mut agent = until("there is an end of waiting", || async {
        Agent::connect_with(&host, "demo", how("right-token")).await.ok()
    })
    .await;
    for at in 0..100 {
        let refused = agent.prepare_with(&format!("agent {at}"), "wrong-password", false).await;
        assert_eq!(refused["failure"]["code"], "unauthorized");
    }
    host.logs("a log-in was refused").await;
    let lines = host.log_lines("a log-in was refused");
    assert!((1..=30).contains(&lines.len()), "{} lines", lines.len());
    assert_eq!(lines[0]["tenant"], "demo");
    assert!(!host.log().contains("wrong-password"), "a password is not written");
}

#[tokio::test]
async fn operators_can_look_while_desktops_have_all_the_descriptors_that_they_may_have() {
    let host = Setup::new().descriptors(256).tenant(Tenant::simulator("demo")).start().await;
    let mut desktops = Vec::new();
    let refused = "jackfield_connections_refused_total{reason=\"total\"}";
    while host.metric(refused).await == 0.0 {
        assert!(desktops.len() < 250, "some are kept for others");
        desktops.extend(Agent::connect_with(&host, "demo", Connect::default()).await);
    }
    assert!(desktops.len() > 100, "more than a hundred fit");
    drop(desktops);
    until("there is room again", || async { Agent::connect_with(&host, "demo", Connect::default()).await.ok() }).await;
}

#[tokio::test]
async fn whoever_says_nothing_takes_no_room_from_those_who_do() {
    let host = Setup::new().listener("max_connections = 64").tenant(Tenant::simulator("demo")).start().await;
    // Those that are let in do not count as strangers, however many one address has.
    let mut desktops = Vec::new();
    for agent in 0..24 {
        desktops.push(host.log_in(&format!("agent {agent}")).await);
    }
    let mut silent = Vec::new();
    let refused = "jackfield_connections_refused_total{reason=\"unauthenticated\"}";
    while host.metric(refused).await == 0.0 {
        assert!(silent.len() < 64, "strangers of one address have a bound of their own");
        silent.push(tokio::net::TcpStream::connect(&host.address).await.unwrap());
    }
    // From another address there is room as before.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = socket.connect(host.address.parse().unwrap()).await.unwrap();
    let url = format!("ws://{}/v1/tenants/demo/ws", host.address);
    let (_, response) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    assert_eq!(response.status(), 101);
    for mut desktop in desktops {
        desktop.send_text("{").await;
        assert_eq!(desktop.any_response().await["failure"]["code"], "bad_request");
    }
    drop(silent);
    until("there is room again", || async { Agent::connect_with(&host, "demo", Connect::default()).await.ok() }).await;
}

#[tokio::test]
async fn a_connection_of_someone_who_was_not_let_in_is_not_kept() {
    let tenant = Tenant::simulator("demo").tokens(&[("desk", "right-token")]);
    let host = Setup::new().tenant(tenant).start().await;
    for path in ["/v1/tenants/demo/sessions", "/nothing"] {
        let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
        let answer = jackfield_tests::http::raw(&host.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{answer}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_kept_out() {
    let host =
        Setup::new().listener("origins = [\"https://desk.example\"]").tenant(Tenant::simulator("demo")).start().await;
    for (origin, status) in [("https://desk.example", 101), ("https://evil.example", 403)] {
        let request = hyper::Request::get("/v1/tenants/demo/ws")
            .header("host", &host.address)
            .header("origin", origin)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(http_body_util::Full::default())
            .unwrap();
        let reply = jackfield_tests::http::status(&host.address, request).await;
        assert_eq!(reply, status, "{origin}");
    }
}

#[tokio::test]
async fn a_ping_is_answered() {
    let host = Host::simulator().await;
    let mut agent = host.log_in("1001").await;
    agent.send_raw(Message::Ping(vec![7].into())).await;
    agent.pong().await;
    agent.finish().await;
}

#[tokio::test]
async fn a_connection_that_is_kept_for_requests_takes_room_of_the_tenant_whose_request_came_last() {
    let host = Setup::new()
        .tenant(Tenant::simulator("acme").limits("connections = 2"))
        .tenant(Tenant::simulator("demo"))
        .start()
        .await;
    let held = async |tenant: &str| host.metric(&format!("jackfield_connections{{tenant=\"{tenant}\"}}")).await;
    let (mut one, mut two) = (Kept::open(&host.address).await, Kept::open(&host.address).await);
    for _ in 0..3 {
        assert_eq!((one.ask("acme").await.status, two.ask("acme").await.status), (200, 200));
    }
    let mut three = Kept::open(&host.address).await;
    let refused = three.ask("acme").await;
    assert_eq!((refused.status, &refused.json()["failure"]["code"]), (503, &json!("quota_exceeded")));
    assert_eq!(refused.headers["retry-after"], "1");
    three.is_closed().await;
    assert_eq!((held("acme").await, held("demo").await), (2.0, 0.0));
    // A proxy carries the requests of all tenants on the connections that it has.
    assert_eq!(two.ask("demo").await.status, 200);
    assert_eq!((held("acme").await, held("demo").await), (1.0, 1.0));
    let agent = Agent::connect(&host, "acme").await;
    assert_eq!(two.ask("acme").await.status, 503);
    drop((one, two, agent));
    let gone = || async { (held("acme").await == 0.0 && held("demo").await == 0.0).then_some(()) };
    until("their room is free", gone).await;
    let limited = host.metric("jackfield_limited_total{limit=\"connections\",tenant=\"acme\"}").await;
    assert!(limited >= 2.0, "{limited}");
}

#[tokio::test]
async fn websockets_and_event_streams_are_counted_as_clients_and_kept_requests_are_not() {
    let host = Host::simulator().await;
    let clients = async |expected: f64| {
        let counted =
            || async { (host.metric("jackfield_client_connections{tenant=\"demo\"}").await == expected).then_some(()) };
        until(&format!("{expected} clients are connected"), counted).await;
    };
    let mut kept = Kept::open(&host.address).await;
    kept.ask("demo").await;
    clients(0.0).await;
    assert_eq!(host.metric("jackfield_connections{tenant=\"demo\"}").await, 1.0);
    let desktop = host.connect().await;
    clients(1.0).await;
    let http = jackfield_tests::http::Http::new(&host, "demo");
    let prepared = http.prepare(json!({"agent": {"id": "1001", "password": "secret"}})).await.json();
    let stream = http.events(prepared["data"]["session"]["id"].as_str().unwrap(), None).await.unwrap();
    clients(2.0).await;
    drop(stream);
    clients(1.0).await;
    drop(desktop);
    clients(0.0).await;
}
