//! What must hold of every effect that writes, in every story: nothing of a suspended sync, nothing
//! before git was polled since it began anew, nothing by a commit that is older than what that poll
//! has shown, and single objects only as the newest rendered commit has them.

use std::collections::BTreeSet;

use super::words::number;
use super::world::{World, digest};
use crate::reconcile::{Effect, EffectError, EffectId};

/// What the world knows of who may write.
#[derive(Clone, Debug, Default)]
pub struct Permits {
    /// Since the sync began anew, or was asked for, no poll was answered that began afterwards.
    unpolled: bool,
    /// The polls that were under way when it began anew: their answers do not count.
    before: BTreeSet<EffectId>,
    /// And when it was first and last asked for since the last answer that counts.
    before_first: BTreeSet<EffectId>,
    before_last: BTreeSet<EffectId>,
    under_way: BTreeSet<EffectId>,
    /// What polls have shown since the sync began anew.
    shown: BTreeSet<String>,
    /// What polls have ever shown.
    ever: BTreeSet<String>,
    /// What the newest poll has shown, where that was asked for.
    asked: Option<String>,
    requested: bool,
    /// Commits that were not there any more when they were to be fetched.
    pub gone: BTreeSet<String>,
}

impl Permits {
    /// A start, a resume, another leader.
    pub fn begins_anew(&mut self) {
        self.unpolled = false;
        self.is_asked();
        self.before = self.under_way.clone();
        self.shown.clear();
    }

    /// Another process, whose effects have numbers of their own.
    pub fn restarts(&mut self) {
        for polls in [&mut self.under_way, &mut self.before_first, &mut self.before_last] {
            polls.clear();
        }
        self.begins_anew();
    }

    /// `driftless sync`.
    pub fn is_asked(&mut self) {
        self.before_last = self.under_way.clone();
        if !std::mem::replace(&mut self.unpolled, true) {
            self.before_first = self.under_way.clone();
        }
        self.requested = true;
    }

    /// A poll is answered.
    pub fn polled(&mut self, id: EffectId, head: &Result<String, EffectError>) {
        self.under_way.remove(&id);
        if self.before.contains(&id) || self.before_first.contains(&id) {
            return;
        }
        // Of requests that come faster than answers, a poll that fails ends the wait.
        let counts = head.is_err() || !self.before_last.contains(&id);
        self.before_first = std::mem::take(&mut self.before_last);
        if counts {
            self.unpolled = false;
            self.asked = head.clone().ok().filter(|head| self.requested && !self.ever.contains(head));
            self.requested = false;
        }
        if let Ok(head) = head {
            self.shown.insert(head.clone());
            self.ever.insert(head.clone());
        }
    }
}

impl World {
    fn is_suspended(&self) -> bool {
        self.config.suspend || self.requests.suspended
    }

    /// What holds of every effect when it is asked for.
    pub fn permitted(&mut self, effect: &Effect) {
        if let Effect::Poll { id } = effect {
            self.permits.under_way.insert(*id);
        }
        let commit = match effect {
            Effect::Heal { step, .. } => {
                let newest = self.rendered.as_ref().expect("something was rendered");
                let declared = self.content(newest).objects.get(&*step.id.name).map(|it| digest(&step.id.name, it));
                let wanted = step.desired.as_ref().map(|desired| desired.digest);
                assert_eq!(wanted, declared, "{} is healed otherwise than {newest} says", step.id);
                newest.clone()
            }
            Effect::Apply { .. } | Effect::Prune { .. } => {
                self.observed.as_ref().expect("an observation").commit.id.clone()
            }
            _ => return,
        };
        let log = || format!("{:?}", &self.log[self.log.len().saturating_sub(20)..]);
        assert!(!self.is_suspended(), "a suspended sync writes: {}", log());
        assert!(!self.permits.unpolled, "git was not polled before: {}", log());
        assert!(self.permits.shown.contains(&commit), "no poll has shown {commit} since: {}", log());
        if let Some(asked) = self.permits.asked.as_ref().filter(|asked| **asked != commit) {
            let unusable = self.content(asked).fails || self.permits.gone.contains(asked);
            assert!(unusable, "{commit} is older than {asked}, which was asked for: {}", log());
        }
    }

    /// What is under way when a sync is suspended begins no further object.
    pub fn nothing_goes_on(&self) {
        if !self.is_suspended() {
            return;
        }
        for effect in &self.pending {
            let writes = matches!(effect, Effect::Apply { .. } | Effect::Prune { .. } | Effect::Heal { .. });
            assert!(!writes || self.interrupted.contains(&number(effect)), "{effect:?} goes on during a suspension");
        }
    }
}
