//! Lengths of time.

use std::{fmt, str::FromStr};

use super::{ValueError, text_value};

/// A hundred years: a longer time could overflow a deadline's arithmetic.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(100 * 365 * 24 * 3600);

/// A length of time, written as people do: `"15s"`, `"250ms"`, `"1m 30s"`, `"10m"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(std::time::Duration);

text_value!(Duration, "duration", "A length of time: a number with a unit (`ms`, `s`, `m`, `h`, `days`).", "15s");

impl Duration {
    /// Whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// Milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    /// The time itself.
    #[must_use]
    pub const fn get(self) -> std::time::Duration {
        self.0
    }

    /// Whether it is no time at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<Duration> for std::time::Duration {
    fn from(value: Duration) -> Self {
        value.0
    }
}

impl From<std::time::Duration> for Duration {
    fn from(value: std::time::Duration) -> Self {
        Self(value)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl FromStr for Duration {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match humantime::parse_duration(text.trim()) {
            Ok(value) if value <= LONGEST => Ok(Self(value)),
            Ok(_) => Err(ValueError::new(format!("{text:?} is too long"), "at most 100 years are possible")),
            Err(_) => Err(ValueError::new(
                format!("{text:?} is not a duration"),
                "write a number and a unit, such as \"15s\", \"250ms\" or \"10m\"",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn reads_and_writes_the_short_form() {
        for text in ["15s", "250ms", "10m", "1m 30s", "0s", "2h"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
        assert_eq!(" 90s ".parse::<Duration>().unwrap().to_string(), "1m 30s");
    }

    #[test]
    fn refuses_what_is_not_a_time() {
        for text in ["", "15", "15x", "s", "-1s", "1000000000 years", "99999999999999999999s"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }
}
