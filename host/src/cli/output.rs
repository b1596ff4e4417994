//! What commands print.
//!
//! Owns: every write to the standard output and the standard error. Must never: panic because they cannot be written,
//! or let a command succeed whose result nobody could get. A reader that has gone away, as that of `| head -1`, has read
//! enough: that is no failure.

use std::io::{self, ErrorKind, Write as _};

/// Prints a text to the standard output. A closed pipe is no error.
///
/// # Errors
/// It cannot be written, in one line.
pub(super) fn print(text: &str) -> Result<(), String> {
    match write(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| explain(&error)),
    }
}

/// Prints a text that must be read by somebody, to the standard output.
///
/// # Errors
/// It cannot be written, in one line.
pub(super) fn print_strictly(text: &str) -> Result<(), String> {
    write(text).map_err(|error| explain(&error))
}

/// Prints a line to the standard error. If it cannot be written, nobody is left to tell.
pub(super) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn explain(error: &io::Error) -> String {
    format!("the standard output cannot be written: {error}")
}
