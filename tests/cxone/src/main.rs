//! `cxone-emulator`: the emulator as a program of its own, so that it can be killed, slowed and restarted.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use jackfield_cxone_emulator::{Emulator, data::Data};

/// Emulates NICE CXone's agent API, for demonstrations and tests. Keep it on the loopback interface.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 finds a free port.
    #[arg(long, default_value = "127.0.0.1:9480")]
    listen: SocketAddr,
    /// Business units, agents and skills (TOML); the built-in demonstration data if not given.
    #[arg(long)]
    data: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let data = match arguments.data {
        Some(path) => Data::file(&path),
        None => Ok(Data::demo()),
    };
    let data = match data {
        Ok(data) => data,
        Err(error) => {
            eprintln!("cxone-emulator: {error}");
            return ExitCode::FAILURE;
        }
    };
    match Emulator::start(arguments.listen, data).await {
        Ok(emulator) => {
            println!("cxone-emulator listens on {}", emulator.url());
            let _ = tokio::signal::ctrl_c().await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cxone-emulator: {}: {error}", arguments.listen);
            ExitCode::FAILURE
        }
    }
}
