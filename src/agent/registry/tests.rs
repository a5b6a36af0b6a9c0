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
fn registry(names: &[&str]) -> (Registry, Arc<SyncConfig>, Arc<SyncConfig>) {
    let (left, right) = (config("left", "https://e.com/r.git"), config("right", "https://bob:x@E.com/r/"));
    let registry = Registry::default();
    for sync in [&left, &right] {
        registry.enter(sync, &format!("set-{}", sync.name));
        registry.set_phase(&sync.name, Phase::Pending);
    }
    let holding = registry.compare(&left.name, &inventory(names));
    registry.holds(&left.name, holding);
    (registry, left, right)
}

/// What the second knows of the first.
fn left_of(registry: &Registry, right: &SyncConfig) -> Neighbour {
    let wanted = BTreeSet::from([id("x"), id("y"), ObjectId::new("", "Namespace", None, "shop")]);
    registry.others(right, "c1", &wanted).syncs["left"].clone()
}

#[test]
fn a_sync_gives_nothing_up_before_it_has_read_its_repository_and_while_it_is_suspended() {
    let (registry, left, right) = registry(&["x"]);
    assert!(registry.is_undecided(&right.name, "set-left") && !registry.is_undecided(&left.name, "set-left"));
    let of = || left_of(&registry, &right);
    assert_eq!((of().unsettled, of().set_id.as_str()), (Some(Unsettled::Unread), "set-left"));
    assert!(of().objects[&id("x")].holds, "its inventory is known all the same");
    registry.declare(&left.name, "c1", true, &what(&["y"]));
    assert_eq!(of().unsettled, None);
    assert_eq!(of().objects[&id("x")], Stake { holds: true, ..Stake::default() });
    assert_eq!(of().objects[&id("y")], Stake { declares: true, ..Stake::default() });
    registry.declare(&left.name, "c1", true, &Declaration { complete: false, ..what(&["y"]) });
    assert_eq!((of().unsettled, of().unsure), (Some(Unsettled::Unusable), true));
    registry.declare(&left.name, "c1", true, &what(&["y"]));
    registry.set_phase(&left.name, Phase::Suspended);
    assert_eq!((of().unsettled, of().acts), (Some(Unsettled::Suspended), false));
    // Resumed, it has not read what was committed meanwhile.
    registry.set_phase(&left.name, Phase::Pending);
    assert_eq!((of().unsettled, of().acts), (Some(Unsettled::Unread), true));
    registry.declare(&left.name, "c2", true, &what(&["y"]));
    assert_eq!((of().unsettled, of().unsure), (None, false));
    // A newer commit that cannot be used at all may declare anything.
    registry.can_use(&left.name, false);
    registry.declare(&left.name, "c2", false, &what(&["y"]));
    assert_eq!(of().unsettled, Some(Unsettled::Unusable));
    registry.can_use(&left.name, true);
    // Configured in another way, all of that counts no longer.
    registry.enter(&left, "set-left");
    assert_eq!(of().unsettled, Some(Unsettled::Unread));
}

#[test]
fn a_sync_that_waits_declares_both_what_it_enforces_and_what_it_is_about_to() {
    let (registry, left, right) = registry(&[]);
    registry.waits(&left.name, true);
    registry.declare(&left.name, "c0", false, &what(&["x"]));
    registry.declare_next(&left.name, "c1", what(&["y"]));
    assert!(registry.knows(&left.name, "c0") && registry.knows(&left.name, "c1") && !registry.knows(&left.name, "c2"));
    let of = left_of(&registry, &right);
    assert!(of.objects[&id("x")].declares && of.objects[&id("y")].declares && !of.acts);
    registry.declare(&left.name, "c0", false, &what(&["x"]));
    assert!(left_of(&registry, &right).objects[&id("y")].declares, "it still waits");
    registry.declare(&left.name, "c2", true, &what(&["x"]));
    assert!(!left_of(&registry, &right).objects.contains_key(&id("y")), "the commit in between was never enforced");
}

#[test]
fn what_a_sync_has_gone_through_and_does_not_have_it_could_not_apply() {
    let (registry, left, right) = registry(&["x"]);
    registry.declare(&left.name, "c1", true, &what(&["x", "y"]));
    let stake = |name: &str| left_of(&registry, &right).objects[&id(name)];
    registry.set_phase(&left.name, Phase::Syncing);
    assert!(!stake("y").failed);
    registry.set_phase(&left.name, Phase::Failing);
    assert!(stake("y").failed && !stake("x").failed && stake("x").holds);
    assert!(left_of(&registry, &right).namespaces.contains("shop"), "of what it has");
    let holding = registry.compare(&left.name, &inventory(&["x", "y"]));
    registry.holds(&left.name, holding);
    assert!(!stake("y").failed && stake("y").holds);
    // Of a commit that declares more, nothing is known yet.
    registry.declare(&left.name, "c2", true, &what(&["y"]));
    assert!(stake("x").holds && !stake("x").declares && stake("y").holds);
}

#[test]
fn of_two_syncs_that_find_an_object_free_the_first_takes_it_until_it_has_gone_through_everything() {
    let (registry, left, right) = registry(&[]);
    let x = || BTreeSet::from([id("x")]);
    registry.declare(&left.name, "c1", true, &what(&["x"]));
    assert_eq!(registry.take(&left.name, x()), []);
    assert_eq!(registry.take(&right.name, x()), [("left".into(), id("x"))]);
    assert_eq!(registry.take(&left.name, x()), [], "it still does");
    assert!(left_of(&registry, &right).objects[&id("x")].holds);
    registry.set_phase(&left.name, Phase::Failing);
    assert!(!left_of(&registry, &right).objects[&id("x")].holds, "it could not");
    assert_eq!(registry.take(&right.name, x()), []);
    assert_eq!(registry.take(&left.name, x()), [("right".into(), id("x"))]);
}

#[test]
fn what_is_only_named_shelters_no_namespace() {
    let (registry, left, right) = registry(&[]);
    let has = || left_of(&registry, &right).namespaces.contains("shop");
    registry.declare(&left.name, "c1", true, &what(&["x"]));
    assert!(has(), "it may be about to be made");
    registry.set_phase(&left.name, Phase::Failing);
    assert!(has(), "with the agent's own rights, it is not only named");
    let mut restricted = (*left).clone();
    restricted.service_account = Some(ServiceAccount { namespace: "shop".into(), name: "tenant".into() });
    registry.enter(&Arc::new(restricted), "set-left");
    registry.holds(&left.name, Holding::default());
    registry.declare(&left.name, "c1", true, &what(&["x"]));
    assert!(has());
    registry.holds(&left.name, registry.compare(&left.name, &inventory(&[])));
    registry.set_phase(&left.name, Phase::Failing);
    assert!(!has());
    let unread = config("unread", "https://e.com/other.git");
    registry.enter(&unread, "set-unread");
    assert!(registry.others(&right, "c1", &BTreeSet::new()).syncs["unread"].unknown);
}

#[test]
fn syncs_of_one_repository_know_each_other_however_it_is_spelled() {
    let (registry, left, right) = registry(&[]);
    registry.enter(&config("elsewhere", "https://e.com/other.git"), "set");
    let behind = |commit: &str| {
        let all = registry.behind(&right, commit);
        all.iter().map(|other| other.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(behind("c1"), ["left"]);
    registry.declare(&left.name, "c1", true, &what(&[]));
    assert_eq!(behind("c1"), [] as [&str; 0]);
    assert_eq!(behind("c2"), ["left"]);
}
