//! The emulator's time: what events and polls carry as text.
//!
//! Every reading is later than the one before, by a millisecond at least, so that two changes of a contact never bear
//! the same time.

use std::time::{SystemTime, UNIX_EPOCH};

/// Reads the time.
#[derive(Debug, Default)]
pub struct Clock {
    last: u64,
}

impl Clock {
    /// Milliseconds since 1970, later than any reading before.
    pub fn now(&mut self) -> u64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        self.last = real.max(self.last + 1);
        self.last
    }
}

/// A time as CXone writes it.
#[must_use]
pub fn text(millis: u64) -> String {
    let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", rest % 1000)
}

/// The time so many seconds from now, as HTTP writes it.
#[must_use]
pub fn http_date(seconds: u64) -> String {
    httpdate::fmt_http_date(SystemTime::now() + std::time::Duration::from_secs(seconds))
}

/// The date of a day counted from 1970, by the usual arithmetic of 400-year eras that begin on 1 March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(text(1_709_164_799_000), "2024-02-28T23:59:59.000Z");
    }
}
