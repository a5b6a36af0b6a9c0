//! Objects that another manager changes again and again. Each repetition of one drift makes the
//! next heal of it wait longer; a drift of another kind in the same object is healed at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::object::{Fingerprint, ObjectId, Observed, Short};

/// So many heals in a row make a contest.
const CONTESTED: u32 = 3;
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_mins(5);
/// A drift that did not come back for this long, or for twice its delay, is over.
const SHORTEST_MEMORY: Duration = Duration::from_mins(1);
/// Ways in which one object drifts; more are not told apart.
const MOST_WAYS: usize = 16;

/// Which drift: the fingerprint of our own entry says exactly which fields we had lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Gone,
    Recreated,
    Content,
    /// What was left of our label, annotation and fields.
    Left([u8; 16]),
}

impl Way {
    /// The way in which a live object differs from what was applied.
    pub fn of(live: Option<&Observed>, recorded_uid: Short) -> Self {
        let Some(live) = live else { return Self::Gone };
        if Short::of(&live.uid) != recorded_uid {
            return Self::Recreated;
        }
        let fields = live.fingerprint.as_ref().map(Fingerprint::short).unwrap_or_default();
        let marks = format!("{:?} {:?} {:?}", live.part_of, live.digest, fields.0);
        Self::Left(Short::of(&marks).0)
    }
}

#[derive(Clone, Debug, Default)]
struct Repeats {
    heals: u32,
    last: Duration,
    delay: Duration,
    manager: Option<Arc<str>>,
    fields: Vec<String>,
    /// Of the object, when it was last healed.
    uid: Option<Arc<str>>,
}

impl Repeats {
    fn forgotten_at(&self) -> Duration {
        self.last + SHORTEST_MEMORY.max(self.delay * 2)
    }
}

/// What is to be told of a contest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contested {
    pub object: ObjectId,
    pub manager: Option<Arc<str>>,
    pub fields: Vec<String>,
    pub heals: u32,
    pub until: Duration,
}

/// The quarrels of one sync. Times are monotonic.
#[derive(Debug, Default)]
pub(super) struct Contests {
    objects: BTreeMap<ObjectId, BTreeMap<Way, Repeats>>,
}

impl Contests {
    /// Before when this drift is not to be healed.
    pub fn held_until(&self, id: &ObjectId, way: Way, now: Duration) -> Option<Duration> {
        let repeats = self.objects.get(id)?.get(&way)?;
        let until = repeats.last + repeats.delay;
        (until > now).then_some(until)
    }

    /// A drift was healed. Something to tell when it is a contest, `true` when it has just become one.
    pub fn healed(
        &mut self,
        id: &ObjectId,
        uid: Option<&Arc<str>>,
        way: Way,
        manager: Option<&Arc<str>>,
        fields: Vec<String>,
        now: Duration,
    ) -> Option<(Contested, bool)> {
        let ways = self.objects.entry(id.clone()).or_default();
        if ways.len() >= MOST_WAYS && !ways.contains_key(&way) {
            let oldest = ways.iter().min_by_key(|(_, repeats)| repeats.last).map(|(way, _)| *way);
            oldest.and_then(|oldest| ways.remove(&oldest));
        }
        let repeats = ways.entry(way).or_default();
        if repeats.heals > 0 && (now >= repeats.forgotten_at() || repeats.manager.as_ref() != manager) {
            *repeats = Repeats::default();
        }
        repeats.heals += 1;
        repeats.last = now;
        repeats.manager = manager.cloned();
        repeats.fields = fields;
        repeats.uid = uid.cloned();
        let over = repeats.heals.checked_sub(CONTESTED)?;
        repeats.delay = FIRST_DELAY.saturating_mul(1 << over.min(16)).min(LONGEST_DELAY);
        let told = Contested {
            object: id.clone(),
            manager: repeats.manager.clone(),
            fields: repeats.fields.clone(),
            heals: repeats.heals,
            until: repeats.last + repeats.delay,
        };
        Some((told, over == 0))
    }

    /// Forgets what did not come back. The objects that are contested no longer, with the UID as of
    /// their last heal.
    pub fn forget(&mut self, now: Duration) -> Vec<(ObjectId, Option<Arc<str>>)> {
        let mut over = Vec::new();
        self.objects.retain(|id, ways| {
            let contested = ways.values().filter(|repeats| repeats.heals >= CONTESTED);
            let last = contested.max_by_key(|repeats| repeats.last).map(|repeats| repeats.uid.clone());
            ways.retain(|_, repeats| now < repeats.forgotten_at());
            if let Some(uid) = last
                && !ways.values().any(|repeats| repeats.heals >= CONTESTED)
            {
                over.push((id.clone(), uid));
            }
            !ways.is_empty()
        });
        over
    }

    /// When there is something to forget.
    pub fn next(&self) -> Option<Duration> {
        self.objects.values().flat_map(BTreeMap::values).map(Repeats::forgotten_at).min()
    }

    pub fn len(&self) -> usize {
        let contested = |ways: &&BTreeMap<Way, Repeats>| ways.values().any(|repeats| repeats.heals >= CONTESTED);
        self.objects.values().filter(contested).count()
    }

    /// The contests there are.
    pub fn list(&self) -> Vec<Contested> {
        let mut list = Vec::new();
        for (id, ways) in &self.objects {
            for repeats in ways.values().filter(|repeats| repeats.heals >= CONTESTED) {
                list.push(Contested {
                    object: id.clone(),
                    manager: repeats.manager.clone(),
                    fields: repeats.fields.clone(),
                    heals: repeats.heals,
                    until: repeats.last + repeats.delay,
                });
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> ObjectId {
        ObjectId::new("apps", "Deployment", Some("shop"), "web")
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const WAY: Way = Way::Left([1; 16]);

    /// Heals as soon as it may, for so long against a manager that never rests.
    fn fight(contests: &mut Contests, manager: &Arc<str>, from: Duration, until: Duration) -> Vec<Duration> {
        let (mut now, mut heals) = (from, Vec::new());
        while now < until {
            if let Some(later) = contests.held_until(&object(), WAY, now) {
                now = later;
                continue;
            }
            heals.push(now);
            contests.healed(&object(), Some(&"u".into()), WAY, Some(manager), vec!["spec.replicas".into()], now);
            now += Duration::from_millis(10);
        }
        heals
    }

    #[test]
    fn heals_of_the_same_drift_come_at_growing_intervals_up_to_five_minutes() {
        let mut contests = Contests::default();
        let heals = fight(&mut contests, &"other".into(), seconds(0), seconds(7200));
        let gaps: Vec<u64> = heals.windows(2).map(|two| two[1].saturating_sub(two[0]).as_secs()).collect();
        assert_eq!(gaps[..12], [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert!(gaps[12..].iter().all(|gap| *gap == 300));
        assert_eq!(contests.len(), 1);
    }

    #[test]
    fn another_field_of_the_object_is_not_held_back() {
        let mut contests = Contests::default();
        fight(&mut contests, &"other".into(), seconds(0), seconds(600));
        assert!(contests.held_until(&object(), WAY, seconds(600)).is_some());
        assert_eq!(contests.held_until(&object(), Way::Left([2; 16]), seconds(600)), None);
        assert_eq!(contests.held_until(&object(), Way::Gone, seconds(600)), None);
    }

    #[test]
    fn it_is_over_when_the_other_side_rests_and_begins_anew_with_another_manager() {
        let mut contests = Contests::default();
        let one: Arc<str> = "one".into();
        fight(&mut contests, &one, seconds(0), seconds(30));
        assert_eq!(contests.forget(seconds(31)), []);
        let (contested, first) =
            contests.healed(&object(), Some(&"u".into()), WAY, Some(&one), vec![], seconds(31)).unwrap();
        assert!(!first && contested.heals > CONTESTED);
        assert_eq!(contests.healed(&object(), Some(&"u".into()), WAY, Some(&"two".into()), vec![], seconds(32)), None);
        fight(&mut contests, &one, seconds(40), seconds(50));
        let over = contests.next().unwrap();
        assert_eq!(contests.forget(over), [(object(), Some("u".into()))]);
        assert_eq!((contests.len(), contests.next()), (0, None));
    }

    #[test]
    fn ways_of_drifting_are_bounded() {
        let mut contests = Contests::default();
        for number in 0..200_u8 {
            contests.healed(&object(), None, Way::Left([number; 16]), None, vec![], seconds(u64::from(number)));
        }
        assert!(contests.objects[&object()].len() <= MOST_WAYS);
    }
}
