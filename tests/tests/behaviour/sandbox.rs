//! What a worker process may use: what its plugin finds around it.

use jackfield_tests::{
    agent::Agent,
    host::{Host, Setup, TempFolder, Tenant},
    skipped,
};
use serde_json::{Value, json};

/// A host with a confined worker, and what the plugin in it sees.
async fn look(worker: &str, data: Value) -> (Host, Value) {
    let tenant = Tenant::new("acme", "odd").isolation("tenant").worker(worker);
    let host = Setup::new().tenant(tenant).start().await;
    let mut agent = Agent::connect(&host, "acme").await;
    agent.log_in("1001").await;
    let mut asked = json!({"what": "look"});
    asked.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
    let session = agent.session.clone();
    let response = agent.command("session.request.odd.do", &session, asked).await;
    assert_eq!(response["result"], "success", "{response}");
    (host, response["data"].clone())
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
