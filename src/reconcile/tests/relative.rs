//! A machine as it is seen from a moment behaves as the machine itself, and comes to states that it had before.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::world::World;
use crate::reconcile::{Effect, EffectId, Input, Machine, Moment, ORIGIN};

/// A machine as it was seen before a step.
pub struct Seen {
    machine: Machine,
    under_way: Vec<EffectId>,
    newest: EffectId,
}

impl Seen {
    pub fn of(machine: &Machine, now: Duration) -> Self {
        Self { machine: machine.relative(now), under_way: machine.under_way(), newest: machine.next_id }
    }

    /// Takes the step that the machine has taken, which asked for these effects and is now like this.
    pub fn takes(mut self, input: &Input, effects: &[Effect], machine: &Machine, now: Moment) {
        let mut input = input.clone();
        if let Some(id) = answered(&mut input) {
            *id = self.number(*id);
        }
        let seen = self.machine.step(input, Moment { mono: ORIGIN, ..now });
        let mut wanted = effects.to_vec();
        for id in wanted.iter_mut().filter_map(asked) {
            *id = self.number(*id);
        }
        assert!(seen == wanted, "seen from now it asks for {seen:?}, and else for {wanted:?}");
        let (after, other) = (machine.relative(now.mono), self.machine.relative(ORIGIN));
        assert!(after == other, "seen from now it becomes {other:?}, and else {after:?}");
        assert_eq!(hash(&after), hash(&other));
    }

    /// The number that an effect has for the relative machine.
    fn number(&self, id: EffectId) -> EffectId {
        let many = EffectId::try_from(self.under_way.len()).unwrap();
        if id > self.newest {
            return many + id - self.newest;
        }
        (1..).zip(&self.under_way).find(|(_, known)| **known == id).map_or(0, |(number, _)| number)
    }
}

fn hash(machine: &Machine) -> u64 {
    let mut hasher = DefaultHasher::new();
    machine.hash(&mut hasher);
    hasher.finish()
}

/// Which effect an input answers.
fn answered(input: &mut Input) -> Option<&mut EffectId> {
    match input {
        Input::Polled { id, .. }
        | Input::Rendered { id, .. }
        | Input::Observed { id, .. }
        | Input::ParentWritten { id, .. }
        | Input::AppliedOne { id, .. }
        | Input::Applied { id, .. }
        | Input::Examined { id, .. }
        | Input::Healed { id, .. }
        | Input::Audited { id, .. }
        | Input::Pruned { id, .. } => Some(id),
        Input::Tick
        | Input::Changed(_)
        | Input::UserRequests(_)
        | Input::ParentMissing
        | Input::Leads { .. }
        | Input::WaitingFor(_)
        | Input::RenderInputsChanged
        | Input::CredentialsChanged
        | Input::Hinted
        | Input::StoreNow
        | Input::Stop => None,
    }
}

/// Which number an effect has, or is about.
fn asked(effect: &mut Effect) -> Option<&mut EffectId> {
    match effect {
        Effect::Poll { id }
        | Effect::Render { id, .. }
        | Effect::Observe { id, .. }
        | Effect::WriteParent { id, .. }
        | Effect::Apply { id, .. }
        | Effect::Prune { id, .. }
        | Effect::Examine { id, .. }
        | Effect::Heal { id, .. }
        | Effect::Audit { id, .. }
        | Effect::Interrupt { id } => Some(id),
        Effect::Declare { .. } | Effect::Emit(_) => None,
    }
}

/// The states in which a world is after each of so many polls, seen from then.
fn states(world: &mut World, polls: usize) -> HashSet<Machine> {
    let mut states = HashSet::new();
    let before = world.count("Poll");
    while world.count("Poll") < before + polls {
        let known = world.count("Poll");
        world.drain();
        world.now = world.machine.wake_at().expect("polls go on");
        world.drain();
        if world.count("Poll") > known {
            states.insert(world.machine.relative(world.now));
        }
    }
    states
}

#[test]
fn a_quiet_sync_comes_back_to_the_same_states_however_long_it_runs() {
    let mut world = World::with(|config| config.audit.period = Duration::ZERO);
    world.push("first", ["a", "b"]);
    let hour = states(&mut world, 60);
    let later = states(&mut world, 600);
    assert!(hour.len() < 20 && later.is_subset(&hour), "{} states in an hour, {} afterwards", hour.len(), later.len());
}

#[test]
fn what_is_due_is_due_however_long_it_has_been() {
    let mut world = World::synced(["a"]);
    world.pass(600);
    let due = world.machine.wake_at().unwrap();
    let [one, other] = [due, due + Duration::from_secs(30)].map(|now| world.machine.relative(now));
    assert_eq!(one.wake_at(), Some(ORIGIN));
    assert_eq!(other.wake_at(), Some(ORIGIN));
    let before = world.machine.relative(due.saturating_sub(Duration::from_secs(1)));
    assert_eq!(before.wake_at(), Some(ORIGIN + Duration::from_secs(1)));
}

#[test]
fn effects_under_way_are_numbered_in_their_order_and_answers_find_them() {
    let mut world = World::synced(["a", "b", "c"]);
    for name in ["a", "b", "c"] {
        world.delete(name);
    }
    world.deliver();
    let under_way = world.machine.under_way();
    assert!(under_way.len() >= 3 && under_way[0] > 1, "{under_way:?}");
    let seen = world.machine.relative(world.now);
    assert_eq!(seen.under_way(), (1..=3).collect::<Vec<_>>());
    assert!(seen != world.machine && seen == seen.relative(ORIGIN));
}
