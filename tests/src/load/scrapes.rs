//! What a scrape of a host's metrics costs.

use std::time::{Duration, Instant};

use crate::{host::Host, http};

/// Scrapes that were taken.
#[derive(Debug, Default)]
pub struct Scrapes {
    times: Vec<Duration>,
    bytes: usize,
    series: usize,
}

impl Scrapes {
    /// Takes one, on a connection of its own.
    pub async fn take(&mut self, host: &Host) {
        let begun = Instant::now();
        let (status, text) = http::get(&host.operations, "/metrics").await.expect("the host answers");
        self.times.push(begun.elapsed());
        assert_eq!(status, 200, "{text}");
        (self.bytes, self.series) = (text.len(), text.lines().filter(|line| !line.starts_with('#')).count());
    }

    /// Milliseconds that the middle one took.
    pub fn median(&self) -> f64 {
        self.at(self.times.len() / 2)
    }

    fn at(&self, rank: usize) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get(rank).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }

    /// Bytes of the last one.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Prints what they cost.
    pub fn print(&self) {
        println!("{:<44}{:>12.1}", "scrape, median (ms)", self.median());
        println!("{:<44}{:>12.1}", "  the longest (ms)", self.at(self.times.len().saturating_sub(1)));
        println!("{:<44}{:>12.1}", "  size of the last (KiB)", self.bytes as f64 / 1024.0);
        println!("{:<44}{:>12}", "  its series", self.series);
    }
}
