//! What must hold of every plan, for random worlds.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
struct Object {
    declared: bool,
    recorded: Option<(bool, bool, bool)>,
    live: Option<(u8, bool, bool, bool, bool, bool, u8)>,
}

fn any_object() -> impl Strategy<Value = Object> {
    let live = (0..3u8, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 0..2u8);
    (any::<bool>(), prop::option::of(any::<(bool, bool, bool)>()), prop::option::weighted(0.8, live))
        .prop_map(|(declared, recorded, live)| Object { declared, recorded, live })
}

fn world_of(objects: &[Object], flags: (bool, bool, bool, u8)) -> World {
    let mut world = World { approved: flags.0, incomplete: flags.1.then(|| "doubt".into()), ..World::default() };
    world.prune.enabled = flags.2;
    world.prune.max_percent = flags.3;
    for (n, object) in objects.iter().enumerate() {
        let wanted = desired(&format!("o{n}"), "1");
        let base = applied(&wanted);
        if let Some((applied, detach, unconfirmed)) = object.recorded {
            let recorded = Recorded { applied, detach, unconfirmed, ..Recorded::of(&base, &wanted, false) };
            world.inventory.insert(base.id.clone(), recorded);
        }
        if let Some((set, digest, entry, terminating, controlled, detach, uid)) = object.live {
            let live = Observed {
                part_of: [None, Some(SET.into()), Some("applyset-theirs-v1".into())][usize::from(set)].clone(),
                digest: digest.then_some(wanted.digest),
                fingerprint: entry.then(|| Fingerprint::of(b"fields")),
                terminating: terminating.then(Box::default),
                controlled,
                detach,
                uid: format!("uid-{uid}").into(),
                ..base
            };
            world.observed.insert(live.id.clone(), live);
        }
        if object.declared {
            world.desired.push(wanted);
        }
    }
    world
}

proptest! {
    /// Written anew from the design, not from the code: all of this must hold of anything pruned.
    #[test]
    fn never_a_prune_without_proof(
        objects in prop::collection::vec(any_object(), 0..40),
        flags in (any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.8), 0..=100u8),
    ) {
        let world = world_of(&objects, flags);
        let plan = world.plan();
        let declared: BTreeSet<&ObjectId> = world.desired.iter().map(|desired| &desired.manifest.id).collect();
        for step in plan.steps.iter().filter(|step| step.verb == Verb::Prune) {
            let recorded = world.inventory.get(&step.id);
            let live = world.observed.get(&step.id).unwrap();
            prop_assert!(recorded.is_some() && !declared.contains(&step.id));
            let recorded = recorded.unwrap();
            prop_assert!(world.prune.enabled && world.incomplete.is_none());
            prop_assert_eq!(live.part_of.as_deref(), Some(SET));
            prop_assert!(live.digest.is_some() && live.fingerprint.is_some());
            prop_assert!(!live.controlled && !live.detach && !recorded.detach && live.terminating.is_none());
            let same = recorded.uid == Short::of(&live.uid);
            prop_assert!((recorded.applied && same) || (!recorded.applied && recorded.unconfirmed));
        }
        let pruned = plan.count(Verb::Prune);
        if !world.approved && pruned > 0 {
            let total = world.inventory.values().filter(|recorded| !recorded.unconfirmed).count();
            prop_assert!(!world.desired.is_empty());
            prop_assert!(pruned <= 5 || pruned * 100 <= usize::from(world.prune.max_percent) * total);
        }
        // Nothing of another set is ever written.
        for step in plan.steps.iter().filter(|step| step.applies() || step.prunes()) {
            let set = step.live.as_ref().and_then(|live| live.part_of.as_deref());
            prop_assert!(set.is_none_or(|set| set == SET));
        }
        // Every object that is declared or in the inventory has exactly one verdict.
        let all: BTreeSet<&ObjectId> = declared.into_iter().chain(world.inventory.keys()).collect();
        prop_assert_eq!(plan.steps.iter().map(|step| &step.id).collect::<Vec<_>>(), all.into_iter().collect::<Vec<_>>());
    }
}
