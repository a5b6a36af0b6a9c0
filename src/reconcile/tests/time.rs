//! In every state the machine rests: an hour of virtual time takes a bounded number of steps, and
//! it never asks to be woken in the past and then does nothing.

use std::time::Duration;

use super::world::World;
use crate::plan::Phase;
use crate::reconcile::Input;

/// Steps of an hour in which a poll, and what follows from it, comes every minute.
const HOUR: usize = 60 * 8;

fn rests(mut world: World, phase: Phase, most: usize) {
    world.pass(700);
    let before = world.steps;
    world.pass(3600);
    assert_eq!(world.phase(), phase, "{}", world.machine.status().message);
    let steps = world.steps - before;
    assert!(steps <= most, "{phase}: {steps} steps: {:?}", world.log.iter().rev().take(20).collect::<Vec<_>>());
    let wake = world.machine.wake_at();
    assert!(phase == Phase::Suspended || wake.is_some_and(|wake| wake > world.now), "it goes on: {wake:?}");
}

#[test]
fn it_rests_when_all_is_well() {
    rests(World::synced(["a"]), Phase::Synced, HOUR);
}

#[test]
fn it_rests_without_a_commit() {
    rests(World::new(), Phase::Failing, HOUR);
}

#[test]
fn it_rests_while_the_poll_fails() {
    let mut world = World::synced(["a"]);
    world.head = Err("no route to host".into());
    rests(world, Phase::Failing, HOUR);
}

#[test]
fn it_rests_while_the_commit_cannot_be_rendered() {
    let mut world = World::synced(["a"]);
    world.push("second", ["a"]).fails = true;
    rests(world, Phase::Failing, HOUR);
    let mut world = World::new();
    world.push("first", ["a"]).fails = true;
    rests(world, Phase::Failing, HOUR);
}

#[test]
fn it_rests_while_an_object_is_refused() {
    let mut world = World::synced(["a"]);
    world.refused.insert("bad".into());
    world.push("second", ["a", "bad"]);
    rests(world, Phase::Failing, HOUR);
}

#[test]
fn it_rests_while_the_cluster_cannot_be_read_or_the_parent_written() {
    let mut world = World::synced(["a"]);
    world.unobservable = true;
    rests(world, Phase::Failing, HOUR);
    let mut world = World::new();
    world.push("first", ["a"]);
    world.parent_refused = true;
    rests(world, Phase::Failing, HOUR);
}

#[test]
fn it_rests_while_it_is_suspended() {
    let mut world = World::synced(["a"]);
    world.annotate(|requests| requests.suspended = true);
    rests(world, Phase::Suspended, 2);
    let mut world = World::with(|config| config.suspend = true);
    world.push("first", ["a"]);
    rests(world, Phase::Suspended, 2);
}

#[test]
fn it_rests_while_it_waits_for_other_syncs() {
    let mut world = World::new();
    world.push("first", ["a"]);
    world.step(Input::WaitingFor(vec!["infra".into()]));
    rests(world, Phase::Pending, HOUR);
    let mut world = World::synced(["a"]);
    world.step(Input::WaitingFor(vec!["infra".into()]));
    world.push("second", ["b"]);
    rests(world, Phase::Pending, HOUR);
}

/// What it owns is not taken from it meanwhile by those for which it waits.
#[test]
fn while_it_waits_the_others_hear_what_it_is_about_to_declare() {
    let mut world = World::new();
    world.push("first", ["a"]);
    world.step(Input::WaitingFor(vec!["infra".into()]));
    world.pass(60);
    assert!(world.log.contains(&"Declare first".to_owned()), "{:?}", world.log);
    assert_eq!((world.count("Render"), world.writes()), (0, 0), "{:?}", world.log);
    world.step(Input::WaitingFor(Vec::new()));
    world.pass(60);
    world.step(Input::WaitingFor(vec!["infra".into()]));
    world.push("second", ["b"]);
    world.forget();
    world.pass(60);
    assert!(world.log.contains(&"Declare second".to_owned()), "{:?}", world.log);
    assert!(world.is_as_in("first"), "it is not enforced yet");
}

#[test]
fn it_rests_while_it_is_held_or_unhealthy() {
    let mut world = World::synced((0..20).map(|n| format!("o{n}")));
    world.push("cut", ["o1"]);
    rests(world, Phase::Held, HOUR);
    let mut world = World::new();
    world.unhealthy.insert("slow".into());
    world.push("first", ["slow"]);
    rests(world, Phase::Unhealthy, 6 * HOUR);
}

#[test]
fn a_renderer_that_answers_with_another_commit_does_not_make_it_spin() {
    use crate::reconcile::Effect;
    use std::sync::Arc;
    let mut world = World::synced(["a"]);
    world.push("second", ["a"]);
    for _ in 0..20 {
        world.until("Render");
        let Some(Effect::Render { id, commit }) = world.pending.pop_back() else { panic!("a render") };
        let Input::Rendered { result, .. } = world.answer(Effect::Render { id, commit }) else { panic!("rendered") };
        let mut rendered = (*result.unwrap()).clone();
        rendered.commit.id = "the tag".into();
        world.step(Input::Rendered { id, result: Ok(Arc::new(rendered)) });
    }
    assert!(world.now.as_secs() > 60, "{:?}", world.now);
}

#[test]
fn polls_come_at_the_interval_or_a_little_sooner_and_not_always_after_the_same_time() {
    let mut world = World::synced(["a"]);
    world.jitter = true;
    let (mut polls, mut last) = (Vec::new(), world.now);
    while polls.len() < 30 {
        world.forget();
        world.now = world.machine.wake_at().unwrap();
        world.step(Input::Tick);
        world.drain();
        if world.count("Poll") > 0 {
            polls.push(world.now.saturating_sub(std::mem::replace(&mut last, world.now)));
        }
    }
    let (polls, interval) = (&polls[1..], world.config.interval);
    assert!(polls.iter().all(|poll| *poll <= interval && *poll >= interval.mul_f64(0.9)), "{polls:?}");
    assert!(polls.iter().any(|poll| *poll < interval.mul_f64(0.97)), "{polls:?}");
}

#[test]
fn a_sync_whose_commit_declares_nothing_sleeps() {
    let mut world = World::with(|config| {
        config.interval = Duration::from_hours(24);
        config.audit.period = Duration::from_mins(1);
    });
    world.push("first", ["a"]);
    world.pass(30);
    world.push("second", [] as [&str; 0]);
    world.annotate(|requests| requests.sync_requested = Some("now".into()));
    world.pass(600);
    assert_eq!(world.phase(), Phase::Held);
    assert!(world.steps < 1000, "{} steps", world.steps);
    assert!(world.machine.wake_at().is_none_or(|due| due > world.now));
}
