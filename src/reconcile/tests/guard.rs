//! The prune guard: it holds, it says so once, and neither a restart nor another commit passes it.

use super::world::{Crash, World};
use crate::event::Outcome;
use crate::plan::Phase;

fn names(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("o{n:03}")).collect()
}

/// 20 objects are synced, and a commit keeps one of them and adds one.
fn held() -> World {
    let mut world = World::synced(names(0, 20));
    world.push("cut", ["o000", "new"]);
    world
}

#[test]
fn a_commit_that_removes_most_is_held_and_the_rest_of_it_is_applied() {
    let mut world = held();
    world.pass(3600);
    assert_eq!(world.phase(), Phase::Held);
    assert_eq!((world.live.len(), world.count("Prune")), (21, 0));
    assert_eq!(world.held_events(), 1, "reported once");
    let held = world.machine.status().held.clone().unwrap();
    assert_eq!((&*held.commit, held.prune, held.total), ("cut", 19, 20));
    assert!(world.parent.as_ref().unwrap().1.held.is_some(), "so that driftless approve finds it");
    assert!(world.count("WriteParent") <= 2, "{:?}", world.log);
}

#[test]
fn an_error_meanwhile_does_not_make_it_be_reported_again() {
    let mut world = held();
    world.pass(120);
    let good = std::mem::replace(&mut world.head, Err("no route to host".into()));
    world.pass(120);
    world.head = good;
    world.pass(120);
    world.unobservable = true;
    world.pass(120);
    world.unobservable = false;
    world.pass(400);
    assert_eq!(world.phase(), Phase::Held);
    assert_eq!(world.held_events(), 1);
    assert!(world.parent.as_ref().unwrap().1.held.is_some());
}

#[test]
fn approval_of_that_very_commit_prunes() {
    let mut world = held();
    world.pass(120);
    world.approve("first");
    world.drain();
    assert_eq!((world.phase(), world.count("Prune")), (Phase::Held, 0), "approval of another commit");
    world.approve("cut");
    world.drain();
    assert_eq!(world.phase(), Phase::Synced);
    assert!(world.is_as_in("cut"));
}

#[test]
fn a_newer_commit_with_the_same_deletions_is_held_too() {
    let mut world = held();
    world.pass(120);
    world.push("next", ["o000", "new", "newer"]);
    world.pass(120);
    assert_eq!((world.phase(), world.count("Prune")), (Phase::Held, 0));
    world.approve("cut");
    world.pass(120);
    assert_eq!((world.phase(), world.count("Prune")), (Phase::Held, 0), "approval of the older commit");
    assert_eq!(world.machine.status().held.as_ref().map(|held| held.prune), Some(19));
    world.approve("next");
    world.pass(1);
    assert!(world.is_as_in("next"));
}

/// One object of three would go: what the guard of a commit lets pass.
#[test]
fn what_another_path_prunes_is_held_until_it_is_approved_and_then_the_sync_is_like_every_other() {
    let mut world = World::synced(["a", "b", "c"]);
    let moved = |world: &mut World| {
        let mut config = (*world.config).clone();
        config.path = crate::config::RepoPath::parse("elsewhere").unwrap();
        world.config = std::sync::Arc::new(config);
        world.restart();
    };
    moved(&mut world);
    // Of what is pushed, the other path has every second object.
    world.push("first of there", ["b", "bb", "c"]);
    world.pass(120);
    assert_eq!((world.phase(), world.count("Prune")), (Phase::Held, 0));
    let held = world.machine.status().held.clone().unwrap();
    assert_eq!((held.prune, held.total), (1, 3));
    assert!(held.reason.contains("path was . and is elsewhere"), "{}", held.reason);
    // Not forgotten by a restart, nor by the next commit.
    world.restart();
    world.push("second of there", ["b", "bb", "c", "cc", "d"]);
    world.pass(120);
    assert_eq!((world.phase(), world.count("Prune")), (Phase::Held, 0));
    world.approve("second of there");
    world.pass(10);
    assert!(world.is_as_in("second of there"), "{:?}", world.log);
    world.push("third of there", ["b", "bb", "c"]);
    world.pass(120);
    assert!(world.is_as_in("third of there"), "an ordinary commit");
    // Back again, and nothing is to go: nothing to ask about.
    world.config = World::new().config;
    world.restart();
    world.push("back", ["b", "c", "d"]);
    world.pass(120);
    assert_eq!(world.phase(), Phase::Synced);
}

/// It never got all of its objects, so it is only known what its first commit was to make.
#[test]
fn a_sync_that_never_was_synced_has_come_from_somewhere_all_the_same() {
    let mut world = World::new();
    world.refused.insert("b".into());
    world.push("first", ["a", "b"]);
    world.pass(60);
    assert_eq!((world.phase(), world.names()), (Phase::Failing, vec!["a"]));
    let mut config = (*world.config).clone();
    config.target_namespace = Some("elsewhere".into());
    world.config = std::sync::Arc::new(config);
    world.restart();
    world.push("second", ["c"]);
    world.pass(120);
    assert_eq!((world.phase(), world.count("Prune")), (Phase::Held, 0));
}

#[test]
fn a_commit_that_declares_nothing_is_held_whatever_its_size() {
    let mut world = World::synced(["only"]);
    world.push("empty", Vec::<String>::new());
    world.pass(300);
    assert_eq!((world.phase(), world.names()), (Phase::Held, vec!["only"]));
}

#[test]
fn what_puts_the_deletions_back_ends_the_hold() {
    let mut world = held();
    world.pass(120);
    world.push("revert", names(0, 20));
    world.pass(120);
    assert_eq!(world.phase(), Phase::Synced);
    assert!(world.is_as_in("revert"));
    assert_eq!(world.parent.as_ref().unwrap().1.held, None);
}

#[test]
fn no_restart_at_any_point_passes_the_guard() {
    for crash in Crash::SOME {
        for at in 0..24 {
            let mut world = held();
            world.kill = Some((at, crash));
            world.pass(300);
            let killed = world.killed;
            world.restart();
            world.pass(300);
            let case = (at, crash, world.log.clone());
            assert_eq!(world.count("Prune"), 0, "{case:?}");
            assert_eq!((world.phase(), world.live.len()), (Phase::Held, 21), "{case:?}");
            assert!(killed || at > 10, "{case:?}");
            world.approve("cut");
            world.pass(60);
            assert!(world.is_as_in("cut"), "{case:?}");
        }
    }
}

#[test]
fn a_restart_at_any_point_of_an_approved_prune_ends_it() {
    for crash in Crash::SOME {
        for at in 0..8 {
            let mut world = held();
            world.pass(120);
            world.approve("cut");
            world.kill = Some((at, crash));
            world.pass(120);
            world.restart();
            world.pass(300);
            assert!(world.is_as_in("cut"), "{at} {crash:?} {:?}", world.log);
            assert_eq!(world.stored(), ["new", "o000"]);
        }
    }
}

#[test]
fn what_a_commit_adds_does_not_hide_what_it_removes_also_after_restarts() {
    for crash in Crash::SOME {
        for at in 0..16 {
            let mut world = World::synced(names(0, 20));
            let mut kept = names(10, 20);
            kept.extend((0..100).map(|n| format!("new{n:03}")));
            world.push("swap", kept);
            world.kill = Some((at, crash));
            world.pass(200);
            world.restart();
            world.pass(200);
            world.restart();
            world.pass(200);
            assert_eq!((world.phase(), world.count("Prune")), (Phase::Held, 0), "{at} {crash:?}");
            assert_eq!(world.live.len(), 120);
        }
    }
}

#[test]
fn what_an_overtaken_commit_added_does_not_hide_what_the_next_one_removes() {
    let mut world = World::synced(names(0, 20));
    let mut more = names(1, 20);
    more.extend((0..100).map(|n| format!("new{n:03}")));
    world.push("more", more);
    world.until("Apply");
    world.push("less", (0..100).map(|n| format!("new{n:03}")));
    world.now += world.config.interval;
    world.step(crate::reconcile::Input::Tick);
    let poll = world.pending.pop_back().unwrap();
    world.execute(poll);
    world.pass(10);
    assert_eq!((world.phase(), world.count("Prune")), (Phase::Held, 0));
}

#[test]
fn a_few_deletions_need_no_approval() {
    let mut world = World::synced(names(0, 20));
    world.push("cut", names(5, 20));
    world.pass(120);
    assert_eq!(world.ended().last(), Some(&Outcome::Synced));
    assert!(world.is_as_in("cut"));
}
