//! Which errors were reported lately: what goes wrong with every object of a kind in the same words is
//! loud once, and not five hundred times.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::object::{GroupKind, ObjectId};

/// After this an error is loud again.
const LATELY: Duration = Duration::from_secs(30);
/// Errors that are remembered.
const MOST: usize = 256;

/// A kind, a namespace, and the words.
type About = (GroupKind, Option<Arc<str>>, String);

/// The errors of one sync that were reported lately.
#[derive(Default)]
pub(super) struct RecentErrors {
    lately: Mutex<BTreeMap<About, Instant>>,
}

impl RecentErrors {
    /// Whether the same was reported of an object of this kind and namespace lately; if not, it is now.
    pub fn again(&self, id: &ObjectId, message: &str) -> bool {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        if lately.len() >= MOST {
            lately.retain(|_, at| at.elapsed() < LATELY);
        }
        let about = (id.gk.clone(), id.namespace.clone(), message.to_owned());
        if lately.get(&about).is_some_and(|at| at.elapsed() < LATELY) {
            return true;
        }
        if lately.len() < MOST {
            lately.insert(about, Instant::now());
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_error_of_a_kind_and_namespace_is_reported_once_and_not_remembered_without_bound() {
        let id = |namespace: &str, name: &str| ObjectId::new("", "ConfigMap", Some(namespace), name);
        let recent = RecentErrors::default();
        assert!(!recent.again(&id("a", "one"), "no permission"));
        assert!(recent.again(&id("a", "two"), "no permission"));
        assert!(!recent.again(&id("b", "one"), "no permission") && !recent.again(&id("a", "two"), "invalid"));
        for number in 0..2 * MOST {
            recent.again(&id("a", "x"), &number.to_string());
        }
        assert_eq!(recent.lately.lock().unwrap().len(), MOST);
    }
}
