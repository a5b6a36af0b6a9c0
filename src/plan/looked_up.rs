//! What a chart's templates have looked up. A common one makes a Secret only where it finds none, and renders without it
//! once it is there: such an object left the chart by being in the cluster, and is not pruned.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::object::{GroupKind, ObjectId};

/// Kind, and where given namespace and name, of each question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LookedUp(BTreeSet<Question>);

type Question = (GroupKind, Option<Arc<str>>, Option<Arc<str>>);

/// Nothing was looked up.
pub static NOTHING_LOOKED_UP: LookedUp = LookedUp(BTreeSet::new());

impl LookedUp {
    /// Notes a question: `namespace` empty for all, `name` empty for all objects of the kind.
    pub fn note(&mut self, gk: GroupKind, namespace: &str, name: &str) {
        let given = |text: &str| Some(Arc::from(text)).filter(|text: &Arc<str>| !text.is_empty());
        self.0.insert((gk, given(namespace), given(name)));
    }

    /// Whether an object is among the answers.
    #[must_use]
    pub fn includes(&self, id: &ObjectId) -> bool {
        !self.0.is_empty()
            && [id.namespace.clone(), None].iter().any(|namespace| {
                [Some(Arc::clone(&id.name)), None]
                    .iter()
                    .any(|name| self.0.contains(&(id.gk.clone(), namespace.clone(), name.clone())))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_looked_up_by_its_name_or_with_all_of_its_kind() {
        let secret = |namespace: &str, name: &str| ObjectId::new("", "Secret", Some(namespace), name);
        let gk = || GroupKind::new("", "Secret");
        let mut one = LookedUp::default();
        one.note(gk(), "shop", "db");
        assert!(one.includes(&secret("shop", "db")));
        assert!(!one.includes(&secret("shop", "other")) && !one.includes(&secret("other", "db")));
        let mut all = LookedUp::default();
        all.note(gk(), "shop", "");
        assert!(all.includes(&secret("shop", "db")) && !all.includes(&secret("other", "db")));
        let mut everywhere = LookedUp::default();
        everywhere.note(gk(), "", "");
        assert!(everywhere.includes(&secret("other", "db")));
        assert!(!everywhere.includes(&ObjectId::new("", "ConfigMap", Some("shop"), "db")));
        assert!(!NOTHING_LOOKED_UP.includes(&secret("shop", "db")));
    }
}
