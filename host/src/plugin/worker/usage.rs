//! What a worker uses, with all that it has started: memory, processes and threads.
//!
//! Owns: finding the processes and counting, from what the kernel tells of them. Must never: judge what is counted, or
//! count on where it is too much already. A worker's limits that the kernel keeps hold for each of its processes alone.

use std::{collections::HashMap, fs, os::unix::fs::MetadataExt as _};

/// What the kernel calls files that are in memory only.
const MEMORY_FILE: &str = "/memfd:";

/// The unit that a file's blocks are counted in, in bytes, whatever the file system's own.
const BLOCK: u64 = 512;

/// What a worker and its descendants use at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Resident memory in bytes; what processes share counts for each. Files in memory count as well, mapped or not.
    pub memory: u64,
    /// Memory of the worker's own process alone.
    pub own_memory: u64,
    /// Processes and their threads.
    pub tasks: usize,
}

impl Usage {
    /// Looks at a worker. Beyond `most` tasks no more are counted, so that the look stays short.
    pub(super) fn of(worker: u32, most: usize) -> Self {
        let mut usage = Self::default();
        let (mut private, mut shared, mut files) = (0, 0, HashMap::new());
        let mut processes = vec![worker];
        while let Some(process) = processes.pop() {
            // One that has ended, and that nobody has asked after yet, uses nothing.
            let Some(resident) = Resident::of(process) else { continue };
            private += resident.private;
            shared += resident.shared;
            memory_files(&format!("{}/fd", resident.folder), &mut files);
            if process == worker {
                usage.own_memory = resident.private + resident.shared;
            }
            for thread in entries(&format!("/proc/{process}/task")) {
                usage.tasks += 1;
                if usage.tasks > most {
                    break;
                }
                let children = fs::read_to_string(format!("/proc/{process}/task/{thread}/children"));
                processes
                    .extend(children.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
            if usage.tasks > most {
                break;
            }
        }
        // A file in memory that is mapped is among what is shared already.
        usage.memory = private + shared.max(files.values().sum());
        usage
    }
}

/// The resident memory of one process, in bytes.
struct Resident {
    /// Where the kernel tells of a thread of it that lives.
    folder: String,
    private: u64,
    shared: u64,
}

impl Resident {
    /// `None`: it has ended. Its first thread may have, while others go on.
    fn of(process: u32) -> Option<Self> {
        let threads = format!("/proc/{process}/task");
        entries(&threads).find_map(|thread| Self::read(format!("{threads}/{thread}")))
    }

    fn read(folder: String) -> Option<Self> {
        let status = fs::read_to_string(format!("{folder}/status")).ok()?;
        // Without an address space there are no such lines.
        let bytes = |line: &str| {
            let kibibytes = status.lines().find_map(|it| it.strip_prefix(line))?.trim().strip_suffix(" kB")?;
            Some(kibibytes.parse::<u64>().ok()? * 1024)
        };
        Some(Self { private: bytes("RssAnon:")? + bytes("RssFile:")?, shared: bytes("RssShmem:")?, folder })
    }
}

/// The sizes of the files in memory that a process has open, by their numbers.
fn memory_files(folder: &str, files: &mut HashMap<u64, u64>) {
    for number in entries(folder) {
        let path = format!("{folder}/{number}");
        let is_in_memory = fs::read_link(&path).is_ok_and(|target| target.to_string_lossy().starts_with(MEMORY_FILE));
        if let Some(file) = is_in_memory.then(|| fs::metadata(&path).ok()).flatten() {
            files.insert(file.ino(), file.blocks() * BLOCK);
        }
    }
}

/// The names in a folder of `/proc`; none of a process that has ended.
fn entries(folder: &str) -> impl Iterator<Item = String> {
    fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok())
}
