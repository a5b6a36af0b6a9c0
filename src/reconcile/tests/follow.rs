//! Standing by, and taking over.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::world::{World, id, moment};
use crate::event::SyncEvent;
use crate::plan::{Inventory, Phase, Rewritten, SyncStatus};
use crate::reconcile::{Input, Machine, UserRequests};

fn standing_by<'a>(world: &'a World) -> Vec<&'a str> {
    let commit = |event: &'a SyncEvent| match event {
        SyncEvent::StandingBy { commit: Some(commit) } => Some(&*commit.id),
        _ => None,
    };
    world.events.iter().filter_map(commit).collect()
}

#[test]
fn a_follower_gets_ready_and_writes_nothing_whatever_happens() {
    let mut world = World::synced(["a", "b"]);
    world.follow();
    world.pass(90);
    assert_eq!(standing_by(&world), ["first"]);
    world.push("second", ["b", "c"]);
    world.edit("b");
    world.delete("a");
    world.deliver();
    world.pass(7200);
    assert_eq!(standing_by(&world), ["first", "second"], "each commit is rendered and its objects watched once");
    assert_eq!((world.count("Render"), world.count("Observe")), (2, 2));
    let words: BTreeSet<&str> = world.log.iter().filter_map(|entry| entry.split(' ').next()).collect();
    assert_eq!(words, BTreeSet::from(["Poll", "Render", "Observe"]));
    let follows = world.events.iter().all(|event| matches!(event, SyncEvent::StandingBy { .. }));
    assert!(follows, "where the sync stands, the leader knows: {:?}", world.events);
}

#[test]
fn a_follower_renders_again_when_what_it_rendered_from_has_changed() {
    let mut world = World::synced(["a", "b"]);
    world.follow();
    world.pass(90);
    let renders = world.count("Render");
    world.step(Input::RenderInputsChanged);
    world.pass(1);
    assert_eq!(world.count("Render"), renders + 1);
    world.pass(3600);
    assert_eq!(world.count("Render"), renders + 1, "once");
}

#[test]
fn a_follower_takes_over_with_what_the_parent_holds_then() {
    let mut world = World::synced(["a", "b"]);
    world.follow();
    world.pass(90);
    // The leader goes on meanwhile: another inventory, and an object that this one knows nothing of.
    world.push("second", ["b", "c"]);
    let follower = world.swap_for_a_leader();
    world.pass(120);
    assert!(world.is_as_in("second"));
    world.machine = follower;
    world.pass(120);
    world.forget();
    world.delete("c");
    world.lead();
    world.pass(5);
    assert!(world.is_as_in("second"), "{:?}", world.log);
    assert_eq!(world.count("Prune"), 0, "what the former leader pruned is not pruned again: {:?}", world.log);
    assert_eq!(world.phase(), Phase::Synced);
    assert_eq!(world.stored(), ["b", "c"]);
}

#[test]
fn what_a_follower_was_reading_when_it_took_over_decides_nothing() {
    for kind in ["Poll", "Render", "Observe"] {
        let mut world = World::synced(["a", "b"]);
        world.follow();
        world.until(kind);
        let polls = world.count("Poll");
        world.lead();
        world.delete("a");
        world.pass(30);
        assert!(world.is_as_in("first"), "after {kind}: {:?}", world.log);
        assert_eq!(world.count("Poll"), polls + 1, "git is polled first, after {kind}");
    }
}

#[test]
fn a_suspended_sync_stays_suspended_under_the_next_leader() {
    let mut world = World::synced(["a"]);
    world.annotate(|requests| requests.suspended = true);
    world.follow();
    world.forget();
    world.pass(600);
    assert_eq!(world.log, Vec::<String>::new());
    world.lead();
    world.live.remove(&id("a"));
    world.pass(600);
    assert_eq!((world.log.len(), world.phase()), (0, Phase::Suspended));
    world.annotate(|requests| requests.suspended = false);
    world.pass(5);
    assert!(world.is_as_in("first"));
}

#[test]
fn a_follower_whose_git_host_lags_does_not_go_back_when_it_leads() {
    let mut world = World::synced(["a"]);
    let lagging = world.head.clone();
    world.follow();
    world.pass(90);
    let standing_by = world.swap_for_a_leader();
    world.push("newer", ["a", "b"]);
    world.pass(90);
    assert!(world.is_as_in("newer"));
    world.head = lagging;
    world.pending.clear();
    world.machine = standing_by;
    world.lead();
    world.drain();
    assert!(world.is_as_in("newer"), "one poll is not believed: {:?}", world.log);
}

#[test]
fn what_the_former_leader_noted_as_rewritten_is_what_the_next_one_goes_by() {
    let world = World::new();
    let rewritten = |name: &str| Rewritten { object: id(name), fields: vec!["spec.replicas".into()] };
    let noted = |names: &[&str]| SyncStatus {
        rewritten: names.iter().map(|name| rewritten(name)).collect(),
        ..SyncStatus::default()
    };
    let config = Arc::clone(world.machine.config());
    let stored = Some((Inventory::new(), noted(&["a"])));
    let mut machine =
        Machine::new(config, "set".into(), stored, UserRequests::default(), moment(world.now)).following();
    let now = moment(world.now);
    let stored = Some(Box::new((Inventory::new(), noted(&["b"]))));
    machine.step(Input::Leads { stored, requests: UserRequests::default() }, now);
    assert_eq!(machine.drift.rewritten.keys().collect::<Vec<_>>(), [&id("b")]);
    // An audit knows better.
    assert!(machine.drift.note_rewritten(&id("b"), &[]) && machine.drift.rewritten.is_empty());
    assert!(
        machine.drift.note_rewritten(&id("b"), &["data".into()])
            && !machine.drift.note_rewritten(&id("b"), &["data".into()])
    );
}
