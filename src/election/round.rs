//! One try to get the Lease, or to renew it, request by request.

use std::sync::Arc;

use super::candidate::{Candidate, LeaseStep, Record};
use super::hold::Clocks;

/// A request about the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Read it.
    Read,
    /// Create it when the record has no version, else update it if it still has that version.
    Write(Record),
}

/// What a request that succeeded gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What was read; `None`: there is no Lease.
    Read(Option<Record>),
    /// The Lease as it was written.
    Written(Record),
}

/// What follows from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This is to be sent.
    Send(Request),
    /// This agent holds the Lease, by a request that was sent then. Leadership counts from the moment before that: nobody can
    /// have seen it earlier.
    Held(Clocks),
    /// Another one holds it, or, to one that leads, was the holder meanwhile.
    Taken(Arc<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It does not lead: it reads, and takes what is free.
    Standing,
    /// It leads, and writes over what it knows.
    Renewing,
    /// It leads, and has yet to see whether the Lease is still its own.
    Confirming,
}

/// A try that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    stage: Stage,
    /// When the newest request was sent.
    sent: Clocks,
}

impl Round {
    /// Begins a try of one that does not lead.
    #[must_use]
    pub fn stand(now: Clocks) -> (Self, Request) {
        (Self { stage: Stage::Standing, sent: now }, Request::Read)
    }

    /// Begins a try of one that leads.
    #[must_use]
    pub fn renew(candidate: &Candidate, now: Clocks) -> (Self, Request) {
        let (stage, request) = match candidate.next(now.mono, &now.stamp()) {
            LeaseStep::Take(record) => (Stage::Renewing, Request::Write(record)),
            LeaseStep::Wait { .. } => (Stage::Confirming, Request::Read),
        };
        (Self { stage, sent: now }, request)
    }

    /// Takes in the answer to the newest request.
    pub fn answered(&mut self, candidate: &mut Candidate, answer: Answer, now: Clocks) -> Next {
        match answer {
            Answer::Written(record) => {
                candidate.learn(Some(record), now.mono);
                Next::Held(self.sent)
            }
            Answer::Read(live) => {
                candidate.learn(live, now.mono);
                match candidate.next(now.mono, &now.stamp()) {
                    LeaseStep::Take(record) if self.may_take(candidate) => {
                        self.sent = now;
                        Next::Send(Request::Write(record))
                    }
                    LeaseStep::Take(_) => Next::Taken("nobody".into()),
                    LeaseStep::Wait { holder, .. } => Next::Taken(holder),
                }
            }
        }
    }

    /// To one that leads, a Lease that somebody took and let go counts as taken as well.
    fn may_take(&self, candidate: &Candidate) -> bool {
        self.stage == Stage::Standing || candidate.record().is_none() || candidate.is_holder()
    }

    /// Takes in that the newest request failed; `outdated`: the Lease is not what the request would have written over. What is
    /// sent next; `None`: the try has failed.
    pub fn failed(&mut self, outdated: bool) -> Option<Request> {
        if self.stage != Stage::Renewing || !outdated {
            return None;
        }
        // It was changed since: by a renewal whose answer was lost, by hand, or by another one.
        self.stage = Stage::Confirming;
        Some(Request::Read)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::election::{Hold, LEASE};

    fn at(seconds: u64) -> Clocks {
        let start: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        Clocks { mono: Duration::from_secs(seconds), wall: start + Duration::from_secs(seconds) }
    }

    fn candidate() -> Candidate {
        Candidate::new("a".into(), LEASE)
    }

    fn held(by: &str, version: &str) -> Record {
        let holder = (!by.is_empty()).then(|| by.into());
        Record { version: version.into(), holder, duration: LEASE, ..Record::default() }
    }

    /// One that has taken the Lease as version 1.
    fn leader() -> Candidate {
        let mut candidate = candidate();
        let (mut round, request) = Round::stand(at(0));
        assert_eq!(request, Request::Read);
        let Next::Send(Request::Write(record)) = round.answered(&mut candidate, Answer::Read(None), at(1)) else {
            panic!("it is free")
        };
        let written = Answer::Written(Record { version: "1".into(), ..record });
        assert_eq!(round.answered(&mut candidate, written, at(3)), Next::Held(at(1)), "from before it was sent");
        candidate
    }

    #[test]
    fn one_that_stands_waits_for_the_holder_and_takes_the_lease_once_that_is_over() {
        let mut candidate = candidate();
        for (now, taken) in [(0, true), (14, true), (15, false)] {
            let (mut round, _) = Round::stand(at(now));
            let next = round.answered(&mut candidate, Answer::Read(Some(held("b", "7"))), at(now));
            match next {
                Next::Taken(holder) => assert!(taken && &*holder == "b", "{now}"),
                Next::Send(Request::Write(record)) => {
                    assert!(!taken && record.version == "7", "{now}");
                    assert_eq!(record.renewed.as_deref(), Some("2026-01-01T00:00:15.000000Z"));
                    assert_eq!(round.failed(true), None, "somebody was faster: the next try shows who");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_renewal_is_one_request_and_leadership_counts_from_when_it_was_sent() {
        let mut leader = leader();
        let (mut round, request) = Round::renew(&leader, at(4));
        let Request::Write(record) = request else { panic!("it knows the Lease") };
        assert_eq!((&*record.version, record.holder.as_deref(), record.transitions), ("1", Some("a"), 0));
        let written = Answer::Written(Record { version: "2".into(), ..record });
        let Next::Held(sent) = round.answered(&mut leader, written, at(8)) else { panic!("it was renewed") };
        assert_eq!(Hold::Renewed(sent).sure_for(&at(8)), Some(Duration::from_secs(10)));
    }

    #[test]
    fn a_renewal_that_is_refused_is_tried_once_more_on_what_is_there_now() {
        for (live, again) in [(Some(held("a", "2")), true), (None, true), (Some(held("", "2")), false)] {
            let mut leader = leader();
            let (mut round, _) = Round::renew(&leader, at(4));
            assert_eq!(round.failed(true), Some(Request::Read));
            match round.answered(&mut leader, Answer::Read(live.clone()), at(5)) {
                Next::Send(Request::Write(record)) => {
                    assert!(again && record.version == live.map(|live| live.version).unwrap_or_default());
                    assert_eq!(round.failed(true), None, "once");
                }
                Next::Taken(holder) => assert!(!again && &*holder == "nobody", "taken and let go"),
                other => panic!("{other:?}"),
            }
        }
        let mut leader = leader();
        let (mut round, _) = Round::renew(&leader, at(4));
        assert_eq!(round.failed(true), Some(Request::Read));
        assert_eq!(round.answered(&mut leader, Answer::Read(Some(held("b", "2"))), at(5)), Next::Taken("b".into()));
    }

    #[test]
    fn a_request_that_fails_otherwise_ends_the_try() {
        let leader = leader();
        let (mut round, _) = Round::renew(&leader, at(4));
        assert_eq!(round.failed(false), None);
        assert_eq!(Round::stand(at(4)).0.failed(true), None);
    }
}
