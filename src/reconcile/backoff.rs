//! How long to wait after failures: longer each time, and never in step with others.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(2);

/// Delays that double from 2 s up to a bound, each multiplied by 0.75 to 1.25.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    random: u64,
}

impl Backoff {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { failures: 0, random: seed | 1 }
    }

    /// The delay after one more failure; before the jitter at most `longest`.
    pub fn next_delay(&mut self, longest: Duration) -> Duration {
        let delay = FIRST.saturating_mul(1 << self.failures.min(8)).min(longest);
        self.failures += 1;
        delay.mul_f64(0.75 + self.fraction() / 2.0)
    }

    /// The time until the next poll: the interval, or up to a tenth less, so that syncs which
    /// started together do not go on polling together. Never more, since that was promised.
    pub fn until_next_poll(&mut self, interval: Duration) -> Duration {
        interval.mul_f64(0.9 + self.fraction() / 10.0)
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next number of [0, 1): xorshift (Marsaglia, 2003), so that a machine with the same
    /// seed makes the same decisions.
    fn fraction(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        f64::from(u32::try_from(self.random >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_mins(5);

    #[test]
    fn polls_of_syncs_with_the_same_interval_drift_apart_and_are_never_late() {
        let interval = Duration::from_mins(1);
        let tenth = |seed: u64| {
            let mut backoff = Backoff::new(seed);
            let polls: Vec<Duration> = (0..60).map(|_| backoff.until_next_poll(interval)).collect();
            assert!(polls.iter().all(|poll| *poll <= interval && *poll >= interval.mul_f64(0.9)), "{polls:?}");
            polls.iter().sum::<Duration>()
        };
        // After an hour of polls, a hundred syncs are somewhere in a minute or more.
        let mut hundred: Vec<Duration> =
            (0..100_u64).map(|seed| tenth(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        hundred.sort();
        let between = |some: &[Duration]| some[some.len() - 1].saturating_sub(some[0]);
        assert!(between(&hundred) > interval / 2, "{:?}", between(&hundred));
        let together = hundred.windows(10).map(between).min();
        assert!(together > Some(Duration::from_millis(500)), "{together:?}");
    }

    #[test]
    fn delays_grow_to_a_bound_and_start_anew_after_success() {
        let mut backoff = Backoff::new(7);
        let delays: Vec<Duration> = (0..20).map(|_| backoff.next_delay(LONGEST)).collect();
        assert!(delays[0] >= FIRST.mul_f64(0.75) && delays[0] <= FIRST.mul_f64(1.25), "{delays:?}");
        assert!(delays.windows(4).all(|four| four[3] > four[0] || four[0] > LONGEST.mul_f64(0.7)), "{delays:?}");
        assert!(delays.iter().all(|delay| *delay <= LONGEST.mul_f64(1.25)));
        assert_ne!(delays[18], delays[19], "jitter");
        backoff.reset();
        assert!(backoff.next_delay(LONGEST) <= FIRST.mul_f64(1.25));
    }
}
