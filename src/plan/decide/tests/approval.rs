//! What the guard holds, in figures that are right, and what an approval lets pass.

use super::*;
use crate::plan::{Approval, Held, digest_of};

fn plan_with(world: &World, approved: Approved<'_>) -> Plan {
    plan(&PlanInput { approved, ..world.input() })
}

fn held(world: &World) -> Held {
    world.plan().held.expect("it is held")
}

#[test]
fn a_prune_is_never_of_more_objects_than_there_are() {
    let mut world = many(7, 1);
    for recorded in world.inventory.values_mut() {
        recorded.unconfirmed = true;
    }
    assert_eq!((held(&world).prune, held(&world).total), (7, 7), "nothing was applied whole yet");
    world.inventory.get_mut(&id("kept-0")).unwrap().unconfirmed = false;
    let held = held(&world);
    assert_eq!((held.prune, held.total), (7, 8));
    assert!(held.reason.contains("7 of 8 objects") && held.reason.ends_with("of the 1 that were there before"));
}

#[test]
fn what_is_held_is_listed_with_a_bound_and_named_by_a_digest() {
    let (small, large) = (held(&many(7, 7)), held(&many(200, 7)));
    assert_eq!((small.objects.len(), large.objects.len(), large.prune), (7, Held::MOST, 200));
    assert_eq!(small.digest, digest_of(&small.objects));
    assert_ne!(large.digest, digest_of(&large.objects));
}

#[test]
fn an_approval_lets_the_set_pass_that_was_shown_and_no_other() {
    let world = many(7, 7);
    let value = Approval::value_for(&held(&world), "now");
    let approval = Approval::of(Some(&value), None, None).unwrap();
    let passed = plan_with(&world, approval.at(COMMIT));
    assert!(passed.by_approval && passed.held.is_none());
    assert_eq!(passed.count(Verb::Prune), 7);
    assert!(plan_with(&world, approval.at("another")).held.is_some());
    for other in [many(8, 7), many(6, 7)] {
        let plan = plan_with(&other, approval.at(COMMIT));
        let reason = plan.held.as_ref().map(|held| &*held.reason).unwrap_or_default();
        assert!(reason.contains("was given for other objects") && plan.count(Verb::Prune) == 0, "{reason}");
    }
}

#[test]
fn one_that_has_begun_lets_what_is_left_pass_and_nothing_that_joins_it() {
    let mut world = many(10, 7);
    let value = Approval::value_for(&held(&world), "now");
    let begun = Approval { begun: true, ..Approval::of(Some(&value), None, None).unwrap() };
    assert!(plan_with(&world, begun.at(COMMIT)).held.is_some(), "it was carried out already");
    for number in 0..8 {
        world.inventory.get_mut(&id(&format!("orphan-{number}"))).unwrap().approved = true;
    }
    assert!(plan_with(&world, begun.at(COMMIT)).held.is_some(), "two more have joined");
    for number in 8..10 {
        world.inventory.remove(&id(&format!("orphan-{number}")));
    }
    assert_eq!(plan_with(&world, begun.at(COMMIT)).count(Verb::Prune), 8);
}
