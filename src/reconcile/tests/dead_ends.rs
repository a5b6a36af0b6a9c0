//! Commits that cannot get on by themselves: what is refused, and what is kept for that, are in each
//! other's way until a person lets the prune go ahead.

use super::world::{Crash, World};
use crate::event::Outcome;
use crate::plan::{Approval, Held, Phase};

/// `new` is refused as long as `old` is there, which the commit removes.
fn renamed() -> World {
    let mut world = World::synced(["a", "b", "c", "old"]);
    world.barred.insert("new".into(), "old".into());
    world.push("rename", ["a", "b", "c", "new"]);
    world
}

#[test]
fn it_is_named_and_reported_once_and_nothing_is_pruned() {
    let mut world = renamed();
    world.pass(3600);
    assert_eq!((world.phase(), world.count("Prune")), (Phase::Failing, 0));
    let status = world.machine.status();
    let held = status.held.clone().unwrap();
    assert_eq!((&*held.commit, held.prune, held.total, held.is_dead_end()), ("rename", 1, 4, true));
    assert!(held.reason.contains("ConfigMap shop/new"), "{}", held.reason);
    for part in ["refused", "1 object that left git is kept", "driftless approve shop"] {
        assert!(status.message.contains(part), "{}", status.message);
    }
    assert_eq!(world.held_events(), 1);
    assert!(world.parent.as_ref().unwrap().1.held.is_some(), "so that driftless approve finds it");
    assert!(world.count("WriteParent") <= 3, "{:?}", world.log);
    assert!(world.ended().iter().all(|outcome| *outcome == Outcome::Failed));
}

#[test]
fn once_approved_what_is_in_the_way_goes_and_the_rest_follows_in_the_same_cycle() {
    let mut world = renamed();
    world.pass(60);
    world.forget();
    world.approve_held();
    world.drain();
    assert_eq!(world.ended(), [Outcome::Synced], "{:?}", world.log);
    assert!(world.is_as_in("rename"));
    assert_eq!(world.machine.status().held, None);
    assert_eq!(world.parent.as_ref().unwrap().1.held, None);
}

#[test]
fn a_restart_at_any_point_of_it_ends_it_and_prunes_nothing_else() {
    for crash in Crash::SOME {
        for at in 0..14 {
            let mut world = renamed();
            world.pass(60);
            world.approve_held();
            world.kill = Some((at, crash));
            world.pass(60);
            world.restart();
            world.pass(120);
            assert!(world.is_as_in("rename"), "{at} {crash:?} {:?}", world.log);
            assert_eq!(world.stored(), ["a", "b", "c", "new"]);
        }
    }
}

#[test]
fn it_is_approved_by_nothing_but_itself() {
    let mut world = renamed();
    world.pass(60);
    let held = world.machine.status().held.clone().unwrap();
    let approval = Approval::value_for(&held, "now");
    let of_guard = Held { digest: crate::plan::digest_of(&held.objects), ..held };
    world.approve(&Approval::value_for(&of_guard, "now"));
    world.pass(60);
    assert_eq!(world.count("Prune"), 0, "that is an approval of the guard");
    world.push("more", ["a", "new"]);
    world.pass(60);
    world.approve(&approval);
    world.pass(60);
    assert_eq!(world.count("Prune"), 0, "another commit");
    world.approve(&approval.replace("rename", "more"));
    world.pass(60);
    assert_eq!(world.count("Prune"), 0, "other objects");
    assert_eq!(world.machine.status().held.as_ref().map(|held| held.prune), Some(3));
}

#[test]
fn it_is_spent_with_its_prune() {
    let mut world = renamed();
    world.pass(60);
    world.approve_held();
    world.pass(60);
    assert!(world.is_as_in("rename"));
    // The same commit declares the object again, and then no longer.
    world.change_path(["a", "b", "c", "old"]);
    world.pass(120);
    assert!(world.names().contains(&"old"), "{:?}", world.names());
    world.forget();
    world.change_path(["a", "b", "c", "new"]);
    world.pass(300);
    assert_eq!(world.count("Prune"), 0, "{:?}", world.log);
}

#[test]
fn it_is_not_offered_while_anything_else_is_wrong() {
    type Fault = fn(&mut World);
    let faults: [(&str, Fault); 3] = [
        ("a broken file", |world| world.commits.get_mut("rename").unwrap().broken = 1),
        ("git is away", |world| world.head = Err("no route to host".into())),
        ("the cluster is away", |world| world.unobservable = true),
    ];
    for (fault, set) in faults {
        let mut world = renamed();
        if fault != "a broken file" {
            world.until("Observe");
        }
        set(&mut world);
        world.pass(200);
        if fault == "a broken file" {
            assert_eq!(world.machine.status().held, None, "{fault}");
        }
        let mut probe = renamed();
        probe.pass(60);
        let held = probe.machine.status().held.clone().unwrap();
        world.approve(&Approval::value_for(&held, "now"));
        world.pass(200);
        assert_eq!(world.count("Prune"), 0, "{fault}: nor is it carried out");
    }
}

#[test]
fn an_approval_that_helps_nothing_prunes_once_and_the_error_stays() {
    let mut world = World::synced(["a", "b", "c", "old"]);
    world.refused.insert("new".into());
    world.push("rename", ["a", "b", "c", "new"]);
    world.pass(60);
    world.approve_held();
    world.pass(600);
    assert_eq!((world.phase(), world.count("Prune")), (Phase::Failing, 1));
    assert_eq!(world.names(), ["a", "b", "c"]);
    assert_eq!(world.machine.status().held, None);
}

#[test]
fn an_orphan_that_cannot_be_deleted_ends_the_cycle_all_the_same() {
    let mut world = renamed();
    world.pass(60);
    world.refused.insert("old".into());
    world.approve_held();
    world.pass(5);
    assert_eq!(world.phase(), Phase::Failing);
    assert!(world.count("Prune") <= 5, "{:?}", world.log);
    world.refused.clear();
    world.pass(120);
    assert!(world.is_as_in("rename"));
}

#[test]
fn drift_that_is_refused_to_be_healed_is_let_through_likewise() {
    let mut world = World::synced(["a", "b", "c", "hook"]);
    world.barred.insert("a".into(), "hook".into());
    world.live("a").digest = Some(crate::object::Digest::of(b"by hand"));
    world.seen(&super::world::id("a"));
    world.pass(60);
    assert_eq!(world.phase(), Phase::Failing);
    assert_eq!(world.machine.status().held, None, "nothing is to be pruned");
    world.push("unhook", ["a", "b", "c"]);
    world.pass(120);
    assert_eq!(world.count("Prune"), 0);
    world.approve_held();
    world.pass(10);
    assert_eq!(world.phase(), Phase::Synced, "{:?}", world.log);
    assert!(world.is_as_in("unhook"));
}

#[test]
fn what_depends_on_a_refused_object_is_no_other_reason() {
    // In this world nothing depends on anything: the outcome says so by itself.
    use crate::plan::{AppliedObject, ApplyResult, Obstacle, Problem};
    let mut world = renamed();
    world.push("rename", ["a", "b", "c", "new", "user"]);
    let id = world.until("Apply");
    world.pending.clear();
    let outcome = |name: &str, result, obstacle| AppliedObject {
        id: super::world::id(name),
        uid: None,
        result,
        live: None,
        problem: Some(Problem::general("refused")),
        obstacle: Some(obstacle),
        removed: Vec::new(),
        rewritten: Vec::new(),
    };
    let refused = outcome("new", ApplyResult::Failed, Obstacle::Refused);
    let skipped = outcome("user", ApplyResult::Skipped, Obstacle::Dependency);
    world.step(crate::reconcile::Input::Applied { id, outcomes: vec![refused.clone(), skipped] });
    world.drain();
    assert!(world.machine.status().held.as_ref().is_some_and(Held::is_dead_end));
    let mut world = renamed();
    let id = world.until("Apply");
    world.pending.clear();
    let lost = outcome("user", ApplyResult::Failed, Obstacle::Other);
    world.step(crate::reconcile::Input::Applied { id, outcomes: vec![refused, lost] });
    world.drain();
    assert_eq!(world.machine.status().held, None);
}
