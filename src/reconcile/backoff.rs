//! How long to wait after failures: longer each time, and never in step with others.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(2);
/// After so many failures it is doubled no more.
const DOUBLINGS: u32 = 8;

/// Delays that double from 2 s up to a bound, each multiplied by 0.75 to 1.25.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The delay after one more failure; before the jitter at most `longest`. `random` spreads it.
    pub fn next_delay(&mut self, longest: Duration, random: u64) -> Duration {
        let doublings = self.failures.min(DOUBLINGS);
        // Further ones make no difference, so they are not counted: the state of a sync that fails for days stays the same.
        self.failures = (doublings + 1).min(DOUBLINGS);
        FIRST.saturating_mul(1 << doublings).min(longest).mul_f64(0.75 + fraction(random) / 2.0)
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// The time until the next poll: the interval, or up to a tenth less, so that syncs which
/// started together do not go on polling together. Never more, since that was promised.
pub fn until_next_poll(interval: Duration, random: u64) -> Duration {
    interval.mul_f64(0.9 + fraction(random) / 10.0)
}

/// A number of [0, 1).
fn fraction(random: u64) -> f64 {
    f64::from(u32::try_from(random >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
pub(super) use tests::mixed;

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_mins(5);

    /// A number that looks random, for each number (splitmix64; Steele, Lea, Flood, 2014).
    pub fn mixed(number: u64) -> u64 {
        let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    #[test]
    fn polls_of_syncs_with_the_same_interval_drift_apart_and_are_never_late() {
        let interval = Duration::from_mins(1);
        let tenth = |sync: u64| {
            let polls: Vec<Duration> = (0..60).map(|poll| until_next_poll(interval, mixed(sync * 60 + poll))).collect();
            assert!(polls.iter().all(|poll| *poll <= interval && *poll >= interval.mul_f64(0.9)), "{polls:?}");
            polls.iter().sum::<Duration>()
        };
        // After an hour of polls, a hundred syncs are somewhere in a minute or more.
        let mut hundred: Vec<Duration> = (0..100_u64).map(tenth).collect();
        hundred.sort();
        let between = |some: &[Duration]| some[some.len() - 1].saturating_sub(some[0]);
        assert!(between(&hundred) > interval / 2, "{:?}", between(&hundred));
        let together = hundred.windows(10).map(between).min();
        assert!(together > Some(Duration::from_millis(500)), "{together:?}");
    }

    #[test]
    fn delays_grow_to_a_bound_and_start_anew_after_success() {
        let mut backoff = Backoff::default();
        let delays: Vec<Duration> = (0..20).map(|n| backoff.next_delay(LONGEST, mixed(n))).collect();
        assert!(delays[0] >= FIRST.mul_f64(0.75) && delays[0] <= FIRST.mul_f64(1.25), "{delays:?}");
        assert!(delays.windows(4).all(|four| four[3] > four[0] || four[0] > LONGEST.mul_f64(0.7)), "{delays:?}");
        assert!(delays.iter().all(|delay| *delay <= LONGEST.mul_f64(1.25)));
        assert_ne!(delays[18], delays[19], "jitter");
        let before = backoff;
        backoff.next_delay(LONGEST, 0);
        assert_eq!(backoff, before, "longer it does not get");
        backoff.reset();
        assert!(backoff.next_delay(LONGEST, u64::MAX) <= FIRST.mul_f64(1.25));
    }
}
