//! Objects that more than one sync names, and the agent's own.

use super::*;

const DECLARES: Stake = Stake { declares: true, holds: false, failed: false, barred: false };

fn neighbour(set: &str, stake: Stake) -> Neighbour {
    Neighbour { set_id: set.into(), objects: [(id("a"), stake)].into(), ..Neighbour::default() }
}

#[test]
fn an_object_moves_between_syncs_without_being_deleted() {
    let mut to = World::default().with("a", true);
    to.live("a").part_of = Some("applyset-from-v1".into());
    to.others.syncs.insert("from".into(), neighbour("applyset-from-v1", Stake::default()));
    assert_eq!(to.verdict("a"), (Verb::Configure, Reason::HandedOver { from: "from".into() }));
    to.others.syncs.insert("from".into(), neighbour("applyset-from-v1", DECLARES));
    assert_eq!(to.verdict("a").0, Verb::Refuse);

    let mut from = World::default().with("a", false).with("b", true);
    from.others.syncs.insert("to".into(), neighbour("applyset-to-v1", DECLARES));
    assert_eq!(from.verdict("a"), (Verb::Keep, Reason::Declared { by: "to".into() }), "until it was taken over");
    from.live("a").part_of = None;
    assert_eq!(from.verdict("a"), (Verb::Keep, Reason::Declared { by: "to".into() }), "nobody else remembers it");
    from.live("a").part_of = Some("applyset-to-v1".into());
    assert_eq!(from.verdict("a"), (Verb::Forget, Reason::Declared { by: "to".into() }));
}

#[test]
fn an_orphan_with_the_label_of_a_sync_is_forgotten_only_if_that_knows_it() {
    let mut world = World::default().with("a", false).with("b", true);
    world.live("a").part_of = Some("applyset-to-v1".into());
    for (stake, verb) in [
        (Stake::default(), Verb::Keep),
        (DECLARES, Verb::Forget),
        (Stake { holds: true, ..Stake::default() }, Verb::Forget),
        (Stake { barred: true, ..Stake::default() }, Verb::Keep),
    ] {
        world.others.syncs.insert("to".into(), neighbour("applyset-to-v1", stake));
        assert_eq!(world.verdict("a").0, verb, "{stake:?}");
    }
}

#[test]
fn an_orphan_that_another_sync_names_and_may_not_take_is_pruned() {
    let mut world = World::default().with("a", false).with("b", true);
    let barred = neighbour("applyset-to-v1", Stake { barred: true, ..DECLARES });
    world.others.syncs.insert("to".into(), Neighbour { unsure: true, ..barred });
    assert_eq!(world.verdict("a"), (Verb::Prune, Reason::RemovedFromGit));
}

#[test]
fn an_orphan_that_may_have_moved_to_a_broken_file_of_another_sync_is_kept() {
    let mut world = World::default().with("a", false).with("b", true);
    world.others.syncs.insert("to".into(), Neighbour { unsure: true, ..Neighbour::default() });
    assert_eq!(world.verdict("a"), (Verb::Keep, Reason::Unsure { sync: "to".into() }));
    assert!(world.plan().blocked.is_some());
}

#[test]
fn what_another_sync_has_in_its_inventory_is_not_created_over_its_head() {
    let mut world = World { desired: vec![desired("a", "1")], ..World::default() };
    world.others.me = "me".into();
    let holds = neighbour("applyset-to-v1", Stake { holds: true, ..DECLARES });
    world.others.syncs.insert("to".into(), holds);
    assert_eq!(world.verdict("a"), (Verb::Refuse, Reason::OtherSet { owner: "sync to".into() }));
    let mut ours = World::default().with("a", true);
    ours.others = world.others.clone();
    ours.observed.clear();
    assert_eq!(ours.verdict("a"), (Verb::Create, Reason::Deleted), "this one has it, too, and comes first");
    let unsettled = Some(Unsettled::Suspended);
    let suspended = Neighbour { unsettled, ..neighbour("applyset-to-v1", Stake { holds: true, ..Stake::default() }) };
    world.others.syncs.insert("to".into(), suspended);
    assert_eq!(world.verdict("a").0, Verb::Refuse);
}

#[test]
fn the_agents_own_objects_are_never_pruned_and_leave_the_inventory() {
    let mut world = World::default().with("a", false).with("b", true);
    world.others.reserved = Reserved::new("shop".into(), ["a".into()]);
    assert_eq!(world.verdict("a").0, Verb::Prune);
    let mut world = World::default().with("driftless-a", false).with("b", true);
    world.others.reserved = Reserved::new("shop".into(), ["a".into()]);
    assert_eq!(world.verdict("driftless-a").0, Verb::Forget);
    world.incomplete = Some("a file cannot be used".into());
    assert_eq!(world.verdict("driftless-a").0, Verb::Forget);
}

#[test]
fn the_namespace_in_which_the_agent_keeps_its_state_is_never_pruned() {
    let mut world = World::default().with("other", true);
    let (space, live, recorded) = live_of(("", "Namespace"), "home");
    world.observed.insert(space.clone(), live);
    world.inventory.insert(space.clone(), recorded);
    world.prune.include.push(space.gk.clone());
    let verb = |world: &World| world.plan().steps.iter().find(|step| step.id == space).unwrap().verb;
    assert_eq!(verb(&world), Verb::Prune);
    world.others.reserved = Reserved::new("home".into(), []);
    assert_eq!(verb(&world), Verb::Keep);
}

#[test]
fn a_namespace_in_which_another_sync_may_have_something_is_not_pruned() {
    let mut world = World::default().with("elsewhere", true);
    let (space, live, recorded) = live_of(("", "Namespace"), "free");
    world.observed.insert(space.clone(), live);
    world.inventory.insert(space.clone(), recorded);
    world.prune.include.push(space.gk.clone());
    let step = |world: &World| world.plan().steps.into_iter().find(|step| step.id == space).unwrap();
    world.others.syncs.insert("other".into(), Neighbour::default());
    assert_eq!(step(&world).verb, Verb::Prune);
    world.others.syncs.insert("other".into(), Neighbour { unknown: true, ..Neighbour::default() });
    assert_eq!(step(&world).verb, Verb::Keep);
    assert!(step(&world).reason.to_string().contains("sync other has, whose inventory is not read yet"));
}
