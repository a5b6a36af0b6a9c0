//! Pauses between the tries of I/O that failed.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Pauses without an end: each twice as long as the one before, up to a longest, and with up to its own length on top
/// (jitter), so that what failed together is not tried again together.
///
/// The loop of a sync has delays of its own (`reconcile`), which are drawn from a seed: its decisions are repeatable.
#[derive(Debug)]
pub struct Pauses {
    backoff: ExponentialBackoff,
    longest: Duration,
}

impl Pauses {
    /// Begins at `first`; without the jitter, none is longer than `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        let builder = ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest);
        Self { backoff: builder.without_max_times().with_jitter().build(), longest }
    }

    /// The next pause.
    pub fn next_pause(&mut self) -> Duration {
        // It has no end; should it ever have one, the longest pause is no busy loop.
        self.backoff.next().unwrap_or(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_never_end() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut pauses = Pauses::new(first, longest);
        let mut base = first;
        for _ in 0..1_000 {
            let pause = pauses.next_pause();
            assert!(pause >= base && pause <= base * 2, "{pause:?}, from {base:?}");
            base = (base * 2).min(longest);
        }
    }

    #[test]
    fn two_that_begin_together_do_not_stay_together() {
        let pauses = || {
            let mut pauses = Pauses::new(Duration::from_secs(1), Duration::from_mins(1));
            (0..20).map(|_| pauses.next_pause()).collect::<Vec<_>>()
        };
        assert_ne!(pauses(), pauses());
    }
}
