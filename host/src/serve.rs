//! `jackfield serve`: from a configuration file to a host that runs, and to its end.
//!
//! Owns: the order of starting and stopping. SIGHUP reads the configuration again (`reload.rs`). Starting: log, metrics,
//! both listeners (a port in use is found before any platform hears of us), tenants, then desktops are let in. Stopping,
//! at SIGTERM or SIGINT: no more desktops are let in, sessions are ended and their clients told, platforms disconnected,
//! connections closed, each within the deadline; exit status 0. A second signal ends the process at once.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    config::{self, HostConfig, Isolation, Loaded},
    descriptors,
    logging::Log,
    metrics::Metrics,
    plugin::{Libraries, worker::sandbox::is_open_to_all},
    reload::Reload,
    server::{Desktops, Listener, Operations},
    session::DisposedReason,
    tenant::{Tenants, Workers},
};

/// How much of the deadline the sessions and platforms may take to end; the rest is for the connections to close.
const TENANTS_SHARE: f32 = 0.8;

/// Runs the host until it is told to stop.
///
/// # Errors
/// What keeps it from starting, in lines for the operator.
pub fn run(file: &Path) -> Result<(), String> {
    let loaded = config::load(file)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\njackfield: "))?;
    let log = Arc::new(Log::start(&loaded.host.log_filter, loaded.host.log_format)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the runtime cannot be started: {error}"))?;
    let outcome = runtime.block_on(host(file, loaded, Arc::clone(&log)));
    // What a plugin still does in a thread of ours must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_millis(500));
    log.end();
    outcome
}

async fn host(file: &Path, loaded: Loaded, log: Arc<Log>) -> Result<(), String> {
    let Loaded { host, tenants, problems } = loaded;
    if tenants.iter().any(|tenant| tenant.isolation != Isolation::None) && is_open_to_all(&host.tenants) {
        tracing::warn!(
            folder = %host.tenants.display(),
            "the tenants' files lie where each tenant's adapter can read them; keep them, and secrets, elsewhere"
        );
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
    let mut hangup = signal(SignalKind::hangup()).map_err(|error| error.to_string())?;
    let metrics = Metrics::new(host.metrics_max_tenants);
    let (closing, closed) = watch::channel(false);
    let (stopping, stop) = watch::channel(false);
    let (desktops, operations) = listen(&host, &closed).await?;
    let libraries = Libraries::with_trust(&host.plugin_store, host.plugin_trust.clone(), &metrics);
    // Not by its name: an upgrade may have put another binary there since this one was started.
    let workers = Workers::new("/proc/self/exe".into(), host.plugin_store.join("recordings"));
    let tenants = Arc::new(Tenants::start(tenants, problems, &libraries, &workers, &metrics).await);

    let reload = Arc::new(Reload {
        file: file.to_owned(),
        listener: host.listener.address,
        tenants: Arc::clone(&tenants),
        libraries,
        workers,
        metrics: metrics.clone(),
        turn: tokio::sync::Mutex::default(),
    });
    let about = Arc::new(Operations {
        tenants: Arc::clone(&tenants),
        reload: Arc::clone(&reload),
        metrics: metrics.clone(),
        ready: AtomicBool::new(true),
        log,
        since: std::time::Instant::now(),
    });
    let operators = operations.map(|listener| {
        log_address("operations", &listener);
        tokio::spawn(listener.serve_operations(Arc::clone(&about), stopped(closed.clone())))
    });
    log_address("desktops", &desktops);
    let shared = Arc::new(Desktops::new(host.listener.clone(), Arc::clone(&tenants), metrics, closed));
    let serving = tokio::spawn(desktops.serve_desktops(shared, stopped(stop)));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), tenants = tenants.all().len(), "jackfield is running");

    let name = loop {
        tokio::select! {
            _ = terminate.recv() => break "SIGTERM",
            _ = interrupt.recv() => break "SIGINT",
            _ = hangup.recv() => {
                let reload = Arc::clone(&reload);
                // Beside this, so that the host can be stopped meanwhile. What is wrong is in the log.
                tokio::spawn(async move { drop(reload.run().await) });
            }
        }
    };
    tracing::info!(signal = name, "jackfield is shutting down");
    about.ready.store(false, Ordering::Relaxed);
    stopping.send_replace(true);
    let deadline = host.shutdown_deadline;
    let end = tokio::time::timeout(deadline, async {
        tenants.shut_down(DisposedReason::ShuttingDown, deadline.mul_f32(TENANTS_SHARE)).await;
        closing.send_replace(true);
        let _ = serving.await;
        if let Some(operators) = operators {
            let _ = operators.await;
        }
    });
    tokio::select! {
        ended = end => match ended {
            Ok(()) => tracing::info!("jackfield has ended"),
            Err(_) => tracing::warn!(?deadline, "jackfield ends at its deadline: not all connections are closed"),
        },
        _ = terminate.recv() => tracing::warn!("a second signal: jackfield ends at once"),
        _ = interrupt.recv() => tracing::warn!("a second signal: jackfield ends at once"),
    }
    Ok(())
}

async fn listen(host: &HostConfig, closed: &watch::Receiver<bool>) -> Result<(Listener, Option<Listener>), String> {
    let unavailable = |key, address, error| format!("{key} {address}: {error}");
    let most = descriptors::for_desktops(host.listener.max_connections);
    let desktops = Listener::desktops(&host.listener, most, closed.clone())
        .await
        .map_err(|error| unavailable("listener.address", host.listener.address, error))?;
    let Some(address) = host.operations else { return Ok((desktops, None)) };
    let operations = Listener::operations(address, closed.clone())
        .await
        .map_err(|error| unavailable("operations.address", address, error))?;
    Ok((desktops, Some(operations)))
}

/// The line that scripts and tests read the real port from.
fn log_address(what: &'static str, listener: &Listener) {
    if let Ok(address) = listener.address() {
        tracing::info!(%address, "listening for {what}");
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is an end as well.
    let _ = stop.wait_for(|stop| *stop).await;
}
