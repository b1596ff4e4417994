//! The `jackfield` command: arguments to the library, and the exit status back.

use std::process::ExitCode;

/// A command makes some tens of small allocations, many of which another thread frees: the system's allocator takes a
/// sixth of the host's time for them. Plugins bring an allocator of their own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything that starts a thread: a worker confines itself first, and that holds for one thread only.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == jackfield::adapter::worker::COMMAND) {
        return jackfield::adapter::worker::process::run();
    }
    jackfield::cli::run()
}
