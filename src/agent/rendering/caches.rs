//! The last rendering of each sync, where the other syncs of the agent find it: one that prunes asks what the others
//! declare in the same commit.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, Weak};

use tokio::sync::Mutex;

use crate::render::Cache;

/// Clones share the caches. A cache is there for as long as its sync is.
#[derive(Clone, Default)]
pub struct Caches(Arc<std::sync::Mutex<BySync>>);

type BySync = HashMap<Arc<str>, Weak<Mutex<Cache>>>;

impl Caches {
    /// An empty cache for a sync that begins.
    #[must_use]
    pub fn enter(&self, sync: &Arc<str>) -> Arc<Mutex<Cache>> {
        let cache = Arc::default();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, cache| cache.strong_count() > 0);
        all.insert(Arc::clone(sync), Arc::downgrade(&cache));
        cache
    }

    /// That of a sync that is running.
    #[must_use]
    pub fn of(&self, sync: &str) -> Option<Arc<Mutex<Cache>>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(sync).and_then(Weak::upgrade)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_there_for_as_long_as_its_sync() {
        let caches = Caches::default();
        let cache = caches.enter(&"shop".into());
        assert!(caches.of("shop").is_some_and(|found| Arc::ptr_eq(&found, &cache)) && caches.of("other").is_none());
        drop(cache);
        assert!(caches.of("shop").is_none());
    }
}
