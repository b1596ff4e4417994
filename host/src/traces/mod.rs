//! Traces: where the time of a desktop's command goes, as spans of OpenTelemetry, for a collector.
//!
//! Owns: the spans of a command and of what its adapter is asked for, and what they say: the command's name, tenant, adapter
//! and outcome. Must never: hold a command up, say anything of an agent, a call, its data or a token, trace more of one tenant
//! than its share, or cost a command anything where `traces.endpoint` is not set. [`export`] carries the spans to the
//! collector.

use std::{borrow::Cow, collections::HashMap, fmt, time::SystemTime};

use jackfield_protocol::message::Request;
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator as _,
    trace::{Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _},
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{IdGenerator as _, RandomIdGenerator, Sampler, SamplingDecision, SdkTracer, ShouldSample as _, Span},
};
use parking_lot::Mutex;
use tokio::time::Instant;

pub(crate) mod export;

use crate::{
    metrics::labels::{CommandLabel, OutcomeClass, OutcomeLabel},
    rate::{Rate, TokenBucket},
};

const TENANT: &str = "jackfield.tenant";
const ADAPTER: &str = "jackfield.adapter";
const OUTCOME: &str = "jackfield.outcome";
/// As OpenTelemetry's semantic conventions name the kind of a failure.
const ERROR_TYPE: &str = "error.type";

/// Begins spans of the tenants' commands. Cheap to clone; one that is made by [`Default`] begins none.
#[derive(Clone, Default)]
pub struct Traces(Option<Tracing>);

#[derive(Clone)]
struct Tracing {
    tracer: SdkTracer,
    /// Which commands are traced.
    sampler: Sampler,
    /// How many of one tenant's are.
    of_tenant: Rate,
}

impl Traces {
    /// What begins spans of one more tenant. `None`: nobody wants spans.
    pub(crate) fn of_tenant(&self) -> Option<TenantTraces> {
        let tracing = self.0.clone()?;
        let left = Mutex::new(TokenBucket::full(tracing.of_tenant, Instant::now()));
        Some(TenantTraces { tracing, left })
    }
}

/// Begins spans of one tenant's commands.
pub(crate) struct TenantTraces {
    tracing: Tracing,
    /// How many more may be traced.
    left: Mutex<TokenBucket>,
}

/// The tenant has as many commands traced as it may: this one would be one more.
#[derive(Debug)]
pub(crate) struct TooManyTraced;

impl TenantTraces {
    /// Begins the span of a command that has come, in the trace that the command names if it names one. `None`: this one is
    /// not among the share that is wanted.
    ///
    /// # Errors
    /// It is wanted, but one too many.
    pub(crate) fn begin(
        &self,
        request: &Request,
        label: CommandLabel,
        (tenant, adapter): (&str, &str),
        received: Instant,
    ) -> Result<Option<Box<CommandTrace>>, TooManyTraced> {
        let Tracing { tracer, sampler, of_tenant } = &self.tracing;
        let parent = parent(request);
        let trace_id = RandomIdGenerator::default().new_trace_id();
        let sampled = sampler.should_sample(Some(&parent), trace_id, label.as_str(), &SpanKind::Server, &[], &[]);
        if sampled.decision != SamplingDecision::RecordAndSample {
            return Ok(None);
        }
        // A desktop can have each of its commands traced by saying so.
        if of_tenant.is_bounded() && !self.left.lock().take(*of_tenant, 1, 0, received) {
            return Err(TooManyTraced);
        }
        // A name that nobody has declared may be anything.
        let name = match label {
            CommandLabel::EXTENSION => Cow::Owned(request.command().to_owned()),
            known => Cow::Borrowed(known.as_str()),
        };
        let attributes = [KeyValue::new(TENANT, tenant.to_owned()), KeyValue::new(ADAPTER, adapter.to_owned())];
        let builder = tracer.span_builder(name).with_kind(SpanKind::Server).with_attributes(attributes);
        let begun = SystemTime::now().checked_sub(received.elapsed()).unwrap_or_else(SystemTime::now);
        let span = tracer.build_with_context(builder.with_start_time(begun), &parent);
        Ok(Some(Box::new(CommandTrace { tracer: tracer.clone(), span, call: None, adapter: adapter.to_owned() })))
    }
}

/// The span that a command names as the one that it belongs to.
fn parent(request: &Request) -> Context {
    match request.traceparent() {
        Some(traceparent) => {
            let carrier = HashMap::from([("traceparent".to_owned(), traceparent)]);
            TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier)
        }
        None => Context::new(),
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Traces" } else { "Traces(off)" })
    }
}

/// The spans of one command. Dropping it ends them, without an outcome.
pub struct CommandTrace {
    tracer: SdkTracer,
    span: Span,
    /// What the adapter is asked for at the moment.
    call: Option<Span>,
    adapter: String,
}

impl CommandTrace {
    /// The adapter is asked for something.
    pub fn asked(&mut self) {
        let context = Context::new().with_remote_span_context(self.span.span_context().clone());
        let builder = self.tracer.span_builder("adapter call").with_kind(SpanKind::Client);
        let builder = builder.with_attributes([KeyValue::new(ADAPTER, self.adapter.clone())]);
        self.call = Some(self.tracer.build_with_context(builder, &context));
    }

    /// The adapter has answered.
    pub fn answered(&mut self) {
        self.call = None;
    }

    /// The command has its answer.
    pub fn end(mut self, outcome: OutcomeLabel) {
        self.call = None;
        match outcome {
            OutcomeLabel::Failure(code) => {
                self.span.set_attribute(KeyValue::new(OUTCOME, "failure"));
                self.span.set_attribute(KeyValue::new(ERROR_TYPE, code.as_str()));
            }
            other => self.span.set_attribute(KeyValue::new(OUTCOME, other.as_str())),
        }
        // What a desktop should not have asked for is no error of the host.
        if outcome.class() == OutcomeClass::Fault {
            self.span.set_status(Status::error(""));
        }
        self.span.end();
    }
}

impl fmt::Debug for CommandTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommandTrace")
    }
}
