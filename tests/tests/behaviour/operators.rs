//! The operators' listener: who may look and who may act, what a page in an operator's browser cannot do, and that nobody
//! keeps Prometheus out. And a tenant's own metrics, which it asks for where its desktops connect.

use jackfield_tests::{
    host::{Host, Setup, Tenant, hash_of},
    http::{self, Http},
    until,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::tls::{Authority, shake};

/// Lines of `[operations]`: tokens, and what each may.
fn tokens(all: &[(&str, &str)]) -> String {
    let entry = |(token, may): &(&str, &str)| {
        format!("{{ name = \"holder of {token}\", hash = \"{}\", may = \"{may}\" }}", hash_of(token))
    };
    format!("tokens = [{}]", all.iter().map(entry).collect::<Vec<_>>().join(", "))
}

/// The status of a request with these headers.
async fn ask(host: &Host, method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = hyper::Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", &host.operations);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    http::status(&host.operations, request.body(http_body_util::Full::default()).unwrap()).await
}

#[tokio::test]
async fn whoever_has_a_token_may_look_or_act_as_it_says_and_nobody_else_may_anything() {
    let host = Setup::new()
        .operations(&tokens(&[("reads", "read"), ("acts", "act")]))
        .as_operator("acts")
        .tenant(Tenant::simulator("demo"))
        .start()
        .await;
    let bearer = |token: &str| format!("Bearer {token}");
    for (token, looks, acts) in [("reads", 200, 403), ("acts", 200, 200), ("wrong", 401, 401), ("", 401, 401)] {
        for page in ["/metrics", "/tenants", "/sessions", "/adapters", "/"] {
            assert_eq!(ask(&host, "GET", page, &[("authorization", &bearer(token))]).await, looks, "{token} {page}");
        }
        let reload = ask(&host, "POST", "/reload", &[("authorization", &bearer(token))]).await;
        assert_eq!(reload, acts, "{token}");
    }
    assert_eq!(ask(&host, "GET", "/metrics", &[]).await, 401);
    assert_eq!(ask(&host, "POST", "/tenants/demo/remove", &[]).await, 401);
    for health in ["/healthz", "/readyz"] {
        assert_eq!(ask(&host, "GET", health, &[]).await, 200, "an orchestrator has no token");
    }
    host.logs("an operator has acted").await;
    let acted = host.log_lines("an operator has acted");
    assert_eq!(acted[0]["operator"], "holder of acts", "{acted:?}");
    assert!(!host.log().contains("wrong") && !host.log().contains("sha256:"), "neither token nor hash is logged");
}

#[tokio::test]
async fn a_token_that_is_taken_out_of_the_file_counts_no_more_after_a_reload() {
    let (old, new) = (tokens(&[("old", "act")]), tokens(&[("new", "act")]));
    let host = Setup::new().operations(&old).as_operator("old").tenant(Tenant::simulator("demo")).start().await;
    let file = host.folder().join("jackfield.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&old, &new)).unwrap();
    let (_, answer) = host.post("/reload").await;
    assert_eq!(answer["applied"], serde_json::json!(["operations.tokens"]), "{answer}");
    assert_eq!(ask(&host, "GET", "/metrics", &[("authorization", "Bearer old")]).await, 401);
    assert_eq!(ask(&host, "GET", "/metrics", &[("authorization", "Bearer new")]).await, 200);
}

#[tokio::test]
async fn a_page_whose_author_had_its_name_point_here_gets_nothing() {
    let host =
        Setup::new().operations("hosts = [\"jackfield.internal\"]").tenant(Tenant::simulator("demo")).start().await;
    for (headers, status) in [
        (&[("host", "rebound.example:9464")][..], 421),
        (&[("origin", "https://evil.example")], 403),
        (&[("origin", "null")], 403),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("host", "jackfield.internal")], 200),
        (&[("host", "localhost:1")], 200),
        (&[("sec-fetch-site", "none")], 200),
    ] {
        for path in ["/sessions", "/metrics", "/healthz"] {
            assert_eq!(ask(&host, "GET", path, headers).await, status, "{path} {headers:?}");
        }
        assert_eq!(ask(&host, "POST", "/reload", headers).await, status, "{headers:?}");
    }
}

#[tokio::test]
async fn operators_show_certificates_where_they_are_asked_for() {
    let (authority, operators) = (Authority::new(), Authority::new());
    let own = authority.signs();
    let lines = "[operations.tls]\ncertificate = \"own.pem\"\nkey = \"own.key\"\nclient_ca = \"operators.pem\"";
    let host = Setup::new()
        .operations(lines)
        .with_tls_for_operators()
        .file("own.pem", &own.certificate)
        .file("own.key", &own.key)
        .file("operators.pem", &operators.pem)
        .start()
        .await;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", host.operations);
    let scrape = async |shown| {
        let mut answer = Vec::new();
        if let Ok(mut stream) = shake(&host.operations, &authority, shown).await {
            let _ = stream.write_all(request.as_bytes()).await;
            let _ = stream.read_to_end(&mut answer).await;
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    let (right, wrong) = (operators.signs(), authority.signs());
    assert!(scrape(Some(&right)).await.contains("jackfield_build_info"));
    assert_eq!(scrape(None).await, "");
    assert_eq!(scrape(Some(&wrong)).await, "", "of another authority");
}

#[tokio::test]
async fn whoever_only_connects_does_not_keep_prometheus_out() {
    let host = Host::simulator().await;
    let mut idle = Vec::new();
    for at in 0..200 {
        let mut stream = TcpStream::connect(&host.operations).await.unwrap();
        // Some say nothing, some begin to say something, some have been answered and stay.
        let said = ["", "GET /metrics HTT", "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"][at % 3];
        stream.write_all(said.as_bytes()).await.unwrap();
        idle.push(stream);
    }
    for _ in 0..10 {
        assert!(host.operations("/metrics").await.contains("jackfield_build_info"));
    }
    assert!((host.metric("jackfield_connections_refused_total{reason=\"total\"}").await).abs() < 0.1);
}

#[tokio::test]
async fn a_tenant_gets_its_own_metrics_with_its_own_token_and_no_other_tenants() {
    let host = Setup::new()
        .tenant(Tenant::simulator("demo").tokens(&[("desk", "demos-token")]))
        .tenant(Tenant::simulator("other").tokens(&[("desk", "others-token")]))
        .start()
        .await;
    let scrape = async |tenant: &str, token: &str| {
        let request = hyper::Request::get(format!("/v1/tenants/{tenant}/metrics"))
            .header("host", &host.address)
            .header("authorization", format!("Bearer {token}"));
        let reply = http::send(&host.address, request.body(http_body_util::Full::default()).unwrap()).await.unwrap();
        (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
    };
    let (status, text) = scrape("demo", "demos-token").await;
    assert_eq!(status, 200);
    assert!(text.contains("jackfield_link_up{tenant=\"demo\"} 1"), "{text}");
    let series = text.lines().filter(|line| !line.starts_with('#'));
    assert!(series.clone().count() > 10 && series.clone().all(|line| line.contains("tenant=\"demo\"")), "{text}");
    assert!(!text.contains("other\""), "{text}");
    assert_eq!(scrape("demo", "others-token").await.0, 401);
    let issued = Http::new(&host, "demo").token("demos-token").post("/tokens", "{\"agent\":\"1001\"}").await.json();
    assert_eq!(scrape("demo", issued["token"].as_str().unwrap()).await.0, 403, "not for an agent");
    // A count of its own that changes is seen soon.
    assert_eq!(scrape("demo", "wrong-token").await.0, 401);
    until("the failure is counted", async || {
        let (_, text) = scrape("demo", "demos-token").await;
        text.contains("jackfield_auth_failures_total{tenant=\"demo\"} 2").then_some(())
    })
    .await;
}
