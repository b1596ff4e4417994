//! What a worker process may use: what its plugin finds around it.

use std::{
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixListener},
    },
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use jackfield_tests::{
    agent::Agent,
    host::{Host, Setup, TempFolder, Tenant, hash_of},
    skipped, until,
};
use serde_json::{Value, json};

use crate::workers::is_running;

/// A host with a confined worker, and what the plugin in it sees.
async fn look(worker: &str, data: Value) -> (Host, Value) {
    let tenant = Tenant::new("acme", "odd").isolation("tenant").worker(worker);
    let host = Setup::new().tenant(tenant).start().await;
    let seen = ask(&host, "look", data).await;
    (host, seen)
}

/// What the plugin of the tenant `acme` answers.
async fn ask(host: &Host, what: &str, data: Value) -> Value {
    let mut agent = Agent::connect(host, "acme").await;
    // The last one's session still waits for its desktop.
    static NEXT: AtomicU32 = AtomicU32::new(1001);
    agent.log_in(&NEXT.fetch_add(1, Relaxed).to_string()).await;
    let mut asked = json!({"what": what});
    asked.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
    let session = agent.session.clone();
    let response = agent.command("session.request.odd.do", &session, asked).await;
    assert_eq!(response["result"], "success", "{response}");
    response["data"].clone()
}

/// The words behind the name of a line.
fn words<'a>(text: &'a Value, line: &str) -> Vec<&'a str> {
    let found = text.as_str().unwrap().lines().find_map(|it| it.strip_prefix(line));
    found.unwrap_or_else(|| panic!("no {line} in {text}")).split_whitespace().collect()
}

#[tokio::test]
async fn a_worker_has_no_environment_no_input_and_no_new_privileges() {
    let (_host, seen) = look("", json!({})).await;
    let environment = seen["environment"].as_array().unwrap();
    // The harness asks for backtraces; nothing else of the host's environment is handed on.
    assert_eq!(environment, &[json!("RUST_BACKTRACE")]);
    assert_eq!(seen["stdin"], "/dev/null");
    assert_eq!(words(&seen["status"], "NoNewPrivs:"), ["1"]);
    assert_eq!(words(&seen["limits"], "Max core file size")[..2], ["0", "0"]);
}

#[tokio::test]
async fn a_worker_has_the_limits_of_its_tenants_file() {
    let (_host, seen) = look("files = 300\nmemory = \"300MiB\"\nnice = 5", json!({})).await;
    assert_eq!(words(&seen["limits"], "Max open files")[..2], ["300", "300"]);
    let twice = (600_u64 << 20).to_string();
    assert_eq!(words(&seen["limits"], "Max data size")[..2], [&*twice, &*twice], "the kernel's own is twice the limit");
    // The 19th field, counted from the first behind the name in brackets, which is the third.
    let (_, fields) = seen["stat"].as_str().unwrap().rsplit_once(')').unwrap();
    assert_eq!(fields.split_whitespace().nth(16), Some("5"), "nice");
}

#[tokio::test]
async fn a_worker_reads_and_writes_only_what_it_may() {
    let folder = TempFolder::new();
    let file = |name: &str| folder.0.join(name).to_str().unwrap().to_owned();
    std::fs::write(file("secret"), "another tenant's").unwrap();
    let asked = json!({"read": file("secret"), "write": file("new")});
    let (host, seen) = look("", asked.clone()).await;
    if host.log().contains("landlock") {
        return skipped("this kernel does not offer landlock");
    }
    assert_eq!((&seen["reads"], &seen["writes"]), (&json!(false), &json!(false)));
    let path = folder.0.display();
    let (_host, seen) = look(&format!("read = [\"{path}\"]"), asked.clone()).await;
    assert_eq!((&seen["reads"], &seen["writes"]), (&json!(true), &json!(false)));
    let (_host, seen) = look(&format!("write = [\"{path}\"]"), asked).await;
    assert_eq!((&seen["reads"], &seen["writes"]), (&json!(true), &json!(true)));
}

/// Two tenants of the odd adapter, each in a worker, and an abstract socket that belongs to neither.
async fn neighbours(operations: &str, operator: &str) -> (Host, UnixListener, String) {
    let tenant = |name| Tenant::new(name, "odd").isolation("tenant");
    let setup = Setup::new().operations(operations).as_operator(operator);
    let host = setup.tenant(tenant("acme")).tenant(tenant("other")).start().await;
    let name = format!("jackfield-test-{}", host.pid());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    (host, UnixListener::bind_addr(&address).unwrap(), name)
}

fn port(address: &str) -> u16 {
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn a_worker_reaches_neither_host_nor_neighbour_nor_the_operators_listener() {
    let (host, _socket, name) = neighbours("", "").await;
    let other = host.worker("other").await;
    if host.log().contains("not confined") {
        return skipped("this kernel does not offer all of it");
    }
    for pid in [u64::from(host.pid()), other] {
        let reached = ask(&host, "reach", json!({"pid": pid, "port": port(&host.operations), "name": name})).await;
        for (what, reached) in reached.as_object().unwrap() {
            assert_eq!(reached, &json!(false), "a plugin {what}");
        }
    }
    // Its platform may listen on any other port.
    let reached = ask(&host, "reach", json!({"port": port(&host.address)})).await;
    assert_eq!(reached["connects"], true, "{reached}");
    assert_eq!(host.worker("other").await, other);
}

#[tokio::test]
async fn a_worker_that_reaches_an_operators_listener_with_tokens_has_none() {
    let tokens = format!("tokens = [{{ name = \"ops\", hash = \"{}\", may = \"act\" }}]", hash_of("ops-token"));
    let (host, _socket, name) = neighbours(&tokens, "ops-token").await;
    let asked = json!({"pid": host.pid(), "port": port(&host.operations), "name": name});
    let reached = ask(&host, "reach", asked).await;
    if host.log().contains("not confined") {
        return skipped("this kernel does not offer all of it");
    }
    assert_eq!((&reached["connects"], &reached["signals"]), (&json!(true), &json!(false)));
}

#[tokio::test]
async fn what_a_worker_has_started_ends_with_it() {
    let (host, _seen) = look("", json!({})).await;
    let child = ask(&host, "spawn", json!({})).await["pid"].as_u64().unwrap();
    assert!(is_running(child));
    host.kill_worker("acme").await;
    until("its child is gone, too", async || (!is_running(child)).then_some(())).await;
}
