//! How many Events a sync may write. The numbers are those of client-go's spam filter (25 at
//! once), with a faster refill, since here one bucket is for all objects of a sync and not for one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many Events may come at once.
pub(super) const BURST: u32 = 25;
/// After a burst, one Event is allowed each time this has passed.
const EACH: Duration = Duration::from_secs(1);

/// Two buckets a sync: a burst of drift must not keep its own failure from being reported.
#[derive(Debug, Default)]
pub(super) struct EventLimits {
    /// When a bucket is full again, by sync, and whether it is for the sync itself.
    full: BTreeMap<(Arc<str>, bool), Instant>,
}

impl EventLimits {
    /// Whether an Event may be written now; if so, it counts. (The generic cell rate algorithm:
    /// a token bucket whose only state is the time at which it is full.)
    pub(super) fn admit(&mut self, sync: &Arc<str>, of_sync: bool, now: Instant) -> bool {
        let full = self.full.entry((Arc::clone(sync), of_sync)).or_insert(now);
        let next = (*full).max(now) + EACH;
        let admitted = next <= now + EACH * BURST;
        if admitted {
            *full = next;
        }
        admitted
    }

    pub(super) fn forget(&mut self, sync: &Arc<str>) {
        self.full.retain(|(name, _), _| name != sync);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_followed_by_one_a_second_and_rest_fills_the_bucket_no_further() {
        let (mut limits, start, sync) = (EventLimits::default(), Instant::now(), Arc::from("shop"));
        let mut admitted = |after: Duration| {
            let now = start + after;
            (0..100).filter(|_| limits.admit(&sync, false, now)).count()
        };
        assert_eq!(admitted(Duration::ZERO), 25);
        assert_eq!(admitted(Duration::from_millis(900)), 0);
        assert_eq!(admitted(Duration::from_secs(3)), 3);
        assert_eq!(admitted(Duration::from_hours(1)), 25);
    }

    #[test]
    fn each_sync_has_buckets_of_its_own() {
        let (mut limits, now) = (EventLimits::default(), Instant::now());
        let [one, other] = ["one", "other"].map(Arc::from);
        while limits.admit(&one, false, now) {}
        assert!(limits.admit(&other, false, now) && limits.admit(&one, true, now));
        limits.forget(&one);
        assert!(limits.admit(&one, false, now));
    }
}
