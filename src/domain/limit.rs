//! Limits of a source or a workflow: how many of its attempts may run at one time, and how often one may start.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

/// The most that may be asked for, of either limit.
pub const MOST: u32 = 10_000;

/// Starts that are due within this time may come at once, so that a high rate does not need a look for every start.
const BURST_US: i64 = 100_000;

/// What tasks of a source or workflow are limited to; `None` does not limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Attempts that may run at one time.
    pub max_concurrency: Option<u32>,
    /// How often one may start.
    pub rate: Option<Rate>,
}

impl Limits {
    /// Whether nothing is limited.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// So many starts a second, minute or hour: `2/s`, `30/m`, `100/h`.
///
/// Starts keep their distance (a minute divided by 30), but for those that fall within a tenth of a second of one another,
/// which may come at once. In no span of the period are there more than the rate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    period: Period,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Period {
    Second,
    Minute,
    Hour,
}

impl Period {
    fn us(self) -> i64 {
        match self {
            Self::Second => 1_000_000,
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Second => 's',
            Self::Minute => 'm',
            Self::Hour => 'h',
        }
    }
}

/// Why a text is no rate.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("rate must be a number from 1 to 10000 a second, minute or hour, such as 2/s, 30/m or 100/h")]
pub struct RateError;

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (count, period) = text.trim().split_once('/').ok_or(RateError)?;
        let period = match period {
            "s" => Period::Second,
            "m" => Period::Minute,
            "h" => Period::Hour,
            _ => return Err(RateError),
        };
        let is_number = count.bytes().all(|byte| byte.is_ascii_digit());
        let count = count.parse().ok().filter(|count| is_number && (1..=MOST).contains(count)).ok_or(RateError)?;
        Ok(Self { count, period })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.period.letter())
    }
}

impl Rate {
    /// Starts that may come at once after a rest.
    fn burst(self) -> i64 {
        (i64::from(self.count) * BURST_US / self.period.us()).max(1)
    }

    /// The distance of starts: so long that a burst and what follows it stay within the rate.
    fn distance(self) -> TimeDelta {
        let starts = i64::from(self.count) - self.burst() + 1;
        TimeDelta::microseconds(self.period.us().div_euclid(starts) + i64::from(self.period.us() % starts != 0))
    }

    /// How much earlier than its turn a start may be.
    fn ahead(self) -> TimeDelta {
        TimeDelta::microseconds(self.distance().num_microseconds().unwrap_or(0) * (self.burst() - 1))
    }

    /// How many may start now, where the next start would have its turn at `next`.
    pub fn room(self, next: Option<DateTime<Utc>>, now: DateTime<Utc>) -> u32 {
        let turn = next.map_or(now, |next| next.max(now));
        let spare = (now + self.ahead() - turn).num_microseconds().unwrap_or(i64::MIN);
        if spare < 0 {
            return 0;
        }
        let distance = self.distance().num_microseconds().unwrap_or(1).max(1);
        u32::try_from(spare / distance + 1).unwrap_or(MOST)
    }

    /// The turn of the next start after so many have started now.
    pub fn after(self, next: Option<DateTime<Utc>>, now: DateTime<Utc>, started: u32) -> DateTime<Utc> {
        let turn = next.map_or(now, |next| next.max(now));
        turn + self.distance() * i32::try_from(started).unwrap_or(i32::MAX)
    }

    /// When one may start.
    pub fn opens_at(self, next: DateTime<Utc>) -> DateTime<Utc> {
        next - self.ahead()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(us: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::microseconds(us)
    }

    #[test]
    fn rates_are_read_and_shown_the_same() {
        for text in ["1/s", "2/s", "30/m", "100/h", "10000/s"] {
            assert_eq!(text.parse::<Rate>().map(|rate| rate.to_string()), Ok(text.to_owned()));
        }
        for bad in ["", "10", "/s", "0/s", "-1/s", "+1/s", "1.5/s", "10001/s", "1/d", "1 / s", "1/min", "99999999999/s"]
        {
            assert_eq!(bad.parse::<Rate>(), Err(RateError), "{bad}");
        }
    }

    #[test]
    fn slow_starts_keep_their_distance() {
        let rate: Rate = "30/m".parse().expect("a rate");
        assert_eq!(rate.room(None, at(0)), 1);
        let next = rate.after(None, at(0), 1);
        assert_eq!(next, at(2_000_000));
        assert_eq!((rate.room(Some(next), at(1_999_999)), rate.room(Some(next), at(2_000_000))), (0, 1));
        assert_eq!(rate.room(Some(next), at(3_600_000_000)), 1, "a long rest saves nothing up");
    }

    proptest! {
        /// Whoever always starts as many as there is room for, whenever it looks, stays within the rate.
        #[test]
        fn no_span_has_more_starts_than_the_rate_says(
            count in 1u32..3_000, looks in prop::collection::vec(0i64..40_000, 1..400), span in 0usize..3,
        ) {
            let period = [Period::Second, Period::Minute, Period::Hour][span];
            let rate = Rate { count, period };
            let scale = period.us() / 1_000_000;
            let (mut now, mut next, mut starts) = (0, None, Vec::new());
            for wait in looks {
                now += wait * scale;
                let room = rate.room(next, at(now));
                next = Some(rate.after(next, at(now), room));
                starts.extend(std::iter::repeat_n(now, room as usize));
                prop_assert!(rate.room(next, at(now)) == 0);
                prop_assert!(rate.room(next, rate.opens_at(next.expect("set")).max(at(now))) > 0);
            }
            let mut from = 0;
            for (index, start) in starts.iter().enumerate() {
                while starts[from] <= start - period.us() { from += 1; }
                prop_assert!(index - from < count as usize, "{} starts within {period:?} at {rate}", index - from + 1);
            }
        }

        /// Whoever looks often gets at least nine tenths of it.
        #[test]
        fn a_rate_can_be_used_up(count in 1u32..3_000) {
            let rate = Rate { count, period: Period::Second };
            let (mut next, mut started) = (None, 0);
            for look in 0..10_000 {
                let now = at(look * 1_000);
                let room = rate.room(next, now);
                next = Some(rate.after(next, now, room));
                started += room;
            }
            prop_assert!(started * 10 >= count * 89, "{started} of {}", count * 10);
        }
    }
}
