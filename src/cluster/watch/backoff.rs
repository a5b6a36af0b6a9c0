//! How long a watch waits: for the server, and before it asks again.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The time limits of watches. A test has shorter ones.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct WatchLimits {
    /// A LIST, with all its pages.
    pub list: Duration,
    /// The headers of a watch.
    pub headers: Duration,
    /// After how many seconds the server is asked to end a watch. A range, so that not all end at once.
    pub timeout_seconds: RangeInclusive<u64>,
    /// So long after that an end, or anything else, must have come.
    pub overdue: Duration,
    /// Once a connection has shown a bookmark, of which the server sends about one a minute, it is
    /// never silent for so long.
    pub silence: Duration,
    /// A watch that was up for so long is no failure, however it ended.
    pub lived: Duration,
    /// What a watch has shown still counts so long after it broke.
    pub grace: Duration,
    /// The first and the longest pause after failures in a row.
    pub pauses: (Duration, Duration),
    /// The first pause where the kind is not served.
    pub unserved: Duration,
    /// The first and the longest pause where the server does not allow a watch, or has none. What
    /// it allows changes seldom, but a server that is starting may refuse what it allows later.
    pub refused: (Duration, Duration),
    /// The server's own requested pause for a pause is honoured up to here.
    pub longest_retry_after: Duration,
    /// A failure that lasts so long is reported.
    pub reported_after: Duration,
    /// How long the caller waits for new watches.
    pub settled: Duration,
}

impl Default for WatchLimits {
    fn default() -> Self {
        Self {
            list: Duration::from_secs(90),
            headers: Duration::from_secs(30),
            timeout_seconds: 240..=300,
            overdue: Duration::from_secs(30),
            silence: Duration::from_secs(150),
            lived: Duration::from_secs(5),
            grace: Duration::from_secs(5),
            pauses: (Duration::from_millis(100), Duration::from_secs(30)),
            unserved: Duration::from_secs(1),
            refused: (Duration::from_secs(5), Duration::from_mins(4)),
            longest_retry_after: Duration::from_mins(2),
            reported_after: Duration::from_mins(1),
            settled: Duration::from_secs(90),
        }
    }
}

/// The pauses after failures in a row: each twice the one before, up to the longest.
#[derive(Debug)]
pub(super) struct WatchBackoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl WatchBackoff {
    pub fn new((first, longest): (Duration, Duration)) -> Self {
        Self { first, longest, next: first }
    }

    /// The next pause, at least so long, and with up to half as much on top, so that many watches
    /// do not come back at once.
    pub fn pause(&mut self, at_least: Duration) -> Duration {
        let base = self.next.max(at_least);
        // A requested pause of the server's is no failure of ours, and the pauses do not grow from there.
        self.next = (self.next * 2).min(self.longest);
        jittered(base)
    }

    /// Begins at a longer pause than usual, and grows from there.
    pub fn slow_down(&mut self, to: Duration) {
        self.next = self.next.max(to).min(self.longest);
    }

    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// The same, or up to half as much more.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(1.0 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_grow_up_to_the_longest_and_begin_anew() {
        let mut backoff = WatchBackoff::new((Duration::from_millis(100), 30 * SECOND));
        let mut bases = Vec::new();
        for _ in 0..12 {
            let base = backoff.next;
            let pause = backoff.pause(Duration::ZERO);
            assert!(base <= pause && pause <= base * 3 / 2, "{pause:?}");
            bases.push(base);
        }
        assert!(bases.windows(2).all(|pair| pair[1] == (pair[0] * 2).min(30 * SECOND)), "{bases:?}");
        assert_eq!(bases.last(), Some(&(30 * SECOND)));
        backoff.reset();
        assert!(backoff.pause(Duration::ZERO) < SECOND);
    }

    #[test]
    fn a_wish_of_the_server_is_the_least_pause() {
        let mut backoff = WatchBackoff::new((Duration::from_millis(100), 30 * SECOND));
        assert!(backoff.pause(5 * SECOND) >= 5 * SECOND);
        assert!(backoff.pause(Duration::ZERO) < SECOND);
        backoff.slow_down(SECOND);
        assert!(backoff.pause(Duration::ZERO) >= SECOND);
        assert!(backoff.pause(Duration::ZERO) >= 2 * SECOND);
    }
}
