//! A Namespace is not deleted under what is to stay.

use super::*;

/// A Namespace `shop` that was removed from git and may be pruned, and its orphan `a`.
fn world() -> World {
    let mut world = World::default().with("a", false).with("elsewhere", true);
    let other = world.desired.pop().unwrap();
    let mut value = other.manifest.to_value();
    value["metadata"]["namespace"] = "other".into();
    world.desired.push(of(value));
    let namespace = of(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}));
    let live = applied(&namespace);
    world.inventory.remove(&other.manifest.id);
    world.inventory.insert(live.id.clone(), Recorded::of(&live, &namespace, false));
    world.prune.include.push(live.id.gk.clone());
    world.observed.insert(live.id.clone(), live);
    world
}

fn of(value: serde_json::Value) -> Desired {
    let manifest = Manifest::from_value(value, Origin { file: "n.yaml".into(), line: 1 }).unwrap();
    Desired { digest: Digest::of(&manifest.canonical), manifest: Arc::new(manifest) }
}

fn verbs(world: &World) -> (Verb, Verb) {
    let plan = world.plan();
    let of = |kind: &str| plan.steps.iter().find(|step| &*step.id.gk.kind == kind && &*step.id.name != "elsewhere");
    (of("Namespace").unwrap().verb, of("ConfigMap").unwrap().verb)
}

#[test]
fn what_is_in_it_goes_with_it() {
    assert_eq!(verbs(&world()), (Verb::Prune, Verb::Prune));
}

#[test]
fn what_is_to_be_left_keeps_it_and_stays_known() {
    let mut world = world();
    world.live("a").detach = true;
    assert_eq!(verbs(&world), (Verb::Keep, Verb::Keep));
    // The same after it was let go of and before that was recorded.
    world.live("a").part_of = None;
    world.live("a").digest = None;
    assert_eq!(verbs(&world), (Verb::Keep, Verb::Keep));
}
