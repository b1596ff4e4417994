//! Under a service manager such as systemd: it is told what the host does, and keeps its sockets over a restart.

use std::os::unix::net::UnixDatagram;

use jackfield_tests::{
    host::{Setup, Sockets, TempFolder, Tenant},
    http::{self, Http},
    patience, until,
};
use serde_json::{Value, json};

/// The socket on which a service manager listens.
struct Manager {
    folder: TempFolder,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = TempFolder::new();
        let socket = UnixDatagram::bind(folder.0.join("notify")).expect("a socket can be made");
        socket.set_nonblocking(true).expect("it can be asked without waiting");
        Self { folder, socket }
    }

    fn address(&self) -> String {
        self.folder.0.join("notify").display().to_string()
    }

    /// The next message that holds this line; the ones before are read over.
    async fn is_told(&self, line: &str) -> String {
        let next = || async {
            let mut bytes = [0; 1024];
            while let Ok(length) = self.socket.recv(&mut bytes) {
                let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
                if message.lines().any(|told| told == line) {
                    return Some(message);
                }
            }
            None
        };
        until(&format!("the service manager is told {line}"), next).await
    }
}

#[tokio::test]
async fn the_service_manager_is_told_what_the_host_does() {
    let manager = Manager::new();
    let setup = Setup::new().tenant(Tenant::simulator("demo")).in_its_own_group();
    let setup = setup.main("[shutdown]\ndrain = \"1s\"\ndeadline = \"7s\"");
    let setup = setup.environment("NOTIFY_SOCKET", &manager.address()).environment("WATCHDOG_USEC", "300000");
    let mut host = setup.start().await;
    let ready = manager.is_told("READY=1").await;
    assert!(ready.contains("STATUS=serving; tenants: 1"), "{ready}");
    for _ in 0..2 {
        manager.is_told("WATCHDOG=1").await;
    }
    host.signal_group("HUP");
    let reloading = manager.is_told("RELOADING=1").await;
    assert!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
    manager.is_told("READY=1").await;
    host.terminate();
    let stopping = manager.is_told("STOPPING=1").await;
    let microseconds = stopping.lines().find_map(|line| line.strip_prefix("EXTEND_TIMEOUT_USEC="));
    let patience: u64 = microseconds.expect("it says how long").parse().unwrap();
    assert!(patience >= 8_000_000, "drain and deadline fit into it: {patience}");
    assert_eq!(host.ends().await.code(), Some(0));
}

#[tokio::test]
async fn a_restart_refuses_no_connection() {
    let sockets = Sockets::new();
    let start = || Setup::new().tenant(Tenant::simulator("demo")).sockets(&sockets).start();
    let mut host = start().await;
    // And not where its file says, which is told.
    for (key, address) in [("listener.address", sockets.desktops()), ("operations.address", sockets.operations())] {
        let told = || async {
            let lines = host.log_lines(&format!("the service manager listens on \"{address}\""));
            let of_key = |line: &Value| line["message"].as_str().is_some_and(|said| said.starts_with(key));
            lines.iter().any(of_key).then_some(())
        };
        until(&format!("the log says where {key} is"), told).await;
    }
    host.log_in("1001").await.finish().await;
    let asking = tokio::spawn({
        let address = sockets.desktops();
        async move {
            // For ever.
            loop {
                // An answer, or the end of a host that was about to give one; a connection that is refused is neither.
                let socket = tokio::net::TcpStream::connect(&address).await.expect("a connection is never refused");
                drop(socket);
                match http::get(&address, "/v1/tenants/demo/extensions").await {
                    Ok((200, _)) | Err(_) => {}
                    Ok((status, body)) => panic!("{status} {body}"),
                }
            }
        }
    });
    for _ in 0..3 {
        host.terminate();
        assert_eq!(host.ends().await.code(), Some(0));
        // Comes while nobody is there, and is answered by the next one.
        let waiting = tokio::spawn({
            let address = sockets.desktops();
            async move { http::get(&address, "/v1/tenants/demo/extensions").await }
        });
        host = start().await;
        assert!(matches!(waiting.await.unwrap(), Ok((200, _))));
        host.log_in("1001").await.finish().await;
    }
    asking.abort();
    let ended = asking.await.expect_err("it asks for ever");
    assert!(ended.is_cancelled(), "{ended}");
}

#[tokio::test]
async fn while_it_drains_the_host_is_not_ready_and_agents_work_on_but_nobody_logs_in() {
    let shutdown = "[shutdown]\ndrain = \"60s\"\nretry_after = \"1500ms\"";
    let mut host = Setup::new().main(shutdown).tenant(Tenant::simulator("demo")).start().await;
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    host.terminate();
    let unready = || async { http::get(&host.operations, "/readyz").await.ok().filter(|(status, _)| *status == 503) };
    until("the host is not ready", unready).await;
    // A load balancer that has not looked yet sends people here: they are heard, and told to come back.
    let reply = Http::new(&host, "demo").prepare(json!({"agent": {"id": "1002", "password": "x"}})).await;
    assert_eq!((reply.status, reply.headers.get("retry-after").unwrap().to_str().unwrap()), (503, "2"));
    assert_eq!(reply.json()["failure"]["code"], "shutting_down");
    let mut newcomer = host.connect().await;
    assert_eq!(newcomer.prepare("1002", false).await["failure"]["code"], "shutting_down");
    assert_eq!(host.post("/reload").await.0, 503, "nothing is begun any more");
    agent.talks().await;
    // An operator who does not want to wait.
    host.terminate();
    assert_eq!(host.ends().await.code(), Some(0));
}

#[tokio::test]
async fn when_it_has_drained_desktops_are_told_when_to_come_back() {
    let shutdown = "[shutdown]\ndrain = \"300ms\"\nretry_after = \"7s\"";
    let mut host = Setup::new().main(shutdown).tenant(Tenant::simulator("demo")).start().await;
    let mut agent = host.log_in("1001").await;
    host.terminate();
    let heard = agent.hears("session.disposed").await;
    assert_eq!(heard.data("session.disposed"), &json!({"reason": "shutting_down", "retryAfter": 7}));
    assert_eq!(agent.is_closed().await.code, Some(1001));
    assert_eq!(host.ends().await.code(), Some(0));
}

#[tokio::test]
async fn sockets_that_mean_nothing_here_keep_the_host_from_starting() {
    let folder = TempFolder::new();
    std::fs::create_dir(folder.0.join("tenants")).unwrap();
    let config = folder.0.join("jackfield.toml");
    std::fs::write(&config, "").unwrap();
    for (names, wrong) in [
        ("desktops:desktops", "two sockets are passed with the name desktops"),
        ("metrics:desktops", "the socket metrics is passed"),
    ] {
        let socket = || std::os::fd::OwnedFd::from(std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap());
        let script = format!(
            "exec 3<&0 4<&1; export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES={names}; exec \"$@\" 0</dev/null 1>&2"
        );
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(jackfield_tests::artifacts::jackfield());
        command.args(["serve", "--config"]).arg(&config).stdin(socket()).stdout(socket());
        let process = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        let output = patience("the host ends", process.wait_with_output()).await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{names}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(wrong), "{names}: {said}");
    }
}
