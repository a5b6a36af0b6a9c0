//! What an approval is for: the objects that were shown when the prune was held, at that commit,
//! once.

use super::world::World;
use crate::plan::Phase;

fn names(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("o{n:03}")).collect()
}

/// 20 objects are synced, and a commit that removes 6 of them is held.
fn six_held() -> World {
    let mut world = World::synced(names(0, 20));
    world.push("cut", names(6, 20));
    world.pass(120);
    assert_eq!((world.phase(), world.live.len()), (Phase::Held, 20));
    world
}

#[test]
fn an_approval_is_spent_once_its_prune_is_done() {
    let mut world = six_held();
    world.approve_held();
    world.pass(10);
    assert!(world.is_as_in("cut"));
    world.pass(120);
    world.forget();
    world.change_path(["other"]);
    world.pass(300);
    assert_eq!((world.phase(), world.count("Prune"), world.live.len()), (Phase::Held, 0, 15));
    let held = world.machine.status().held.clone().unwrap();
    assert_eq!((&*held.commit, held.prune), ("cut", 14));
    world.approve_held();
    world.pass(10);
    assert_eq!((world.phase(), world.names()), (Phase::Synced, vec!["other"]));
}

#[test]
fn the_same_objects_at_the_same_commit_are_held_again_when_they_were_made_again() {
    let mut world = six_held();
    world.approve_held();
    world.pass(10);
    assert!(world.is_as_in("cut"));
    for _ in 0..2 {
        world.change_path(names(0, 20));
        world.pass(120);
        assert_eq!((world.phase(), world.live.len()), (Phase::Synced, 20));
        world.change_path(names(6, 20));
        world.pass(120);
        assert_eq!((world.phase(), world.live.len()), (Phase::Held, 20), "spent");
        world.approve_held();
        world.pass(10);
        assert!(world.is_as_in("cut"), "and given again");
    }
}

#[test]
fn an_approval_that_arrives_when_the_commit_renders_to_other_objects_counts_for_nothing() {
    let mut world = six_held();
    let parent = world.parent.clone();
    world.change_path(names(0, 2));
    world.until("Observe");
    // The person read the status before.
    let now = std::mem::replace(&mut world.parent, parent);
    world.approve_held();
    world.parent = now;
    world.pass(300);
    assert_eq!((world.phase(), world.count("Prune"), world.live.len()), (Phase::Held, 0, 20));
    assert_eq!(world.machine.status().held.as_ref().map(|held| held.prune), Some(18));
    world.approve_held();
    world.pass(10);
    assert_eq!(world.live.len(), 2);
}

#[test]
fn an_approved_prune_that_was_carried_out_half_goes_on_without_another_approval() {
    for restarts in [false, true] {
        let mut world = World::synced(names(0, 20));
        world.push("cut", names(18, 20));
        world.pass(120);
        assert_eq!(world.phase(), Phase::Held);
        world.refused.extend(names(9, 18));
        world.forget();
        world.approve_held();
        world.pass(60);
        assert_eq!((world.phase(), world.live.len()), (Phase::Failing, 11));
        if restarts {
            world.restart();
            world.pass(60);
            assert_eq!(world.phase(), Phase::Failing, "{}", world.machine.status().message);
        }
        // One of them is deleted by somebody else meanwhile.
        world.live.remove(&super::world::id("o009"));
        world.refused.clear();
        world.pass(600);
        assert!(world.is_as_in("cut"), "{:?}", world.log);
        assert_eq!((world.phase(), world.held_events()), (Phase::Synced, 0), "restarts: {restarts}");
    }
}

#[test]
fn what_joins_the_rest_of_an_approved_prune_is_held_with_it() {
    let mut world = World::synced(names(0, 20));
    world.push("cut", names(12, 20));
    world.pass(120);
    world.refused.extend(names(6, 12));
    world.approve_held();
    world.pass(60);
    assert_eq!(world.live.len(), 14);
    world.refused.clear();
    world.change_path(names(14, 20));
    world.pass(300);
    assert_eq!((world.phase(), world.live.len()), (Phase::Held, 14));
    assert_eq!(world.machine.status().held.as_ref().map(|held| held.prune), Some(8));
}

#[test]
fn what_git_declares_again_is_approved_no_longer() {
    let mut world = World::synced(names(0, 20));
    world.push("cut", names(12, 20));
    world.pass(120);
    world.refused.extend(names(0, 12));
    world.approve_held();
    world.pass(60);
    assert_eq!(world.live.len(), 20);
    world.refused.clear();
    world.change_path(names(0, 20));
    world.pass(60);
    assert_eq!(world.phase(), Phase::Synced);
    world.change_path(names(12, 20));
    world.pass(300);
    assert_eq!((world.phase(), world.live.len()), (Phase::Held, 20));
}

#[test]
fn an_approval_can_be_taken_back_between_two_tries() {
    let mut world = World::synced(names(0, 20));
    world.push("cut", names(12, 20));
    world.pass(120);
    world.refused.extend(names(6, 12));
    world.approve_held();
    world.pass(60);
    assert_eq!(world.live.len(), 14);
    world.annotate(|requests| requests.approved = None);
    world.refused.clear();
    world.pass(600);
    assert_eq!((world.phase(), world.live.len()), (Phase::Held, 14));
}

#[test]
fn a_commit_that_is_named_before_anything_was_shown_approves_nothing() {
    for restarts in [false, true] {
        let mut world = World::synced(names(0, 20));
        world.approve("cut");
        world.pass(60);
        world.push("cut", names(6, 20));
        world.pass(120);
        if restarts {
            world.restart();
            world.pass(120);
        }
        assert_eq!((world.phase(), world.live.len()), (Phase::Held, 20));
        world.approve_held();
        world.pass(10);
        assert!(world.is_as_in("cut"));
    }
}

#[test]
fn a_commit_that_is_named_by_hand_approves_what_was_shown_for_it() {
    for restarts in [false, true] {
        let mut world = six_held();
        if restarts {
            world.requests.approved = Some("cut".into());
            world.restart();
        } else {
            world.approve("cut");
        }
        world.pass(60);
        assert!(world.is_as_in("cut"), "restarts: {restarts}");
        world.change_path(["other"]);
        world.pass(300);
        assert_eq!((world.phase(), world.live.len()), (Phase::Held, 15), "and nothing else at that commit");
    }
}
