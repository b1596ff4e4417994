//! `jackfield-incontact-trace`: records what CXone answers to an adapter, and plays it to one.
//!
//! A trace is for the first hour with a tenant and for whoever mends the adapter afterwards: it shows what this CXone does
//! where the public documents are silent, and holds nothing that is secret or personal.
//!
//! ```text
//! entry.rs   one exchange, as it stands in the file
//! mask.rs    what is replaced, and by what
//! record.rs  a proxy before CXone, which writes down what passes
//! play.rs    a server that answers as CXone did
//! check.rs   plays a trace to this adapter, and tells what it makes of it
//! http.rs    what the two servers have in common
//! ```

#![forbid(unsafe_code)]

mod check;
mod entry;
mod http;
mod mask;
mod play;
mod record;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Records what NICE CXone answers to the inContact adapter, and plays it. Keep it on the loopback interface.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    does: Does,
}

#[derive(Subcommand)]
enum Does {
    /// Stands before CXone and writes down what it answers; the tenant's `issuer` is this program's address meanwhile.
    Record {
        /// The tenant's real issuer.
        #[arg(long, default_value = "https://cxone.niceincontact.com")]
        issuer: String,
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:9490")]
        listen: SocketAddr,
        /// The file; one that is there is overwritten.
        #[arg(long)]
        out: PathBuf,
    },
    /// Answers as CXone did, to an adapter that does again what it did then. The tenant's `tenant_id` is `trace-tenant`.
    Play {
        /// The file.
        trace: PathBuf,
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:9490")]
        listen: SocketAddr,
    },
    /// Plays a trace to this adapter, as if another window did what was done then, and prints what it reports. Fails where
    /// a host would complain.
    Check {
        /// The file.
        trace: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().does {
        Does::Record { issuer, listen, out } => record::record(&issuer, listen, &out).await,
        Does::Play { trace, listen } => play::play(&trace, listen).await,
        Does::Check { trace } => check::check(&trace).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("jackfield-incontact-trace: {why}");
            ExitCode::FAILURE
        }
    }
}
