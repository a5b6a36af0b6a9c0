//! Since when objects are waited for: each by itself, with the content that git gives it. Commits
//! that do not touch an object give it no further time, however many come.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::object::{ObjectId, Short};

use super::relative::Frame;

/// What one sync waits for. Times are monotonic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Settling {
    /// Since when the newest commit is waited for. Measured, and decides nothing.
    pub commit: Option<Duration>,
    /// Objects that are not as they are to be, with the digest of their manifest. Bounded by what is
    /// declared.
    objects: BTreeMap<ObjectId, (Short, Duration)>,
    /// Since when some orphan is another each time it is to be pruned.
    undecided: Option<Duration>,
}

impl Settling {
    /// Waits for these objects, and for no others any more.
    pub fn wait_for<'a>(&mut self, objects: impl Iterator<Item = (&'a ObjectId, Short)>, now: Duration) {
        let mut before = std::mem::take(&mut self.objects);
        for (id, digest) in objects {
            let (id, since) = match before.remove_entry(id) {
                Some((id, (known, since))) if known == digest => (id, since),
                _ => (id.clone(), now),
            };
            self.objects.insert(id, (digest, since));
        }
    }

    /// `timeout`: how long objects may take.
    pub fn see(&mut self, frame: &Frame, timeout: Duration) {
        self.commit.iter_mut().for_each(|since| frame.began(since));
        let objects = self.objects.values_mut().map(|(_, since)| since);
        objects.chain(&mut self.undecided).for_each(|since| frame.since(since, timeout));
    }

    /// Some orphan could not be decided about, or all could.
    pub fn decide(&mut self, undecided: bool, now: Duration) {
        self.undecided = undecided.then(|| self.undecided.unwrap_or(now));
    }

    /// Whether some object has been waited for longer than it may take.
    pub fn is_overdue(&self, timeout: Duration, now: Duration) -> bool {
        self.objects.values().any(|(_, since)| now.saturating_sub(*since) >= timeout)
    }

    /// The same of orphans that cannot be decided about.
    pub fn is_undecided_for(&self, timeout: Duration, now: Duration) -> bool {
        self.undecided.is_some_and(|since| now.saturating_sub(since) >= timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ObjectId {
        ObjectId::new("apps", "Deployment", Some("shop"), name)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[test]
    fn an_object_has_its_time_from_when_it_was_first_waited_for_with_this_content() {
        let mut settling = Settling::default();
        let (a, b) = (id("a"), id("b"));
        let [one, two] = [Short([1; 16]), Short([2; 16])];
        for now in 0..10 {
            // The other one is changed by each commit.
            settling.wait_for([(&a, one), (&b, Short([u8::try_from(now).unwrap(); 16]))].into_iter(), seconds(now));
            assert!(!settling.is_overdue(TIMEOUT, seconds(now)));
        }
        assert!(settling.is_overdue(TIMEOUT, seconds(10)));
        settling.wait_for([(&a, two), (&b, one)].into_iter(), seconds(10));
        assert!(!settling.is_overdue(TIMEOUT, seconds(19)), "changed by git");
        settling.wait_for([(&b, one)].into_iter(), seconds(15));
        settling.wait_for([(&a, two), (&b, two)].into_iter(), seconds(16));
        assert!(!settling.is_overdue(TIMEOUT, seconds(25)), "it was well in between");
        settling.wait_for([].into_iter(), seconds(17));
        assert!(!settling.is_overdue(TIMEOUT, seconds(1000)));
    }

    #[test]
    fn what_cannot_be_decided_again_and_again_has_a_time_of_its_own() {
        let mut settling = Settling::default();
        settling.decide(true, seconds(1));
        settling.decide(true, seconds(5));
        assert!(!settling.is_undecided_for(TIMEOUT, seconds(10)) && settling.is_undecided_for(TIMEOUT, seconds(11)));
        settling.decide(false, seconds(11));
        settling.decide(true, seconds(12));
        assert!(!settling.is_undecided_for(TIMEOUT, seconds(21)));
    }
}
