//! The clock that machines are driven by: the wall clock at the start plus a monotonic one that
//! counts suspended time.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use selvedge_core::{Time, Wall};

/// Reads [`Time`]; every driver of a process shares one.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Time,
    boottime_at_start: Duration,
}

impl Clock {
    /// A clock that starts at what the wall clock shows.
    pub fn start() -> Self {
        let millis = u64::try_from(Self::wall().as_millis()).unwrap_or(0);
        Self {
            started: Time::from_millis(millis),
            boottime_at_start: boottime(),
        }
    }

    /// Now. It never steps back, and a machine that slept finds the time it slept gone by.
    pub fn now(&self) -> Time {
        self.started + boottime().saturating_sub(self.boottime_at_start)
    }

    /// The wall clock of now, for what others see.
    pub fn wall() -> Wall {
        Wall::from_millis(jiff::Timestamp::now().as_millisecond())
    }
}

fn boottime() -> Duration {
    let spec = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(spec.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(spec.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_starts_at_the_wall_clock_and_goes_on() {
        let clock = Clock::start();
        let (first, wall) = (clock.now(), Clock::wall());
        std::thread::sleep(Duration::from_millis(5));
        assert!(clock.now().since(first) >= Duration::from_millis(5));
        let wall = Time::from_millis(wall.as_millis() as u64);
        assert!(first.since(wall).max(wall.since(first)) < Duration::from_secs(1));
    }
}
