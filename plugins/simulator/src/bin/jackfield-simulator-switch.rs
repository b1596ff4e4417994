//! The switches of simulator tenants in a process of their own, for tests in which an adapter ends and its calls stay.

use std::process::ExitCode;

use tokio::net::TcpListener;

const USAGE: &str =
    "usage: jackfield-simulator-switch [ADDRESS:PORT]    (127.0.0.1:0 takes a free port and says which)";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = match TcpListener::bind(&address).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("cannot listen on {address:?}: {error}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match listener.local_addr() {
        Ok(address) => println!("listening on {address}"),
        Err(error) => eprintln!("listening, but not known where: {error}"),
    }
    match jackfield_simulator::house::serve(listener).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the listener failed: {error}");
            ExitCode::FAILURE
        }
    }
}
