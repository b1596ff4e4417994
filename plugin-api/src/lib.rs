//! What a vendor needs to write an adapter for Jackfield.
//!
//! An adapter is one shared library. It connects Jackfield to one kind of contact-centre platform, for many tenants and
//! their agents. It is plain async Rust: three traits to implement, one macro, one JSON file.
//!
//! # The one idea
//!
//! **An adapter reports how things are; the host works out what changed and tells the desktops.** You never raise an
//! event of the protocol. You keep a model of what your platform says (channels, interactions, conversations under the
//! platform's own keys) and report it when it is at rest; saying the same again says nothing. So recovery is not a
//! special case: after a lost link or a crash you report everything you find. How reports are read is told in
//! [`report`]; read that page before you write the first one.
//!
//! # A library
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]     # rlib: for your own tests
//!
//! [dependencies]
//! jackfield-plugin-api = { path = "../jackfield/plugin-api" }     # in a clone of Jackfield
//! serde = { version = "1", features = ["derive"] }                 # to read a tenant's settings
//! tokio = { version = "1", features = ["rt", "net", "io-util", "time", "sync", "macros"] }
//! ```
//!
//! Build with unwinding panics (Cargo's default); inside the host a library built with `panic = "abort"` is refused, since
//! a panic in it would end the host. Keep no state in globals: two tenants share a library.
//!
//! # The order of calls
//!
//! | when | called | then |
//! | --- | --- | --- |
//! | the library is loaded | [`Adapter::load`] | once for the whole process |
//! | a tenant starts | [`Adapter::connect`] | may run for several tenants at once |
//! | at any time | — | *you* tell [`PlatformHost::link`] and [`PlatformHost::metric`] |
//! | an agent logs in | [`Platform::log_in`] | may run for several agents at once |
//! | the desktop starts its session | [`Agent::start`] | never before `log_in` returned; at most one at a time |
//! | the desktop wants something | [`Agent::command`] | only after `start` succeeded; several at once |
//! | at any time from `start` on | — | *you* tell [`AgentHost::report`] and [`AgentHost::link`] |
//! | the link is back, or the host lost track | [`Agent::snapshot`] | may run beside commands |
//! | after each of these and each report | [`Agent::resume_state`] | must be quick and must not wait |
//! | the session ends | [`Agent::log_out`] | also without `start`; may fail and be called again |
//! | | the agent is dropped | its futures are dropped first, wherever they are |
//! | a tenant ends | [`Platform::disconnect`] | after its agents were asked to leave; their drop may run beside it |
//!
//! The host keeps commands apart that touch the same objects; others run side by side, so an agent's methods take
//! `&self` and guard their model by a lock. Never hold that lock across an `.await` that waits for the platform; do hold
//! it while you report, so that reports leave in the order in which the model changed. [`AgentHost::report`] never calls
//! back into the adapter.
//!
//! # What the return values mean
//!
//! - [`Adapter::connect`]: `Ok` means that the settings are usable and the work on the link has begun, not that the link
//!   is up. [`Code::Rejected`] means that only other settings can help; with any other code the host tries again.
//! - [`Platform::log_in`]: `Ok` means that the agent is who he says. Nothing has happened to his calls yet.
//! - [`Agent::start`] and [`Agent::snapshot`]: `Ok` means that a complete [`Report::snapshot`] *was reported before*.
//! - [`Agent::command`]: [`Outcome::Success`] means that the platform has carried it out and the new state *was reported
//!   before*; the session's later commands rely on it. For dial and consult it means that the party is being called.
//!   [`Outcome::NeedInfo`] asks the agent something. [`Outcome::Failure`] means that nothing was done; give the code
//!   that fits and the platform's own words in [`Failure::context`].
//! - [`Agent::log_out`] with [`Ending::LogOut`]: a failure means that nothing has changed.
//!
//! # When things go wrong
//!
//! - **A panic** in any method, in the future it returns, or when it is dropped, costs that one request: the desktop
//!   gets `adapter_failed`, the host counts it and logs where it was. The agent lives on, so leave your model usable: a
//!   poisoned lock is better taken over than unwrapped.
//! - **No answer in time**: the host stops waiting (30 s for a command unless configured otherwise) and tells the desktop
//!   `timeout`. Your future runs on. What it reports still counts; what it returns is thrown away.
//! - **The link is lost**: tell [`Link::Down`] with a reason. The host fails what is under way and sends no commands
//!   until you tell [`Link::Up`]; then it calls [`Agent::snapshot`] for every session and shows the link as up when
//!   that was applied. Report nothing while you do not know how things are.
//! - **The host is busy**: `report` never blocks and never fails. What cannot be taken now waits inside the plugin, and
//!   later reports are merged into it ([`merge`]): the later statement stands. If too many wait that cannot be merged,
//!   they are dropped and [`Agent::snapshot`] is called as soon as there is room.
//! - **The adapter blocks a thread** of its runtime (a lock, a synchronous call): then nothing of this library runs, for
//!   any tenant, and the host says so. Use `tokio::task::spawn_blocking` for what cannot be async.
//! - **The process dies**: the host logs the agents in again ([`Login::resume`] is set, the password is not) and takes a
//!   snapshot. Desktops see only what really changed.
//!
//! What a mistake costs, by where the operator lets the library run. *The worker dies* means: commands in flight fail
//! with `adapter_failed`, once; the tenant's desktops stay connected and are told that the link is down; the worker is
//! started again, the agents are logged in again, and after their snapshots the link is up. With `isolation = "tenant"`
//! that is one tenant's affair, with `"adapter"` that of all tenants which share the worker. The log says `the worker
//! died` with the reason and the file in which the last messages are; `jackfield_worker_deaths_total{adapter,kind}`
//! counts it.
//!
//! | what the adapter does | in a worker (`"tenant"`, `"adapter"`) | inside the host (`"none"`) | what tells it |
//! | --- | --- | --- | --- |
//! | panics, in any method | that request fails with `adapter_failed`; nothing else happens | the same | an error in the log; `jackfield_plugin_failures_total{kind="panic"}` |
//! | panics, in a task of its own | that task ends; nothing else happens. If it was to keep the link, the link stays as it was told last | the same | an error in the log |
//! | crashes, aborts | the worker dies | the host ends | deaths, `kind="signal"` |
//! | exits | the worker dies | the host ends | deaths, `kind="exit"` |
//! | spins, deadlocks, blocks all its threads | the worker dies after `worker.patience` | its commands end with `timeout`; nothing of the library runs, for any tenant; other libraries go on | deaths, `kind="hang"`; inside the host `jackfield_plugin_failures_total{kind="unresponsive"}` |
//! | leaks | the worker dies at `worker.memory`, which counts what it has started and files in memory as well | the host grows | deaths, `kind="memory"` |
//! | starts more and more threads or processes | the worker dies at `worker.tasks` | they are there | deaths, `kind="tasks"` |
//! | floods with reports | they are merged, and the session takes what it can; the worker dies only at more messages a second than 50 for each session that the tenant may have, and than 20 000 | they are merged, and the session takes what it can | `jackfield_plugin_breaches_total{kind="reports_dropped"}`; deaths, `kind="flood"` |
//! | answers late | `timeout` at the deadline; the answer is thrown away when it comes, the session goes on | the same | `jackfield_plugin_late_answers_total` |
//! | says that it reported a snapshot, and did not | the session goes on with what it knew | the same | `jackfield_plugin_breaches_total{kind="no_snapshot"}` |
//! | cannot be loaded (a symbol, a library, a version of glibc is missing) | the tenant is in quarantine, with the loader's words, until an operator releases it | the tenant is not started | `quarantined` in `/tenants`; an error in the log; before that `plugin inspect`, `plugin install` and `check-config` |
//! | answers twice, or what was not asked | not possible with this crate; past it, on the worker's socket, the first answer counts and others are thrown away | not possible with this crate | `jackfield_plugin_late_answers_total` |
//! | answers or reports for sessions of others | not possible with this crate; past it, it reaches sessions of the same worker at most, and nobody where there is no such session | not possible with this crate | — |
//! | sends what is no message | the worker dies | — | deaths, `kind="protocol"` |
//! | prints | it is thrown away | it stands in the host's standard output, which means nothing | — |
//! | writes to its standard error | it stands in the host's log under the worker's name, up to 100 lines a second | it stands among the host's log | a warning in the log, `worker="TENANT:ADAPTER"` |
//! | starts processes | they end with the worker; `setsid` and `setpgid` fail in them, and in the worker | they are left when the host ends | — |
//! | connects to the host's operators, signals other processes, reads files that the tenant's file does not name | it fails with `EACCES` or `EPERM`, where the kernel can do that | it can | what the kernel cannot do: a warning in the log, `not confined` |
//! | dies again and again | after `worker.crashes` deaths within `worker.within` the tenant is in quarantine until an operator releases it; its commands fail with `link_down` | — | `quarantined` in `/tenants`; an error in the log that names the commands in flight at two deaths in a row |
//!
//! # When another version takes over
//!
//! A tenant is moved to another version of a library, or to other settings, while its agents work. The new version is
//! connected beside the old one and must tell [`Link::Up`]; then each agent, at a moment without commands, leaves the
//! old one ([`Ending::Leave`]) and is logged in at the new one with the [`Agent::resume_state`] that the old one gave,
//! and a snapshot is taken. So two versions are connected to one platform for a while, each with agents of its own; a
//! platform that lets in only one connection a tenant must let the newer one win. Read resume states of older versions,
//! and of newer ones as far as you can: the tenant may be moved back.
//!
//! # What you get
//!
//! Your code runs in a tokio runtime of the library's own; `tokio::spawn`, timers and sockets work everywhere. What you
//! log with [`tracing`]'s macros stands in the host's log under adapter and tenant; lines are cut at 4 KiB and at 200 a
//! second. The tenant is known while a method of yours, or its future, runs. What a task that you spawn logs, or a thread of
//! your own, stands there under the tenant only while the library serves no other; and spans are not carried over. So name
//! the tenant in what they log. Metrics that the [`manifest`] declares are served as `jackfield_adapter_<id>_<name>`.
//!
//! Compatibility: a library built with any 1.x of this crate works with any 1.y host. Match enums that are
//! `#[non_exhaustive]` with a wildcard; a command that your version of this crate does not know is answered with
//! `unsupported` for you. In an older host, what only your version knows costs nothing else: it is left out of the
//! manifest, a new failure code is told as `adapter_failed`, and a channel of a new type is left out of the report. The
//! other words that a report or an answer is made of stay as they are in all of 1.x; it grows by new members, which an
//! older host does not see.
//!
//! # A complete adapter
//!
//! ```standalone_crate
#![doc = include_str!("../examples/echo/adapter.rs")]
//! ```
//!
//! How to test it without a host: [`testkit`].

// Allowed in one file only: abi.rs, the binary interface.
#![deny(unsafe_code)]

#[doc(hidden)]
pub mod abi;
mod adapter;
mod agent_task;
mod backoff;
pub mod command;
#[doc(hidden)]
pub mod export;
mod failure;
#[cfg(test)]
mod golden;
mod hex;
mod host;
mod host_queue;
mod host_sender;
mod json;
pub mod lists;
mod logs;
pub mod manifest;
mod merge;
mod platform_task;
pub mod report;
#[doc(hidden)]
pub mod runtime;
pub mod testkit;
mod timestamp;
#[doc(hidden)]
pub mod wire;

pub use adapter::{Adapter, Agent, Ending, Login, Platform, Secret, Settings, StartOptions, Tenant};
pub use backoff::Backoff;
pub use command::{Command, Outcome};
pub use failure::{Code, Failure};
pub use host::{AgentHost, Link, PlatformHost};
pub use json::Json;
pub use lists::ListPage;
pub use manifest::Manifest;
pub use merge::merge;
pub use report::Report;
pub use timestamp::Timestamp;
/// For adapters that log: what they log appears in the host's log, under their tenant's name unless a task of their own
/// logs it.
pub use tracing;

/// The version of this contract that a library or a host was built with.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
