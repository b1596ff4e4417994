//! What operators ask for in a request's query.

use std::time::Duration;

use crate::{config, reload::UpgradeRequest};

/// Reads `adapter=NAME&canary=0.1&observe=5m`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn wanted(query: &str) -> Result<UpgradeRequest, String> {
    let mut wanted = UpgradeRequest::default();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "adapter" if value.contains('/') || value.starts_with('.') || value.is_empty() => {
                return Err("adapter: a name, or ID@VERSION; a path can only stand in the tenant's file".to_owned());
            }
            "adapter" => wanted.adapter = Some(value.into_owned()),
            "canary" => match value.parse::<f64>() {
                Ok(share) if (0.0..1.0).contains(&share) => wanted.canary = Some(share),
                _ => return Err("canary: from 0 to less than 1, such as 0.1 for a tenth".to_owned()),
            },
            "observe" => match config::duration(&value) {
                Some(duration) => wanted.observe = Some(duration),
                None => return Err("observe: a duration like 20s, 5m or 1h".to_owned()),
            },
            other => return Err(format!("{other}: there are adapter, canary and observe")),
        }
    }
    Ok(wanted)
}

/// How long a tenant's sessions may go on that is drained, unless the operator says otherwise.
const DRAIN: Duration = Duration::from_secs(30 * 60);

/// Reads `within=30m`.
///
/// # Errors
/// What is wrong with it.
pub(super) fn within(query: &str) -> Result<Duration, String> {
    let mut within = DRAIN;
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if key != "within" {
            return Err(format!("{key}: there is within"));
        }
        within = config::duration(&value).ok_or("within: a duration like 20s, 30m or 8h")?;
    }
    Ok(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_what_is_wanted() {
        for query in
            ["adapter=simulator@1.2.0&canary=0.25&observe=2m", "adapter=simulator%401.2.0&observe=2m&canary=.25"]
        {
            let read = wanted(query).expect("it is right");
            assert_eq!(read.adapter.as_deref(), Some("simulator@1.2.0"), "{query}");
            assert_eq!((read.canary, read.observe), (Some(0.25), Some(Duration::from_secs(120))), "{query}");
        }
        assert_eq!(wanted(""), Ok(UpgradeRequest::default()));
    }

    #[test]
    fn a_query_that_cannot_be_meant_is_refused() {
        for wrong in [
            "canary=1",
            "canary=-0.1",
            "canary=much",
            "observe=soon",
            "adapter=%2Felsewhere%2Fx.so",
            "adapter=/elsewhere/x.so",
            "adapter=..",
            "adapter=",
            "verison=2",
        ] {
            assert!(wanted(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_query_says_how_long_a_drain_may_take() {
        assert_eq!(within(""), Ok(Duration::from_secs(1800)));
        assert_eq!(within("within=8h"), Ok(Duration::from_secs(8 * 3600)));
        assert!(within("within=soon").is_err() && within("for=8h").is_err());
    }
}
