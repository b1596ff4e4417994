//! A host made of nothing, for an adapter's own tests: no library, no socket, no desktop.
//!
//! Owns: what a test needs to call an adapter as the host does, and to look at what it reported. Must never: be kinder
//! than the host; what the host would refuse or count against the adapter, or what it would not hear, stands in
//! [`Tenant::complaints`]. The adapter's futures run on the test's own runtime.
//!
//! Four things are left to the test. More than a session may hold, and texts that are too long, are not complained about:
//! how much that is, is the operator's to say. Settings are handed over as they are: a host checks
//! them against the manifest's schema before it connects a tenant, but a validator of JSON Schema would be built into each
//! vendor's library. Calls come in the test's order, which should be [that of a host](crate#the-order-of-calls). And a
//! panic of the adapter is the test's own.
//!
//! ```standalone_crate
//! # mod my_adapter { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/echo/adapter.rs")); }
//! use jackfield_plugin_api::{Command, Ending, Failure, Link, Outcome, report::Availability, testkit};
//! use serde_json::json;
//!
//! # /*
//! #[tokio::test]
//! # */
//! async fn an_agent_becomes_ready() -> Result<(), Failure> {
//!     let settings = json!({"extension": "100"});
//!     let tenant = testkit::Tenant::connect::<my_adapter::Echo>(my_adapter::MANIFEST, settings).await?;
//!     assert_eq!(tenant.link(), Some(Link::Up));
//!
//!     let session = tenant.log_in("7001", "secret").await?;
//!     session.start().await?;
//!     assert_eq!(session.command(Command::Ready { channel: "100".into() }).await, Outcome::success());
//!     session.wait_until("it is ready", |view| view.availability("100") == Some(Availability::Ready)).await;
//!
//!     session.log_out(Ending::LogOut).await?;
//!     assert_eq!(tenant.complaints(), Vec::<String>::new());
//!     Ok(())
//! }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
//! #     .block_on(an_agent_becomes_ready()).unwrap();
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use tokio::sync::Notify;

use crate::{
    Adapter, Agent, AgentHost, Code, Command, Ending, Failure, Json, Link, Login, Manifest, Outcome, Platform,
    PlatformHost, Report, Settings, StartOptions,
    command::ObjectKind,
    host::{AgentBackend, PlatformBackend},
    report::{
        Availability, Channel, ChannelStatus, Conversation, ConversationState, Interaction, InteractionState, Key,
    },
    wire::MAX_RESUME_STATE,
};

mod checks;

/// How long [`Session::wait_until`] waits before it gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a manifest and checks it as a host does.
///
/// # Errors
/// All that is wrong with it, a line each.
pub fn check_manifest(text: &str) -> Result<Manifest, String> {
    let manifest: Manifest = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match manifest.check() {
        wrong if wrong.is_empty() => Ok(manifest),
        wrong => Err(wrong.join("\n")),
    }
}

/// What a host would leave out of a report, one sentence each; `before` is how things were by the reports before it.
/// [`Tenant::complaints`] has the same of all that an adapter reported in a test.
#[must_use]
pub fn check_report(manifest: &Manifest, before: &View, report: &Report) -> Vec<String> {
    checks::in_report(manifest, before, report)
}

/// A metric as the adapter reported it.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Its name.
    pub name: String,
    /// Values of its labels.
    pub labels: Vec<String>,
    /// What was added, set or observed.
    pub value: f64,
}

/// One tenant, connected by the adapter under test.
pub struct Tenant<P> {
    platform: P,
    record: Arc<TenantRecord>,
}

/// What an adapter told about a tenant.
struct TenantRecord {
    manifest: Manifest,
    log: Mutex<TenantLog>,
}

#[derive(Default)]
struct TenantLog {
    links: Vec<Link>,
    metrics: Vec<Observation>,
    /// The labels of each metric that were seen.
    series: BTreeMap<String, BTreeSet<Vec<String>>>,
    complaints: Vec<String>,
    sessions: usize,
}

impl TenantRecord {
    fn lock(&self) -> MutexGuard<'_, TenantLog> {
        self.log.lock()
    }

    fn complain(&self, about: impl Into<String>) {
        self.lock().complaints.push(about.into());
    }
}

impl PlatformBackend for TenantRecord {
    fn link(&self, link: Link) {
        let mut log = self.lock();
        if log.links.last() != Some(&link) {
            log.links.push(link);
        }
    }

    fn metric(&self, name: &str, labels: &[&str], value: f64) {
        if let Err(wrong) = self.manifest.check_metric(name, labels.len(), value) {
            return self.complain(wrong);
        }
        let labels: Vec<_> = labels.iter().map(ToString::to_string).collect();
        let mut log = self.lock();
        let most = self.manifest.metrics.iter().find(|kind| kind.name == name).map_or(0, |kind| kind.max_series);
        let series = log.series.entry(name.to_owned()).or_default();
        if series.len() >= most && !series.contains(&labels) {
            log.complaints.push(format!("the metric {name:?} has more than {most} series"));
            return;
        }
        series.insert(labels.clone());
        log.metrics.push(Observation { name: name.to_owned(), labels, value });
    }
}

impl<P: Platform> Tenant<P> {
    /// Loads the adapter and connects a tenant named `test`. The manifest is checked, the settings are not.
    ///
    /// # Errors
    /// The manifest is not what a host takes, or the adapter failed.
    pub async fn connect<A: Adapter<Platform = P>>(manifest: &str, settings: impl Serialize) -> Result<Self, Failure> {
        let wrong = |text: String| Failure::new(Code::Rejected, text);
        let manifest = check_manifest(manifest).map_err(wrong)?;
        let settings = Json::of(&settings).map_err(|error| wrong(error.to_string()))?;
        let record = Arc::new(TenantRecord { manifest, log: Mutex::default() });
        let tenant = crate::Tenant::new("test", Settings::new(settings));
        let host = PlatformHost::new(Arc::clone(&record) as Arc<dyn PlatformBackend>);
        Ok(Self { platform: A::load()?.connect(tenant, host).await?, record })
    }

    /// The adapter's own object.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// The link as it was told last.
    #[must_use]
    pub fn link(&self) -> Option<Link> {
        self.record.lock().links.last().cloned()
    }

    /// Everything told about the link, each change once.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        self.record.lock().links.clone()
    }

    /// The metrics that were reported.
    #[must_use]
    pub fn metrics(&self) -> Vec<Observation> {
        self.record.lock().metrics.clone()
    }

    /// What a host would count against the adapter, or would not hear. A good test ends by asserting that there is none.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.record.lock().complaints.clone()
    }

    /// Logs an agent in.
    ///
    /// # Errors
    /// What the adapter says.
    pub async fn log_in(&self, agent: &str, password: &str) -> Result<Session<P::Agent>, Failure> {
        let session = {
            let mut log = self.record.lock();
            log.sessions += 1;
            format!("session-{}", log.sessions)
        };
        self.log_in_with(Login::new(agent, password, session)).await
    }

    /// Logs an agent in, for example [`again`](Login::again) after a crash.
    ///
    /// # Errors
    /// What the adapter says.
    pub async fn log_in_with(&self, login: Login) -> Result<Session<P::Agent>, Failure> {
        let record =
            Arc::new(SessionRecord { tenant: Arc::clone(&self.record), log: Mutex::default(), news: Notify::new() });
        let host = AgentHost::new(Arc::clone(&record) as Arc<dyn AgentBackend>);
        let session = Session { agent: self.platform.log_in(login, host).await?, record };
        session.resume_state();
        Ok(session)
    }

    /// Disconnects, as at the end of a host.
    pub async fn disconnect(self) {
        self.platform.disconnect().await;
    }
}

/// One agent of the adapter under test.
pub struct Session<G> {
    agent: G,
    record: Arc<SessionRecord>,
}

/// What an adapter told about a session.
struct SessionRecord {
    tenant: Arc<TenantRecord>,
    log: Mutex<SessionLog>,
    news: Notify,
}

#[derive(Default)]
struct SessionLog {
    reports: Vec<Report>,
    /// How many there were, those that were taken away among them.
    reported: usize,
    links: Vec<Link>,
    view: View,
    /// Nothing is heard any more.
    ended: bool,
}

impl SessionRecord {
    fn lock(&self) -> MutexGuard<'_, SessionLog> {
        self.log.lock()
    }
}

impl AgentBackend for SessionRecord {
    fn report(&self, mut report: Report) {
        let mut log = self.lock();
        if log.ended {
            return self.tenant.complain("a report after the session's end");
        }
        for wrong in checks::in_report(&self.tenant.manifest, &log.view, &report) {
            self.tenant.complain(wrong);
        }
        let declared = &self.tenant.manifest.extension_events;
        report.events.retain(|event| declared.iter().any(|kind| kind.name == event.name));
        if report.is_empty() {
            return;
        }
        log.view.apply(&report);
        log.reported += 1;
        log.reports.push(report);
        drop(log);
        self.news.notify_waiters();
    }

    fn link(&self, link: Link) {
        let mut log = self.lock();
        if log.ended || log.links.last() == Some(&link) {
            return;
        }
        log.links.push(link);
        drop(log);
        self.news.notify_waiters();
    }
}

impl<G: Agent> Session<G> {
    /// The adapter's own object.
    pub fn agent(&self) -> &G {
        &self.agent
    }

    /// Begins the session.
    ///
    /// # Errors
    /// What the adapter says.
    pub async fn start(&self) -> Result<(), Failure> {
        self.start_with(StartOptions::default()).await
    }

    /// Begins the session as a desktop that says more.
    ///
    /// # Errors
    /// What the adapter says.
    pub async fn start_with(&self, options: StartOptions) -> Result<(), Failure> {
        let before = self.snapshots();
        let result = self.agent.start(options).await;
        self.expect_snapshot("start", before, &result);
        result
    }

    /// Carries a command out. One that the manifest does not declare never reaches the adapter, as in a host.
    pub async fn command(&self, command: Command) -> Outcome {
        let tenant = &self.record.tenant;
        if !checks::is_declared(&tenant.manifest, &command) {
            tenant.complain(format!("{command:?} is not declared, and a host answers it with unsupported"));
            return Outcome::unsupported();
        }
        let before = self.record.lock().reported;
        let outcome = self.agent.command(command.clone()).await;
        let reported = self.record.lock().reported > before;
        if let Some(wrong) = checks::in_outcome(&command, &outcome, reported) {
            tenant.complain(wrong);
        }
        self.resume_state();
        outcome
    }

    /// Asks for a snapshot.
    ///
    /// # Errors
    /// What the adapter says.
    pub async fn snapshot(&self) -> Result<(), Failure> {
        let before = self.snapshots();
        let result = self.agent.snapshot().await;
        self.expect_snapshot("snapshot", before, &result);
        result
    }

    /// Ends the session. What is reported later is not heard, and stands in the complaints; where the agent could not be
    /// logged out, the session goes on.
    ///
    /// # Errors
    /// What the adapter says.
    pub async fn log_out(&self, ending: Ending) -> Result<(), Failure> {
        let result = self.agent.log_out(ending).await;
        self.resume_state();
        // Who leaves is not asked whether it can be done.
        if result.is_ok() || ending == Ending::Leave {
            self.record.lock().ended = true;
        }
        result
    }

    /// What the host would keep for a log-in after a crash.
    pub fn resume_state(&self) -> Vec<u8> {
        let state = self.agent.resume_state();
        if state.len() > MAX_RESUME_STATE {
            self.record.tenant.complain(format!("a resume state of {} bytes; at most {MAX_RESUME_STATE}", state.len()));
        }
        state
    }

    /// Everything that was reported, in order.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        self.record.lock().reports.clone()
    }

    /// What was reported since this was asked last, in order.
    #[must_use]
    pub fn take_reports(&self) -> Vec<Report> {
        std::mem::take(&mut self.record.lock().reports)
    }

    /// What was told of this agent's own link.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        self.record.lock().links.clone()
    }

    /// How things are by all that was reported.
    #[must_use]
    pub fn view(&self) -> View {
        self.record.lock().view.clone()
    }

    /// Waits until the reports say something.
    ///
    /// # Panics
    /// They do not within 30 seconds; the message shows what they say.
    pub async fn wait_until(&self, what: &str, holds: impl Fn(&View) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let news = self.record.news.notified();
                let mut news = std::pin::pin!(news);
                // Listening before looking, so that nothing is missed in between.
                news.as_mut().enable();
                if holds(&self.record.lock().view) {
                    return;
                }
                news.await;
            }
        });
        assert!(waited.await.is_ok(), "not within {PATIENCE:?}: {what}; the view is {:#?}", self.view());
    }

    fn snapshots(&self) -> usize {
        self.record.lock().reports.iter().filter(|report| report.snapshot).count()
    }

    fn expect_snapshot(&self, method: &str, before: usize, result: &Result<(), Failure>) {
        if result.is_ok() && self.snapshots() <= before {
            self.record.tenant.complain(format!("{method} returned without having reported a snapshot"));
        }
        self.resume_state();
    }
}

/// How things are by the reports so far, under the platform's keys. A simple picture: the host's own rules (what cannot
/// be and is left out) are not applied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The channel groups that there are.
    pub groups: BTreeSet<Key>,
    /// The channels that there are, each with its interactions and their living conversations.
    pub channels: Vec<Channel>,
}

impl View {
    /// A channel.
    #[must_use]
    pub fn channel(&self, key: &str) -> Option<&Channel> {
        self.channels.iter().find(|channel| channel.key == key)
    }

    /// The availability on an active channel.
    #[must_use]
    pub fn availability(&self, channel: &str) -> Option<Availability> {
        match self.channel(channel)?.status.as_ref()? {
            ChannelStatus::Active(info) => Some(info.availability.unwrap_or(Availability::NotReady)),
            _ => None,
        }
    }

    /// An interaction, on whatever channel.
    #[must_use]
    pub fn interaction(&self, key: &str) -> Option<&Interaction> {
        self.interactions().find(|interaction| interaction.key == key)
    }

    pub(crate) fn interaction_at(&self, channel: &str, interaction: &str) -> Option<&Interaction> {
        self.channel(channel)?.interactions.iter().find(|it| it.key == interaction)
    }

    /// All interactions.
    pub fn interactions(&self) -> impl Iterator<Item = &Interaction> {
        self.channels.iter().flat_map(|channel| &channel.interactions)
    }

    /// A living conversation, in whatever interaction.
    #[must_use]
    pub fn conversation(&self, key: &str) -> Option<&Conversation> {
        self.interactions().flat_map(|it| it.conversations.iter().flatten()).find(|it| it.key == key)
    }

    /// How many objects of a kind there are.
    #[must_use]
    pub fn count(&self, kind: ObjectKind) -> usize {
        match kind {
            ObjectKind::Session => 1,
            ObjectKind::ChannelGroup => self.groups.len(),
            ObjectKind::Channel => self.channels.len(),
            ObjectKind::Interaction => self.interactions().count(),
            ObjectKind::Conversation => self.interactions().flat_map(|it| it.conversations.iter().flatten()).count(),
        }
    }

    /// Drops what a snapshot does not name.
    fn keep_only(&mut self, snapshot: &Report) {
        let is_it = |key: &Key, said: &Key, was: &Option<Key>| key == said || was.as_ref() == Some(key);
        self.groups.retain(|key| snapshot.groups.iter().any(|said| said.key == *key));
        self.channels.retain_mut(|channel| {
            let said = snapshot.channels.iter().find(|said| is_it(&channel.key, &said.key, &said.was));
            let Some(said) = said else { return false };
            channel.interactions.retain(|it| said.interactions.iter().any(|said| is_it(&it.key, &said.key, &said.was)));
            true
        });
    }

    /// Takes a report in.
    pub fn apply(&mut self, report: &Report) {
        if report.snapshot {
            self.keep_only(report);
        }
        for group in &report.groups {
            if group.gone {
                self.groups.remove(&group.key);
                self.channels.retain(|channel| channel.group.as_ref() != Some(&group.key));
            } else {
                self.groups.insert(group.key.clone());
            }
        }
        for said in &report.channels {
            apply_to(&mut self.channels, said, &said.key, said.was.as_deref(), said.gone, |it| &it.key, apply_channel);
        }
    }
}

/// Takes a statement about one object into a list of objects.
fn apply_to<T: Default>(
    list: &mut Vec<T>,
    said: &T,
    key: &str,
    was: Option<&str>,
    gone: bool,
    key_of: impl Fn(&T) -> &Key,
    apply: impl Fn(&mut T, &T),
) {
    let is_it = |it: &T| key_of(it) == key || was == Some(key_of(it).as_str());
    let at = list.iter().position(is_it);
    match (at, gone) {
        (Some(at), true) => drop(list.remove(at)),
        (Some(at), false) => apply(&mut list[at], said),
        (None, true) => {}
        (None, false) => {
            let mut new = T::default();
            apply(&mut new, said);
            list.push(new);
        }
    }
}

fn set<T: Clone>(to: &mut Option<T>, said: &Option<T>) {
    if said.is_some() {
        to.clone_from(said);
    }
}

fn apply_channel(channel: &mut Channel, said: &Channel) {
    channel.key.clone_from(&said.key);
    set(&mut channel.group, &said.group);
    set(&mut channel.kind, &said.kind);
    set(&mut channel.endpoint, &said.endpoint);
    set(&mut channel.name, &said.name);
    set(&mut channel.status, &said.status);
    set(&mut channel.since, &said.since);
    for it in &said.interactions {
        let gone = it.gone || it.state == Some(InteractionState::Completed);
        let interactions = &mut channel.interactions;
        apply_to(interactions, it, &it.key, it.was.as_deref(), gone, |it| &it.key, apply_interaction);
    }
}

fn apply_interaction(interaction: &mut Interaction, said: &Interaction) {
    interaction.key.clone_from(&said.key);
    set(&mut interaction.direction, &said.direction);
    set(&mut interaction.state, &said.state);
    set(&mut interaction.since, &said.since);
    set(&mut interaction.reason, &said.reason);
    set(&mut interaction.cause, &said.cause);
    set(&mut interaction.recording, &said.recording);
    interaction.recording_unknown |= said.recording_unknown;
    set(&mut interaction.disposition, &said.disposition);
    set(&mut interaction.supervises, &said.supervises);
    set(&mut interaction.url, &said.url);
    for (key, value) in &said.data {
        match value {
            Some(_) => drop(interaction.data.insert(key.clone(), value.clone())),
            None => drop(interaction.data.remove(key)),
        }
    }
    if let Some(list) = &said.conversations {
        let before = interaction.conversations.take().unwrap_or_default();
        let living = list.iter().filter(|it| it.state != Some(ConversationState::Ended));
        interaction.conversations = Some(living.map(|said| apply_conversation(&before, said)).collect());
    }
}

fn apply_conversation(before: &[Conversation], said: &Conversation) -> Conversation {
    let known = before.iter().find(|it| it.key == said.key || said.was.as_ref() == Some(&it.key));
    let mut conversation = known.cloned().unwrap_or_default();
    conversation.key.clone_from(&said.key);
    set(&mut conversation.role, &said.role);
    set(&mut conversation.state, &said.state);
    set(&mut conversation.since, &said.since);
    set(&mut conversation.reason, &said.reason);
    set(&mut conversation.cause, &said.cause);
    set(&mut conversation.muted, &said.muted);
    set(&mut conversation.members, &said.members);
    conversation
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::report::ChannelType;

    const MANIFEST: &str =
        r#"{"id":"a","vendor":"v","platform":"p","channelTypes":["Telephony"],"commands":[],"settings":{}}"#;

    struct Lone;

    impl Adapter for Lone {
        type Platform = Self;

        fn load() -> Result<Self, Failure> {
            Ok(Self)
        }

        async fn connect(&self, _: crate::Tenant, _: PlatformHost) -> Result<Self, Failure> {
            Ok(Self)
        }
    }

    impl Platform for Lone {
        type Agent = Stayer;

        async fn log_in(&self, _: Login, host: AgentHost) -> Result<Stayer, Failure> {
            Ok(Stayer(host))
        }
    }

    /// Does not let itself be logged out, but leaves.
    struct Stayer(AgentHost);

    impl Stayer {
        fn tell(&self, channel: &str) {
            self.0.report(Report::new().channel(Channel::create(channel, ChannelType::Telephony, "1", "Phone")));
        }
    }

    impl Agent for Stayer {
        async fn start(&self, _: StartOptions) -> Result<(), Failure> {
            Ok(())
        }

        async fn command(&self, _: Command) -> Outcome {
            Outcome::success()
        }

        async fn snapshot(&self) -> Result<(), Failure> {
            Ok(())
        }

        async fn log_out(&self, ending: Ending) -> Result<(), Failure> {
            self.tell("last");
            if ending == Ending::Leave { Ok(()) } else { Err(Failure::new(Code::Rejected, "not now")) }
        }
    }

    #[tokio::test]
    async fn what_is_reported_after_the_end_is_complained_about_and_not_heard() {
        let tenant = Tenant::connect::<Lone>(MANIFEST, serde_json::json!({})).await.unwrap();
        let session = tenant.log_in("7001", "secret").await.unwrap();
        session.log_out(Ending::LogOut).await.unwrap_err();
        session.agent().tell("heard");
        session.log_out(Ending::Leave).await.unwrap();
        assert_eq!(tenant.complaints(), Vec::<String>::new());
        session.agent().tell("late");
        assert_eq!(tenant.complaints(), ["a report after the session's end"]);
        let channels: Vec<_> = session.view().channels.into_iter().map(|channel| channel.key).collect();
        assert_eq!(channels, ["last", "heard"]);
    }
    #[tokio::test]
    async fn a_metric_may_have_as_many_series_as_the_manifest_says() {
        let metric = r#""metrics":[{"name":"x_total","type":"counter","help":"X.","labels":["of"],"maxSeries":2}],"#;
        let manifest = MANIFEST.replace(r#""commands""#, &format!(r#"{metric}"commands""#));
        let tenant = Tenant::connect::<Lone>(&manifest, serde_json::json!({})).await.unwrap();
        for of in ["a", "b", "a", "c", "b"] {
            tenant.record.metric("x_total", &[of], 1.0);
        }
        assert_eq!(tenant.metrics().len(), 4);
        assert_eq!(tenant.complaints(), [r#"the metric "x_total" has more than 2 series"#]);
    }
}
