//! How much of what is received is passed on. Time is passed in, since any start.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::{Location, Of};

/// One hint of a repository is passed on in this time.
pub const PAUSE: Duration = Duration::from_secs(5);

/// Requests that may come at once.
const BURST: u32 = 40;
/// After a burst, one more each time this has passed: 20 a second.
const EACH: Duration = Duration::from_millis(50);
/// Deliveries that are remembered.
const REMEMBERED: usize = 1024;

/// When hints of each repository were passed on. Holds those alone whose pause has not ended.
#[derive(Debug, Default)]
pub struct Pace(BTreeMap<(Of, Location), Paused>);

#[derive(Debug)]
struct Paused {
    until: Duration,
    /// Another one came since.
    waits: bool,
}

impl Pace {
    /// Whether a hint is to be passed on at once. If not, [`Pace::due`] gives it when the pause has ended; however many come
    /// meanwhile, once.
    pub fn admit(&mut self, what: &(Of, Location), now: Duration) -> bool {
        self.0.retain(|_, paused| paused.waits || paused.until > now);
        if let Some(paused) = self.0.get_mut(what) {
            paused.waits = true;
            return false;
        }
        self.0.insert(what.clone(), Paused { until: now + PAUSE, waits: false });
        true
    }

    /// Those that have waited long enough.
    pub fn due(&mut self, now: Duration) -> Vec<(Of, Location)> {
        let due = self.0.iter_mut().filter(|(_, paused)| paused.waits && paused.until <= now);
        due.map(|(what, paused)| {
            *paused = Paused { until: now + PAUSE, waits: false };
            what.clone()
        })
        .collect()
    }

    /// When the next one is due.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        self.0.values().filter(|paused| paused.waits).map(|paused| paused.until).min()
    }
}

/// The newest deliveries.
#[derive(Debug, Default)]
pub struct Deliveries {
    known: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Deliveries {
    /// Whether this is the first time that it is seen; remembers it.
    pub fn is_new(&mut self, id: &str) -> bool {
        if !self.known.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// How many requests are read, of all senders together.
#[derive(Debug, Default)]
pub struct Rate {
    /// When as many as ever may come again.
    full: Duration,
}

impl Rate {
    /// Whether one more may come now; if so, it counts. (The generic cell rate algorithm: a token bucket whose only state is the
    /// time at which it is full.)
    pub fn admit(&mut self, now: Duration) -> bool {
        let next = self.full.max(now) + EACH;
        let admitted = next <= now + EACH * BURST;
        if admitted {
            self.full = next;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> (Of, Location) {
        (Of::Git, Location::of("https://git.example.com/shop").unwrap())
    }

    #[test]
    fn many_hints_of_a_repository_are_one_now_and_one_at_the_end_of_the_pause() {
        let (mut pace, mut now) = (Pace::default(), Duration::from_secs(100));
        let other = (Of::Git, Location::of("https://git.example.com/other").unwrap());
        assert!(pace.admit(&shop(), now));
        assert_eq!(pace.next(), None, "nothing is left to pass on");
        for _ in 0..1000 {
            now += Duration::from_millis(1);
            assert!(!pace.admit(&shop(), now));
        }
        assert!(pace.admit(&other, now), "another repository does not wait");
        assert_eq!(pace.next(), Some(Duration::from_secs(105)));
        assert_eq!(pace.due(now), []);
        assert_eq!(pace.due(Duration::from_secs(105)), [shop()]);
        assert_eq!((pace.next(), pace.due(Duration::from_secs(200))), (None, Vec::new()));
        assert!(!pace.admit(&shop(), Duration::from_secs(106)), "it has a pause of its own");
        assert!(pace.admit(&other, Duration::from_mins(5)));
        assert_eq!(pace.due(Duration::from_mins(5)), [shop()], "what waits is not lost, however late");
        assert!(pace.admit(&shop(), Duration::from_secs(400)));
        assert_eq!(pace.0.len(), 1, "what rests is forgotten");
    }

    #[test]
    fn a_delivery_is_new_once_and_a_bounded_number_is_remembered() {
        let mut deliveries = Deliveries::default();
        assert!(deliveries.is_new("a") && !deliveries.is_new("a"));
        for number in 0..REMEMBERED {
            assert!(deliveries.is_new(&number.to_string()));
        }
        assert_eq!((deliveries.known.len(), deliveries.order.len()), (REMEMBERED, REMEMBERED));
        assert!(deliveries.is_new("a"));
    }

    #[test]
    fn a_burst_is_followed_by_twenty_a_second() {
        let (mut rate, start) = (Rate::default(), Duration::from_secs(7));
        let mut admitted = |after: Duration| (0..1000).filter(|_| rate.admit(start + after)).count();
        assert_eq!(admitted(Duration::ZERO), 40);
        assert_eq!(admitted(Duration::from_millis(40)), 0);
        assert_eq!(admitted(Duration::from_secs(1)), 20);
        assert_eq!(admitted(Duration::from_hours(1)), 40);
    }
}
