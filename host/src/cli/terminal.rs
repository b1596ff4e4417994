//! The terminal of `jackfield agent`: lines in, lines out.
//!
//! Owns: the standard input and output, line editing with history where both are a terminal, and the terminal's modes.
//! Must never: let what arrives split the line that is being typed (it is printed above), or leave a terminal in
//! another mode than it was found in. Lines that do not come from a terminal are a script.

use std::{
    io::{BufRead as _, IsTerminal as _},
    sync::{Arc, mpsc as std_mpsc},
    time::Duration,
};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::{Config, DefaultEditor, ExternalPrinter, error::ReadlineError};
use tokio::sync::{Notify, mpsc};

use super::output;

/// Lines of a script that may wait while the one before them is worked on; at a terminal each is asked for.
const WAITING_LINES: usize = 16;
/// How long the line editor may take to print what it was given.
const LAST_PRINTED: Duration = Duration::from_millis(50);

const PROMPT: &str = "> ";

/// Where lines come from and go to.
pub(super) struct Terminal {
    lines: mpsc::Receiver<String>,
    interrupted: Arc<Notify>,
    /// Lets the line editor ask for the next line.
    prompt: std_mpsc::SyncSender<()>,
    prompted: bool,
    screen: Screen,
    script: bool,
    /// Why nothing more can be printed.
    broken: Option<String>,
    found: Option<Termios>,
}

enum Screen {
    /// The standard output as it is.
    Plain,
    /// Above the line that is being typed.
    Above(Box<dyn ExternalPrinter + Send>),
}

impl Terminal {
    /// Begins to read; a thread of its own waits for the lines.
    pub(super) fn open() -> Self {
        let (sender, lines) = mpsc::channel(WAITING_LINES);
        let (prompt, may_prompt) = std_mpsc::sync_channel(1);
        let interrupted = Arc::new(Notify::new());
        let script = !std::io::stdin().is_terminal();
        let found = tcgetattr(std::io::stdin()).ok();
        let screen = match editor().filter(|_| !script) {
            Some((editor, above)) => {
                let interrupted = Arc::clone(&interrupted);
                std::thread::spawn(move || edit_lines(editor, &may_prompt, &sender, &interrupted));
                Screen::Above(above)
            }
            None => {
                std::thread::spawn(move || read_lines(&sender));
                Screen::Plain
            }
        };
        Self { lines, interrupted, prompt, prompted: false, screen, script, broken: None, found }
    }

    /// Whether no person is typing.
    pub(super) fn is_script(&self) -> bool {
        self.script
    }

    /// The next line; `None` when the input has ended.
    pub(super) async fn line(&mut self) -> Option<String> {
        if !std::mem::replace(&mut self.prompted, true) {
            let _ = self.prompt.try_send(());
        }
        let line = self.lines.recv().await;
        self.prompted = false;
        line
    }

    /// Takes the terminal back from the line editor: nothing more is typed, and what is printed is seen at once.
    pub(super) fn leave_editor(&mut self) {
        if let (Screen::Above(_), Some(found)) = (&self.screen, &self.found) {
            // What the editor was given to print is printed by its thread.
            std::thread::sleep(LAST_PRINTED);
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, found);
            let _ = output::print("\n");
            self.screen = Screen::Plain;
        }
    }

    /// What comes when Ctrl-C was typed into the line editor, which takes it as a key.
    pub(super) fn interrupted(&self) -> Arc<Notify> {
        Arc::clone(&self.interrupted)
    }

    /// Prints one line.
    pub(super) fn print(&mut self, line: &str) {
        if self.broken.is_some() {
            return;
        }
        let printed = match &mut self.screen {
            Screen::Plain => output::print_strictly(&format!("{line}\n")),
            Screen::Above(printer) => printer.print(format!("{line}\n")).map_err(|error| error.to_string()),
        };
        self.broken = printed.err();
    }

    /// Why nothing more can be printed, if so.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The thread that waits for a key may never return, and it is in the editor's mode.
        self.leave_editor();
    }
}

/// A line editor, where the input and the output are a terminal that can do it.
fn editor() -> Option<(DefaultEditor, Box<dyn ExternalPrinter + Send>)> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return None;
    }
    // The history is kept in memory only: lines may hold what is private.
    let config = Config::builder().auto_add_history(true).build();
    let mut editor = DefaultEditor::with_config(config).ok()?;
    let printer = editor.create_external_printer().ok()?;
    Some((editor, Box::new(printer)))
}

fn edit_lines(
    mut editor: DefaultEditor,
    may_prompt: &std_mpsc::Receiver<()>,
    lines: &mpsc::Sender<String>,
    interrupted: &Notify,
) {
    while may_prompt.recv().is_ok() {
        match editor.readline(PROMPT) {
            Ok(line) => {
                if lines.blocking_send(line).is_err() {
                    return;
                }
            }
            Err(ReadlineError::Interrupted) => {
                // Nothing is typed any more; a second Ctrl-C is a signal.
                return interrupted.notify_one();
            }
            Err(_) => return,
        }
    }
}

fn read_lines(lines: &mpsc::Sender<String>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        if lines.blocking_send(line).is_err() {
            return;
        }
    }
}
