//! For how long it is sure that nobody else leads, by when the last renewal of the Lease was sent, and what may be written
//! within that time.

use std::time::Duration;

use jiff::Timestamp;

/// Nobody takes the Lease for this long after they saw it renewed.
pub const LEASE: Duration = Duration::from_secs(15);
/// A leader that could not renew for this long leads no more.
pub const RENEW_WITHIN: Duration = Duration::from_secs(10);
/// Between two renewals, and between two reads by a follower.
pub const RETRY: Duration = Duration::from_secs(2);
/// Before the end of the Lease, what a leader had the API server do is over: for clocks that run at
/// different speeds, and for etcd to answer.
const MARGIN: Duration = Duration::from_secs(1);
/// For this long after a renewal nobody else leads, so what is under way may still be carried out.
const SURE: Duration = LEASE.saturating_sub(MARGIN);
/// Of that, what is left when leadership ends for want of a renewal.
const REST: Duration = SURE.saturating_sub(RENEW_WITHIN);
/// Without a renewal for this long, which is two in a row that failed, leadership may end soon.
const SHAKY: Duration = Duration::from_secs(5);

/// The API server gives up a write that takes longer, even where leadership is sure for longer.
const LONGEST: Duration = Duration::from_secs(30);
/// A write is not begun when it could not take at least this long.
const SHORTEST: Duration = Duration::from_secs(5);
/// For the head of a write to reach the API server and its answer to come back, without waiting for a renewal.
const HEAD: Duration = Duration::from_secs(1);
/// For how long leadership has to be sure for a write to begin.
pub const HEAD_NEEDS: Duration = SHORTEST.saturating_add(HEAD);

/// What the clocks of one machine show at one moment. Unlike elsewhere, the wall clock counts for decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// The monotonic clock, since a start that all moments of one process share.
    pub mono: Duration,
    /// The system's clock, which may be set.
    pub wall: Timestamp,
}

impl Clocks {
    /// The time from then to now. The monotonic clock stands still while a machine is suspended, so
    /// the other one counts where it went further; set back, it counts for nothing.
    fn until(&self, now: &Self) -> Duration {
        let wall = Duration::try_from(now.wall.duration_since(self.wall)).unwrap_or_default();
        now.mono.saturating_sub(self.mono).max(wall)
    }

    /// The wall clock as a `metav1.MicroTime`, for people who read the Lease.
    #[must_use]
    pub fn stamp(&self) -> String {
        format!("{:.6}", self.wall)
    }
}

/// By what an agent leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It does not.
    No,
    /// There is no election.
    Always,
    /// The last renewal that succeeded was sent then.
    Renewed(Clocks),
}

/// Whether leadership lasts as long as something needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// It is not held.
    No,
    /// It is sure for so long, which is enough.
    For(Duration),
    /// With a renewal that is about to succeed, perhaps: this is asked again then, and after this time at the latest.
    Unsure(Duration),
}

impl Hold {
    /// For how long nobody else leads; `None`: this agent does not lead.
    #[must_use]
    pub fn sure_for(self, now: &Clocks) -> Option<Duration> {
        match self {
            Self::No => None,
            Self::Always => Some(Duration::MAX),
            Self::Renewed(sent) => {
                let since = sent.until(now);
                (since < RENEW_WITHIN).then(|| SURE.saturating_sub(since))
            }
        }
    }

    /// After what time leadership ends unless it is renewed, or is to be asked about again; `None`: it is not held.
    #[must_use]
    pub fn ends_in(self, now: &Clocks) -> Option<Duration> {
        self.sure_for(now).map(|sure| sure.saturating_sub(REST).min(RENEW_WITHIN))
    }

    /// After what time leadership may end soon unless it is renewed; `None`: by now.
    #[must_use]
    pub fn shaky_in(self, now: &Clocks) -> Option<Duration> {
        match self {
            Self::Renewed(sent) => SHAKY.checked_sub(sent.until(now)),
            Self::No | Self::Always => Some(Duration::MAX),
        }
    }

    /// Whether it lasts as long as something needs.
    #[must_use]
    pub fn lasts(self, needed: Duration, now: &Clocks) -> Lasts {
        match self.sure_for(now) {
            None => Lasts::No,
            Some(sure) if sure >= needed => Lasts::For(sure),
            Some(sure) => Lasts::Unsure(sure.min(RETRY)),
        }
    }
}

/// After what time from its receipt of the head the API server is to give up a write that begins while leadership is sure for
/// so long. Its body may follow once leadership [lasts](Hold::lasts) for that limit again.
#[must_use]
pub fn limit_of_write(sure: Duration) -> Duration {
    sure.saturating_sub(HEAD).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn start() -> Clocks {
        Clocks { mono: SECOND * 1000, wall: "2026-01-01T00:00:00Z".parse().unwrap() }
    }

    fn later(then: Clocks, mono: u32, wall: i64) -> Clocks {
        Clocks { mono: then.mono + SECOND * mono, wall: then.wall + jiff::SignedDuration::from_secs(wall) }
    }

    #[test]
    fn leadership_is_sure_until_a_second_before_another_may_take_it() {
        let sent = start();
        let hold = Hold::Renewed(sent);
        assert_eq!(hold.sure_for(&sent), Some(14 * SECOND));
        assert_eq!(hold.sure_for(&later(sent, 9, 9)), Some(5 * SECOND));
        assert_eq!(hold.sure_for(&later(sent, 10, 10)), None, "not renewed in time");
        assert_eq!(Hold::No.sure_for(&sent), None);
        assert_eq!(Hold::Always.sure_for(&sent), Some(Duration::MAX));
    }

    #[test]
    fn a_suspended_machine_has_lost_it_and_a_clock_set_back_wins_no_time() {
        let sent = start();
        let hold = Hold::Renewed(sent);
        assert_eq!(hold.sure_for(&later(sent, 1, 3600)), None, "the monotonic clock stood still");
        assert_eq!(hold.sure_for(&later(sent, 9, -3600)), Some(5 * SECOND));
    }

    #[test]
    fn whoever_waits_for_the_end_is_woken_when_it_comes() {
        let sent = start();
        let hold = Hold::Renewed(sent);
        assert_eq!(hold.ends_in(&sent), Some(10 * SECOND));
        assert_eq!(hold.ends_in(&later(sent, 4, 4)), Some(6 * SECOND));
        assert_eq!(hold.ends_in(&later(sent, 4, 8)), Some(2 * SECOND), "suspended for four seconds");
        assert_eq!(hold.ends_in(&later(sent, 10, 10)), None);
        assert_eq!((Hold::No.ends_in(&sent), Hold::Always.ends_in(&sent)), (None, Some(10 * SECOND)));
    }

    #[test]
    fn it_is_shaky_when_two_renewals_have_failed_and_never_without_an_election() {
        let sent = start();
        let hold = Hold::Renewed(sent);
        assert_eq!(hold.shaky_in(&later(sent, 3, 3)), Some(2 * SECOND));
        assert_eq!(hold.shaky_in(&later(sent, 6, 6)), None);
        assert_eq!(Hold::Renewed(later(sent, 6, 6)).shaky_in(&later(sent, 6, 6)), Some(5 * SECOND), "renewed");
        for never in [Hold::No, Hold::Always] {
            assert_eq!(never.shaky_in(&sent), Some(Duration::MAX));
        }
    }

    #[test]
    fn what_needs_longer_than_is_sure_is_asked_again_and_fails_with_the_loss() {
        let sent = start();
        let hold = Hold::Renewed(sent);
        let old = later(sent, 8, 8);
        assert_eq!(hold.lasts(SECOND, &old), Lasts::For(6 * SECOND));
        assert_eq!(hold.lasts(10 * SECOND, &old), Lasts::Unsure(2 * SECOND));
        assert_eq!(hold.lasts(10 * SECOND, &later(sent, 10, 10)), Lasts::No);
        assert_eq!(Hold::Renewed(old).lasts(10 * SECOND, &old), Lasts::For(14 * SECOND));
        assert_eq!(Hold::No.lasts(Duration::ZERO, &sent), Lasts::No);
    }

    #[test]
    fn a_write_is_over_before_the_lease_and_is_not_begun_without_time_for_it() {
        let sent = start();
        for (age, limit) in [(0, Some(13)), (3, Some(10)), (8, Some(5)), (9, None), (10, None)] {
            let found = match Hold::Renewed(sent).lasts(HEAD_NEEDS, &later(sent, age, age.into())) {
                Lasts::For(sure) => Some(limit_of_write(sure)),
                Lasts::No | Lasts::Unsure(_) => None,
            };
            assert_eq!(found, limit.map(|limit| limit * SECOND), "{age}");
        }
        assert_eq!(limit_of_write(Duration::MAX), 30 * SECOND, "without an election");
    }
}
