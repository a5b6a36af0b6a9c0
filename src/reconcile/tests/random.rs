//! Random stories: commits, drift, faults, kills and approvals in any order.

mod rules;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::world::{SET, World, digest, id};
use crate::object::{GroupKind, ObjectId, Short, Unreadable};
use crate::plan::{Phase, Step};
use crate::reconcile::Effect;

const NAMES: u8 = 14;

#[derive(Clone, Debug)]
enum Event {
    /// Which objects, by bit; which value they have; whether files are broken; whether it renders.
    Commit(u16, bool, bool, bool),
    /// The branch goes back to an earlier commit.
    Back(u8),
    LookFails(bool),
    Edit(u8),
    Delete(u8),
    Strip(u8),
    Recreate(u8),
    Refuse(u8),
    /// A commit in which the first object takes the place of the second, and is refused as long as that
    /// one is there.
    Rename(u8, u8),
    Finalize(u8),
    Release,
    Ill(u8),
    ParentRefused(bool),
    Unobservable(bool),
    Unreadable(bool),
    Mend,
    Kill(u8, bool),
    /// What is held is approved, or just some commit.
    Approve(bool),
    /// The configuration has the commit at hand render to these objects.
    Path(u16),
    /// Somebody takes an approval back.
    Withdraw,
    Suspend(bool),
    /// A person asks for a sync.
    Ask,
    /// The process ends; another replica stood by for so many seconds and leads now.
    Succeed(u16),
    /// Another replica begins to stand by, or the one that does takes over, whatever was stored meanwhile.
    StandBy,
    TakeOver,
    /// The process is told to end, ends in order and starts again.
    Stop,
    /// The configured path is another one from now on.
    Configure(bool),
    /// For so many fetches, the branch has moved on since it was polled.
    Move(u8),
    /// Something happens while an effect of this kind is under way.
    During(&'static str, Box<Event>),
    /// So many effects are answered, the newest first where `true`.
    Some(u8, bool),
    Pass(u16),
    /// So many news of the watch are delivered, or lost.
    News(u8, bool),
}

fn any_event() -> impl Strategy<Value = Event> {
    use Event::{
        Approve, Ask, Back, Commit, Configure, Delete, During, Edit, Finalize, Ill, Kill, LookFails, Mend, Move, News,
        ParentRefused, Pass, Path, Recreate, Refuse, Release, Rename, Some, StandBy, Stop, Strip, Succeed, Suspend,
        TakeOver, Unobservable, Unreadable,
    };
    let name = 0..NAMES;
    prop_oneof![
        4 => (any::<u16>(), any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.15))
            .prop_map(|(objects, value, broken, fails)| Commit(objects, value, broken, fails)),
        1 => any::<u8>().prop_map(Back),
        1 => any::<bool>().prop_map(LookFails),
        1 => name.clone().prop_map(Edit),
        1 => name.clone().prop_map(Delete),
        1 => name.clone().prop_map(Strip),
        1 => name.clone().prop_map(Recreate),
        1 => name.clone().prop_map(Refuse),
        3 => (name.clone(), name.clone()).prop_map(|(new, old)| Rename(new, old)),
        1 => name.clone().prop_map(Finalize),
        1 => Just(Release),
        1 => name.prop_map(Ill),
        1 => any::<bool>().prop_map(ParentRefused),
        1 => any::<bool>().prop_map(Unobservable),
        1 => any::<bool>().prop_map(Unreadable),
        2 => Just(Mend),
        3 => (0..8u8, any::<bool>()).prop_map(|(at, after)| Kill(at, after)),
        1 => (0..400u16).prop_map(Succeed),
        3 => prop::bool::weighted(0.8).prop_map(Approve),
        3 => prop::bool::weighted(0.4).prop_map(Suspend),
        2 => Just(Ask),
        1 => Just(StandBy),
        1 => Just(TakeOver),
        2 => Just(Stop),
        1 => any::<bool>().prop_map(Configure),
        1 => (1..3u8).prop_map(Move),
        1 => any::<u16>().prop_map(Path),
        8 => (prop::sample::select(&KINDS[..]), meanwhile()).prop_map(|(kind, what)| During(kind, Box::new(what))),
        6 => (1..8u8, any::<bool>()).prop_map(|(count, newest)| Some(count, newest)),
        6 => (1..400u16).prop_map(Pass),
        6 => (1..12u8, prop::bool::weighted(0.8)).prop_map(|(count, delivered)| News(count, delivered)),
    ]
}

/// What may be under way when something happens.
const KINDS: [&str; 8] = ["Examine", "Heal", "Look", "Render", "Observe", "WriteParent", "Apply", "Prune"];

fn meanwhile() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Suspend(true)),
        2 => Just(Event::Ask),
        3 => Just(Event::Withdraw),
        4 => (any::<u16>(), any::<bool>()).prop_map(|(objects, value)| Event::Commit(objects, value, false, false)),
        1 => Just(Event::LookFails(true)),
        1 => Just(Event::Stop),
        1 => Just(Event::TakeOver),
    ]
}

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
    fn carry_out(&mut self, effect: Effect) {
        self.permitted(&effect);
        match &effect {
            Effect::Observe { .. } => self.refused = false,
            Effect::Apply { plan, .. } => {
                let is_refused = |step: &Step| step.applies() && self.world.refuses(&step.id);
                self.refused = plan.steps.iter().any(is_refused);
            }
            _ => {}
        }
        if let Effect::Apply { plan, .. } = &effect {
            // Declared, so it is made ours.
            plan.steps.iter().filter(|step| step.applies()).for_each(|step| {
                self.foreign.remove(&step.id);
            });
        }
        if let Effect::Heal { step, .. } = &effect {
            self.foreign.remove(&step.id);
        }
        // Whoever goes through everything knows what news were lost before.
        self.world.watched |= matches!(effect, Effect::Observe { .. });
        let despite: Vec<ObjectId> = match &effect {
            Effect::Prune { plan, .. } if self.refused => {
                plan.steps.iter().filter(|step| step.prunes()).map(|step| step.id.clone()).collect()
            }
            _ => Vec::new(),
        };
        self.world.carry_out(effect);
        let gone = despite.into_iter().filter(|id| !self.world.live.contains_key(id));
        self.world.spent.extend(gone.collect::<Vec<_>>());
        self.alone();
        self.accounted();
    }

    fn restart_if_killed(&mut self) {
        if self.world.killed {
            self.cut_off = true;
            self.world.restart();
        }
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
                Some(effect) => self.carry_out(effect),
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
            self.carry_out(effect);
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
                self.carry_out(effect);
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
            Event::LookFails(fails) if fails => self.world.head = Err("no route to host".into()),
            Event::LookFails(_) if self.commits > 0 => self.world.head = Ok(format!("c{:03}", self.commits)),
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
            Event::Ill(n) => drop(self.world.ill.insert(name(n))),
            Event::ParentRefused(refused) => self.world.parent_refused = refused,
            Event::Unobservable(unobservable) => self.world.unobservable = unobservable,
            Event::Unreadable(true) => {
                self.world.unreadable.insert(GroupKind::new("", "ConfigMap"), None, "forbidden".into());
            }
            Event::Mend | Event::Unreadable(false) => self.mend(),
            Event::Kill(at, after) => self.world.kill = Some((usize::from(at), after)),
            Event::Succeed(seconds) => {
                self.cut_off = true;
                self.world.follow();
                let writes = self.world.writes();
                self.pass(u64::from(seconds));
                assert_eq!(self.world.writes(), writes, "a follower writes nothing");
                self.world.lead();
            }
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
            Event::Withdraw => self.world.mark(|marks| marks.approved = None),
            Event::During(kind, ref what) => {
                self.reach(kind);
                self.happen(what);
            }
            Event::Suspend(suspended) => self.world.mark(|marks| marks.suspended = suspended),
            Event::Ask => {
                self.asked += 1;
                let asked = self.asked.to_string();
                self.world.mark(|marks| marks.sync_requested = Some(asked));
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
                        Some(effect) => self.carry_out(effect),
                        None => self.world.step(crate::reconcile::Input::Tick),
                    }
                }
            }
            Event::Pass(seconds) => self.pass(u64::from(seconds)),
            Event::News(count, delivered) => {
                let count = usize::from(count).min(self.world.news.len());
                let news: Vec<_> = self.world.news.drain(..count).collect();
                self.world.watched &= delivered || news.is_empty();
                if delivered {
                    self.world.step(crate::reconcile::Input::Changed(news));
                    self.alone();
                }
            }
            Event::Back(_) | Event::LookFails(_) | Event::Edit(_) | Event::Path(_) | Event::Rename(..) => {}
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
        self.world.ill.clear();
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
            world: World::new(),
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
        story.world.mark(|marks| marks.suspended = false);
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
