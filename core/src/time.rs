//! Time as machines see it: a number that can be written down, and wall time for the wire.

use core::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    canon::{Canon, Canonical},
    canonical,
};

/// A moment, in microseconds: the wall clock at the start of the process plus a monotonic clock
/// that counts suspended time.
///
/// It never steps back, so deadlines and ages are computed with it. It is *not* the wall clock of
/// now: dates that others see are [`Wall`], and enter as inputs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The beginning of 1970, which the simulator starts near.
    pub const ZERO: Self = Self(0);

    /// From microseconds since the beginning of 1970.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the beginning of 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since the beginning of 1970.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// Saturates: a deadline beyond the end of time is the end of time.
    fn add(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    /// Saturates at [`Time::ZERO`].
    fn sub(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A date on the wire: milliseconds since 1970, written as ISO 8601 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(i64);

impl Wall {
    /// The dates that ISO 8601 can write with a four-digit year: what is outside is clamped.
    const RANGE: (i64, i64) = (-62_135_596_800_000, 253_402_207_200_000);

    /// From milliseconds since 1970, clamped to the years 1 to 9999.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(Self::RANGE.0, Self::RANGE.1))
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Wall {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Canonical for Wall {
    fn canonical(&self, canon: &mut Canon) {
        self.0.canonical(canon);
    }
}

impl Serialize for Wall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Wall {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Iso;
        impl de::Visitor<'_> for Iso {
            type Value = Wall;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an ISO 8601 timestamp such as 2026-01-31T12:00:00.000Z")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Wall, E> {
                match text.parse::<Timestamp>() {
                    Ok(timestamp) => Ok(Wall::from_millis(timestamp.as_millisecond())),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_str(Iso)
    }
}

/// The wall clock of now, from the last reading that entered as an input.
///
/// The runtime reads it at the start and once a minute, so a step of the clock is followed within a
/// minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WallClock {
    read_at: Time,
    wall: Wall,
}

canonical!(struct WallClock { read_at, wall });

impl WallClock {
    /// A reading was taken.
    pub fn on_reading(&mut self, now: Time, wall: Wall) {
        *self = Self { read_at: now, wall };
    }

    /// What the clock shows at `now`.
    pub fn wall(&self, now: Time) -> Wall {
        self.wall + now.since(self.read_at)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let end = Time::from_micros(u64::MAX);
        assert_eq!(end + Duration::MAX, end);
        assert_eq!(Time::from_millis(1) - Duration::from_secs(9), Time::ZERO);
        assert_eq!(Time::ZERO.since(end), Duration::ZERO);
        assert_eq!(Time::from_millis(1_500).to_string(), "1.500000s");
    }

    #[test]
    fn wall_time_is_iso_8601_on_the_wire() {
        let wall = Wall::from_millis(1_790_000_000_123);
        let text = serde_json::to_string(&wall).unwrap();
        assert_eq!(text, "\"2026-09-21T14:13:20.123Z\"");
        assert_eq!(serde_json::from_str::<Wall>(&text).unwrap(), wall);
        assert_eq!(
            serde_json::from_str::<Wall>("\"2026-09-21T16:13:20.123+02:00\"").unwrap(),
            wall
        );
        for millis in [i64::MIN, i64::MAX] {
            let extreme = Wall::from_millis(millis);
            let text = serde_json::to_string(&extreme).unwrap();
            assert_eq!(serde_json::from_str::<Wall>(&text).unwrap(), extreme);
        }
        assert!(serde_json::from_str::<Wall>("\"yesterday\"").is_err());
    }
}
