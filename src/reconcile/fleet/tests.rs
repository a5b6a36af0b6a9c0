use super::*;
use crate::config::parse;
use crate::plan::Recorded;

fn config(name: &str, url: &str) -> Arc<SyncConfig> {
    let text = format!("syncs:\n- {{name: {name}, source: {{url: '{url}', branch: main}}, path: {name}}}\n");
    Arc::clone(&parse(&text, "driftless.yaml").unwrap().syncs[0])
}

fn id(name: &str) -> ObjectId {
    ObjectId::new("", "ConfigMap", Some("shop"), name)
}

fn what(names: &[&str]) -> Declaration {
    Declaration { ids: names.iter().map(|name| id(name)).collect(), complete: true }
}

fn inventory(names: &[&str]) -> Inventory {
    let recorded = Recorded { applied: true, ..Recorded::default() };
    names.iter().map(|name| (id(name), recorded)).collect()
}

/// Two syncs of one repository, of which the first has this inventory.
fn fleet(names: &[&str]) -> (Fleet, Arc<SyncConfig>, Arc<SyncConfig>) {
    let (left, right) = (config("left", "https://e.com/r.git"), config("right", "https://bob:x@E.com/r/"));
    let mut fleet = Fleet::default();
    for sync in [&left, &right] {
        fleet.enter(sync, &format!("set-{}", sync.name));
        fleet.set_phase(&sync.name, Phase::Pending);
    }
    let holding = fleet.compare(&left.name, &inventory(names));
    fleet.holds(&left.name, holding);
    (fleet, left, right)
}

/// What the second knows of the first.
fn left_of(fleet: &Fleet, right: &SyncConfig) -> Neighbour {
    let wanted = BTreeSet::from([id("x"), id("y"), ObjectId::new("", "Namespace", None, "shop")]);
    fleet.others(right, "c1", &wanted).syncs["left"].clone()
}

#[test]
fn a_sync_gives_nothing_up_before_it_has_read_its_repository_and_while_it_is_suspended() {
    let (mut fleet, left, right) = fleet(&["x"]);
    let sets = BTreeSet::from(["set-left".into(), "set-of-nobody".into()]);
    assert_eq!(fleet.undecided(&right.name, &sets), BTreeSet::from(["set-left".into()]));
    assert_eq!(fleet.undecided(&left.name, &sets), BTreeSet::new());
    let of = |fleet: &Fleet| left_of(fleet, &right);
    assert_eq!((of(&fleet).unsettled, of(&fleet).set_id.as_str()), (Some(Unsettled::Unread), "set-left"));
    assert!(of(&fleet).objects[&id("x")].holds, "its inventory is known all the same");
    fleet.declare(&left.name, "c1", true, &what(&["y"]));
    assert_eq!(of(&fleet).unsettled, None);
    assert_eq!(of(&fleet).objects[&id("x")], Stake { holds: true, ..Stake::default() });
    assert_eq!(of(&fleet).objects[&id("y")], Stake { declares: true, ..Stake::default() });
    fleet.declare(&left.name, "c1", true, &Declaration { complete: false, ..what(&["y"]) });
    assert_eq!((of(&fleet).unsettled, of(&fleet).unsure), (Some(Unsettled::Unusable), true));
    fleet.declare(&left.name, "c1", true, &what(&["y"]));
    fleet.set_phase(&left.name, Phase::Suspended);
    assert_eq!((of(&fleet).unsettled, of(&fleet).acts), (Some(Unsettled::Suspended), false));
    // Resumed, it has not read what was committed meanwhile.
    fleet.set_phase(&left.name, Phase::Pending);
    assert_eq!((of(&fleet).unsettled, of(&fleet).acts), (Some(Unsettled::Unread), true));
    fleet.declare(&left.name, "c2", true, &what(&["y"]));
    assert_eq!((of(&fleet).unsettled, of(&fleet).unsure), (None, false));
    // A newer commit that cannot be used at all may declare anything.
    fleet.can_use(&left.name, false);
    fleet.declare(&left.name, "c2", false, &what(&["y"]));
    assert_eq!(of(&fleet).unsettled, Some(Unsettled::Unusable));
    fleet.can_use(&left.name, true);
    // Configured in another way, all of that counts no longer.
    fleet.enter(&left, "set-left");
    assert_eq!(of(&fleet).unsettled, Some(Unsettled::Unread));
}

#[test]
fn a_sync_that_waits_declares_both_what_it_enforces_and_what_it_is_about_to() {
    let (mut fleet, left, right) = fleet(&[]);
    let mut waits = (*left).clone();
    waits.depends_on = vec![SyncName::parse("absent").unwrap()];
    assert_eq!(fleet.waiting_for(&waits), ["absent"]);
    fleet.declare(&left.name, "c0", false, &what(&["x"]));
    fleet.declare_next(&left.name, "c1", what(&["y"]));
    assert!(fleet.knows(&left.name, "c0") && fleet.knows(&left.name, "c1") && !fleet.knows(&left.name, "c2"));
    let of = left_of(&fleet, &right);
    assert!(of.objects[&id("x")].declares && of.objects[&id("y")].declares && !of.acts);
    fleet.declare(&left.name, "c0", false, &what(&["x"]));
    assert!(left_of(&fleet, &right).objects[&id("y")].declares, "it still waits");
    fleet.declare(&left.name, "c2", true, &what(&["x"]));
    assert!(!left_of(&fleet, &right).objects.contains_key(&id("y")), "the commit in between was never enforced");
}

#[test]
fn what_a_sync_has_gone_through_and_does_not_have_it_could_not_apply() {
    let (mut fleet, left, right) = fleet(&["x"]);
    fleet.declare(&left.name, "c1", true, &what(&["x", "y"]));
    let stake = |fleet: &Fleet, name: &str| left_of(fleet, &right).objects[&id(name)];
    fleet.set_phase(&left.name, Phase::Syncing);
    assert!(!stake(&fleet, "y").failed);
    fleet.set_phase(&left.name, Phase::Failing);
    assert!(stake(&fleet, "y").failed && !stake(&fleet, "x").failed && stake(&fleet, "x").holds);
    assert!(left_of(&fleet, &right).namespaces.contains("shop"), "of what it has");
    let holding = fleet.compare(&left.name, &inventory(&["x", "y"]));
    fleet.holds(&left.name, holding);
    assert!(!stake(&fleet, "y").failed && stake(&fleet, "y").holds);
    // Of a commit that declares more, nothing is known yet.
    fleet.declare(&left.name, "c2", true, &what(&["y"]));
    assert!(stake(&fleet, "x").holds && !stake(&fleet, "x").declares && stake(&fleet, "y").holds);
}

/// Whether a sync gets the object `x`, which has no label.
fn takes(fleet: &mut Fleet, config: &SyncConfig) -> bool {
    let x = BTreeSet::from([id("x")]);
    let mut others = fleet.others(config, "c1", &x);
    fleet.take(&config.name, &mut others, x.iter(), &BTreeMap::new());
    let own = format!("set-{}", config.name);
    others.takes(&id("x"), None, &own, fleet.has_applied(&config.name, &id("x")))
}

#[test]
fn of_two_syncs_that_find_an_object_free_the_first_takes_it_until_it_has_gone_through_everything() {
    let (mut fleet, left, right) = fleet(&[]);
    assert!(takes(&mut fleet, &left));
    assert!(!takes(&mut fleet, &right));
    assert!(takes(&mut fleet, &left), "it still does");
    fleet.set_phase(&left.name, Phase::Failing);
    assert!(takes(&mut fleet, &right), "the first could not");
    assert!(!takes(&mut fleet, &left));
}

#[test]
fn a_sync_waits_for_those_that_are_not_synced_and_the_others_know_it() {
    let (mut fleet, left, right) = fleet(&[]);
    let mut last = (*right).clone();
    last.depends_on = vec![left.name.clone(), SyncName::parse("absent").unwrap()];
    fleet.enter(&Arc::new(last.clone()), "set-right");
    assert_eq!(fleet.waiting_for(&last), ["left", "absent"]);
    assert!(!fleet.others(&left, "c1", &BTreeSet::new()).syncs["right"].acts);
    last.depends_on.pop();
    assert!(fleet.set_phase(&left.name, Phase::Synced) && !fleet.set_phase(&left.name, Phase::Synced));
    assert_eq!(fleet.waiting_for(&last), [""; 0]);
    assert!(fleet.others(&left, "c1", &BTreeSet::new()).syncs["right"].acts);
    fleet.leave(&left.name);
    assert_eq!(fleet.waiting_for(&last), ["left"]);
    assert!(!fleet.set_phase(&left.name, Phase::Synced), "what has left says nothing any more");
}

#[test]
fn what_is_only_named_shelters_no_namespace() {
    let (mut fleet, left, right) = fleet(&[]);
    let has = |fleet: &Fleet| left_of(fleet, &right).namespaces.contains("shop");
    fleet.declare(&left.name, "c1", true, &what(&["x"]));
    assert!(has(&fleet), "it may be about to be made");
    fleet.set_phase(&left.name, Phase::Failing);
    assert!(has(&fleet), "with the agent's own rights, it is not only named");
    let mut restricted = (*left).clone();
    restricted.service_account = Some(ServiceAccount { namespace: "shop".into(), name: "tenant".into() });
    fleet.enter(&Arc::new(restricted), "set-left");
    fleet.holds(&left.name, Holding::default());
    fleet.declare(&left.name, "c1", true, &what(&["x"]));
    assert!(has(&fleet));
    let holding = fleet.compare(&left.name, &inventory(&[]));
    fleet.holds(&left.name, holding);
    fleet.set_phase(&left.name, Phase::Failing);
    assert!(!has(&fleet));
    let unread = config("unread", "https://e.com/other.git");
    fleet.enter(&unread, "set-unread");
    assert!(fleet.others(&right, "c1", &BTreeSet::new()).syncs["unread"].unknown);
}

#[test]
fn syncs_of_one_repository_know_each_other_however_it_is_spelled() {
    let (mut fleet, left, right) = fleet(&[]);
    fleet.enter(&config("elsewhere", "https://e.com/other.git"), "set");
    let behind = |fleet: &Fleet, commit: &str| {
        let all = fleet.behind(&right, commit);
        all.iter().map(|other| other.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(behind(&fleet, "c1"), ["left"]);
    fleet.declare(&left.name, "c1", true, &what(&[]));
    assert_eq!(behind(&fleet, "c1"), [] as [&str; 0]);
    assert_eq!(behind(&fleet, "c2"), ["left"]);
}
