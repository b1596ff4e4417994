//! What a worker may use of the machine.
//!
//! Owns: limits and rights that a worker takes upon itself before it loads the plugin, and that nothing in the process
//! can take back. Must never: be called in the host. What the kernel does not offer is named, not passed over in
//! silence: the host logs it.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, NetPort, PathBeneath, PathFd, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreatedAttr, Scope,
};
use rustix::process::{Resource, Rlimit, Signal, setpriority_process, setrlimit};
use serde::{Deserialize, Serialize};

use super::syscalls;

/// What one worker may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Memory in bytes; the host ends a worker that uses more, together with all that it has started, and the kernel
    /// refuses each process twice as much.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Processes and threads; the host ends a worker that has more.
    #[serde(default)]
    pub tasks: Option<usize>,
    /// Open files.
    #[serde(default)]
    pub files: Option<u64>,
    /// How much the worker yields to others when the processor is short: 0 to 19.
    #[serde(default)]
    pub nice: Option<i32>,
    /// Files and folders that it may read, beyond what every program needs.
    #[serde(default)]
    pub read: Vec<PathBuf>,
    /// Files and folders that it may read and write.
    #[serde(default)]
    pub write: Vec<PathBuf>,
    /// TCP ports that it must not connect to, on any machine.
    #[serde(default)]
    pub closed_ports: Vec<u16>,
}

/// What any program needs to run, to find hosts and to check certificates. All of /etc, because files there are replaced by
/// renaming (the list of name servers, for one), and a rule for a file does not hold for the one that takes its place.
const READABLE: &[&str] = &[
    "/bin",
    "/etc",
    "/lib",
    "/lib64",
    "/nix/store",
    "/proc/self",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/sys/fs/cgroup",
    "/usr",
];
const WRITABLE: &[&str] = &["/dev/null", "/dev/urandom", "/dev/random", "/dev/zero"];

/// Whether each worker may read what is there, whatever its tenant's file says.
#[must_use]
pub fn is_open_to_all(path: &std::path::Path) -> bool {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    READABLE.iter().any(|open| path.starts_with(open))
}

/// Confines this process for the rest of its life. Returns what this machine does not offer.
#[must_use]
pub fn enter(confinement: &Confinement, library: &std::path::Path) -> Vec<String> {
    let mut missing = Vec::new();
    let mut tried = |what: &str, result: Result<(), String>| {
        if let Err(error) = result {
            missing.push(format!("{what}: {error}"));
        }
    };
    // The host may end in a way that leaves it no time to end its workers; the socket's end is the second sign.
    tried("end with the host", text(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))));
    // What it has started stays below it, so that the host finds it, when those between have ended.
    tried("keep what it has started", text(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))));
    tried("no_new_privs", text(rustix::thread::set_no_new_privs(true)));
    if let Some(nice) = confinement.nice {
        tried("nice", text(setpriority_process(None, nice)));
    }
    if let Some(files) = confinement.files {
        tried("limit of open files", limit(Resource::Nofile, files));
    }
    if let Some(memory) = confinement.memory {
        // Twice, because the host ends a worker at the limit itself and can then say why; this is for one that grows
        // faster than the host looks.
        tried("limit of memory", limit(Resource::Data, memory.saturating_mul(2)));
    }
    tried("core dumps", limit(Resource::Core, 0));
    match landlock(confinement, library) {
        Ok(not_offered) => missing.extend(not_offered.into_iter().map(str::to_owned)),
        Err(error) => missing.push(format!("landlock: {error}")),
    }
    // Last: what stands above needs calls that a plugin does not.
    if let Err(error) = syscalls::refuse(!confinement.closed_ports.is_empty()) {
        missing.push(format!("seccomp: {error}"));
    }
    missing
}

fn text(result: rustix::io::Result<()>) -> Result<(), String> {
    result.map_err(|error| error.to_string())
}

fn limit(resource: Resource, value: u64) -> Result<(), String> {
    text(setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) }))
}

/// Leaves the worker its files, the ports that are not closed to it, and signals and sockets of its own. Returns what the
/// kernel does not offer of it.
fn landlock(confinement: &Confinement, library: &std::path::Path) -> Result<Vec<&'static str>, String> {
    let abi = ABI::V3;
    let write = AccessFs::from_all(abi);
    let read = AccessFs::from_read(abi);
    let rules = |paths: Vec<PathBuf>, access| {
        // A path that is not there cannot be allowed, and need not be.
        paths.into_iter().filter_map(move |path| {
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(abi) };
            PathFd::new(path).ok().map(|fd| Ok::<_, landlock::RulesetError>(PathBeneath::new(fd, access)))
        })
    };
    let readable = READABLE.iter().map(PathBuf::from).chain([library.to_owned()]).chain(confinement.read.clone());
    let writable = WRITABLE.iter().map(PathBuf::from).chain(confinement.write.clone());
    let closed = &confinement.closed_ports;
    let restrict = || -> Result<RestrictionStatus, landlock::RulesetError> {
        let mut ruleset = Ruleset::default().handle_access(write)?.scope(Scope::from_all(ABI::V6))?;
        if !closed.is_empty() {
            ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
        }
        let mut ruleset = ruleset
            .create()?
            .add_rules(rules(readable.collect(), read))?
            .add_rules(rules(writable.collect(), write))?;
        if !closed.is_empty() {
            // The kernel knows no rule that forbids: all others are allowed one by one. It keeps 64 bytes for each.
            let open = (1..=u16::MAX).filter(|port| !closed.contains(port));
            let rule = |port| Ok::<_, landlock::RulesetError>(NetPort::new(port, AccessNet::ConnectTcp));
            ruleset = ruleset.add_rules(open.map(rule))?;
        }
        ruleset.restrict_self()
    };
    let offered = match restrict().map_err(|error| error.to_string())?.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => {
            return Err("the kernel does not offer it".to_owned());
        }
    };
    let asked = [
        (true, ABI::V3, "landlock's rights to cut files (Linux 6.2)"),
        (!closed.is_empty(), ABI::V4, "landlock's ports (Linux 6.7): it reaches the operators' listener"),
        (true, ABI::V6, "landlock's scope (Linux 6.12): it can send signals to the host and to other workers"),
    ];
    Ok(asked.into_iter().filter(|(asked, since, _)| *asked && offered < *since).map(|(.., what)| what).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_each_worker_may_read_is_known() {
        assert!(is_open_to_all(Path::new("/etc/jackfield/tenants")));
        assert!(!is_open_to_all(Path::new("/srv/jackfield/tenants")) && !is_open_to_all(Path::new("/etcetera")));
    }
}
