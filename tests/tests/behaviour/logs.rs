//! The log: one line an event, and lines are all that a log which cannot be written costs.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::{fd::AsRawFd as _, unix::fs::OpenOptionsExt as _},
};

use jackfield_tests::{
    host::{Host, Setup, Tenant},
    until,
};

/// `O_NONBLOCK` on Linux.
const NON_BLOCKING: i32 = 0o4000;

fn setup() -> Setup {
    Setup::new().tenant(Tenant::simulator("demo").isolation("tenant"))
}

/// Does what is logged, and what a panic in whoever logs would keep from happening.
async fn everything_goes_on(mut host: Host) {
    let before = host.worker("demo").await;
    host.kill_worker("demo").await;
    let restarted = || async { (host.worker("demo").await != before).then_some(()) };
    until("the worker is started again", restarted).await;
    host.link_is_up("demo").await;
    host.log_in("1001").await.finish().await;
    let (status, answer) = host.post("/reload").await;
    assert_eq!((status, &answer["tenants"]["demo"]), (200, &"unchanged".into()), "{answer}");
    host.terminate();
    assert_eq!(host.ends().await.code(), Some(0));
}

#[tokio::test]
async fn a_full_disk_costs_lines_and_nothing_else() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let host = setup().stderr(full).start().await;
    let counted = || async { (host.metric("jackfield_log_lines_lost_total").await > 0.0).then_some(()) };
    until("the lost lines are counted", counted).await;
    everything_goes_on(host).await;
}

#[tokio::test]
async fn a_log_whose_reader_goes_costs_lines_and_nothing_else() {
    let (reader, writer) = std::io::pipe().unwrap();
    let host = setup().stderr(writer).start().await;
    drop(reader);
    everything_goes_on(host).await;
}

#[tokio::test]
async fn a_log_whose_reader_is_stuck_costs_lines_and_nothing_else() {
    let (reader, writer) = std::io::pipe().unwrap();
    fill(&writer);
    let host = setup().stderr(writer).start().await;
    everything_goes_on(host).await;
    drop(reader);
}

/// Fills a pipe, so that whoever writes to it next waits.
fn fill(pipe: &std::io::PipeWriter) {
    // Opened anew: what is set here must not hold for the host.
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let mut filler: File = OpenOptions::new().write(true).custom_flags(NON_BLOCKING).open(path).unwrap();
    loop {
        match filler.write(&[b'.'; 1]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("{error}"),
        }
    }
}
