//! The `jackfield` command: arguments to the library, and the exit status back.

mod allocator;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> ExitCode {
    // Before anything that starts a thread: a worker confines itself first, and that holds for one thread only.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == jackfield::plugin::worker::COMMAND) {
        return jackfield::plugin::worker::process::run();
    }
    jackfield::cli::run()
}
