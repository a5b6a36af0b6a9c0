//! Whether this process leads, and for how long that is sure without a further renewal of the Lease: shared by all who write,
//! with the clocks and the waiting. What it means is decided by `election`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::election::{Clocks, Hold, Lasts, Unanswered};

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

/// What this process knows of its leadership. Clones share it.
#[derive(Clone, Debug)]
pub struct Leadership {
    hold: Arc<watch::Sender<Hold>>,
    unanswered: Arc<Mutex<Unanswered>>,
    /// The zero of the monotonic clock.
    started: Instant,
}

impl Leadership {
    /// Of an agent that nobody else stands beside: it leads for good.
    #[must_use]
    pub fn unopposed() -> Self {
        Self::new(Hold::Always)
    }

    /// Of an agent that has to be elected first.
    #[must_use]
    pub fn to_be_won() -> Self {
        Self::new(Hold::No)
    }

    fn new(hold: Hold) -> Self {
        Self { hold: Arc::new(watch::Sender::new(hold)), unanswered: Arc::default(), started: Instant::now() }
    }

    /// What the clocks show now.
    #[must_use]
    pub fn now(&self) -> Clocks {
        Clocks { mono: self.started.elapsed(), wall: Timestamp::now() }
    }

    /// The Lease was taken or renewed by a request that was sent then, by [`Leadership::now`].
    pub fn renewed(&self, sent: Clocks) {
        self.hold.send_replace(Hold::Renewed(sent));
    }

    /// Whether the API server may still carry out a write of this process, so that nobody else may lead yet.
    #[must_use]
    pub fn has_unanswered_write(&self) -> bool {
        self.unanswered().may_be_carried_out(self.now().mono)
    }

    /// A write is sent, which the server gives up after `limit`.
    pub(super) fn write_sent(&self, limit: Duration) -> SentWrite {
        self.unanswered().sent();
        SentWrite { leadership: self.clone(), limit, answered: false }
    }

    fn unanswered(&self) -> MutexGuard<'_, Unanswered> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody else may lead from now on.
    pub fn give_up(&self) {
        self.hold.send_replace(Hold::No);
    }

    /// Whether this process leads now, so that it may write.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.known().sure_for(&self.now()).is_some()
    }

    fn known(&self) -> Hold {
        *self.hold.borrow()
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
        while let Some(left) = self.known().ends_in(&self.now()) {
            let _ = timeout(left, changes.changed()).await;
        }
    }

    /// Waits until it is held and was not renewed for a while, as when it is about to end.
    pub async fn shaky(&self) {
        let mut changes = self.hold.subscribe();
        loop {
            let hold = *changes.borrow_and_update();
            let Some(left) = hold.shaky_in(&self.now()) else { return };
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
            match self.known().lasts(needed, &self.now()) {
                Lasts::No => return Err(NotLeader::Refused),
                Lasts::For(sure) => return Ok(sure),
                Lasts::Unsure(again) => tokio::select! {
                    _ = changes.changed() => {}
                    () = sleep(again) => {}
                },
            }
        }
    }
}

/// A write without an answer. Dropped, it is awaited no more.
pub(super) struct SentWrite {
    leadership: Leadership,
    limit: Duration,
    answered: bool,
}

impl SentWrite {
    /// The server has answered.
    pub fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for SentWrite {
    fn drop(&mut self) {
        let mut writes = self.leadership.unanswered();
        if self.answered {
            writes.answered();
        } else {
            // Its body may have been sent just now.
            writes.given_up(self.leadership.now().mono.saturating_add(self.limit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Of a process that has run for a while.
    fn to_be_won() -> Leadership {
        let started = Instant::now().checked_sub(SECOND * 100).unwrap();
        Leadership { started, ..Leadership::to_be_won() }
    }

    /// The monotonic clock showed this so long ago; the wall clock was set back since.
    fn ago(leadership: &Leadership, seconds: u32) -> Clocks {
        let now = leadership.now();
        Clocks { mono: now.mono.checked_sub(SECOND * seconds).unwrap(), ..now }
    }

    #[tokio::test]
    async fn it_is_shaky_when_it_was_not_renewed_for_a_while_and_not_without_an_election() {
        let soon = |leadership: Leadership| async move { timeout(SECOND / 10, leadership.shaky()).await.is_ok() };
        let leadership = to_be_won();
        assert!(!soon(leadership.clone()).await && !soon(Leadership::unopposed()).await);
        leadership.renewed(ago(&leadership, 3));
        assert!(!soon(leadership.clone()).await);
        leadership.renewed(ago(&leadership, 6));
        assert!(soon(leadership.clone()).await);
        leadership.renewed(ago(&leadership, 0));
        assert!(!soon(leadership).await);
    }

    #[tokio::test]
    async fn what_needs_longer_than_is_sure_waits_for_the_next_renewal_and_fails_with_the_loss() {
        let leadership = to_be_won();
        assert_eq!(leadership.sure_for_at_least(SECOND).await, Err(NotLeader::Refused));
        let old = ago(&leadership, 8);
        leadership.renewed(old);
        assert!(leadership.sure_for_at_least(SECOND).await.is_ok());
        let waiting = tokio::spawn({
            let leadership = leadership.clone();
            async move { leadership.sure_for_at_least(SECOND * 10).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "6 s are sure, 10 are asked for");
        leadership.renewed(leadership.now());
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
