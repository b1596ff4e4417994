//! What attackers try, and which test shows what comes of it. Those that are nowhere else are here.
//!
//! | attack | test |
//! | --- | --- |
//! | tokens that are expired, of another issuer, audience or tenant, unsigned, signed with a public key as the secret | `jwt::whatever_is_wrong_with_a_token_it_gets_the_same_401`, `jwt::a_token_is_no_good_at_another_tenant`, `agent_tokens::it_counts_for_its_tenant_only_and_until_its_time_is_over` |
//! | a token that is used again when its time is over, or on a connection that is still there | `jwt::a_connection_ends_with_its_token_and_the_session_waits_for_the_next`, `revoked` |
//! | another agent's session, another agent's log-in | `agent_tokens::it_uses_no_session_of_another_agent`, `jwt::an_agents_token_logs_no_other_agent_in`, `auth::sessions_over_http_belong_to_the_identity_too` |
//! | finding out which tenants there are | `auth::a_wrong_token_and_an_unknown_tenant_get_the_same_401` |
//! | guessing tokens and passwords | `guessing` |
//! | slow heads and bodies | [`heads_and_bodies_that_do_not_arrive_are_given_up`] |
//! | slow frames, silence | in `server/websocket.rs` of the host: `a_client_that_never_finishes_a_frame_is_closed`, `a_client_that_says_nothing_for_a_minute_is_closed` |
//! | connections by the thousand, of one tenant and of strangers | `connections::connections_over_a_tenants_quota_are_refused`, `connections::whoever_says_nothing_takes_no_room_from_those_who_do`, `operators::whoever_only_connects_does_not_keep_prometheus_out` |
//! | commands by the thousand, large messages | `rates`, `limits` |
//! | requests that a proxy in front reads otherwise | `connections::a_request_that_a_proxy_may_read_otherwise_is_refused`, [`what_follows_a_chunked_body_is_not_read_as_a_request`] |
//! | giant heads | [`a_giant_head_is_refused`] |
//! | pages of other sites: at desktops, at operators, by a name that is made to point here | `connections::a_page_of_another_origin_is_kept_out`, `operators::a_page_whose_author_had_its_name_point_here_gets_nothing` |
//! | lines of log and of metrics that are not the host's | [`nobody_writes_a_line_of_the_log_or_of_the_metrics`] |
//! | paths that lead elsewhere | [`a_path_leads_nowhere_else`] |
//! | a plugin that reaches for other tenants' files, for the host's memory, its operators, its neighbours | `sandbox` |
//! | a plugin that crashes, hangs, leaks, floods, forges | `misdeeds` |

use jackfield_tests::{
    host::{Host, Setup, Tenant},
    http::raw,
    puppet::Puppet,
    until,
};

/// A host that does not keep a connection for long: but longer than what is sent at once takes on a busy machine.
async fn quick(tenant: Tenant) -> Host {
    Setup::new().listener("header_timeout = \"1s\"\nidle_timeout = \"1s\"").tenant(tenant).start().await
}

const POST: &str = "POST /v1/tenants/demo/sessions HTTP/1.1\r\nhost: x\r\n";

#[tokio::test]
async fn heads_and_bodies_that_do_not_arrive_are_given_up() {
    let host = quick(Tenant::simulator("demo")).await;
    for nothing in ["", "GET /v1/tenants/demo/ws HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        assert_eq!(raw(&host.address, nothing.as_bytes()).await, "", "closed without a word");
    }
    for body in ["content-length: 20\r\n\r\n{", "transfer-encoding: chunked\r\n\r\n5\r\n{"] {
        let answer = raw(&host.address, format!("{POST}{body}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    host.log_in("1001").await.finish().await;
}

#[tokio::test]
async fn what_follows_a_chunked_body_is_not_read_as_a_request() {
    let host = quick(Tenant::simulator("demo")).await;
    let hidden = "GET /v1/tenants/demo/extensions HTTP/1.1\r\nhost: x\r\n\r\n";
    let chunked = "transfer-encoding: chunked\r\n";
    let length = format!("content-length: {}\r\n", "2\r\n{}\r\n0\r\n\r\n".len() + hidden.len());
    for head in [format!("{length}{chunked}"), format!("{chunked}{length}"), chunked.to_owned()] {
        let request = format!("{POST}{head}\r\n2\r\n{{}}\r\n0\r\n\r\n{hidden}");
        let answer = raw(&host.address, request.as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{head}: {answer}");
    }
    // Line ends that another server may take for something else.
    for body in ["2\n{}\n0\n\n", "2;\n\r\n{}\r\n0\r\n\r\n", "0x2\r\n{}\r\n0\r\n\r\n", "-2\r\n{}\r\n0\r\n\r\n"] {
        let answer = raw(&host.address, format!("{POST}{chunked}\r\n{body}{hidden}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.matches("HTTP/1.1 ").count() == 1, "{body}: {answer}");
    }
    // A header that is none, or hides another.
    for line in
        ["content-length : 2", " content-length: 2", "content-length: +2", "content-length: 2\r\ncontent-length: 3"]
    {
        let answer = raw(&host.address, format!("{POST}{line}\r\n\r\n{{}}{hidden}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.matches("HTTP/1.1 ").count() == 1, "{line}: {answer}");
    }
}

#[tokio::test]
async fn a_giant_head_is_refused() {
    let host = quick(Tenant::simulator("demo")).await;
    let get = "GET /v1/tenants/demo/extensions HTTP/1.1\r\nhost: x\r\n";
    let many: String = (0..200).map(|at| format!("x-{at}: y\r\n")).collect();
    for lines in [format!("x-large: {}\r\n", "y".repeat(64 * 1024)), many] {
        let answer = raw(&host.address, format!("{get}{lines}\r\n").as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let path = "x".repeat(64 * 1024);
    let answer = raw(&host.address, format!("GET /{path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    host.log_in("1001").await.finish().await;
}

#[tokio::test]
async fn nobody_writes_a_line_of_the_log_or_of_the_metrics() {
    let puppet = Puppet::start().await;
    let demo = Tenant::simulator("demo").settings("agents = [{ id = \"1001\", password = \"right\" }]");
    let host = Setup::new()
        .main("[log]\nformat = \"text\"\nfilter = \"debug\"")
        .tenant(demo)
        .tenant(Tenant::puppet("puppets", &puppet))
        .start()
        .await;
    let mut agent = host.connect().await;
    for forged in ["1001\nFORGED line", "1001\r\nFORGED line", "1001\u{2028}FORGED line", "1001\u{1b}[2KFORGED line"] {
        assert_eq!(agent.prepare_with(forged, "wrong", false).await["failure"]["code"], "unauthorized");
    }
    for tenant in ["%0aFORGED", "x%22%7d%201%0aFORGED_total%201", "demo%00"] {
        let request =
            format!("GET /v1/tenants/{tenant}/ws HTTP/1.1\r\nhost: x\r\norigin: FORGED\r\nconnection: close\r\n\r\n");
        assert!(raw(&host.address, request.as_bytes()).await.starts_with("HTTP/1.1 40"));
    }
    puppet.metric("tricks_total", &["card\"} 1\nFORGED_total 1"], 2.0).await;
    let counted = until("the adapter's own metric is there or was dropped", async || {
        let text = host.operations("/metrics").await;
        (text.contains("card") || text.contains("jackfield_plugin_breaches_total{")).then_some(text)
    })
    .await;
    assert!(counted.lines().all(|line| !line.starts_with("FORGED")), "{counted}");
    host.logs("FORGED").await;
    let log = host.log();
    assert!(log.lines().all(|line| !line.trim_start().starts_with("FORGED")), "{log}");
    assert!(!log.contains('\u{1b}') && !log.contains('\u{2028}'), "no command to a terminal");
}

#[tokio::test]
async fn a_path_leads_nowhere_else() {
    let locked = Tenant::simulator("demo").tokens(&[("desk", "right-token")]);
    let host = Setup::new().listener("console = true").tenant(locked).tenant(Tenant::simulator("open")).start().await;
    for path in [
        "/v1/tenants/open/../demo/extensions",
        "/v1/tenants/open/%2e%2e/demo/extensions",
        "/v1/tenants/open%2f..%2fdemo/extensions",
        "/v1/tenants//demo/extensions",
        "//v1/tenants/demo/extensions",
        "/V1/TENANTS/demo/extensions",
        "/v1/tenants/demo;open/extensions",
        "/v1/tenants/demo/extensions/../../open/extensions",
        "/v1/tenants/demo\\..\\open/extensions",
        "/console/../../../../etc/passwd",
        "/console/%2e%2e/%2e%2e/etc/passwd",
        "/console//etc/passwd",
        "/console/..%5c..%5cetc%5cpasswd",
        "/v1/tenants/open/sessions/../../../../etc/passwd/events",
        "http://elsewhere.example/v1/tenants/demo/extensions",
        "*",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", host.address);
        let answer = raw(&host.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{path}: {answer}");
        assert!(!answer.contains("root:"), "{path}: {answer}");
    }
    // The tenants' names in the configuration are as strict: no file of another folder can be named.
    assert_eq!(host.post("/tenants/..%2fjackfield/suspend").await.0, 404);
    assert_eq!(host.post("/tenants/demo/upgrade?adapter=../../tmp/evil.so").await.0, 400);
}
