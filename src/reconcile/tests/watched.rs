//! What the watches have seen: drift is healed at once, alone, whatever else the sync is doing.

use std::time::Duration;

use super::world::{World, id};
use crate::config::DriftPolicy;
use crate::event::{Ended, Outcome, SyncEvent};
use crate::object::{Health, HealthStatus, ObjectId};
use crate::plan::{Phase, Problem};
use crate::reconcile::{Audited, Input};

const INTERVAL: Duration = Duration::from_hours(24);

/// A world whose cycles come once a day, so that whatever happens is for the watches.
pub(super) fn watched(names: &[&str]) -> World {
    let mut world = World::with(|config| config.interval = INTERVAL);
    world.push("first", names.iter().copied());
    world.pass(10);
    assert_eq!(world.phase(), Phase::Synced, "{}", world.machine.status().message);
    world.deliver();
    world.drain();
    world.forget();
    world
}

#[test]
fn drift_is_healed_alone_and_no_cycle_is_needed() {
    let mut world = watched(&["a", "b", "c"]);
    world.edit("a");
    world.delete("b");
    world.deliver();
    world.drain();
    assert!(world.is_as_in("first"));
    assert_eq!(world.log, ["Examine a", "Examine b", "Heal a", "Heal b"]);
    assert_eq!((world.drifts(), world.heals()), (2, 2));
    world.pass(60);
    // The UID of what was created again is remembered, by one write for both.
    assert_eq!((world.count("WriteParent"), world.count("Observe")), (1, 0), "{:?}", world.log);
    world.deliver();
    world.drain();
    assert_eq!(world.count("Examine"), 2, "what it did itself is no change: {:?}", world.log);
}

#[test]
fn our_own_writes_are_no_drift_also_when_their_events_come_first() {
    let mut world = World::with(|config| config.interval = INTERVAL);
    world.push("first", ["a", "b"]);
    world.until("Apply");
    let apply = world.pending.pop_front().unwrap();
    let answer = world.answer(apply);
    world.deliver();
    world.step(answer);
    world.drain();
    world.pass(60);
    assert_eq!((world.phase(), world.count("Examine")), (Phase::Synced, 0), "{:?}", world.log);
    // The same of a heal.
    world.edit("a");
    world.deliver();
    world.until("Heal");
    let heal = world.pending.pop_front().unwrap();
    let answer = world.answer(heal);
    world.deliver();
    world.step(answer);
    world.drain();
    assert_eq!((world.count("Examine"), world.count("Heal")), (1, 1));
}

#[test]
fn changes_that_are_older_than_an_answer_are_ignored() {
    let mut world = watched(&["a"]);
    world.edit("a");
    let late = world.undelivered.clone();
    world.deliver();
    world.until("Heal");
    world.step(Input::Changed(late.into()));
    world.drain();
    assert_eq!((world.count("Examine"), world.count("Heal")), (1, 1), "{:?}", world.log);
}

#[test]
fn what_drifts_again_while_it_is_healed_is_healed_again() {
    let mut world = watched(&["a"]);
    world.edit("a");
    world.deliver();
    world.until("Heal");
    let heal = world.pending.pop_front().unwrap();
    let answer = world.answer(heal);
    world.edit("a");
    world.deliver();
    world.step(answer);
    world.drain();
    assert!(world.is_as_in("first"));
    assert_eq!(world.count("Heal"), 2);
}

#[test]
fn drift_is_healed_while_another_object_keeps_failing_or_is_waited_for() {
    let mut world = watched(&["a", "b"]);
    world.refused.insert("bad".into());
    world.push("second", ["a", "b", "bad"]);
    world.annotate(|requests| requests.sync_requested = Some("now".into()));
    world.pass(10);
    assert_eq!(world.phase(), Phase::Failing);
    world.deliver();
    world.forget();
    world.edit("a");
    world.deliver();
    world.drain();
    assert_eq!((world.log.len(), world.heals()), (2, 1), "{:?}", world.log);
    world.unhealthy.insert("slow".into());
    world.push("third", ["a", "b", "slow"]);
    world.annotate(|requests| requests.sync_requested = Some("later".into()));
    world.pass(2);
    assert_eq!(world.phase(), Phase::Progressing);
    world.delete("b");
    world.deliver();
    world.drain();
    assert!(world.live.contains_key(&id("b")));
}

#[test]
fn what_an_apply_has_written_already_is_healed_before_the_apply_ends() {
    let mut world = watched(&["a", "b"]);
    world.push("second", ["a", "b", "c"]);
    world.annotate(|requests| requests.sync_requested = Some("now".into()));
    let apply = world.until("Apply");
    let effect = world.pending.pop_front().unwrap();
    let Input::Applied { outcomes, .. } = world.answer(effect) else { unreachable!() };
    world.edit("c");
    world.deliver();
    assert_eq!(world.count("Examine"), 0, "its answer is not there yet");
    world.step(Input::AppliedOne { id: apply, outcome: outcomes[0].clone() });
    world.drain();
    assert_eq!(world.count("Heal"), 1, "{:?}", world.log);
    world.step(Input::Applied { id: apply, outcomes });
    world.drain();
    assert!(world.is_as_in("second"));
    assert_eq!(world.phase(), Phase::Synced);
}

#[test]
fn a_suspended_sync_heals_nothing() {
    let mut world = watched(&["a"]);
    world.annotate(|requests| requests.suspended = true);
    world.edit("a");
    world.deliver();
    world.pass(600);
    assert_eq!(world.log, Vec::<String>::new());
    world.annotate(|requests| requests.suspended = false);
    world.drain();
    assert!(world.is_as_in("first"), "what was missed is found by a cycle");
}

#[test]
fn drift_that_is_only_reported_is_examined_reported_once_and_reported_again_when_it_is_gone() {
    let mut world = World::with(|config| (config.interval, config.drift) = (INTERVAL, DriftPolicy::Report));
    world.push("first", ["a", "b"]);
    world.pass(10);
    world.deliver();
    world.forget();
    let before = world.live("a").clone();
    world.edit("a");
    world.deliver();
    world.pass(600);
    assert_eq!((world.drifts(), world.heals(), world.count("Heal")), (1, 0, 0));
    let drift = world.machine.status().drift.clone();
    assert_eq!((drift.len(), drift[0].healed), (1, false));
    let version = world.version();
    *world.live("a") = crate::object::Observed { resource_version: version, ..before };
    world.seen(&id("a"));
    world.deliver();
    assert_eq!(world.reported(|event| matches!(event, SyncEvent::DriftGone { .. })), 1);
}

#[test]
fn drift_that_is_not_detected_causes_nothing() {
    let mut world = World::with(|config| (config.interval, config.drift) = (INTERVAL, DriftPolicy::Off));
    world.push("first", ["a"]);
    world.pass(10);
    world.forget();
    world.edit("a");
    world.deliver();
    world.pass(7200);
    assert_eq!(world.log, Vec::<String>::new());
}

#[test]
fn a_manager_that_never_rests_is_answered_less_and_less_often_and_peace_is_reported() {
    let mut world = watched(&["a", "b"]);
    world.culprit = Some("other".into());
    let until = world.now + Duration::from_mins(10);
    while world.now < until {
        world.edit("a");
        world.deliver();
        world.pass(1);
    }
    assert!((8..=14).contains(&world.heals()), "{} heals in 10 minutes", world.heals());
    assert_eq!(world.reported(|event| matches!(event, SyncEvent::Contested { .. })), 1);
    let contested = world.machine.status().contested.clone();
    assert_eq!((contested.len(), contested[0].manager.as_deref()), (1, Some("other")));
    world.edit("b");
    world.deliver();
    world.drain();
    assert!(!world.machine.status().drift.is_empty());
    world.pass(1200);
    assert!(world.is_as_in("first"), "the last heal stays");
    assert_eq!(world.reported(|event| matches!(event, SyncEvent::Uncontested { .. })), 1);
    assert_eq!(world.machine.status().contested, []);
}

#[test]
fn a_deleted_namespace_comes_back_before_what_is_in_it() {
    let mut world = watched(&["a", "b", "shop"]);
    world.live("shop").terminating = Some(Box::default());
    world.seen(&id("shop"));
    world.delete("a");
    world.delete("b");
    world.deliver();
    world.pass(30);
    assert_eq!((world.count("Heal"), world.count("Apply")), (0, 0), "nothing can be made there: {:?}", world.log);
    world.delete("shop");
    world.deliver();
    world.pass(30);
    let heals: Vec<_> = world.log.iter().filter(|entry| entry.starts_with("Heal")).cloned().collect();
    assert_eq!(heals, ["Heal shop", "Heal a", "Heal b"]);
    assert!(world.is_as_in("first"));
    assert_eq!(world.phase(), Phase::Synced);
}

#[test]
fn what_a_commit_adds_to_a_namespace_under_deletion_waits_and_is_made_when_it_is_back() {
    let mut world = World::with(|config| config.wait = false);
    world.push("first", ["a", "shop"]);
    world.pass(10);
    assert_eq!(world.phase(), Phase::Synced, "{}", world.machine.status().message);
    world.live("shop").terminating = Some(Box::default());
    world.push("second", ["b", "shop"]);
    world.pass(100);
    assert_eq!((world.names(), world.count("Prune")), (vec!["a", "shop"], 0));
    assert_ne!(world.phase(), Phase::Synced);
    let notes = world.machine.status().notes.clone();
    let waits = |note: &Problem| note.object == Some(id("b")) && note.message.contains("waits for namespace shop");
    assert!(notes.iter().any(waits), "{notes:?}");
    world.delete("shop");
    world.deliver();
    world.pass(30);
    assert!(world.is_as_in("second"));
    assert_eq!(world.phase(), Phase::Synced);
}

#[test]
fn what_was_refused_is_not_tried_again_with_every_change() {
    let mut world = watched(&["a", "stuck"]);
    world.refused.insert("bad".into());
    world.live("stuck").terminating = Some(Box::default());
    world.push("second", ["a", "bad", "stuck"]);
    world.annotate(|requests| requests.sync_requested = Some("now".into()));
    world.pass(400);
    world.forget();
    for _ in 0..200 {
        world.seen(&id("stuck"));
        world.deliver();
        world.pass(1);
    }
    let tries = world.count("Apply");
    assert!((1..=21).contains(&tries), "{tries} tries in 200 s");
}

#[test]
fn a_job_that_ended_may_go_and_one_that_was_cut_short_comes_back() {
    let mut world = watched(&["a", "job"]);
    world.live("job").finished = true;
    world.seen(&id("job"));
    world.delete("job");
    world.deliver();
    world.pass(600);
    assert!(!world.live.contains_key(&id("job")));
    assert_eq!((world.phase(), world.writes()), (Phase::Synced, 0), "{:?}", world.log);
    world.restart();
    world.pass(600);
    assert_eq!((world.phase(), world.live.len()), (Phase::Synced, 1), "nor after a restart");
    world.push("second", ["a", "job"]).objects.insert("job".into(), "2".into());
    world.annotate(|requests| requests.sync_requested = Some("now".into()));
    world.pass(10);
    assert!(world.live.contains_key(&id("job")), "a changed Job is another Job");
    world.deliver();
    world.drain();
    world.delete("job");
    world.deliver();
    world.drain();
    assert!(world.live.contains_key(&id("job")), "it had not ended");
}

#[test]
fn an_object_that_says_mutation_ignore_is_created_and_never_changed() {
    let mut world = watched(&["a", "once"]);
    world.edit("once");
    world.deliver();
    world.pass(60);
    world.push("second", ["a", "once"]).objects.insert("once".into(), "2".into());
    world.annotate(|requests| requests.sync_requested = Some("now".into()));
    world.pass(60);
    assert_eq!((world.phase(), world.count("Heal"), world.count("Apply")), (Phase::Synced, 0, 0));
    world.delete("once");
    world.deliver();
    world.pass(60);
    assert!(world.live.contains_key(&id("once")));
}

#[test]
fn the_audit_finds_what_no_mark_shows() {
    let mut world = watched(&["a", "b", "c"]);
    world.tampered.insert("b".into());
    world.pass(3000);
    assert_eq!(world.count("Audit"), 0, "what was just applied needs none");
    world.pass(3 * 3600);
    assert!((6..=10).contains(&world.count("Audit")), "{:?}", world.log);
    assert_eq!((world.count("Heal"), world.tampered.len()), (1, 0));
    assert_eq!(world.reported(|event| matches!(event, SyncEvent::DriftDetected { missed: true, .. })), 1);
}

#[test]
fn an_audit_of_an_object_that_is_healed_meanwhile_says_nothing() {
    let mut world = watched(&["a"]);
    let audit = world.until("Audit");
    world.take(audit);
    world.edit("a");
    world.deliver();
    world.drain();
    assert_eq!(world.heals(), 1);
    world.step(Input::Audited { id: audit, result: Audited::Differs });
    world.drain();
    assert_eq!((world.heals(), world.count("Examine")), (1, 1), "it was asked about before the heal");
    world.log.clear();
    world.pass(3 * 3600);
    assert!(world.count("Audit") > 0, "audits go on");
}

#[test]
fn health_is_followed_for_ever() {
    let mut world = watched(&["a", "b"]);
    world.live("a").health = Health::new(HealthStatus::InProgress, "1 of 3 available");
    world.seen(&id("a"));
    world.deliver();
    assert_eq!(world.machine.status().health.get(&HealthStatus::InProgress), Some(&1), "at once");
    world.pass(2);
    assert_eq!(world.phase(), Phase::Progressing);
    world.pass(400);
    assert_eq!(world.phase(), Phase::Unhealthy);
    world.live("a").health = Health::current();
    world.seen(&id("a"));
    world.deliver();
    world.pass(2);
    assert_eq!((world.phase(), world.count("Apply") + world.count("Heal")), (Phase::Synced, 0));
    assert_eq!(world.machine.status().health.get(&HealthStatus::InProgress), None);
}

/// A world that polls every minute, whose watches stand and have reported all there is.
fn quiet() -> World {
    let mut world = World::with(|config| config.interval = Duration::from_mins(1));
    world.watched = true;
    world.push("first", ["a", "b"]);
    world.pass(10);
    world.deliver();
    world.drain();
    world
}

#[test]
fn a_cycle_in_which_nothing_changed_ends_at_once_and_one_in_ten_minutes_reads_everything() {
    let mut world = quiet();
    world.forget();
    world.pass(9 * 60);
    assert_eq!(world.log, ["Poll"; 9], "{:?}", world.log);
    let ended =
        |event: &SyncEvent| matches!(event, SyncEvent::Ended(Ended { outcome: Outcome::Synced, changed: 0, .. }));
    assert_eq!(world.reported(ended), 9);
    world.pass(3 * 60);
    assert_eq!(world.count("Observe"), 1, "{:?}", world.log);
    // Without the watches nothing is known, so everything is read.
    world.watched = false;
    world.forget();
    world.pass(3 * 60);
    assert_eq!(world.count("Observe"), 3, "{:?}", world.log);
}

#[test]
fn changes_in_a_quiet_time_and_a_new_commit_end_it() {
    let mut world = quiet();
    world.push("second", ["a"]);
    world.pass(61);
    assert!(world.is_as_in("second"), "{:?}", world.log);
    world.deliver();
    world.drain();
    world.live("a").health = Health::new(HealthStatus::InProgress, "0 of 1 ready");
    world.seen(&id("a"));
    world.deliver();
    world.drain();
    world.pass(5);
    assert_eq!(world.phase(), Phase::Progressing);
}

#[test]
fn a_long_chain_that_somebody_deleted_is_healed_in_its_order() {
    let length = 1_000;
    let name = |number: usize| format!("c{number:05}");
    let mut world = World::new();
    let content = world.push("first", (0..length).map(name));
    for number in 0..length - 1 {
        content.objects.insert(name(number), format!("after {}", name(number + 1)));
    }
    world.pass(10);
    assert_eq!(world.phase(), Phase::Synced, "{}", world.machine.status().message);
    world.forget();
    let all: Vec<ObjectId> = world.live.keys().cloned().collect();
    for id in &all {
        world.gone(id);
        world.live.remove(id);
    }
    world.deliver();
    world.drain();
    let healed: Vec<&str> = world.log.iter().filter_map(|word| word.strip_prefix("Heal ")).collect();
    let expected: Vec<String> = (0..length).rev().map(name).collect();
    assert_eq!(healed, expected);
}
