//! What the Lease says, and what follows for one that wants to hold it: a pure function of what was read and of the local
//! clock. Times of other machines are only ever compared for being the same, never with ours.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::object::version::is_older;

/// What a Lease says (`coordination.k8s.io/v1`, `LeaseSpec`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `metadata.resourceVersion`: guards every update.
    pub version: String,
    /// `None`: nobody holds it.
    pub holder: Option<Arc<str>>,
    /// For how long nobody else takes it after a renewal.
    pub duration: Duration,
    /// As the holder wrote them, on its own clock; for people.
    pub acquired: Option<String>,
    /// `renewTime`, likewise.
    pub renewed: Option<String>,
    /// `leaseTransitions`: how often the Lease has been taken since it was created.
    pub transitions: u64,
}

impl Record {
    /// Reads a Lease. What is not there counts as empty: such a Lease can be taken.
    #[must_use]
    pub fn from_live(live: &Value) -> Self {
        let text = |pointer: &str| live.pointer(pointer).and_then(Value::as_str).map(ToOwned::to_owned);
        let number = |pointer: &str| live.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        Self {
            version: text("/metadata/resourceVersion").unwrap_or_default(),
            holder: text("/spec/holderIdentity").filter(|holder| !holder.is_empty()).map(Into::into),
            duration: Duration::from_secs(number("/spec/leaseDurationSeconds")),
            acquired: text("/spec/acquireTime"),
            renewed: text("/spec/renewTime"),
            transitions: number("/spec/leaseTransitions"),
        }
    }

    /// The Lease as it is written. Without a version it is to be created.
    #[must_use]
    pub fn to_object(&self, namespace: &str, name: &str) -> Value {
        let mut object = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "driftless"}},
            "spec": {"holderIdentity": self.holder.as_deref().unwrap_or_default(),
                "leaseDurationSeconds": self.duration.as_secs(), "leaseTransitions": self.transitions,
                "acquireTime": self.acquired, "renewTime": self.renewed}});
        if !self.version.is_empty() {
            object["metadata"]["resourceVersion"] = json!(self.version);
        }
        object
    }
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseStep {
    /// Write this: create it when it has no version, else update.
    Take(Record),
    /// Another one holds it, until this time at least unless it is renewed.
    Wait {
        /// Identity of the one that holds it.
        holder: Arc<str>,
        /// On the local monotonic clock.
        until: Duration,
    },
}

/// One that wants to hold the Lease.
#[derive(Clone, Debug)]
pub struct Candidate {
    me: Arc<str>,
    duration: Duration,
    /// The newest record, and when it was seen first, on the local monotonic clock.
    seen: Option<(Record, Duration)>,
    /// History went back, and another one led just before: it may still do so for a moment, even where the
    /// Lease names this one by now.
    superseded: bool,
}

impl Candidate {
    /// One that has read no Lease yet. `me` is its identity, `duration` that of the Leases that it writes.
    #[must_use]
    pub fn new(me: Arc<str>, duration: Duration) -> Self {
        Self { me, duration, seen: None, superseded: false }
    }

    /// Takes in what was read, at a time of the local monotonic clock; `None`: there is no Lease.
    pub fn learn(&mut self, live: Option<Record>, now: Duration) {
        if let (Some(live), Some(known)) = (&live, self.record())
            && live != known
        {
            self.superseded = is_older(&live.version, &known.version) && (self.superseded || !self.is_holder());
        }
        self.seen = match (live, self.seen.take()) {
            (Some(live), Some((known, since))) if live == known => Some((known, since)),
            (Some(live), _) => Some((live, now)),
            (None, _) => None,
        };
    }

    /// The newest record, if there is a Lease.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.seen.as_ref().map(|(record, _)| record)
    }

    /// Whether the newest record names this candidate as the holder.
    #[must_use]
    pub fn is_holder(&self) -> bool {
        self.record().is_some_and(|record| record.holder.as_ref() == Some(&self.me))
    }

    /// What is to be done now. `wall` is the local wall clock, for people who read the Lease.
    #[must_use]
    pub fn next(&self, now: Duration, wall: &str) -> LeaseStep {
        let taken = |version: &str, transitions| Record {
            version: version.into(),
            holder: Some(Arc::clone(&self.me)),
            duration: self.duration,
            acquired: Some(wall.into()),
            renewed: Some(wall.into()),
            transitions,
        };
        let Some((record, since)) = &self.seen else { return LeaseStep::Take(taken("", 0)) };
        let mine = taken(&record.version, record.transitions + 1);
        match &record.holder {
            Some(holder) if *holder == self.me && !self.superseded => LeaseStep::Take(Record {
                acquired: record.acquired.clone().or(mine.acquired),
                transitions: record.transitions,
                ..mine
            }),
            Some(holder) if now < *since + record.duration => {
                LeaseStep::Wait { holder: Arc::clone(holder), until: *since + record.duration }
            }
            _ => LeaseStep::Take(mine),
        }
    }

    /// The record that gives the Lease up, so that another may take it at once; `None` when it is not held.
    #[must_use]
    pub fn released(&self, wall: &str) -> Option<Record> {
        let record = self.record().filter(|_| self.is_holder())?;
        let (duration, wall) = (Duration::from_secs(1), Some(wall.to_owned()));
        Some(Record { holder: None, duration, acquired: wall.clone(), renewed: wall, ..record.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);
    const WALL: &str = "2026-01-01T00:00:00.000000Z";

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn held(by: &str, version: &str, renewed: &str) -> Record {
        let live = json!({"metadata": {"resourceVersion": version}, "spec": {"holderIdentity": by,
            "leaseDurationSeconds": 15, "leaseTransitions": 3, "acquireTime": WALL, "renewTime": renewed}});
        Record::from_live(&live)
    }

    fn candidate() -> Candidate {
        Candidate::new("a".into(), LEASE)
    }

    #[test]
    fn a_lease_that_does_not_exist_is_created() {
        let mut candidate = candidate();
        candidate.learn(None, at(0));
        let LeaseStep::Take(record) = candidate.next(at(0), WALL) else { panic!("nobody to wait for") };
        assert_eq!((record.version.as_str(), record.holder.as_deref(), record.transitions), ("", Some("a"), 0));
        let object = record.to_object("ns", "driftless");
        assert!(object["metadata"].get("resourceVersion").is_none());
        assert_eq!(Record::from_live(&object), record);
    }

    #[test]
    fn the_time_of_another_holder_runs_on_the_local_clock_from_its_last_renewal() {
        let mut candidate = candidate();
        // Its clock is years ahead, or behind: that makes no difference.
        for (version, renewed, now) in [("1", "2199-01-01T00:00:00Z", 100), ("2", "1999-01-01T00:00:00Z", 110)] {
            candidate.learn(Some(held("b", version, renewed)), at(now));
            assert_eq!(
                candidate.next(at(now + 14), WALL),
                LeaseStep::Wait { holder: "b".into(), until: at(now + 15) },
                "{renewed}"
            );
        }
        // The same record again is no renewal.
        candidate.learn(Some(held("b", "2", "1999-01-01T00:00:00Z")), at(120));
        let LeaseStep::Take(record) = candidate.next(at(125), WALL) else { panic!("it is over") };
        assert_eq!((record.version.as_str(), record.transitions), ("2", 4), "guarded by what was seen");
    }

    #[test]
    fn a_released_lease_is_taken_at_once_and_one_of_ones_own_renewed() {
        let mut candidate = candidate();
        candidate.learn(Some(held("", "7", WALL)), at(0));
        assert!(matches!(candidate.next(at(0), WALL), LeaseStep::Take(record) if record.transitions == 4));
        assert_eq!(candidate.released(WALL), None, "what is not held cannot be given up");

        candidate.learn(Some(held("a", "8", WALL)), at(1));
        let LeaseStep::Take(renewed) = candidate.next(at(9), "later") else { panic!("it is ours") };
        assert_eq!((renewed.transitions, renewed.acquired.as_deref()), (3, Some(WALL)), "no transition");
        assert_eq!(renewed.renewed.as_deref(), Some("later"));
        let given_up = candidate.released("end").expect("it is held");
        assert_eq!((given_up.holder, given_up.duration, given_up.version), (None, at(1), "8".into()));
    }

    #[test]
    fn who_is_holder_again_since_etcd_was_restored_waits_for_whoever_led_since() {
        let mut candidate = candidate();
        candidate.learn(Some(held("a", "800", WALL)), at(0));
        candidate.learn(Some(held("b", "900", WALL)), at(5));
        let restored = held("a", "700", WALL);
        for now in [8, 10] {
            candidate.learn(Some(restored.clone()), at(now));
            assert_eq!(candidate.next(at(now), WALL), LeaseStep::Wait { holder: "a".into(), until: at(23) }, "{now}");
        }
        assert!(matches!(candidate.next(at(23), WALL), LeaseStep::Take(record) if record.version == "700"));
        // Whoever led to the end goes on.
        candidate.learn(Some(held("a", "720", WALL)), at(24));
        candidate.learn(Some(held("a", "710", WALL)), at(25));
        assert!(matches!(candidate.next(at(25), WALL), LeaseStep::Take(_)));
    }

    #[test]
    fn a_holder_with_a_longer_lease_is_given_that_long() {
        let mut candidate = candidate();
        let record = Record { duration: at(60), ..held("b", "1", WALL) };
        candidate.learn(Some(record), at(0));
        assert!(matches!(candidate.next(at(59), WALL), LeaseStep::Wait { .. }));
        assert!(matches!(candidate.next(at(60), WALL), LeaseStep::Take(_)));
    }
}
