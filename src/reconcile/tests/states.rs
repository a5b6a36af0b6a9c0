//! Suspended, waiting for others, settling, drifted.

use std::time::Duration;

use super::world::{World, id};
use crate::config::DriftPolicy;
use crate::event::{Outcome, Part, SyncEvent};
use crate::object::{Health, HealthStatus};
use crate::plan::Phase;
use crate::reconcile::Input;

fn drifts(world: &World) -> usize {
    world.events.iter().filter(|event| matches!(event, SyncEvent::DriftDetected { .. })).count()
}

fn healed(world: &World) -> usize {
    world.events.iter().filter(|event| matches!(event, SyncEvent::DriftHealed { .. })).count()
}

#[test]
fn a_suspended_sync_asks_for_nothing_and_goes_on_when_it_is_resumed() {
    let mut world = World::synced(["a", "b"]);
    world.annotate(|requests| requests.suspended = true);
    world.push("second", ["b", "c"]);
    world.live.remove(&id("b"));
    world.pass(3600);
    assert_eq!(world.log, Vec::<String>::new());
    assert_eq!(world.phase(), Phase::Suspended);
    assert_eq!(world.events.iter().filter(|event| matches!(event, SyncEvent::Suspended { .. })).count(), 1);
    world.restart();
    world.pass(600);
    assert_eq!((world.log.len(), world.phase()), (0, Phase::Suspended));
    world.annotate(|requests| requests.suspended = false);
    world.drain();
    assert!(world.is_as_in("second"), "{:?}", world.log);
}

#[test]
fn a_sync_that_is_suspended_in_mid_work_begins_nothing_further() {
    for kind in ["Render", "Observe", "WriteParent", "Apply"] {
        let mut world = World::synced(["a", "b"]);
        world.push("second", ["b", "c"]);
        world.until(kind);
        world.annotate(|requests| requests.suspended = true);
        world.forget();
        world.pass(600);
        assert_eq!((world.count("Apply"), world.count("Prune"), world.count("Observe")), (0, 0, 0), "after {kind}");
        assert_eq!(world.phase(), Phase::Suspended, "after {kind}");
        world.annotate(|requests| requests.suspended = false);
        world.pass(5);
        assert!(world.is_as_in("second"), "after {kind}: {:?}", world.log);
    }
}

#[test]
fn what_a_person_asks_for_in_mid_cycle_is_done_after_it() {
    let day = Duration::from_hours(24);
    for kind in ["Observe", "WriteParent", "Apply"] {
        let mut world = World::with(|config| config.interval = day);
        world.push("first", ["a"]);
        world.until(kind);
        world.forget();
        world.annotate(|requests| requests.sync_requested = Some("now".into()));
        world.pass(60);
        assert_eq!(world.phase(), Phase::Synced);
        assert_eq!((world.count("Poll"), world.count("Observe")), (1, 1), "after {kind}: {:?}", world.log);
        world.forget();
        world.pass(day.as_secs() / 2);
        assert_eq!((world.count("Poll"), world.count("Observe")), (0, 0), "once is enough");
    }
}

#[test]
fn a_sync_waits_for_those_it_depends_on_and_keeps_what_it_has() {
    let mut world = World::synced(["a"]);
    world.step(Input::WaitingFor(vec!["infra".into()]));
    world.push("second", ["b"]);
    world.pass(120);
    world.live.remove(&id("a"));
    world.pass(120);
    assert_eq!(world.count("Render"), 0);
    assert!(world.is_as_in("first"), "drift is healed meanwhile");
    world.step(Input::WaitingFor(Vec::new()));
    world.drain();
    assert!(world.is_as_in("second"));
}

#[test]
fn a_sync_that_waits_at_its_start_touches_nothing() {
    let mut world = World::new();
    world.push("first", ["a"]);
    world.step(Input::WaitingFor(vec!["infra".into()]));
    world.pass(600);
    assert_eq!((world.writes(), world.phase()), (0, Phase::Pending));
    assert!(world.machine.status().message.contains("infra"));
    world.step(Input::WaitingFor(Vec::new()));
    world.drain();
    assert_eq!(world.phase(), Phase::Synced);
}

#[test]
fn a_commit_is_synced_once_its_objects_are_healthy() {
    let mut world = World::new();
    world.unhealthy.insert("slow".into());
    world.push("first", ["a", "slow"]);
    world.pass(30);
    assert_eq!((world.phase(), world.ended()), (Phase::Progressing, vec![]));
    world.live("slow").health = Health::current();
    world.pass(10);
    assert_eq!((world.phase(), world.ended()), (Phase::Synced, vec![Outcome::Synced]));
    assert!(
        world.events.iter().any(
            |event| matches!(event, SyncEvent::Took { part: Part::Settle, took } if *took > Duration::from_secs(25))
        )
    );
}

#[test]
fn what_does_not_become_healthy_in_time_is_unhealthy_until_it_is_healthy() {
    let mut world = World::new();
    world.unhealthy.insert("slow".into());
    world.push("first", ["a", "slow"]);
    world.pass(299);
    assert_eq!(world.phase(), Phase::Progressing);
    world.pass(12);
    assert_eq!(world.phase(), Phase::Unhealthy);
    assert!(world.machine.status().message.contains("slow"));
    world.pass(600);
    assert_eq!(world.phase(), Phase::Unhealthy);
    world.live("slow").health = Health::current();
    world.pass(61);
    assert_eq!(world.phase(), Phase::Synced);
    world.live("slow").health = Health::new(HealthStatus::Failed, "crash loop");
    world.pass(61);
    assert_eq!(world.phase(), Phase::Progressing, "it has its time anew");
}

#[test]
fn a_sync_that_does_not_wait_is_synced_at_once() {
    let mut world = World::with(|config| config.wait = false);
    world.unhealthy.insert("slow".into());
    world.push("first", ["slow"]);
    world.drain();
    assert_eq!(world.phase(), Phase::Synced);
}

#[test]
fn drift_is_healed_and_reported_once() {
    let mut world = World::synced(["a", "b"]);
    world.edit("a");
    world.live.remove(&id("b"));
    world.pass(600);
    assert!(world.is_as_in("first"));
    assert_eq!((drifts(&world), healed(&world)), (2, 2));
    world.edit("a");
    world.pass(600);
    assert_eq!((drifts(&world), healed(&world)), (3, 3));
}

#[test]
fn drift_that_is_only_reported_is_reported_once_and_left_alone() {
    let mut world = World::with(|config| config.drift = DriftPolicy::Report);
    world.push("first", ["a", "b"]);
    world.pass(10);
    world.edit("a");
    world.forget();
    world.pass(3600);
    assert_eq!((drifts(&world), healed(&world), world.count("Apply")), (1, 0, 0));
    assert_eq!(world.machine.status().notes.len(), 1);
}

#[test]
fn drift_is_not_detected_where_that_is_off() {
    let mut world = World::with(|config| config.drift = DriftPolicy::Off);
    world.push("first", ["a", "b"]);
    world.pass(10);
    world.edit("a");
    world.forget();
    world.pass(600);
    assert_eq!((drifts(&world), world.writes(), world.phase()), (0, 0, Phase::Synced));
}

#[test]
fn an_orphan_that_waits_for_its_finalizer_is_remembered_and_holds_up_nothing() {
    let mut world = World::synced(["a", "b"]);
    world.finalized.insert("a".into());
    world.push("second", ["b"]);
    world.pass(600);
    assert_eq!((world.phase(), world.count("Prune")), (Phase::Synced, 1));
    assert_eq!(world.stored(), ["a", "b"]);
    assert!(world.machine.status().notes.iter().any(|note| note.message.contains("finalizers")));
    world.restart();
    world.pass(600);
    assert_eq!(world.stored(), ["a", "b"]);
    world.live.remove(&id("a"));
    world.pass(120);
    assert_eq!(world.stored(), ["b"]);
    assert_eq!(world.phase(), Phase::Synced);
}

#[test]
fn an_orphan_that_says_detach_is_left_alone_and_forgotten() {
    let mut world = World::synced(["a", "b"]);
    world.live("a").detach = true;
    world.push("second", ["b"]);
    world.pass(120);
    assert_eq!((world.names(), world.stored()), (vec!["a", "b"], vec!["b"]));
    assert_eq!(world.live("a").part_of, None);
}

/// Somebody was faster, or caches lag: whose it is now the next plan decides, and until then the
/// cluster is not known to be as in git.
#[test]
fn an_orphan_that_is_not_what_was_seen_is_decided_anew_before_the_sync_is_synced() {
    let mut world = World::synced(["a", "b"]);
    world.push("second", ["b"]);
    world.until("Prune");
    let ours = std::mem::replace(&mut world.live("a").uid, "another".into());
    world.drain();
    assert_eq!((world.phase(), world.names()), (Phase::Progressing, vec!["a", "b"]));
    assert!(world.machine.status().message.contains("decided anew"), "{}", world.machine.status().message);
    world.live("a").uid = ours;
    world.pass(5);
    assert_eq!((world.phase(), world.names(), world.stored()), (Phase::Synced, vec!["b"], vec!["b"]));
}
