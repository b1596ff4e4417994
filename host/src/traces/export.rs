//! Spans on their way to the collector: OTLP over HTTP, in batches.
//!
//! Owns: the queue of spans that wait, what becomes of each ([`Metrics`] counts it), and the requests to the collector. Must
//! never: make whoever ends a span wait, or keep more than [`WAITING`] of them: while the collector does not take them they
//! are lost, and nothing else is.

use std::{pin::Pin, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use opentelemetry::{Context, KeyValue, trace::TracerProvider as _};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{Traces, Tracing};
use crate::{
    config::TracesConfig,
    https::{HttpsClient, https_client, with_causes},
    log_limit::LogLimit,
    metrics::Metrics,
};

/// How many spans may wait.
const WAITING: usize = 4_096;
/// How many are sent at once, and how long the first of them waits for the others.
const BATCH: (usize, Duration) = (512, Duration::from_secs(1));
/// How long the collector may take over a batch.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest answer of the collector, in bytes; more is surely not one.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Carries spans to the collector until it is [finished](Self::finish).
#[derive(Debug)]
pub(crate) struct Exporting {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Begins to carry spans to the collector. Must be called inside a runtime.
///
/// # Errors
/// What is wrong with the configuration, by its key.
pub(crate) fn start(config: &TracesConfig, metrics: &Metrics) -> Result<(Traces, Exporting), String> {
    let resource = Resource::builder_empty()
        .with_service_name("jackfield")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(CollectorClient(https_client()?))
        .with_endpoint(config.endpoint.to_string())
        .with_headers(config.headers().map_err(|error| format!("traces.headers_file: {error}"))?)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(DEADLINE)
        // A collector that is busy is not helped by the same again, and what waits meanwhile is bounded.
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(|error| format!("traces.endpoint: {error}"))?;
    exporter.set_resource(&resource);
    let (spans, waiting) = mpsc::channel(WAITING);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Queue { spans, metrics: metrics.clone() })
        // Which commands are traced has been decided when a span begins.
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource)
        .build();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(send(exporter, waiting, metrics.clone(), stopped));
    let tracing = Tracing {
        tracer: provider.tracer("jackfield"),
        sampler: Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.ratio))),
        of_tenant: config.of_tenant,
    };
    Ok((Traces(Some(tracing)), Exporting { stop, task }))
}

impl Exporting {
    /// Sends what still waits, within a deadline. Spans that end later are lost.
    pub(crate) async fn finish(mut self, deadline: Duration) {
        self.stop.send_replace(true);
        if timeout(deadline, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// The end of each span that is wanted.
#[derive(Debug)]
struct Queue {
    spans: mpsc::Sender<SpanData>,
    metrics: Metrics,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.metrics.spans_lost(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends batches, one after the other, until it is told to stop and nothing waits.
async fn send(
    exporter: SpanExporter,
    mut waiting: mpsc::Receiver<SpanData>,
    metrics: Metrics,
    mut stop: watch::Receiver<bool>,
) {
    let failures = LogLimit::per_minute(1);
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            more = waiting.recv_many(&mut batch, BATCH.0) => if more == 0 { return },
            () = told(&mut stop) => waiting.close(),
        }
        if batch.is_empty() {
            continue;
        }
        let fill = async {
            loop {
                let room = BATCH.0 - batch.len();
                if room == 0 || waiting.recv_many(&mut batch, room).await == 0 {
                    return;
                }
            }
        };
        tokio::select! {
            () = fill => {}
            () = sleep(BATCH.1) => {}
            () = told(&mut stop) => {}
        }
        let spans = batch.len() as u64;
        match exporter.export(std::mem::take(&mut batch)).await {
            Ok(()) => metrics.spans_exported(spans),
            Err(error) => {
                metrics.spans_lost(spans);
                if let Some(left_out) = failures.pass() {
                    tracing::warn!(%error, spans, left_out, "the collector of traces does not take spans; they are lost");
                }
            }
        }
    }
}

/// Waits until there is nothing more to wait for.
async fn told(stop: &mut watch::Receiver<bool>) {
    // Without a sender nobody will say it any more.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The collector, by HTTP.
#[derive(Debug)]
struct CollectorClient(HttpsClient<Full<Bytes>>);

impl HttpClient for CollectorClient {
    fn send_bytes<'this, 'future>(
        &'this self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'future>>
    where
        'this: 'future,
        Self: 'future,
    {
        let answered = self.0.request(request.map(Full::new));
        Box::pin(async move {
            let answer = async {
                let (head, body) = answered.await.map_err(|error| with_causes(&error))?.into_parts();
                let body = Limited::new(body, LONGEST_ANSWER).collect().await?;
                Ok::<_, HttpError>(Response::from_parts(head, body.to_bytes()))
            };
            timeout(DEADLINE, answer).await.map_err(HttpError::from)?
        })
    }
}
