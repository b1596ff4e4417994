//! `jackfield serve`: the host from its start to its end, in three steps.
//!
//! Owns: the order of starting and stopping. Must never: let a platform hear of a host that cannot serve, or end later
//! than `shutdown.drain` and `shutdown.deadline` together.
//!
//! 1. [`App::build`]: both listeners (a port in use is found before any platform hears of us), then the tenants. Sockets
//!    that the service manager has opened are used in place of the configured addresses.
//! 2. [`App::run`]: desktops and operators are served; SIGHUP reads the configuration again; until SIGTERM or SIGINT.
//! 3. [`App::end`]: no session is begun and the host is not ready any more, while the sessions that are there go on, for
//!    `shutdown.drain`; then no new desktop is let in, sessions are ended and their clients informed, platforms
//!    disconnected, connections closed, each within `shutdown.deadline`. A second signal ends the process at once. Exit
//!    status 0.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::task::JoinHandle;

mod drain;
mod service_manager;
mod signals;
mod sockets;

use drain::Drain;
use signals::{SignalRequest, Signals};
use sockets::PassedSockets;

use crate::{
    config::{self, HostConfig, Isolation, Loaded, OperationsConfig, ShutdownConfig, Source, TenantConfig},
    descriptors,
    logging::HostLog,
    metrics::Metrics,
    plugin::{Libraries, worker::sandbox::is_open_to_all},
    reload::Reload,
    server::{Desktops, Listener, Operations},
    session::DisposedReason,
    tenant::Workers,
    traces::export::{self, Exporting},
};

/// How much of the deadline the sessions and platforms may take to end; the rest is for the connections to close.
const TENANTS_SHARE: f32 = 0.8;
/// How long the last spans may take to the collector of traces.
const LAST_SPANS: Duration = Duration::from_millis(500);
/// How long what a plugin still does in a thread of ours may keep the process alive.
const PLUGINS: Duration = Duration::from_millis(500);

/// Runs the host until it is told to stop.
///
/// # Errors
/// What keeps it from starting, in lines for the operator.
pub(crate) fn run(source: Source) -> Result<(), String> {
    let sockets = PassedSockets::take()?;
    let (source, overruled) = sockets.addressed(&source)?;
    let loaded = config::load(&source)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\njackfield: "))?;
    let log = Arc::new(HostLog::start(&loaded.host.log_filter, &loaded.host.log_details, loaded.host.log_format)?);
    for sentence in overruled {
        tracing::warn!("{sentence}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the runtime cannot be started: {error}"))?;
    let outcome = runtime.block_on(async {
        let mut app = App::build(source, loaded, sockets, &log).await?;
        app.run().await;
        app.end().await;
        Ok(())
    });
    runtime.shutdown_timeout(PLUGINS);
    log.end();
    outcome
}

/// A host at work.
struct App {
    signals: Signals,
    drain: Drain,
    reload: Arc<Reload>,
    operations: Arc<Operations>,
    /// Tries to start the tenants that could not be started.
    trying: JoinHandle<()>,
    /// Carries spans to the collector of traces, where there is one.
    exporting: Option<Exporting>,
    /// Tells the service manager that the host lives, to its end.
    living: Option<JoinHandle<()>>,
    /// Serve the connections; end when all are closed.
    listening: Vec<JoinHandle<()>>,
}

impl App {
    async fn build(source: Source, loaded: Loaded, sockets: PassedSockets, log: &Arc<HostLog>) -> Result<Self, String> {
        let Loaded { host, values, tenants, problems } = loaded;
        warn_of_workers(&host, &tenants);
        let (signals, drain) = (Signals::catch()?, Drain::new());
        let (desktops, operators) = listen(&host, sockets, &drain).await?;

        let metrics = Metrics::new(host.metrics_max_tenants);
        let exporting = trace(&host, &metrics)?;
        let libraries = Libraries::with_trust(&host.plugin_store, host.plugin_trust.clone(), &metrics);
        // Not by its name: an upgrade may have put another binary there since this one was started.
        let recordings = host.plugin_store.join("recordings");
        let workers = Workers::new("/proc/self/exe".into(), recordings, closed_to_workers(&host, operators.as_ref()));
        let reload = Reload::new(source, &host, values, libraries, workers, metrics.clone(), Arc::clone(log));
        let reload = Arc::new(reload);
        reload.start(tenants, problems).await;
        let trying = Arc::clone(&reload);
        let trying = tokio::spawn(async move { trying.keep_trying().await });

        let hosts = host.operations.as_ref().map(|operations| operations.hosts.clone()).unwrap_or_default();
        let operations = Arc::new(Operations::new(hosts, Arc::clone(&reload), metrics.clone(), Arc::clone(log)));
        let mut listening = Vec::new();
        if let Some(operators) = operators {
            log_address("operations", &operators);
            listening.push(tokio::spawn(operators.serve_operations(Arc::clone(&operations), drain.closed())));
        }
        log_address("desktops", &desktops);
        let tenants = Arc::clone(reload.tenants());
        let running = tenants.all().len();
        let shared = Arc::new(Desktops::new(host.listener, tenants, metrics, drain.closing()));
        listening.push(tokio::spawn(desktops.serve_desktops(shared, drain.refused())));
        tracing::info!(version = env!("CARGO_PKG_VERSION"), tenants = running, "jackfield is running");
        service_manager::ready(running);
        let living = service_manager::live();
        Ok(Self { signals, drain, reload, operations, trying, exporting, living, listening })
    }

    async fn run(&mut self) {
        loop {
            match self.signals.next().await {
                SignalRequest::End(signal) => {
                    tracing::info!(signal, "jackfield is shutting down");
                    return;
                }
                SignalRequest::Reload => {
                    let reload = Arc::clone(&self.reload);
                    // Beside this, so that the host can be stopped meanwhile. What is wrong is in the log.
                    tokio::spawn(async move {
                        service_manager::reloading();
                        drop(reload.run().await);
                        service_manager::ready(reload.tenants().all().len());
                    });
                }
                SignalRequest::Nothing(signal) => tracing::info!(signal, "the signal has no meaning here"),
            }
        }
    }

    async fn end(mut self) {
        let ShutdownConfig { drain, retry_after, deadline } = self.reload.shutdown();
        self.operations.ready.store(false, Ordering::Relaxed);
        service_manager::stopping(drain + deadline);
        self.trying.abort();
        let reason = DisposedReason::ShuttingDown { retry_after: whole_seconds(retry_after) };
        let tenants = Arc::clone(self.reload.tenants());
        tenants.refuse_newcomers(reason);
        let end = async {
            tokio::time::sleep(drain).await;
            self.drain.refuse();
            let end = tokio::time::timeout(deadline, async {
                tenants.shut_down(reason, deadline.mul_f32(TENANTS_SHARE)).await;
                self.drain.close();
                for listener in self.listening {
                    let _ = listener.await;
                }
            });
            match end.await {
                Ok(()) => tracing::info!("jackfield has ended"),
                Err(_) => tracing::warn!(?deadline, "jackfield ends at its deadline: not all connections are closed"),
            }
        };
        tokio::select! {
            () = end => {}
            () = self.signals.end() => tracing::warn!("a second signal: jackfield ends at once"),
        }
        if let Some(exporting) = self.exporting {
            exporting.finish(LAST_SPANS).await;
        }
        if let Some(living) = self.living {
            living.abort();
        }
    }
}

/// Begins to trace commands, where a collector is configured.
fn trace(host: &HostConfig, metrics: &Metrics) -> Result<Option<Exporting>, String> {
    let Some(config) = &host.traces else { return Ok(None) };
    let (traces, exporting) = export::start(config, metrics)?;
    metrics.trace_by(traces);
    tracing::info!(collector = %config.endpoint, ratio = config.ratio, "commands are traced");
    Ok(Some(exporting))
}

/// A duration in seconds, rounded up.
fn whole_seconds(duration: Duration) -> u32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// The ports of this host where somebody may do something because he is on this machine, as a worker is.
fn closed_to_workers(host: &HostConfig, operators: Option<&Listener>) -> Vec<u16> {
    let is_open = host.operations.as_ref().is_some_and(OperationsConfig::lets_anybody_in);
    let address = operators.filter(|_| is_open).and_then(|listener| listener.address().ok());
    address.map(|address| address.port()).into_iter().collect()
}

fn warn_of_workers(host: &HostConfig, tenants: &[TenantConfig]) {
    if tenants.iter().all(|tenant| tenant.isolation == Isolation::None) {
        return;
    }
    if rustix::process::geteuid().is_root() {
        tracing::warn!(
            "the host runs as root, and so do its tenants' adapters: they can read /etc/shadow; give it a user of its own"
        );
    }
    if is_open_to_all(&host.tenants) {
        tracing::warn!(
            folder = %host.tenants.display(),
            "the tenants' files lie where each tenant's adapter can read them; keep them, and secrets, elsewhere"
        );
    }
}

async fn listen(
    host: &HostConfig,
    sockets: PassedSockets,
    drain: &Drain,
) -> Result<(Listener, Option<Listener>), String> {
    let unavailable = |key, address, error| format!("{key} {address}: {error}");
    let most = descriptors::for_desktops(host.listener.max_connections);
    let desktops = Listener::desktops(&host.listener, sockets.desktops, most, drain.closing())
        .await
        .map_err(|error| unavailable("listener.address", host.listener.address, error))?;
    let Some(operations) = &host.operations else {
        return match sockets.operations {
            None => Ok((desktops, None)),
            Some(_) => Err("operations.enabled is false, and a socket for operations is passed".to_owned()),
        };
    };
    let operations = Listener::operations(operations, sockets.operations, drain.closing())
        .await
        .map_err(|error| unavailable("operations.address", operations.address, error))?;
    Ok((desktops, Some(operations)))
}

/// The line that scripts and tests read the real port from.
fn log_address(what: &'static str, listener: &Listener) {
    if let Ok(address) = listener.address() {
        tracing::info!(%address, "listening for {what}");
    }
}
