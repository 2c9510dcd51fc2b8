//! How often something may happen.

use std::{fmt, str::FromStr, time::Duration};

use super::{ValueError, text_value};

const PERIODS: [(&str, u64); 3] = [("s", 1), ("min", 60), ("h", 3600)];

/// How often something may happen, written `"100/s"`, `"10/min"` or `"5/h"`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    seconds: u64,
}

text_value!(Rate, "rate", "How often: a number per second, minute or hour (`/s`, `/min`, `/h`).", "100/s");

impl Rate {
    /// How many in each [`Rate::per`]; at least one.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// A second, a minute or an hour.
    #[must_use]
    pub const fn per(self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PERIODS.iter().find(|(_, seconds)| *seconds == self.seconds).map_or("s", |(name, _)| name);
        write!(f, "{}/{name}", self.count)
    }
}

impl FromStr for Rate {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || {
            ValueError::new(
                format!("{text:?} is not a rate"),
                "write a whole number and a period, such as \"100/s\" or \"10/min\"",
            )
        };
        let (count, period) = text.split_once('/').ok_or_else(wrong)?;
        let count: u32 = count.trim().parse().map_err(|_| wrong())?;
        let seconds = PERIODS.iter().find(|(name, _)| *name == period.trim()).map(|(_, seconds)| *seconds);
        match seconds {
            Some(seconds) if count > 0 => Ok(Self { count, seconds }),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn reads_and_writes_what_people_write() {
        for text in ["100/s", "1/min", "5/h"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        let rate: Rate = " 10 / min".parse().unwrap();
        assert_eq!((rate.count(), rate.per()), (10, Duration::from_secs(60)));
    }

    #[test]
    fn refuses_what_is_no_rate() {
        for text in ["", "100", "0/s", "-1/s", "1.5/s", "1/d", "/s", "99999999999/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
