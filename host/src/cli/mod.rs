//! The command line: what `jackfield` can be asked to do, its help and its exit statuses.
//!
//! Owns: arguments, and turning outcomes into exit statuses: 0 all went well, 1 it did not (a wrong configuration, a
//! port in use, a refused login), 2 the arguments make no sense. Must never: hold logic of its own beyond that; each
//! command is one call.
//!
//! ```text
//! agent.rs    `jackfield agent`: a desktop for a terminal
//! connect.rs  its way to the host
//! terminal.rs lines in and out
//! demo.rs     `jackfield demo`: a host to look at
//! short.rs    its short forms: a line to a message
//! model.rs    the objects that it has been told of
//! output.rs   what commands print
//! plugin.rs   `jackfield plugin`: the plugin store
//! config.rs   `jackfield config explain`
//! table.rs    rows of text in columns
//! token.rs    `jackfield token new`
//! ```

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    app,
    config::{Problem, Source, load},
};

mod agent;
mod config;
mod connect;
mod demo;
mod model;
mod output;
mod plugin;
mod short;
mod table;
mod terminal;
mod token;

/// The host's configuration where none is named.
const CONFIG: &str = "config/jackfield.toml";

/// A multi-tenant host for telephony adapters.
///
/// Agent desktops connect to it over WebSocket or HTTP and speak one protocol; each tenant's contact-centre platform is
/// reached through an adapter, a plugin in one shared library.
#[derive(Parser)]
#[command(name = "jackfield", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the host until SIGTERM or SIGINT.
    ///
    /// A tenant whose file is wrong is named in the log and left out; the others run.
    Serve {
        /// The host's configuration; the tenants' files are found through it.
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        #[command(flatten)]
        values: Values,
    },
    /// Check the configuration as `serve` would, and say what is wrong with which file and key.
    ///
    /// Exit status 0: all is right, all tenants included. 1: something is not. Which changed keys a running host takes
    /// over at a reload, and which need a restart, tells `jackfield config explain`.
    CheckConfig {
        /// The host's configuration.
        #[arg(value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        #[command(flatten)]
        values: Values,
    },
    /// What the configuration's keys mean, what they are, and where that comes from.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// API tokens of tenants with `auth.kind = "token"`.
    #[command(subcommand)]
    Token(TokenCommand),
    /// The plugin store: libraries that tenants' files name by version, as `adapter = "ID@VERSION"`.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// A desktop for a terminal: log an agent in, type commands, read what arrives.
    ///
    /// Lines are short forms (`ready c1`, `dial c1 5551234`; `help` lists them) or messages of the protocol as raw
    /// JSON. When the input ends, the answers still expected are awaited and the agent is logged out; Ctrl-C logs out
    /// at once. Exit status of a script (lines that do not come from a terminal): 1 if a command failed.
    Agent(AgentArguments),
    /// A host to look at, without a file: two agents' consoles, a switch in memory, contacts that arrive by themselves.
    ///
    /// Prints the two addresses; ends with Ctrl-C. The adapter `simulator` lies beside the executable.
    Demo(DemoArguments),
}

#[derive(Args)]
struct DemoArguments {
    /// Where it listens; on loopback, since everybody may log in. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    address: std::net::SocketAddr,
}

/// What stands on top of the configuration's file.
#[derive(Args)]
struct Values {
    /// A key's value, above the file and the environment: limits.sessions=500. May be given several times.
    ///
    /// An environment variable does the same below it: JACKFIELD_LIMITS__SESSIONS=500.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

impl Values {
    fn source(self, file: PathBuf) -> Source {
        Source { file, arguments: self.set }
    }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let assigned = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = assigned.ok_or_else(|| "a value is set by KEY=VALUE, as limits.sessions=500".to_owned())?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Explain one key, such as limits.sessions, or list all.
    ///
    /// Value, origin (default, file, environment variable, --set), default, and whether a changed value takes effect at a
    /// reload or at a restart.
    Explain {
        /// The key.
        #[arg(value_name = "KEY")]
        key: Option<String>,
        /// Of this tenant's file, and not of the host's.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
        /// The host's configuration.
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
        #[command(flatten)]
        values: Values,
    },
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token: it is printed once, with the line for the tenant's file.
    New {
        /// Who will have it; sessions belong to this name.
        #[arg(long, default_value = "desktop")]
        name: String,
    },
}

#[derive(Subcommand)]
enum PluginCommand {
    /// Verify a library and copy it into the store; print its id, version and SHA-256.
    ///
    /// The library must be a plugin for this host's version of the plugin API and, where plugins.keys says so, be
    /// signed. No file of the store is ever written over: other versions stay, and what runs goes on running.
    Install {
        /// The library; its signature, where one is needed, lies beside it.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// What its SHA-256 must be: 64 hexadecimal digits.
        #[arg(long, value_name = "HEX")]
        sha256: Option<String>,
        /// The host's configuration; it says where the store is and whose signatures count.
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
    },
    /// List what is installed.
    ///
    /// A copy that is damaged, or not signed as it must be, is named; the exit status is 1 then.
    List {
        /// The host's configuration.
        #[arg(long, value_name = "FILE", default_value = CONFIG)]
        config: PathBuf,
    },
    /// Say what a library says of itself. Nothing of it runs.
    Inspect {
        /// A file, or of what is installed ID@VERSION, ID@sha256:PREFIX or the first digits of a SHA-256.
        #[arg(value_name = "FILE|ID@VERSION|DIGEST")]
        plugin: String,
        /// The host's configuration, config/jackfield.toml for what is installed. A file is looked at without one; its
        /// signature is checked only with one.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The whole manifest, as JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct AgentArguments {
    /// Where: http://HOST:PORT (https with TLS), or the whole ws://HOST:PORT/v1/tenants/TENANT/ws.
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// The tenant, where the URL names none.
    #[arg(long, value_name = "NAME", default_value = "demo")]
    tenant: String,
    /// The agent's id.
    #[arg(long, default_value = "1001")]
    agent: String,
    /// The agent's password; better in the environment, where it is read from JACKFIELD_PASSWORD.
    #[arg(long)]
    password: Option<String>,
    /// The extension for session.start, where the platform wants one.
    #[arg(long)]
    extension: Option<String>,
    /// If the agent has a session already, end that one.
    #[arg(long = "override")]
    takeover: bool,
    /// A file with the tenant's API token; without it, the environment variable JACKFIELD_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with certificates of authorities to trust beside the system's, in PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print every message as it came.
    #[arg(long)]
    json: bool,
    /// Print what is sent, too.
    #[arg(long, short)]
    verbose: bool,
}

/// Runs what the arguments ask for.
#[must_use]
pub fn run() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Serve { config, values } => app::run(values.source(config)),
        Command::CheckConfig { config, values } => check_config(&values.source(config)),
        Command::Config(ConfigCommand::Explain { key, tenant, config, values }) => {
            config::explain(&values.source(config), tenant.as_deref(), key.as_deref())
        }
        Command::Plugin(command) => plugin::run(command),
        Command::Token(TokenCommand::New { name }) => token::print_new(&name),
        Command::Agent(arguments) => agent::run(arguments),
        Command::Demo(arguments) => demo::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            output::complain(&format!("jackfield: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// Problems as lines of the standard error.
fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\njackfield: ")
}

fn check_config(source: &Source) -> Result<(), String> {
    let loaded = load(source).map_err(|problems| lines(&problems))?;
    let mut problems = loaded.problems;
    if let Some(noexec) = crate::plugin::noexec(&loaded.host.plugin_store) {
        problems.push(Problem::key(&source.file, "plugins.store", noexec));
    }
    for tenant in &loaded.tenants {
        match crate::tenant::check(tenant, &loaded.host.plugin_trust) {
            Ok(()) => output::print(&format!("{}: right\n", tenant.file.display()))?,
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        return Err(lines(&problems));
    }
    output::print(&format!("{}: right, {} tenants\n", source.file.display(), loaded.tenants.len()))
}
