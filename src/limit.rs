//! How much is done at once, for all syncs of an agent together: so many calls in total, and of those so many
//! about one thing (a git server, a kind of object). What hangs takes the places of its own key, and
//! leaves some for others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Keys that are remembered although nobody waits for them.
const KEPT: usize = 64;

/// Clones share the places.
#[derive(Clone, Debug)]
pub struct Limiter {
    total: Arc<Semaphore>,
    per_key: usize,
    keys: Arc<Mutex<BTreeMap<Arc<str>, Arc<Semaphore>>>>,
}

/// A place, until this is dropped.
#[derive(Debug)]
pub struct Permit {
    _of_key: Option<OwnedSemaphorePermit>,
    _of_total: Option<OwnedSemaphorePermit>,
}

impl Limiter {
    /// `total` calls at once, `per_key` of them with the same key.
    #[must_use]
    pub fn new(total: usize, per_key: usize) -> Self {
        Self { total: Arc::new(Semaphore::new(total.min(Semaphore::MAX_PERMITS))), per_key, keys: Arc::default() }
    }

    /// Waits for a place, in the order of the calls. The key comes first: who waits for it takes no place from others.
    pub async fn place(&self, key: &str) -> Permit {
        // Neither is ever closed, so both are there.
        let of_key = self.key(key).acquire_owned().await.ok();
        let of_total = Arc::clone(&self.total).acquire_owned().await.ok();
        Permit { _of_key: of_key, _of_total: of_total }
    }

    fn key(&self, key: &str) -> Arc<Semaphore> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() > KEPT {
            keys.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
        }
        if let Some(semaphore) = keys.get(key) {
            return Arc::clone(semaphore);
        }
        let semaphore = Arc::new(Semaphore::new(self.per_key));
        keys.insert(key.into(), Arc::clone(&semaphore));
        semaphore
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_key_never_takes_the_places_of_all() {
        let limiter = Limiter::new(3, 2);
        let mut hanging = vec![limiter.place("a").await, limiter.place("a").await];
        let mut third = Box::pin(limiter.place("a"));
        assert!(third.as_mut().now_or_never().is_none());
        let other = limiter.place("b").now_or_never();
        assert!(other.is_some(), "a waits for itself alone");
        assert!(limiter.place("c").now_or_never().is_none(), "three in all");
        drop(other);
        assert!(limiter.place("c").now_or_never().is_some());
        hanging.pop();
        assert!(third.now_or_never().is_some());
    }

    #[tokio::test]
    async fn keys_that_nobody_uses_are_forgotten() {
        let limiter = Limiter::new(10, 1);
        let held = limiter.place("held").await;
        for key in 0..10 * KEPT {
            drop(limiter.place(&key.to_string()).await);
        }
        assert!(limiter.keys.lock().unwrap().len() <= KEPT + 1);
        assert!(limiter.place("held").now_or_never().is_none(), "it is the same key still");
        drop(held);
    }
}
