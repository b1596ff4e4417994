//! Which lines of the log are written.
//!
//! Owns: `log.filter` (by target and level), `log.details` (more of one tenant or one adapter), and that the audit log is
//! written whatever the first says of other targets. Must never: cost anything where a line is not written anyway; only
//! places that name a tenant or an adapter are looked at more closely, and only while `log.details` asks for more.

use std::fmt;

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
    subscriber::Interest,
};
use tracing_subscriber::{
    EnvFilter,
    layer::{Context, Layer},
};

use crate::audit;

/// More of one tenant's or one adapter's lines: `tenant=acme:debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogDetail {
    field: &'static str,
    name: String,
    level: Level,
}

impl LogDetail {
    /// Reads `tenant=NAME:LEVEL` or `adapter=NAME:LEVEL`.
    ///
    /// # Errors
    /// It is neither.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither \"tenant=NAME:LEVEL\" nor \"adapter=NAME:LEVEL\"");
        let (field, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (name, level) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let field = ["tenant", "adapter"].into_iter().find(|known| *known == field.trim()).ok_or_else(wrong)?;
        let level = level.trim().parse().map_err(|_| wrong())?;
        Ok(Self { field, name: name.trim().to_owned(), level })
    }
}

/// Lets lines pass.
pub(crate) struct LogFilter {
    base: EnvFilter,
    /// Whether `log.filter` itself says something of the audit log.
    names_audit: bool,
    details: Vec<LogDetail>,
}

impl LogFilter {
    /// `filter`: as `RUST_LOG` is written.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(filter: &str, details: Vec<LogDetail>) -> Result<Self, String> {
        let base = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        let names_audit = filter.split(',').any(|part| part.trim().split(['=', ':']).next() == Some(audit::TARGET));
        Ok(Self { base, names_audit, details })
    }

    fn is_audit(&self, metadata: &Metadata<'_>) -> bool {
        !self.names_audit && metadata.target() == audit::TARGET
    }

    /// Whether a line of this place may be one of those that more is asked for.
    fn may_be_detail(&self, metadata: &Metadata<'_>) -> bool {
        let fits =
            |detail: &LogDetail| *metadata.level() <= detail.level && metadata.fields().field(detail.field).is_some();
        metadata.is_event() && self.details.iter().any(fits)
    }
}

impl<S: Subscriber> Layer<S> for LogFilter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let base = Layer::<S>::register_callsite(&self.base, metadata);
        if base.is_always() || self.is_audit(metadata) {
            Interest::always()
        } else if self.may_be_detail(metadata) {
            Interest::sometimes()
        } else {
            base
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        self.is_audit(metadata) || self.may_be_detail(metadata) || self.base.enabled(metadata, context)
    }

    fn event_enabled(&self, event: &Event<'_>, context: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if self.is_audit(metadata) || !self.may_be_detail(metadata) {
            return true;
        }
        let mut asked = Asked { details: &self.details, level: *metadata.level(), found: false };
        event.record(&mut asked);
        asked.found || self.base.enabled(metadata, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let base = Layer::<S>::max_level_hint(&self.base)?;
        let details = self.details.iter().map(|detail| LevelFilter::from_level(detail.level)).max();
        let audit = if self.names_audit { LevelFilter::OFF } else { LevelFilter::INFO };
        Some(base.max(audit).max(details.unwrap_or(LevelFilter::OFF)))
    }

    // `log.filter` may go by spans, too.

    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        Layer::<S>::on_new_span(&self.base, attributes, id, context);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        Layer::<S>::on_record(&self.base, id, values, context);
    }

    fn on_enter(&self, id: &span::Id, context: Context<'_, S>) {
        Layer::<S>::on_enter(&self.base, id, context);
    }

    fn on_exit(&self, id: &span::Id, context: Context<'_, S>) {
        Layer::<S>::on_exit(&self.base, id, context);
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        Layer::<S>::on_close(&self.base, id, context);
    }
}

/// Looks for a tenant or an adapter of which more is asked for.
struct Asked<'a> {
    details: &'a [LogDetail],
    level: Level,
    found: bool,
}

impl Asked<'_> {
    fn look(&mut self, field: &Field, is: impl Fn(&str) -> bool) {
        let fits = |detail: &LogDetail| self.level <= detail.level && detail.field == field.name() && is(&detail.name);
        self.found = self.found || self.details.iter().any(fits);
    }
}

impl Visit for Asked<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.look(field, |name| name == value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if matches!(field.name(), "tenant" | "adapter") {
            let value = format!("{value:?}");
            self.look(field, |name| name == value.trim_matches('"'));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::{layer::SubscriberExt as _, registry};

    use super::*;

    /// Keeps the messages that were let through.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            struct Message(String);
            impl Visit for Message {
                fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                    if field.name() == "message" {
                        self.0 = format!("{value:?}");
                    }
                }
            }
            let mut message = Message(String::new());
            event.record(&mut message);
            self.0.lock().push(message.0);
        }
    }

    /// What is written with this filter and these details.
    fn written(filter: &str, details: &[&str]) -> String {
        let details = details.iter().map(|detail| LogDetail::parse(detail).unwrap()).collect();
        let kept = Kept::default();
        let subscriber = registry().with(LogFilter::new(filter, details).unwrap()).with(kept.clone());
        tracing::subscriber::with_default(subscriber, || {
            let shown = "acme";
            tracing::debug!(tenant = "acme", "a");
            tracing::debug!(tenant = %shown, adapter = "simulator", "b");
            tracing::trace!(tenant = "acme", "c");
            tracing::debug!(tenant = "other", "d");
            tracing::debug!("e");
            tracing::info!(adapter = "simulator", "f");
            tracing::info!("g");
            tracing::info!(target: audit::TARGET, tenant = "other", "h");
        });
        kept.0.lock().concat()
    }

    #[test]
    fn more_is_written_of_one_tenant_or_one_adapter_and_not_of_others() {
        assert_eq!(written("info", &[]), "fgh");
        assert_eq!(written("info", &["tenant=acme:debug"]), "abfgh");
        assert_eq!(written("info", &["tenant=acme:trace"]), "abcfgh");
        assert_eq!(written("info", &["adapter=simulator:debug"]), "bfgh");
        assert_eq!(written("error", &["tenant=acme:debug", "adapter=simulator:info"]), "abfh");
    }

    #[test]
    fn the_audit_log_is_written_unless_it_is_named() {
        assert_eq!(written("error", &[]), "h");
        assert_eq!(written("off", &[]), "h");
        assert_eq!(written("info,audit=off", &[]), "fg");
        assert_eq!(written("warn,audit=info", &[]), "h");
    }

    #[test]
    fn what_is_no_detail_is_refused() {
        for wrong in ["", "acme:debug", "tenant=acme", "tenant=acme:loud", "agent=1001:debug"] {
            assert!(LogDetail::parse(wrong).is_err(), "{wrong}");
        }
    }
}
