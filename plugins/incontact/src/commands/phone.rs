//! The agent's own phone, which calls need.

use std::sync::atomic::{AtomicBool, Ordering};

use jackfield_plugin_api::{Code, Failure};

use super::{Waiting, act_patiently, no_params};
use crate::{
    api::Group,
    line::Line,
    model::{After, Facts, LegStatus, Stage, Verdict},
};

/// Looks whether the agent's own phone is connected, or was not answered. Who talks already needs none.
fn phone(offer: Option<&str>) -> impl Fn(&Facts) -> Option<Verdict> + Send + 'static {
    let (rang, offer) = (AtomicBool::new(false), offer.map(str::to_owned));
    move |facts| match facts.leg {
        _ if offer.as_ref().is_some_and(|offer| facts.stage(offer) != Stage::Offered) => Some(Ok(String::new())),
        LegStatus::Up => Some(Ok(String::new())),
        LegStatus::Dialing => {
            rang.store(true, Ordering::Relaxed);
            None
        }
        LegStatus::Down if rang.load(Ordering::Relaxed) => {
            Some(Err(Failure::new(Code::Unreachable, "the agent's phone was not answered")))
        }
        LegStatus::Down => None,
    }
}

/// Connects the agent's own phone, which calls need.
pub(super) async fn phone_up(line: &Line) -> Result<(), Failure> {
    phone_up_for(line, None).await
}

/// The same for an offered call, unless that is the agent's before. A phone that rings already is waited for: CXone may
/// call it by itself, and refuses to do so twice.
pub(super) async fn phone_up_for(line: &Line, offer: Option<&str>) -> Result<(), Failure> {
    match line.look(|facts| facts.leg) {
        LegStatus::Up => {}
        LegStatus::Dialing => drop(Waiting::new(line, After::State, phone(offer)).come("the agent's phone").await?),
        LegStatus::Down => {
            let dial = (Group::Phone, "agent-phone/dial", no_params());
            act_patiently(line, After::State, dial, line.api.settings.timing.event(), phone(offer)).await?;
        }
    }
    Ok(())
}
