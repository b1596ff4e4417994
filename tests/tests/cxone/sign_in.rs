//! Signing in at CXone's own page, from a desktop's first message on.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::*;

/// The browser: Anna signs in at the address; gives what her desktop is sent back with.
async fn signs_in(address: &str) -> String {
    let (host, path) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request = format!("GET /{path}&user=anna HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    location.split_once('?').unwrap().1.to_owned()
}

#[tokio::test]
async fn a_desktop_is_told_where_the_agent_signs_in_and_logs_in_with_what_that_leads_to() {
    let emulator = Emulator::start("127.0.0.1:0".parse().unwrap(), data()).await.unwrap();
    let tenant = crate::tenant(&emulator.url()).settings("sign_in = { redirect_uri = \"https://desk.example/\" }");
    let host = host_of(tenant).await;
    let mut anna = Agent::connect(&host, "blue").await;
    let refused = anna.prepare_with("1001", "", false).await;
    assert_eq!(refused["failure"]["code"], "unauthorized", "{refused}");
    let query = signs_in(refused["failure"]["context"].as_str().unwrap()).await;
    let prepared = anna.prepare_with("1001", &query, false).await;
    assert_eq!(prepared["result"], "success", "{prepared}");
    anna.start(json!({})).await;
    let session = anna.the("session");
    let question = anna.command("session.request.incontact.signin", &session, json!({})).await;
    assert_eq!(question["result"], "needinfo", "{question}");
    assert_eq!(question["uiExtension"]["id"], "inContact.signin");
    let query = signs_in(question["uiExtension"]["url"].as_str().unwrap()).await;
    let code = query.split(['=', '&']).nth(1).unwrap();
    let answer = json!({"extensions": {"code": code, "state": question["uiExtension"]["state"]}});
    let done = anna.command("session.request.incontact.signin", &session, answer).await;
    assert_eq!(done["data"], json!({}), "{done}");
    anna.finish().await;
}
