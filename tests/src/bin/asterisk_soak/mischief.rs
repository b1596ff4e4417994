//! What happens by itself: customers and outside numbers hang up, phones hang up, press their keys, and vanish.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jackfield_tests::{
    asterisk::{
        Asterisk,
        sipp::{Ask, Sipp},
    },
    until,
};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::dice::Dice;

/// Seconds for which phones register: longer than any day.
pub(crate) const REGISTERED: u32 = 7200;
/// How long a phone that vanished stays away; an idle leg is given up after five seconds.
const AWAY: Duration = Duration::from_secs(8);

/// Whose a channel is.
enum Whose {
    Phone(String),
    Outside,
    Customer,
}

fn whose(channel: &Value) -> Whose {
    let (id, name) = (text(channel, "id"), text(channel, "name"));
    let ours = id.starts_with("jackfield:");
    let endpoint = name.trim_start_matches("PJSIP/").split('-').next().unwrap_or_default().to_owned();
    match endpoint.as_str() {
        "trunk" if ours => Whose::Outside,
        "trunk" => Whose::Customer,
        _ => Whose::Phone(endpoint),
    }
}

fn text<'a>(channel: &'a Value, member: &str) -> &'a str {
    channel[member].as_str().unwrap_or_default()
}

fn is_of_sip(channel: &Value) -> bool {
    text(channel, "name").starts_with("PJSIP/") && channel["protocol_id"].is_string()
}

/// Makes it happen.
pub(crate) struct Mischief {
    asterisk: Arc<Asterisk>,
    phones: Arc<Sipp>,
    outside: Arc<Sipp>,
    dice: Dice,
    happened: BTreeMap<&'static str, usize>,
    /// Phones that will be back.
    away: JoinSet<String>,
    gone: Vec<String>,
}

impl Mischief {
    pub(crate) fn new(asterisk: &Arc<Asterisk>, phones: &Arc<Sipp>, outside: &Arc<Sipp>, dice: Dice) -> Self {
        let (asterisk, phones, outside) = (Arc::clone(asterisk), Arc::clone(phones), Arc::clone(outside));
        Self { asterisk, phones, outside, dice, happened: BTreeMap::new(), away: JoinSet::new(), gone: Vec::new() }
    }

    /// One thing happens.
    pub(crate) async fn happens(&mut self, customers: &Sipp) {
        while let Some(back) = self.away.try_join_next() {
            let back = back.expect("a phone registers");
            self.gone.retain(|extension| *extension != back);
        }
        // None while Asterisk is not there.
        let Some((200, Value::Array(channels))) = self.asterisk.ari("GET", "channels").await else { return };
        let channels: Vec<Value> = channels.into_iter().filter(is_of_sip).collect();
        let Some(channel) = self.dice.one_of(&channels).cloned() else { return };
        let what = match whose(&channel) {
            Whose::Customer => {
                customers.ask(&channel, Ask::HangUp);
                "customers hung up"
            }
            _ if text(&channel, "state") != "Up" => return,
            Whose::Outside => {
                self.outside.ask(&channel, Ask::HangUp);
                "outside numbers hung up"
            }
            Whose::Phone(extension) => match self.dice.below(10) {
                0..=2 => {
                    self.phones.ask(&channel, Ask::HangUp);
                    "phones hung up"
                }
                3..=4 => {
                    self.phones.ask(&channel, Ask::Hold);
                    "hold keys"
                }
                5..=6 => {
                    self.phones.ask(&channel, Ask::Retrieve);
                    "retrieve keys"
                }
                7..=8 => {
                    self.phones.ask(&channel, Ask::Transfer);
                    "transfer keys"
                }
                _ if self.gone.contains(&extension) => return,
                _ => {
                    self.vanishes(extension).await;
                    "phones vanished"
                }
            },
        };
        *self.happened.entry(what).or_default() += 1;
    }

    /// A phone's registration ends; a while later it is there again.
    async fn vanishes(&mut self, extension: String) {
        Sipp::register(&self.asterisk, &extension, self.phones.port, 0).await;
        self.gone.push(extension.clone());
        let (asterisk, port) = (Arc::clone(&self.asterisk), self.phones.port);
        self.away.spawn(async move {
            tokio::time::sleep(AWAY).await;
            until("Asterisk is there", || async { asterisk.ari("GET", "asterisk/info").await }).await;
            Sipp::register(&asterisk, &extension, port, REGISTERED).await;
            extension
        });
    }

    /// All phones are back. Returns how often what has happened.
    pub(crate) async fn ends(mut self) -> BTreeMap<&'static str, usize> {
        while self.away.join_next().await.is_some() {}
        self.happened
    }
}

/// Whoever was transferred to outside is hung up on; the others are served by the agents. `true`: all have gone.
pub(crate) async fn until_customers_have_gone(asterisk: &Asterisk, outside: &Sipp, customers: &mut Sipp) -> bool {
    for _ in 0..180 {
        if customers.has_ended() {
            return true;
        }
        for channel in asterisk.channels().await.iter().filter(|channel| is_of_sip(channel)) {
            if matches!(whose(channel), Whose::Outside) && text(channel, "state") == "Up" {
                outside.ask(channel, Ask::HangUp);
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    false
}
