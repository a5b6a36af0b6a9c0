//! What holds at every moment of every story.

use std::collections::BTreeSet;

use super::Story;
use crate::object::{ObjectId, Short};
use crate::plan::Verb;
use crate::reconcile::Effect;
use crate::reconcile::tests::world::{SET, digest};

impl Story {
    /// No two requests that write the same object are under way at once.
    pub(super) fn alone(&self) {
        let mut written = BTreeSet::new();
        let mut alone = |id: &ObjectId| assert!(written.insert(id.clone()), "{id} is written twice at once");
        for effect in &self.world.pending {
            match effect {
                Effect::Heal { step, .. } => alone(&step.id),
                Effect::Apply { plan, .. } => {
                    plan.steps.iter().filter(|step| step.applies()).for_each(|step| alone(&step.id));
                }
                Effect::Prune { plan, .. } => {
                    plan.steps.iter().filter(|step| step.prunes()).for_each(|step| alone(&step.id));
                }
                _ => {}
            }
        }
    }

    /// What holds of every effect when it is asked for.
    pub(super) fn permitted(&self, effect: &Effect) {
        let world = &self.world;
        let stored = |id: &ObjectId| world.parent.as_ref().is_some_and(|(inventory, _)| inventory.contains_key(id));
        match effect {
            Effect::Apply { plan, .. } => {
                let commit = world.observed.as_ref().expect("an observation before an apply");
                let content = world.content(&commit.commit.id).objects;
                for step in plan.steps.iter().filter(|step| step.applies()) {
                    let declared = content.get(&*step.id.name).map(|value| digest(&step.id.name, value));
                    assert_eq!(declared, step.desired.as_ref().map(|desired| desired.digest), "{}", step.id);
                    assert!(stored(&step.id), "{} is not in the stored inventory", step.id);
                }
                if plan.steps.iter().any(|step| step.verb == Verb::Replace) {
                    let going = plan.steps.iter().filter(|step| step.deletes()).map(|step| &step.id).collect();
                    self.passes(&commit.commit.id, &going);
                }
            }
            Effect::Heal { step, .. } => {
                assert!(stored(&step.id), "{} is not in the stored inventory", step.id);
                assert!(step.verb != Verb::Replace, "{} is deleted by its heal", step.id);
            }
            Effect::Prune { plan, .. } => {
                let commit = world.observed.as_ref().expect("an observation before a prune");
                let content = world.content(&commit.commit.id);
                let steps: Vec<_> = plan.steps.iter().filter(|step| step.prunes()).collect();
                for step in &steps {
                    assert!(stored(&step.id), "{} is not in the stored inventory", step.id);
                    assert!(!content.objects.contains_key(&*step.id.name), "{} is declared", step.id);
                }
                assert!(content.broken == 0 && !content.fails && commit.problems.is_empty(), "doubt about the commit");
                assert!(!world.asked.1, "doubt about the branch");
                if self.refused {
                    let digest = world.asked.0.as_deref().and_then(|approved| approved.split('/').nth(1));
                    let despite = digest.is_none_or(|digest| digest.starts_with("despite-"));
                    assert!(despite, "an apply of this plan was refused");
                    self.approved(&commit.commit.id, &steps.iter().map(|step| &step.id).collect());
                }
                let going: BTreeSet<&ObjectId> =
                    steps.iter().filter(|step| step.verb == Verb::Prune).map(|step| &step.id).collect();
                self.passes(&commit.commit.id, &going);
            }
            _ => {}
        }
    }

    /// What is deleted, to be made again or not, is little enough to need no approval, or has one.
    fn passes(&self, commit: &str, going: &BTreeSet<&ObjectId>) {
        let (inventory, _) = self.world.parent.as_ref().expect("an inventory");
        let total = inventory.values().filter(|recorded| !recorded.unconfirmed).count();
        let declared = !self.world.content(commit).objects.is_empty();
        let passes = declared && (going.len() <= 5 || going.len() * 100 <= 20 * total);
        if !passes && !going.is_empty() {
            self.approved(commit, going);
        }
    }

    /// Every object that the sync itself has made is known by the UID that it has.
    pub(super) fn known(&self) {
        let inventory = self.world.parent.iter().flat_map(|(inventory, _)| inventory);
        for (id, recorded) in inventory.filter(|(_, recorded)| recorded.applied) {
            let Some(live) = self.world.live.get(id).filter(|live| live.fingerprint.is_some()) else { continue };
            let known = recorded.uid == Short::of(&live.uid);
            assert!(known || self.foreign.contains(id), "{id} was made anew, and that is forgotten");
        }
    }

    /// Somebody approved the deletion of these objects: they were shown for this commit, and none of
    /// them went by this approval already.
    fn approved(&self, commit: &str, going: &BTreeSet<&ObjectId>) {
        let world = &self.world;
        let approved = world.asked.0.as_deref().unwrap_or_else(|| panic!("nobody approved {going:?}"));
        let mut parts = approved.split('/');
        assert_eq!(parts.next(), Some(commit), "approved is another commit");
        let digest = parts.next();
        let shown = |((of, set), objects): (&(String, String), &BTreeSet<ObjectId>)| {
            let same = |digest: &str| digest == set || digest.strip_prefix("despite-") == Some(set);
            of == commit && digest.is_none_or(same) && going.iter().all(|id| objects.contains(*id))
        };
        assert!(world.shown.iter().any(shown), "{approved} was given for other objects than {going:?}");
        let again = going.iter().find(|id| world.spent.contains(**id));
        assert!(again.is_none(), "{again:?} is deleted once more by {approved}");
    }

    /// Nothing with our metadata is lost: it is in the stored inventory, or in git.
    pub(super) fn accounted(&self) {
        let world = &self.world;
        for (id, live) in &world.live {
            let ours = live.part_of.as_deref() == Some(SET) && live.terminating.is_none();
            let stored = world.parent.as_ref().is_some_and(|(inventory, _)| inventory.contains_key(id));
            let declared =
                world.rendered.as_ref().is_some_and(|commit| world.content(commit).objects.contains_key(&*id.name));
            assert!(!ours || stored || declared, "{id} is lost: {:?}", world.log);
        }
        for id in &self.foreign {
            assert!(world.live.contains_key(id), "{id} was deleted, and was another's");
        }
    }
}
