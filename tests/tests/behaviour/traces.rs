//! Traces: what a collector of OpenTelemetry gets of desktops' commands. The collector is played here: it takes OTLP over
//! HTTP and reads it by the types that OpenTelemetry publishes.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, header::HeaderMap, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jackfield_tests::{
    agent::Agent,
    host::{Host, Setup, Tenant},
    puppet::{Answer, Puppet},
    until,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::any_value::Value as AnyValue,
    trace::v1::{Span, status::StatusCode},
};
use prost::Message as _;
use serde_json::json;
use tokio::net::TcpListener;

/// What has come to the collector.
#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    services: Vec<String>,
    heads: Vec<HeaderMap>,
}

struct Collector {
    endpoint: String,
    received: Arc<Mutex<Received>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Received::default()));
        let kept = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                let service = service_fn(move |request| take(request, Arc::clone(&kept)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
            }
        });
        Self { endpoint, received }
    }

    /// Lines for `jackfield.toml`.
    fn configuration(&self) -> String {
        format!("[traces]\nendpoint = \"{}\"\nratio = 1.0", self.endpoint)
    }

    fn spans(&self) -> Vec<Span> {
        self.received.lock().unwrap().spans.clone()
    }

    /// Nothing that has come says any of this, and all has come from the host, with its token.
    fn was_told_nothing_of(&self, private: &[&str]) {
        let received = self.received.lock().unwrap();
        assert!(received.services.iter().all(|name| name == "jackfield"));
        assert!(received.heads.iter().all(|head| head["authorization"] == "Bearer very-secret"));
        let all = format!("{:?}", received.spans);
        for private in private {
            assert!(!all.contains(private), "{private} in {all}");
        }
    }

    /// The first span of this name, once it has come.
    async fn span(&self, name: &str) -> Span {
        let find = || async { self.spans().into_iter().find(|span| span.name == name) };
        until(&format!("the collector has a span {name}"), find).await
    }

    /// The span of what the adapter was asked for on behalf of a command.
    async fn call_in(&self, command: &Span) -> Span {
        let find = || async { self.spans().into_iter().find(|span| span.parent_span_id == command.span_id) };
        until(&format!("the collector has a span in {}", command.name), find).await
    }
}

async fn take(
    request: Request<Incoming>,
    kept: Arc<Mutex<Received>>,
) -> Result<Response<Full<bytes::Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    assert_eq!(
        (head.uri.path(), &head.headers["content-type"]),
        ("/v1/traces", &"application/x-protobuf".parse().unwrap())
    );
    let body = body.collect().await.unwrap().to_bytes();
    let message = ExportTraceServiceRequest::decode(body).unwrap();
    let mut received = kept.lock().unwrap();
    received.heads.push(head.headers);
    for of_resource in message.resource_spans {
        let resource = of_resource.resource.unwrap();
        let name = resource.attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
        received.services.push(text(name.value.as_ref().and_then(|value| value.value.as_ref())));
        received.spans.extend(of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
    }
    let answer = ExportTraceServiceResponse::default().encode_to_vec();
    Ok(Response::new(Full::from(answer)))
}

fn text(value: Option<&AnyValue>) -> String {
    match value {
        Some(AnyValue::StringValue(text)) => text.clone(),
        other => panic!("{other:?} is no text"),
    }
}

fn attributes(span: &Span) -> BTreeMap<String, String> {
    let pair = |attribute: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
        (attribute.key.clone(), text(value))
    };
    span.attributes.iter().map(pair).collect()
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error)
}

async fn host(collector: &Collector, tenants: impl IntoIterator<Item = Tenant>) -> Host {
    tenants.into_iter().fold(Setup::new().main(&collector.configuration()), Setup::tenant).start().await
}

#[tokio::test]
async fn a_command_is_a_span_and_what_its_adapter_is_asked_for_is_one_inside_of_it() {
    let (collector, puppet) = (Collector::start().await, Puppet::start().await);
    let main = collector.configuration() + "\nheaders_file = \"collector\"";
    let setup = Setup::new().main(&main).file("collector", "# for the collector\nAuthorization: Bearer very-secret\n");
    let host = setup.tenant(Tenant::simulator("acme")).tenant(Tenant::puppet("blue", &puppet)).start().await;
    let mut agent = Agent::connect(&host, "acme").await;
    agent.log_in("agent-xyzzy").await;
    let channel = agent.has_phone("+4930123456").await;
    agent.fails("channel.request.activate", &channel, json!({}), "invalid_state").await;
    agent.fails("channel.request.whatever-xyzzy", &channel, json!({}), "unknown_command").await;
    let mut other = Agent::connect(&host, "blue").await;
    other.log_in("agent-xyzzy").await;
    puppet.when("extension", Answer::panic());
    let session = other.session.clone();
    other.fails("session.request.puppet.do", &session, json!({}), "adapter_failed").await;

    let simulator = [("jackfield.tenant", "acme"), ("jackfield.adapter", "simulator")];
    for name in ["prepareSession", "session.start", "session.request.addchannel"] {
        let command = collector.span(name).await;
        let said = attributes(&command);
        assert_eq!(said["jackfield.outcome"], "success", "{name}: {said:?}");
        let call = collector.call_in(&command).await;
        assert_eq!((call.name.as_str(), call.trace_id == command.trace_id), ("adapter call", true), "{name}");
        assert!(command.start_time_unix_nano <= call.start_time_unix_nano, "{name}");
        assert!(call.end_time_unix_nano <= command.end_time_unix_nano, "{name}");
        assert!(!is_error(&command), "{name}");
    }
    let failed = until("the refused command has come", || async {
        collector.spans().into_iter().find(|span| attributes(span).contains_key("error.type"))
    })
    .await;
    let failure = [("jackfield.outcome", "failure"), ("error.type", "invalid_state")];
    assert_eq!(attributes(&failed), expected(&[simulator.as_slice(), &failure].concat()));
    assert!(!is_error(&failed), "that is the desktop's fault");
    assert!(attributes(&collector.span("unknown").await).contains_key("error.type"));
    let fault = collector.span("session.request.puppet.do").await;
    assert_eq!((attributes(&fault)["error.type"].as_str(), is_error(&fault)), ("adapter_failed", true));
    assert_eq!(attributes(&fault)["jackfield.tenant"], "blue");

    collector.was_told_nothing_of(&["xyzzy", "4930123456", "secret", session.as_str()]);
    assert!(!host.log().contains("very-secret"));
    // The host counts a batch when the collector has answered, and these spans may all have come in one.
    let exported =
        || async { (host.metric("jackfield_trace_spans_total{outcome=\"exported\"}").await > 0.0).then_some(()) };
    until("the exported spans are counted", exported).await;
    assert_eq!(host.metric("jackfield_trace_spans_total{outcome=\"lost\"}").await, 0.0);
}

#[tokio::test]
async fn a_command_joins_the_trace_that_its_desktop_names() {
    let collector = Collector::start().await;
    let host = host(&collector, [Tenant::simulator("demo")]).await;
    let mut agent = host.log_in("1001").await;
    let command = json!({
        "command": "session.request.simulator.link",
        "target": agent.session,
        "data": {"up": true},
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    });
    agent.send_text(&command.to_string()).await;
    agent.any_response().await;
    let joined = || async {
        let spans = collector.spans();
        spans.into_iter().find(|span| span.parent_span_id == [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31])
    };
    let span = until("the command is a part of the desktop's trace", joined).await;
    assert_eq!(span.name, "session.request.simulator.link");
    assert_eq!(span.trace_id[..4], [0x0a, 0xf7, 0x65, 0x19]);
}

#[tokio::test]
async fn a_tenant_whose_desktops_want_everything_traced_is_traced_within_its_share() {
    let collector = Collector::start().await;
    let main = format!("[traces]\nendpoint = \"{}\"\nratio = 0.0\ncommands_per_second = 1", collector.endpoint);
    let setup = Setup::new().main(&main).tenant(Tenant::simulator("greedy")).tenant(Tenant::simulator("modest"));
    let host = setup.start().await;
    for (tenant, commands) in [("greedy", 20), ("modest", 1)] {
        let mut agent = Agent::connect(&host, tenant).await;
        agent.log_in("1001").await;
        let command = json!({
            "command": "session.request.simulator.link",
            "target": agent.session,
            "data": {"up": true},
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        });
        for _ in 0..commands {
            agent.send_text(&command.to_string()).await;
            assert_eq!(agent.any_response().await["result"], "success", "it is carried out all the same");
        }
    }
    let of = |tenant: &str| {
        let (spans, tenant) = (collector.spans(), tenant.to_owned());
        spans.iter().filter(|span| attributes(span).get("jackfield.tenant") == Some(&tenant)).count()
    };
    until("the modest tenant's command is traced", || async { (of("modest") == 1).then_some(()) }).await;
    let limited = "jackfield_limited_total{limit=\"traced_commands_per_second\",tenant=\"greedy\"}";
    let limited = host.metric(limited).await;
    assert!(limited > 0.0, "the operator is told who wants more");
    until("the others were traced", || async { (of("greedy") as f64 + limited == 20.0).then_some(()) }).await;
}

#[tokio::test]
async fn what_waits_is_sent_when_the_host_ends() {
    let collector = Collector::start().await;
    let mut host = host(&collector, [Tenant::simulator("demo")]).await;
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    host.terminate();
    host.ends().await;
    assert!(collector.spans().iter().any(|span| span.name == "channel.request.activate"), "{:?}", collector.spans());
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_spans_and_nothing_else() {
    let port = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let main = format!("[traces]\nendpoint = \"http://{port}/v1/traces\"\nratio = 1.0");
    let mut host = Setup::new().main(&main).tenant(Tenant::simulator("demo")).start().await;
    let mut agent = host.log_in("1001").await;
    agent.has_phone("2001").await;
    let lost = || async { (host.metric("jackfield_trace_spans_total{outcome=\"lost\"}").await > 4.0).then_some(()) };
    until("the lost spans are counted", lost).await;
    assert_eq!(host.metric("jackfield_trace_spans_total{outcome=\"exported\"}").await, 0.0);
    agent.finish().await;
    host.terminate();
    assert_eq!(host.ends().await.code(), Some(0));
}
