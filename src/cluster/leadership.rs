//! Whether this process leads, and for how long that is sure without a further renewal of the Lease.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

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

/// Why a request that would change something was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotLeader {
    /// Leadership was not held, or ended before the body of the request was sent.
    #[error("this agent does not lead, so nothing was changed")]
    Refused,
    /// Leadership ended before the answer came; the server may have carried the request out.
    #[error("this agent stopped leading before it had an answer, so the request was given up")]
    GivenUp,
}

/// A moment on both clocks of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instants {
    mono: Instant,
    wall: SystemTime,
}

impl Instants {
    /// The current time of both clocks.
    #[must_use]
    pub fn now() -> Self {
        Self { mono: Instant::now(), wall: SystemTime::now() }
    }

    /// The time from then to now. The monotonic clock stands still while a machine is suspended, so
    /// the other one counts where it went further; set back, it counts for nothing.
    fn until(&self, now: &Self) -> Duration {
        let wall = now.wall.duration_since(self.wall).unwrap_or_default();
        now.mono.saturating_duration_since(self.mono).max(wall)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    No,
    /// There is no election.
    Always,
    /// The last renewal that succeeded was sent then.
    Renewed(Instants),
}

/// For how long nobody else leads; `None`: this process does not lead.
fn sure_for(hold: Hold, now: &Instants) -> Option<Duration> {
    match hold {
        Hold::No => None,
        Hold::Always => Some(Duration::MAX),
        Hold::Renewed(sent) => {
            let since = sent.until(now);
            (since < RENEW_WITHIN).then(|| SURE.saturating_sub(since))
        }
    }
}

/// What this process knows of its leadership. Clones share it.
#[derive(Clone, Debug)]
pub struct Leadership {
    hold: Arc<watch::Sender<Hold>>,
}

impl Leadership {
    /// Of an agent that nobody else stands beside: it leads for good.
    #[must_use]
    pub fn unopposed() -> Self {
        Self { hold: Arc::new(watch::Sender::new(Hold::Always)) }
    }

    /// Of an agent that has to be elected first.
    #[must_use]
    pub fn to_be_won() -> Self {
        Self { hold: Arc::new(watch::Sender::new(Hold::No)) }
    }

    /// The Lease was taken or renewed by a request that was sent then.
    pub fn renewed(&self, sent: Instants) {
        self.hold.send_replace(Hold::Renewed(sent));
    }

    /// Somebody else may lead from now on.
    pub fn give_up(&self) {
        self.hold.send_replace(Hold::No);
    }

    /// Whether this process leads now, so that it may write.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.sure_for().is_some()
    }

    fn sure_for(&self) -> Option<Duration> {
        sure_for(*self.hold.borrow(), &Instants::now())
    }

    /// Waits until it is held.
    pub async fn held(&self) {
        let mut changes = self.hold.subscribe();
        while !self.is_held() {
            // The sender lives as long as this.
            let _ = changes.changed().await;
        }
    }

    /// Waits until it is held no longer.
    pub async fn lost(&self) {
        let mut changes = self.hold.subscribe();
        while let Some(sure) = self.sure_for() {
            let left = sure.saturating_sub(REST).min(RENEW_WITHIN);
            let _ = timeout(left, changes.changed()).await;
        }
    }

    /// Waits until it is held and was not renewed for a while, as when it is about to end.
    pub async fn shaky(&self) {
        let mut changes = self.hold.subscribe();
        loop {
            let left = match *changes.borrow_and_update() {
                Hold::Renewed(sent) => SHAKY.checked_sub(sent.until(&Instants::now())),
                Hold::No | Hold::Always => Some(Duration::MAX),
            };
            let Some(left) = left else { return };
            let _ = timeout(left, changes.changed()).await;
        }
    }

    /// Waits until it is renewed, won or given up.
    pub async fn changed(&self) {
        // The sender lives as long as this.
        let _ = self.hold.subscribe().changed().await;
    }

    /// For how long it is sure, once that is at least as long as `needed`: with a renewal that is
    /// about to succeed, if need be.
    ///
    /// # Errors
    /// It is not held, or ends while this waits.
    pub(super) async fn sure_for_at_least(&self, needed: Duration) -> Result<Duration, NotLeader> {
        let mut changes = self.hold.subscribe();
        loop {
            match self.sure_for() {
                None => return Err(NotLeader::Refused),
                Some(sure) if sure >= needed => return Ok(sure),
                Some(sure) => tokio::select! {
                    _ = changes.changed() => {}
                    () = sleep(sure.min(RETRY)) => {}
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn later(then: Instants, mono: u32, wall: u32) -> Instants {
        Instants { mono: then.mono + SECOND * mono, wall: then.wall + SECOND * wall }
    }

    #[test]
    fn leadership_is_sure_until_a_second_before_another_may_take_it() {
        let sent = Instants::now();
        let hold = Hold::Renewed(sent);
        assert_eq!(sure_for(hold, &sent), Some(14 * SECOND));
        assert_eq!(sure_for(hold, &later(sent, 9, 9)), Some(5 * SECOND));
        assert_eq!(sure_for(hold, &later(sent, 10, 10)), None, "not renewed in time");
        assert_eq!(sure_for(Hold::No, &sent), None);
        assert_eq!(sure_for(Hold::Always, &sent), Some(Duration::MAX));
    }

    #[test]
    fn a_suspended_machine_has_lost_it_and_a_clock_set_back_wins_no_time() {
        let sent = Instants::now();
        let hold = Hold::Renewed(sent);
        assert_eq!(sure_for(hold, &later(sent, 1, 3600)), None, "the monotonic clock stood still");
        let back = Instants { mono: sent.mono + SECOND * 9, wall: sent.wall - SECOND * 3600 };
        assert_eq!(sure_for(hold, &back), Some(5 * SECOND));
    }

    #[tokio::test]
    async fn it_is_shaky_when_it_was_not_renewed_for_a_while_and_not_without_an_election() {
        let ago = |seconds: u64| {
            let mono = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
            Instants { mono, wall: SystemTime::now() }
        };
        let soon = |leadership: Leadership| async move { timeout(SECOND / 10, leadership.shaky()).await.is_ok() };
        let leadership = Leadership::to_be_won();
        assert!(!soon(leadership.clone()).await && !soon(Leadership::unopposed()).await);
        leadership.renewed(ago(3));
        assert!(!soon(leadership.clone()).await);
        leadership.renewed(ago(6));
        assert!(soon(leadership.clone()).await);
        leadership.renewed(ago(0));
        assert!(!soon(leadership).await);
    }

    #[tokio::test]
    async fn what_needs_longer_than_is_sure_waits_for_the_next_renewal_and_fails_with_the_loss() {
        let leadership = Leadership::to_be_won();
        assert_eq!(leadership.sure_for_at_least(SECOND).await, Err(NotLeader::Refused));
        let old = Instants { mono: Instant::now().checked_sub(SECOND * 8).unwrap(), wall: SystemTime::now() };
        leadership.renewed(old);
        assert!(leadership.sure_for_at_least(SECOND).await.is_ok());
        let waiting = tokio::spawn({
            let leadership = leadership.clone();
            async move { leadership.sure_for_at_least(SECOND * 10).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "6 s are sure, 10 are asked for");
        leadership.renewed(Instants::now());
        assert!(waiting.await.unwrap().is_ok());
        leadership.renewed(old);
        let waiting = tokio::spawn({
            let leadership = leadership.clone();
            async move { leadership.sure_for_at_least(SECOND * 10).await }
        });
        leadership.give_up();
        assert_eq!(waiting.await.unwrap(), Err(NotLeader::Refused));
        leadership.lost().await;
    }
}
