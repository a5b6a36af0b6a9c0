//! Random stories: commits, drift, faults, kills and approvals in any order.

mod event;
mod rules;

use std::collections::BTreeSet;

use proptest::prelude::*;

use self::event::{Event, NAMES, any_event};
use super::world::{SET, World, digest, id, print};
use crate::object::{GroupKind, ObjectId, Observed, Short, Unreadable};
use crate::plan::{Phase, Step};
use crate::reconcile::Effect;

/// The last ones can only be replaced.
fn name(n: u8) -> String {
    if n < NAMES - 3 { format!("o{n:02}") } else { format!("fixed{n:02}") }
}

struct Story {
    world: World,
    commits: usize,
    /// Objects that somebody else made again: nobody of ours may delete these.
    foreign: BTreeSet<ObjectId>,
    /// Something of the plan that is being carried out was refused.
    refused: bool,
    asked: usize,
    /// At some time the process ended before it could store what it had learned.
    cut_off: bool,
}

impl Story {
    fn execute(&mut self, effect: Effect) {
        self.permitted(&effect);
        match &effect {
            Effect::Observe { .. } => self.refused = false,
            Effect::Apply { plan, .. } => {
                let is_refused = |step: &Step| step.applies() && self.world.refuses(&step.id);
                self.refused = plan.steps.iter().any(is_refused);
            }
            _ => {}
        }
        let written: Vec<ObjectId> = match &effect {
            Effect::Apply { plan, .. } => {
                plan.steps.iter().filter(|step| step.applies()).map(|step| step.id.clone()).collect()
            }
            Effect::Heal { step, .. } => vec![step.id.clone()],
            _ => Vec::new(),
        };
        // Whoever goes through everything knows which changes were lost before.
        self.world.watched |= matches!(effect, Effect::Observe { .. });
        let despite: Vec<ObjectId> = match &effect {
            Effect::Prune { plan, .. } if self.refused => {
                plan.steps.iter().filter(|step| step.prunes()).map(|step| step.id.clone()).collect()
            }
            _ => Vec::new(),
        };
        self.world.execute(effect);
        let gone = despite.into_iter().filter(|id| !self.world.live.contains_key(id));
        self.world.spent.extend(gone.collect::<Vec<_>>());
        // What was applied is made ours.
        let ours = |live: &Observed| live.digest.is_some_and(|digest| live.fingerprint == Some(print(&digest)));
        for id in written.iter().filter(|id| self.world.live.get(*id).is_some_and(ours)) {
            self.foreign.remove(id);
        }
        self.alone();
        self.accounted();
    }

    fn restart_if_killed(&mut self) {
        if self.world.killed {
            self.cut_off = true;
            self.world.restart();
        }
    }

    fn ask(&mut self) {
        self.asked += 1;
        let asked = self.asked.to_string();
        self.world.annotate(|requests| requests.sync_requested = Some(asked));
    }

    /// Goes on until an effect of this kind is under way, where that is soon.
    fn reach(&mut self, kind: &str) {
        self.restart_if_killed();
        let drifts = self.world.live.values().find(|live| live.part_of.as_deref() == Some(SET));
        if let Some(name) = drifts.map(|live| live.id.name.to_string()).filter(|_| matches!(kind, "Examine" | "Heal")) {
            self.world.edit(&name);
            self.world.deliver();
        }
        for _ in 0..30 {
            self.restart_if_killed();
            if self.world.is_under_way(kind) {
                return;
            }
            match self.world.pending.pop_front() {
                Some(effect) => self.execute(effect),
                None => self.pass_to_the_next(),
            }
        }
    }

    fn pass_to_the_next(&mut self) {
        if let Some(due) = self.world.machine.wake_at() {
            self.world.now = self.world.now.max(due);
            self.world.step(crate::reconcile::Input::Tick);
        }
    }

    /// Ends the process in order: what its heals and applies have made is known by its UID afterwards.
    fn stop(&mut self) {
        self.restart_if_killed();
        self.world.step(crate::reconcile::Input::Stop);
        while let Some(effect) = self.world.left_at_a_stop() {
            self.execute(effect);
        }
        self.restart_if_killed();
        self.accounted();
        // What could not be stored is lost.
        self.cut_off |= self.world.parent_refused;
        if !self.cut_off {
            self.known();
        }
    }

    fn pass(&mut self, seconds: u64) {
        let until = self.world.now + std::time::Duration::from_secs(seconds);
        loop {
            self.restart_if_killed();
            assert!(self.world.steps < 100_000, "it does not come to rest");
            if let Some(effect) = self.world.pending.pop_front() {
                self.execute(effect);
                continue;
            }
            if self.world.machine.wake_at().is_none_or(|due| due > until) {
                break;
            }
            self.pass_to_the_next();
        }
        self.world.now = until;
    }

    fn commit(&mut self, objects: u16, value: bool, broken: bool, fails: bool) {
        self.commits += 1;
        let names = (0..NAMES).filter(|n| objects & (1 << n) != 0).map(name);
        let content = self.world.push(&format!("c{:03}", self.commits), names);
        content.broken = usize::from(broken);
        content.fails = fails;
        if value {
            content.objects.values_mut().for_each(|value| *value = "2".into());
        }
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Commit(objects, value, broken, fails) => self.commit(objects, value, broken, fails),
            Event::Back(n) if self.commits > 0 => {
                self.world.head = Ok(format!("c{:03}", 1 + usize::from(n) % self.commits));
            }
            Event::PollFails(fails) if fails => self.world.head = Err("no route to host".into()),
            Event::PollFails(_) if self.commits > 0 => self.world.head = Ok(format!("c{:03}", self.commits)),
            Event::Edit(n) if self.world.live.contains_key(&id(&name(n))) => self.world.edit(&name(n)),
            Event::Delete(n) => {
                self.foreign.remove(&id(&name(n)));
                self.world.delete(&name(n));
            }
            Event::Strip(n) => {
                // It leaves the selection: to the watch that is a deletion.
                self.world.gone(&id(&name(n)));
                if let Some(live) = self.world.live.get_mut(&id(&name(n))) {
                    live.part_of = None;
                }
            }
            Event::Recreate(n) => {
                if let Some(live) = self.world.live.get_mut(&id(&name(n))) {
                    live.uid = format!("{}-again", live.uid).into();
                    live.fingerprint = None;
                    self.foreign.insert(live.id.clone());
                }
                self.world.seen(&id(&name(n)));
            }
            Event::Refuse(n) => drop(self.world.refused.insert(name(n))),
            Event::Rename(new, old) if new != old && self.commits > 0 => self.rename(new, old),
            Event::Finalize(n) => drop(self.world.finalized.insert(name(n))),
            Event::Release => self.release(),
            Event::Unhealthy(n) => drop(self.world.unhealthy.insert(name(n))),
            Event::ParentRefused(refused) => self.world.parent_refused = refused,
            Event::Unobservable(unobservable) => self.world.unobservable = unobservable,
            Event::Unreadable(true) => {
                self.world.unreadable.insert(GroupKind::new("", "ConfigMap"), None, "forbidden".into());
            }
            Event::Mend | Event::Unreadable(false) => self.mend(),
            Event::Kill(at, crash) => self.world.kill = Some((usize::from(at), crash)),
            Event::Succeed(seconds) => self.succeed(u64::from(seconds)),
            Event::Approve(true) if self.world.stored_held().is_some() => self.world.approve_held(),
            Event::Approve(head) => {
                let commit = if head { self.world.head.clone().unwrap_or_default() } else { "c001".into() };
                self.world.approve(&commit);
            }
            Event::Path(objects) if self.world.head.is_ok() && self.commits > 0 => {
                // It ends without storing what it has learned.
                self.cut_off = true;
                self.world.change_path((0..NAMES).filter(|n| objects & (1 << n) != 0).map(name));
            }
            Event::Withdraw => self.world.annotate(|requests| requests.approved = None),
            Event::During(kind, ref what) => {
                self.reach(kind);
                self.happen(what);
            }
            Event::Suspend(suspended) => self.world.annotate(|requests| requests.suspended = suspended),
            Event::Ask => self.ask(),
            Event::Overtake(objects, value, answers) => {
                self.commit(objects, value, false, false);
                self.ask();
                self.happen(&Event::Some(answers, true));
            }
            Event::StandBy => self.world.stand_by(),
            Event::TakeOver => {
                self.cut_off |= self.world.standby.is_some();
                self.world.take_over();
            }
            Event::Stop => {
                self.stop();
                self.world.restart();
            }
            Event::Configure(other) => {
                self.stop();
                self.world.configure_path(if other { "other" } else { "" });
            }
            Event::Move(fetches) => self.world.moves = usize::from(fetches),
            Event::Some(count, newest) => {
                for _ in 0..count {
                    self.restart_if_killed();
                    let next = if newest { self.world.pending.pop_back() } else { self.world.pending.pop_front() };
                    match next {
                        Some(effect) => self.execute(effect),
                        None => self.world.step(crate::reconcile::Input::Tick),
                    }
                }
            }
            Event::Pass(seconds) => self.pass(u64::from(seconds)),
            Event::Changes(count, delivered) => {
                let count = usize::from(count).min(self.world.undelivered.len());
                let changes: Vec<_> = self.world.undelivered.drain(..count).collect();
                self.world.watched &= delivered || changes.is_empty();
                if delivered {
                    self.world.step(crate::reconcile::Input::Changed(changes));
                    self.alone();
                }
            }
            Event::Back(_) | Event::PollFails(_) | Event::Edit(_) | Event::Path(_) | Event::Rename(..) => {}
        }
    }

    fn rename(&mut self, new: u8, old: u8) {
        self.commits += 1;
        let before = format!("c{:03}", self.commits - 1);
        let mut content = self.world.commits[&before].clone();
        (content.broken, content.fails) = (0, false);
        content.objects.remove(&name(old));
        content.objects.insert(name(new), "1".into());
        let commit = format!("c{:03}", self.commits);
        self.world.head = Ok(commit.clone());
        self.world.commits.insert(commit, content);
        self.world.barred.insert(name(new), name(old));
    }

    fn succeed(&mut self, seconds: u64) {
        self.cut_off = true;
        self.world.follow();
        let writes = self.world.writes();
        self.pass(seconds);
        assert_eq!(self.world.writes(), writes, "a follower writes nothing");
        self.world.lead();
    }

    /// Finalizers let go.
    fn release(&mut self) {
        self.world.finalized.clear();
        let going: Vec<_> =
            self.world.live.values().filter(|live| live.terminating.is_some()).map(|live| live.id.clone()).collect();
        for id in &going {
            self.world.gone(id);
            self.world.live.remove(id);
        }
        self.foreign.retain(|id| self.world.live.contains_key(id));
    }

    fn mend(&mut self) {
        self.world.refused.clear();
        self.world.barred.clear();
        self.world.unhealthy.clear();
        self.world.unreadable = Unreadable::default();
        (self.world.parent_refused, self.world.unobservable) = (false, false);
        self.world.live.values_mut().for_each(|live| live.health = crate::object::Health::current());
        let all: Vec<_> = self.world.live.keys().cloned().collect();
        for id in &all {
            self.world.seen(id);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_story_loses_an_object_or_prunes_in_doubt_and_every_story_ends_well(
        events in prop::collection::vec(any_event(), 1..60),
        last in any::<u16>(),
    ) {
        let mut story = Story {
            world: World { jitter: true, ..World::new() },
            commits: 0,
            foreign: BTreeSet::new(),
            refused: false,
            asked: 0,
            cut_off: false,
        };
        for event in &events {
            story.happen(event);
        }
        // Faults stop, and git has a whole commit.
        story.mend();
        (story.world.kill, story.world.moves) = (None, 0);
        story.restart_if_killed();
        story.commit(last | 1, false, false, false);
        let commit = format!("c{:03}", story.commits);
        story.world.annotate(|requests| requests.suspended = false);
        story.release();
        story.pass(300);
        if story.world.stored_held().is_some() {
            story.world.approve_held();
        }
        let before = story.world.steps;
        story.pass(900);
        story.release();
        story.pass(900);
        let world = &mut story.world;
        // The audit asks about each of 14 objects at most in its hour, beside a cycle a minute.
        prop_assert!(world.steps - before < 900, "{} steps", world.steps - before);
        prop_assert_eq!(world.phase(), Phase::Synced, "{}", world.machine.status().message.clone());
        let objects = world.content(&commit).objects;
        for (name, value) in &objects {
            let live = world.live.get(&id(name));
            prop_assert_eq!(live.and_then(|live| live.digest), Some(digest(name, value)));
            prop_assert_eq!(live.and_then(|live| live.part_of.as_deref()), Some(SET));
        }
        // What is left beside it is remembered, with the reason for which it was kept.
        for (id, live) in world.live.iter().filter(|(id, _)| !objects.contains_key(&*id.name)) {
            let recorded = world.parent.as_ref().and_then(|(inventory, _)| inventory.get(id));
            // Also where the process died after it had made an object anew and before it could record the UID.
            let other_uid = recorded.is_some_and(|recorded| recorded.uid != Short::of(&live.uid));
            prop_assert!(recorded.is_some() && (live.part_of.is_none() || live.fingerprint.is_none() || other_uid), "{}", id);
        }
    }
}
