//! What a person approved: the prune of one commit, and of it the objects that were shown.
//!
//! The annotation on the parent is `COMMIT/DIGEST/TIME`: the digest stands for the set of objects
//! that would go, and the time makes a second approval of the same set another one. An approval
//! begins with the first plan that prunes exactly that set; from then on it is for what is left of
//! those objects, as the inventory records them, so that a prune that was cut off goes on and an
//! approval that was carried out is for nothing any more.
//!
//! An approval of a dead end ([`super::dead_end`]) has another digest of the same set: it lets the
//! prune pass the guard, too, but to let a prune pass the guard is not to let it pass errors.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::object::{Digest, ObjectId, Short};

use super::{Held, Inventory, Plan};

/// What the digest of a dead end begins with.
const DESPITE: &str = "despite-";

/// An approval as the agent took it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Approval {
    /// The value of the annotation.
    pub value: String,
    /// The set that it is for; `None` where it names none, and nothing was held for its commit when
    /// it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Its prune has begun: it is for the objects with [`super::Recorded::approved`] alone.
    pub begun: bool,
}

/// What a prune needs no approval for any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Approved<'a> {
    /// No approval: what the guard holds stays held.
    #[default]
    Nothing,
    /// Whatever the commit would delete: `--allow-prune`.
    Everything,
    /// What a person was shown, or what is left of it.
    Shown(&'a Approval),
}

impl Approval {
    /// Bytes of [`Approval::value`]: a longer annotation is remembered by its hash, and names no commit.
    pub const LONGEST: usize = 256;

    /// The value of the annotation by which a set that is held is approved. `time` is any text that
    /// another approval of the same set does not have.
    #[must_use]
    pub fn value_for(held: &Held, time: &str) -> String {
        format!("{}/{}/{time}", held.commit, held.digest)
    }

    /// The approval that the annotation stands for, given the one that is known and what is held as
    /// people see it. A value that is new and names a commit alone is for the set that is held for
    /// that commit, since that is what whoever wrote it could see.
    #[must_use]
    pub fn of(value: Option<&str>, known: Option<&Self>, held: Option<&Held>) -> Option<Self> {
        let value = match value?.trim() {
            long if long.len() > Self::LONGEST => Digest::of(long.as_bytes()).to_string(),
            short => short.to_owned(),
        };
        if let Some(known) = known.filter(|known| known.value == value) {
            return Some(known.clone());
        }
        let (commit, digest) = parts(&value);
        let shown = held.filter(|held| held.commit == commit && !held.digest.is_empty());
        let digest = digest.map(ToOwned::to_owned).or_else(|| shown.map(|held| held.digest.clone()));
        Some(Self { value, digest, begun: false })
    }

    /// What it is worth for the prune of a commit.
    #[must_use]
    pub fn at(&self, commit: &str) -> Approved<'_> {
        if parts(&self.value).0 == commit { Approved::Shown(self) } else { Approved::Nothing }
    }

    /// Whether these objects, in their order, may go.
    fn covers(&self, going: &[&ObjectId], inventory: &Inventory) -> bool {
        if self.begun {
            going.iter().all(|id| is_marked(inventory, id))
        } else {
            let shown = self.digest.as_deref();
            let despite = shown.and_then(|digest| digest.strip_prefix(DESPITE)?.split('-').next());
            despite.or(shown) == Some(&digest_of(going.iter().copied()))
        }
    }

    /// Whether what a plan deletes may go although these objects of its commit are refused, and no others:
    /// who approved that has seen both.
    fn covers_despite(&self, plan: &Plan, refused: &[&ObjectId], inventory: &Inventory) -> bool {
        let shown = self.digest.as_deref().filter(|digest| digest.starts_with(DESPITE));
        if !self.begun {
            return shown == Some(&despite_digest(plan, refused));
        }
        let ending = format!("-{}", digest_of(refused.iter().copied()));
        shown.is_some_and(|digest| digest.ends_with(&ending))
            && plan.steps.iter().filter(|step| step.prunes()).all(|step| is_marked(inventory, &step.id))
    }
}

fn is_marked(inventory: &Inventory, id: &ObjectId) -> bool {
    inventory.get(id).is_some_and(|recorded| recorded.approved)
}

/// Stands for what a plan deletes although these objects of its commit are refused. The first part is what
/// the guard asks about, so that one approval is enough for both.
pub(super) fn despite_digest(plan: &Plan, refused: &[&ObjectId]) -> String {
    format!("{DESPITE}{}-{}", plan.going, digest_of(refused.iter().copied()))
}

impl Held {
    /// Whether it is held for what the API server refuses, and not by the guard.
    #[must_use]
    pub fn is_dead_end(&self) -> bool {
        self.digest.starts_with(DESPITE)
    }
}

impl Approved<'_> {
    /// Whether these objects, in their order, may go.
    #[must_use]
    pub fn covers(&self, going: &[&ObjectId], inventory: &Inventory) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Shown(approval) => approval.covers(going, inventory),
        }
    }
}

impl Approved<'_> {
    /// Whether these objects may go although objects of the commit are refused. `--allow-prune` is about
    /// the guard alone.
    #[must_use]
    pub fn covers_despite(&self, plan: &Plan, refused: &[&ObjectId], inventory: &Inventory) -> bool {
        matches!(self, Self::Shown(approval) if approval.covers_despite(plan, refused, inventory))
    }
}

/// The commit and the digest of a value.
fn parts(value: &str) -> (&str, Option<&str>) {
    let mut parts = value.split('/');
    let commit = parts.next().unwrap_or_default();
    (commit, parts.next().filter(|digest| !digest.is_empty()))
}

/// The digest of a set of objects: 128 bits of the SHA-256 of their sorted identities, since who
/// writes the repository may choose the names, and must not find two sets with one digest.
#[must_use]
pub fn digest_of<'a>(objects: impl IntoIterator<Item = &'a ObjectId>) -> String {
    let sorted: BTreeSet<&ObjectId> = objects.into_iter().collect();
    let mut text = String::new();
    for id in sorted {
        // No name holds a zero byte, and a cluster-scoped object is not one in a nameless namespace.
        for part in [&*id.gk.group, &*id.gk.kind, id.namespace.as_deref().unwrap_or("\0"), &*id.name] {
            text.push_str(part);
            text.push('\0');
        }
    }
    format!("{:032x}", u128::from_be_bytes(Short::of(&text).0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Reason, Recorded, Step, Verb};

    fn id(name: &str) -> ObjectId {
        ObjectId::new("", "ConfigMap", Some("shop"), name)
    }

    fn held(names: &[&str]) -> Held {
        let ids: Vec<ObjectId> = names.iter().map(|name| id(name)).collect();
        Held { commit: "c0ffee".into(), digest: digest_of(&ids), ..Held::default() }
    }

    fn covers(approval: &Approval, commit: &str, names: &[&str], inventory: &Inventory) -> bool {
        let ids: Vec<ObjectId> = names.iter().map(|name| id(name)).collect();
        approval.at(commit).covers(&ids.iter().collect::<Vec<_>>(), inventory)
    }

    #[test]
    fn a_set_has_one_digest_in_any_order_and_no_other_set_has_it() {
        let [a, b] = [id("a"), id("b")];
        let digest = digest_of([&a, &b]);
        assert_eq!((digest.len(), &digest), (32, &digest_of([&b, &a, &b])));
        let others = [
            digest_of([&a]),
            digest_of([]),
            digest_of([&id("ab")]),
            digest_of([&a, &ObjectId::new("", "ConfigMap", None, "b")]),
            digest_of([&a, &ObjectId::new("", "ConfigMap", Some(""), "b")]),
            digest_of([&a, &ObjectId::new("apps", "ConfigMap", Some("shop"), "b")]),
        ];
        for (n, other) in others.iter().enumerate() {
            assert!(*other != digest && !others[..n].contains(other), "{n}");
        }
    }

    #[test]
    fn it_is_for_the_commit_and_the_set_that_were_shown() {
        let held = held(&["a", "b"]);
        let value = Approval::value_for(&held, "2026-01-01T00:00:00Z");
        let approval = Approval::of(Some(&value), None, Some(&held)).unwrap();
        let nothing = Inventory::new();
        assert!(covers(&approval, "c0ffee", &["a", "b"], &nothing));
        for (commit, names) in [("c0ffee", &["a"][..]), ("c0ffee", &["a", "b", "c"]), ("c0ffe", &["a", "b"])] {
            assert!(!covers(&approval, commit, names, &nothing), "{commit} {names:?}");
        }
    }

    #[test]
    fn an_approval_of_a_dead_end_is_one_of_the_guard_and_not_the_other_way_round() {
        let ids = [id("a"), id("b")];
        let going: Vec<&ObjectId> = ids.iter().collect();
        let pruning = |names: &[&str]| {
            let step = |name: &&str| Step {
                id: id(name),
                verb: Verb::Prune,
                reason: Reason::RemovedFromGit,
                desired: None,
                live: None,
            };
            let steps: Vec<Step> = names.iter().map(step).collect();
            let digest = digest_of(steps.iter().map(|step| &step.id));
            Plan { steps, going: digest, ..Plan::default() }
        };
        let (both, one) = (pruning(&["a", "b"]), pruning(&["a"]));
        let (new, other) = (id("new"), id("other"));
        let dead_end = Held { digest: despite_digest(&both, &[&new]), ..held(&["a", "b"]) };
        let approval = |held: &Held| Approval::of(Some(&Approval::value_for(held, "now")), None, None).unwrap();
        let nothing = Inventory::new();
        let (of_guard, of_dead_end) = (approval(&held(&["a", "b"])), approval(&dead_end));
        assert!(of_dead_end.at("c0ffee").covers(&going, &nothing), "one approval is enough for both");
        assert!(of_dead_end.at("c0ffee").covers_despite(&both, &[&new], &nothing));
        assert!(!of_dead_end.at("c0ffee").covers_despite(&one, &[&new], &nothing), "another set");
        assert!(!of_dead_end.at("c0ffee").covers_despite(&both, &[&new, &other], &nothing), "other refusals");
        assert!(!of_dead_end.at("c0ff").covers_despite(&both, &[&new], &nothing), "another commit");
        assert!(!of_guard.at("c0ffee").covers_despite(&both, &[&new], &nothing));
        assert!(!Approved::Everything.covers_despite(&both, &[&new], &nothing));
        let approved = Recorded { approved: true, ..Recorded::default() };
        let left = Inventory::from([(id("a"), approved), (id("b"), Recorded::default())]);
        let begun = Approval { begun: true, ..of_dead_end };
        assert!(begun.at("c0ffee").covers_despite(&one, &[&new], &left), "what is left of it");
        assert!(!begun.at("c0ffee").covers_despite(&one, &[&other], &left), "other refusals");
        assert!(!begun.at("c0ffee").covers_despite(&both, &[&new], &left));
    }

    #[test]
    fn once_begun_it_is_for_what_is_left_of_the_set_and_for_nothing_else() {
        let held = held(&["a", "b"]);
        let value = Approval::value_for(&held, "now");
        let begun = Approval { begun: true, ..Approval::of(Some(&value), None, Some(&held)).unwrap() };
        assert_eq!(
            Approval::of(Some(&value), Some(&begun), Some(&held)),
            Some(begun.clone()),
            "also when it is read again"
        );
        let approved = Recorded { approved: true, ..Recorded::default() };
        let left = Inventory::from([(id("b"), approved), (id("c"), Recorded::default())]);
        assert!(covers(&begun, "c0ffee", &["b"], &left));
        assert!(!covers(&begun, "c0ffee", &["b", "c"], &left) && !covers(&begun, "c0ffee", &["a", "b"], &left));
        let again = Approval::of(Some(&Approval::value_for(&held, "later")), Some(&begun), Some(&held)).unwrap();
        assert!(covers(&again, "c0ffee", &["a", "b"], &Inventory::new()), "given again");
    }

    #[test]
    fn a_commit_alone_stands_for_what_was_held_for_it_when_it_came() {
        let bare = Approval::of(Some(" c0ffee\n"), None, Some(&held(&["a"]))).unwrap();
        assert!(covers(&bare, "c0ffee", &["a"], &Inventory::new()));
        assert!(!covers(&bare, "c0ffee", &["a", "b"], &Inventory::new()));
        let later = Approval::of(Some("c0ffee"), Some(&bare), Some(&held(&["a", "b"])));
        assert_eq!(later.as_ref(), Some(&bare), "the same value is the same approval");
        // Nothing was held, or for another commit, or by a version that stored no digest.
        let old = Held { digest: String::new(), ..held(&["a"]) };
        let other = Held { commit: "another".into(), ..held(&["a"]) };
        for nothing in [None, Some(&old), Some(&other)] {
            let early = Approval::of(Some("c0ffee"), None, nothing).unwrap();
            assert!(
                !covers(&early, "c0ffee", &["a"], &Inventory::new())
                    && !covers(&early, "c0ffee", &[], &Inventory::new())
            );
        }
    }

    #[test]
    fn no_annotation_is_stored_at_any_length() {
        let long = "c0ffee/".repeat(10_000);
        let approval = Approval::of(Some(&long), None, Some(&held(&["a"]))).unwrap();
        assert!(approval.value.len() < Approval::LONGEST && !covers(&approval, "c0ffee", &["a"], &Inventory::new()));
        assert_eq!(Approval::of(None, Some(&approval), None), None);
    }
}
