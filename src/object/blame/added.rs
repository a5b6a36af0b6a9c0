//! What people have added, as a part of the blame.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Blame, FieldChange, blame, shown};
use crate::object::{Addition, GroupKind, Managers, additions};

/// Who drifted a live object, in declared fields and by additions, with all of these. `declared` is what an apply of now
/// sends; with `secret`, no value gets into the answer.
#[must_use]
pub fn blame_drift(
    gk: &GroupKind,
    declared: &Value,
    live: &Value,
    managers: &Managers,
    secret: bool,
) -> (Blame, Vec<Addition>) {
    let additions = additions(gk, live, managers, Some(declared));
    (blame(declared, Some(live), secret).with(&additions, live, secret), additions)
}

impl Addition {
    /// The addition as something to report, with the manager's name. `live`: the object whole. With `secret`,
    /// its value is not among it.
    #[must_use]
    pub fn change(&self, live: &Value, secret: bool) -> FieldChange {
        let found = if secret { None } else { self.path.get(live).map(shown::value) };
        let path = shown::path(&self.path.to_string());
        FieldChange { path, manager: shown::name(&self.manager), wanted: None, found, added: true }
    }
}

impl Blame {
    /// The same with what people have added. Where it names nobody, who added most is blamed.
    #[must_use]
    pub fn with(mut self, additions: &[Addition], live: &Value, secret: bool) -> Self {
        if additions.is_empty() {
            return self;
        }
        if self.manager.is_none() || self.fields.is_empty() {
            let mut counts: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
            for one in additions {
                *counts.entry(&one.manager).or_default() += 1;
            }
            let most = additions.iter().max_by_key(|one| (counts.get(&one.manager), one.at));
            self.manager = most.and_then(|one| shown::name(&one.manager));
            self.at = most.and_then(|one| one.at);
            self.subresource = None;
        }
        let shown = additions.iter().take(Self::MOST_ADDED).map(|one| one.change(live, secret));
        self.add(shown.collect(), additions.len());
        self
    }

    /// Adds changes, which name their managers; `many` of them there are in all.
    pub fn add(&mut self, changes: Vec<FieldChange>, many: usize) {
        let added = self.fields.iter().filter(|field| field.added).count();
        let room = Self::MOST_ADDED.saturating_sub(added);
        let before = self.fields.len();
        let name = self.manager.clone();
        self.fields.extend(changes.into_iter().take(room).map(|change| {
            let manager = change.manager.filter(|manager| Some(manager) != name.as_ref());
            FieldChange { manager, ..change }
        }));
        self.more += many - (self.fields.len() - before);
    }

    /// What was removed of an object, of which the changes name the managers.
    #[must_use]
    pub fn of_removed(changes: Vec<FieldChange>) -> Self {
        let manager = changes.first().and_then(|change| change.manager.clone());
        let mut blame = Self { manager, ..Self::default() };
        let many = changes.len();
        blame.add(changes, many);
        blame
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn addition(manager: &str, path: &str) -> Addition {
        Addition { path: path.parse().unwrap(), manager: manager.into(), at: None }
    }

    #[test]
    fn additions_are_shown_with_their_values_and_whoever_made_most_of_them_is_blamed() {
        let live = json!({"data": {"a": "1", "b": "2"}, "spec": {"hostNetwork": true}});
        let additions =
            [addition("curl", "data.a"), addition("kubectl", "data.b"), addition("kubectl", "spec.hostNetwork")];
        let blame = Blame::default().with(&additions, &live, false);
        assert_eq!(blame.manager.as_deref(), Some("kubectl"));
        let shown: Vec<String> = blame.fields.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["added data.a (1)", "added data.b (2)", "added spec.hostNetwork (true)"]);
        assert_eq!(blame.fields[0].manager.as_deref(), Some("curl"));
        assert_eq!(blame.fields[1].manager, None);
        assert_eq!(Blame::default().with(&additions, &live, true).fields[0].to_string(), "added data.a");
    }

    #[test]
    fn what_changed_comes_first_and_what_was_added_is_named_in_full() {
        let changed =
            |path: &str| FieldChange { path: path.into(), wanted: Some("1".into()), ..FieldChange::default() };
        let fields = vec![changed("data.x"), changed("data.y")];
        let base = Blame { manager: Some("kubectl-edit".into()), fields, ..Blame::default() };
        let additions = [addition("kubectl-edit", "data.a"), addition("curl", "data.b")];
        let blame = base.clone().with(&additions, &json!({}), false);
        let line = "kubectl-edit removed data.x (wanted 1); added data.a, data.b by curl and 1 more field";
        assert_eq!(blame.to_string(), line);
        let additions: Vec<Addition> = (0..130).map(|number| addition("curl", &format!("data.k{number}"))).collect();
        let blame = base.with(&additions, &json!({}), false);
        assert_eq!((blame.fields.len(), blame.more), (2 + Blame::MOST_ADDED, 30));
    }
}
