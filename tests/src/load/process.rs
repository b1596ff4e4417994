//! What the kernel knows of a process: processor time and resident memory.

use std::{fs, process::Command, time::Duration};

/// This program, even where its file has been built anew since.
pub const OWN: &str = "/proc/self/exe";

/// User and system time that a process has used so far.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The second field, a name in brackets, may hold blanks; user and system time are the 14th and the 15th.
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_secs_f64(ticks as f64 / ticks_per_second())
}

/// The same of a process and those that it has started and that still run.
pub fn cpu_time_of_all(pid: u32) -> Duration {
    children(pid).into_iter().map(cpu_time).sum::<Duration>() + cpu_time(pid)
}

fn ticks_per_second() -> f64 {
    use std::sync::OnceLock;
    static TICKS: OnceLock<f64> = OnceLock::new();
    *TICKS.get_or_init(|| {
        let said = Command::new("getconf").arg("CLK_TCK").output().ok();
        said.and_then(|said| String::from_utf8_lossy(&said.stdout).trim().parse().ok()).unwrap_or(100.0)
    })
}

/// Resident memory of a process, in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    status_number(pid, "VmRSS:")
}

/// Memory of a process and of those that it has started, in KiB; what they share with others counts in parts.
pub fn proportional_kib_of_all(pid: u32) -> u64 {
    let of = |pid: u32| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process runs");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).expect("the kernel tells it");
        line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).expect("a number")
    };
    of(pid) + children(pid).into_iter().map(of).sum::<u64>()
}

/// The processes that a process has started and that still run.
pub fn children(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("there is a /proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |other: &u32| {
        let stat = fs::read_to_string(format!("/proc/{other}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(1)?.parse().ok());
        parent == Some(pid)
    };
    pids.filter(is_child).collect()
}

/// Threads of a process.
pub fn threads(pid: u32) -> u64 {
    status_number(pid, "Threads:")
}

fn status_number(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel tells it");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

/// Open files of a process.
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs").count()
}

/// Sees to it that this process, and the hosts that it starts, may open so many files: where the limit is lower, the program
/// is started again under a shell that has raised it. Comes back if there is nothing to do, or nothing that can be done, with
/// how many it may open.
pub fn may_open(files: u64) -> u64 {
    const TRIED: &str = "LOAD_LIMIT_RAISED";
    let limit = file_limit();
    if limit >= files || std::env::var_os(TRIED).is_some() {
        return limit;
    }
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -n {files} || exit 97; exec \"$0\" \"$@\""))
        .arg(OWN)
        .args(std::env::args_os().skip(1))
        .env(TRIED, "1")
        .status()
        .expect("a shell");
    if status.code() != Some(97) {
        std::process::exit(status.code().unwrap_or(1));
    }
    eprintln!("the limit of open files cannot be raised to {files}; going on with {limit}");
    limit
}

/// How many files this process may open.
fn file_limit() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").expect("the kernel tells it");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("the kernel tells it");
    let soft = line.split_whitespace().next().expect("a soft limit");
    soft.parse().unwrap_or(u64::MAX)
}
