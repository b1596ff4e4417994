//! Everything that can happen to the adapter, again and again, while people talk: nobody may notice.
//!
//! As it stands it takes its turn with the other tests. The full measure (about half an hour):
//!
//! ```sh
//! TURMOIL=full cargo test -p jackfield-tests --test asterisk turmoil
//! ```

use std::fs;

use jackfield_tests::{
    asterisk::{Asterisk, cut::Cut},
    host::{Host, Setup},
    until,
};
use serde_json::Value;

use crate::live_calls::{Kinds, LiveCalls};

/// How often what happens.
struct Measure {
    kinds: Kinds,
    reloads: usize,
    kills: usize,
    cuts: usize,
    stops: usize,
    restarts: usize,
}

impl Measure {
    /// 30 live calls in full, one of each kind else.
    fn chosen() -> Self {
        if std::env::var("TURMOIL").is_ok_and(|measure| measure == "full") {
            let kinds = Kinds { recorded: 10, conferences: 8, consults: 8, waiting: 3 };
            Self { kinds, reloads: 20, kills: 10, cuts: 5, stops: 5, restarts: 3 }
        } else {
            let kinds = Kinds { recorded: 1, conferences: 1, consults: 1, waiting: 1 };
            Self { kinds, reloads: 2, kills: 2, cuts: 1, stops: 1, restarts: 1 }
        }
    }
}

fn setup(asterisk: &Asterisk, cut: &Cut) -> Setup {
    Setup::new().tenant(asterisk.tenant_by(cut.port, "dial_timeout_seconds = 30"))
}

async fn reload(host: &Host, round: usize) {
    let file = host.folder().join("tenants/acme.toml");
    let text = fs::read_to_string(&file).unwrap();
    let at = text.find("dial_timeout_seconds = ").expect("the setting") + "dial_timeout_seconds = ".len();
    let end = at + text[at..].find('\n').unwrap();
    fs::write(&file, format!("{}{}{}", &text[..at], 30 + round, &text[end..])).unwrap();
    let before = tenant(host).await["lastChange"].clone();
    host.post("/reload").await;
    until("all are moved to the new settings", async || (tenant(host).await["lastChange"] != before).then_some(()))
        .await;
}

async fn tenant(host: &Host) -> Value {
    let tenants: Value = serde_json::from_str(&host.operations("/tenants").await).unwrap();
    tenants[0].clone()
}

/// A worker that dies too often for the host is released by its operator.
async fn kill_worker(host: &Host) {
    let before = host.worker("acme").await;
    host.kill_worker("acme").await;
    until("another worker is there", async || {
        if tenant(host).await["state"] == "quarantined" {
            host.act("/tenants/acme/release").await;
        }
        host.worker_now("acme").await.filter(|now| *now != before)
    })
    .await;
}

#[tokio::test]
async fn nobody_who_talks_notices_what_becomes_of_the_adapter() {
    let Measure { kinds, reloads, kills, cuts, stops, restarts } = Measure::chosen();
    let extensions: Vec<String> = (0..kinds.agents()).map(|number| (1001 + number).to_string()).collect();
    let extensions: Vec<&str> = extensions.iter().map(String::as_str).collect();
    let Some(asterisk) = Asterisk::start(&extensions).await else { return };
    let cut = Cut::to(asterisk.http).await;
    let mut host = setup(&asterisk, &cut).start().await;
    let mut calls = LiveCalls::begin(&asterisk, &host, &kinds).await;
    calls.all_hear_each_other("nothing").await;

    for round in 1..=reloads {
        reload(&host, round).await;
        calls.hear_that_the_link_is_up().await;
        calls.all_hear_each_other("a reload").await;
    }
    for _ in 0..kills {
        kill_worker(&host).await;
        calls.hear_that_the_link_is_up().await;
        calls.all_hear_each_other("a dead worker").await;
    }
    for _ in 0..cuts {
        cut.cut();
        calls.hear_that_the_link_is_down().await;
        cut.mend();
        calls.hear_that_the_link_is_up().await;
        calls.all_hear_each_other("a cut").await;
    }
    for _ in 0..stops {
        host.terminate();
        assert!(host.ends().await.success());
        // Who waited goes on in the dialplan, which has nothing more for them.
        calls.those_who_wait_are_gone(&asterisk).await;
        calls.all_hear_each_other("a stop").await;
        host = setup(&asterisk, &cut).start().await;
        host.link_is_up("acme").await;
        calls.log_in_again(&host).await;
        calls.others_wait(&asterisk, &kinds).await;
        calls.all_hear_each_other("a start").await;
    }
    // Some end as calls do, the others with the Asterisk that they are on.
    calls.half_of_the_customers_hang_up(&asterisk).await;
    for _ in 0..restarts {
        asterisk.restart().await;
        calls.hear_that_the_link_is_up().await;
        calls.all_is_over_and_completed().await;
        calls.the_first_agent_takes_a_call(&asterisk).await;
    }
    calls.all_go_home(&asterisk).await;
}
