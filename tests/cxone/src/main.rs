//! `cxone-emulator`: the emulator as a program of its own, so that it can be killed, slowed and restarted.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use jackfield_cxone_emulator::{
    Emulator,
    data::{Crowd, Data},
};

/// Emulates NICE CXone's agent API, for demonstrations and tests. Keep it on the loopback interface.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 finds a free port.
    #[arg(long, default_value = "127.0.0.1:9480")]
    listen: SocketAddr,
    /// Business units, agents and skills (TOML); the built-in demonstration data if not given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// So many more agents in the first business unit: numbers from 100000, access keys `crowd-NUMBER` with the secret
    /// `secret-NUMBER`.
    #[arg(long, default_value_t = 0)]
    crowd: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let data = match arguments.data {
        Some(path) => Data::file(&path),
        None => Ok(Data::demo()),
    };
    let data = match data {
        Ok(mut data) => {
            data.add_crowd(Crowd {
                count: arguments.crowd,
                first_id: 100_000,
                key: "crowd".to_owned(),
                team: 10,
                skills: vec![101, 201],
            });
            data
        }
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
