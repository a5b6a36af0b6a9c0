//! The paced audit: every object is asked about once in a period, since a few ways of drifting
//! leave no trace in the ownership of fields (objects restored behind the API server, webhooks,
//! conversion).

use std::time::Duration;

use serde_json::Value;

use crate::config::{AuditPolicy, DriftPolicy};
use crate::object::ObjectId;

use super::basis::{Act, Basis};
use super::contest::Way;
use super::relative::Frame;
use super::{Audited, Effect, EffectId, Machine, Moment};

/// How far the audit of one sync is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Audit {
    pub policy: AuditPolicy,
    /// The object that was asked about last.
    cursor: Option<ObjectId>,
    running: Option<(EffectId, ObjectId, Basis)>,
    next: Option<Duration>,
}

impl Audit {
    pub fn new(policy: AuditPolicy) -> Self {
        Self { policy, cursor: None, running: None, next: None }
    }

    /// When the next object is due; `None`: nothing is to be audited now.
    pub fn next(&self) -> Option<Duration> {
        self.next.filter(|_| self.running.is_none())
    }

    /// The number of the audit that is under way.
    pub fn number(&self) -> Option<EffectId> {
        self.running.as_ref().map(|(id, ..)| *id)
    }

    pub fn see(&mut self, frame: &Frame) {
        if let Some((id, _, basis)) = &mut self.running {
            frame.number(id);
            frame.basis(basis);
        }
        self.next.iter_mut().for_each(|next| frame.due(next));
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The answer to an audit of this object counts no longer.
    pub fn forget(&mut self, object: &ObjectId) {
        self.running.take_if(|(_, running, _)| running == object);
    }

    /// What is under way is not answered any more.
    pub fn forget_running(&mut self) {
        self.running = None;
    }

    /// Between two objects: the period shared out among them, and never faster than the rate.
    fn pace(&self, objects: usize) -> Duration {
        let objects = u32::try_from(objects.max(1)).unwrap_or(u32::MAX);
        let slowest = Duration::from_secs(1) / u32::from(self.policy.max_per_second.max(1));
        (self.policy.period / objects).max(slowest)
    }
}

impl Machine {
    /// Asks about the next object when it is due. The first round begins after a whole period, since
    /// what was just applied or compared needs no audit.
    pub(super) fn audit(&mut self, now: Moment) {
        let off = self.drift.audit.policy.period.is_zero() || self.config.drift == DriftPolicy::Off;
        if off || self.view.len() == 0 || self.drift.audit.is_running() {
            return;
        }
        let Some(due) = self.drift.audit.next else {
            self.drift.audit.next = Some(now.mono + self.drift.audit.policy.period);
            return;
        };
        if now.mono < due {
            return;
        }
        let Some(basis) = self.basis_of_heals() else { return };
        let Some(desired) = self.view.after(self.drift.audit.cursor.as_ref()).cloned() else { return };
        let object = desired.manifest.id.clone();
        self.drift.audit.cursor = Some(object.clone());
        self.drift.audit.next = Some(now.mono + self.drift.audit.pace(self.view.len()));
        let applied = self.store.inventory.get(&object).is_some_and(|recorded| recorded.applied);
        if !applied || desired.manifest.directives.create_only || self.is_being_written(&object) {
            return;
        }
        let id = self.number();
        self.drift.audit.running = Some((id, object, basis));
        self.effects.push(Effect::Audit { id, desired: Box::new(desired) });
    }

    /// What the server said. A difference is drift that the fast path did not see: it is examined
    /// like any other.
    pub(super) fn audited(&mut self, id: EffectId, result: &Audited, now: Moment) {
        let Some((_, object, basis)) = self.drift.audit.running.take_if(|(running, ..)| *running == id) else { return };
        if self.stands(Act::Heal(&basis)).is_err() || self.is_being_written(&object) {
            return;
        }
        match result {
            Audited::Same { rewritten } => {
                self.mark_ownership_only(&object);
                if self.drift.note_rewritten(&object, rewritten) {
                    self.restate_drift(now);
                }
            }
            Audited::Differs => {
                self.drift.heal_queue.ownership_only.remove(&object);
                self.enqueue_heal(&object, Way::Content, now);
            }
            Audited::Unknown => {}
        }
    }
}

impl Audited {
    /// Compares a live object with what the API server says that an apply would make of it. `added`: people have added to it;
    /// `rewritten`: paths of declared fields that have another value in it.
    #[must_use]
    pub fn of(
        live: &Value,
        asked: &Value,
        added: impl FnOnce() -> bool,
        rewritten: impl FnOnce() -> Vec<String>,
    ) -> Self {
        let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
        if version(live) != version(asked) {
            // Somebody wrote it in between.
            return Self::Unknown;
        }
        if same_content(live, asked) && !added() { Self::Same { rewritten: rewritten() } } else { Self::Differs }
    }
}

/// Whether two states of one object say the same, apart from who owns which field.
fn same_content(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return one == other };
    let same = |key: &str| match (one.get(key), other.get(key)) {
        (Some(one), Some(other)) if key == "metadata" => same_metadata(one, other),
        (one, other) => one == other,
    };
    one.keys().chain(other.keys()).all(|key| same(key))
}

fn same_metadata(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return one == other };
    // The server counts a generation where an apply has an empty list in place of none, which is stored as none.
    let said = |key: &&String| !matches!(key.as_str(), "managedFields" | "generation");
    let keys = one.keys().chain(other.keys()).filter(said);
    keys.into_iter().all(|key| one.get(key) == other.get(key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn content_is_the_same_whoever_owns_it() {
        let one = json!({"metadata": {"name": "a", "generation": 1, "managedFields": [{"manager": "x"}]}, "data": {"a": "1"}});
        let other = json!({"metadata": {"name": "a", "generation": 2, "managedFields": []}, "data": {"a": "1"}});
        assert!(same_content(&one, &other));
        let edited = json!({"metadata": {"name": "a"}, "data": {"a": "2"}});
        let more = json!({"metadata": {"name": "a"}, "data": {"a": "1"}, "binaryData": {}});
        let labelled = json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "data": {"a": "1"}});
        for changed in [edited, more, labelled] {
            assert!(!same_content(&one, &changed) && !same_content(&changed, &one), "{changed}");
        }
    }
    #[test]
    fn only_an_object_that_nobody_wrote_in_between_is_compared() {
        let object = |version: &str, data: &str| json!({"metadata": {"resourceVersion": version}, "data": {"a": data}});
        let of = |asked: &Value, added| Audited::of(&object("1", "1"), asked, || added, || vec!["data.b".into()]);
        assert_eq!(of(&object("1", "1"), false), Audited::Same { rewritten: vec!["data.b".into()] });
        assert_eq!(of(&object("1", "2"), false), Audited::Differs);
        assert_eq!(of(&object("1", "1"), true), Audited::Differs, "people have added to it");
        assert_eq!(of(&object("2", "1"), true), Audited::Unknown);
    }
}
