use proptest::prelude::*;

use super::*;

const OWN: &str = "set-me";

fn id(name: &str) -> ObjectId {
    ObjectId::new("", "ConfigMap", Some("shop"), name)
}

const DECLARES: Stake = Stake { declares: true, holds: false, failed: false, barred: false };

fn neighbour(name: &str, stake: Stake) -> (Arc<str>, Neighbour) {
    let objects = [(id("x"), stake)].into();
    (name.into(), Neighbour { set_id: format!("set-{name}"), acts: true, objects, ..Neighbour::default() })
}

fn others(me: &str, syncs: impl IntoIterator<Item = (Arc<str>, Neighbour)>) -> Others {
    Others { me: me.into(), syncs: syncs.into_iter().collect(), ..Others::default() }
}

fn claim(others: &Others, label: Option<&str>, held: bool) -> Option<(Verb, Reason)> {
    others.claim(&id("x"), label, OWN, held)
}

fn of_sync(owner: &str) -> (Verb, Reason) {
    (Verb::Refuse, Reason::OtherSet { owner: format!("sync {owner}") })
}

#[test]
fn an_object_stays_with_the_sync_whose_label_it_carries_for_as_long_as_that_may_declare_it() {
    let mut others = others("me", [neighbour("left", DECLARES)]);
    assert_eq!(claim(&others, Some(OWN), true), None);
    assert_eq!(claim(&others, Some("set-left"), false), Some(of_sync("left")));
    others.syncs.get_mut("left").unwrap().objects.clear();
    let from = Reason::HandedOver { from: "left".into() };
    assert_eq!(claim(&others, Some("set-left"), false), Some((Verb::Configure, from)));
    for why in [Unsettled::Unread, Unsettled::Unusable, Unsettled::Suspended] {
        others.syncs.get_mut("left").unwrap().unsettled = Some(why);
        let (verb, reason) = claim(&others, Some("set-left"), false).unwrap();
        assert_eq!((verb, &reason), (Verb::Refuse, &Reason::Unsettled { sync: "left".into(), why }));
        assert!(reason.to_string().starts_with("belongs to sync left"), "{reason}");
    }
}

#[test]
fn what_belongs_to_nobody_known_is_refused_with_what_to_do() {
    let mut others = others("me", []);
    assert!(claim(&others, Some("set-old"), false).unwrap().1.to_string().contains("another ApplySet (set-old)"));
    others.unconfigured.insert("set-old".into(), "old".into());
    let (verb, reason) = claim(&others, Some("set-old"), false).unwrap();
    assert_eq!(verb, Verb::Refuse);
    assert!(reason.to_string().contains("driftless remove old --keep-objects"), "{reason}");
}

#[test]
fn of_several_that_declare_what_its_owner_gave_up_the_first_by_name_takes_it() {
    let given_up = |me: &str| {
        let all = ["a", "b", "c"].into_iter().filter(|name| *name != me);
        let all = all.map(|name| neighbour(name, DECLARES));
        let all = others(me, all.chain([neighbour("left", Stake::default())]));
        claim(&all, Some("set-left"), false).unwrap()
    };
    assert_eq!(given_up("a").0, Verb::Configure);
    for me in ["b", "c"] {
        let (verb, reason) = given_up(me);
        assert_eq!(verb, Verb::Refuse);
        assert!(reason.to_string().contains("goes to sync a"), "{reason}");
    }
}

#[test]
fn one_that_cannot_or_does_not_act_is_passed_over() {
    let first = |change: &dyn Fn(&mut Neighbour)| {
        let (name, mut neighbour) = neighbour("a", DECLARES);
        change(&mut neighbour);
        claim(&others("me", [(name, neighbour)]), None, false)
    };
    assert_eq!(first(&|_| {}), Some(of_sync("a")));
    assert_eq!(first(&|a| a.acts = false), None);
    let stake = |change: fn(&mut Stake)| first(&|a| change(a.objects.get_mut(&id("x")).unwrap()));
    assert_eq!(stake(|stake| stake.failed = true), None);
    assert_eq!(stake(|stake| stake.barred = true), None);
    assert_eq!(stake(|stake| stake.declares = false), None);
}

#[test]
fn what_has_no_label_stays_with_the_sync_that_has_it_in_its_inventory() {
    let holds = Stake { holds: true, ..DECLARES };
    let mut later = others("me", [neighbour("z", holds)]);
    assert_eq!(claim(&later, None, false), Some(of_sync("z")), "it has it");
    assert_eq!(claim(&later, None, true), None, "both have it, and the first by name keeps it");
    later.syncs.get_mut("z").unwrap().acts = false;
    assert_eq!(claim(&later, None, false), Some(of_sync("z")), "suspended, it is not robbed");
    let neighbour = later.syncs.get_mut("z").unwrap();
    neighbour.objects.get_mut(&id("x")).unwrap().declares = false;
    assert_eq!(claim(&later, None, false), None, "it is an orphan of that one");
    later.syncs.get_mut("z").unwrap().unsettled = Some(Unsettled::Unusable);
    assert_eq!(claim(&later, None, false).unwrap().0, Verb::Refuse, "or may not be one");
}

#[test]
fn an_orphan_stays_for_those_that_declare_it_and_may_take_it() {
    let mut others = others("me", [neighbour("right", DECLARES)]);
    assert_eq!(others.taker(&id("x")).map(|name| &**name), Some("right"));
    others.bar("right", &id("x"));
    assert_eq!(others.taker(&id("x")), None);
    assert_eq!(others.unsure(&id("y")), None);
    others.declares("right", Declaration { ids: BTreeSet::new(), complete: false });
    assert_eq!(others.unsure(&id("y")).map(|name| &**name), Some("right"));
    assert_eq!(others.unsure(&id("x")), None);
    assert_eq!(others.syncs["right"].unsettled, Some(Unsettled::Unusable));
    assert_eq!(others.named_by(&id("y")).count(), 1);
}

#[test]
fn a_declaration_is_complete_when_every_document_says_which_object_it_is() {
    let problem = |object: Option<ObjectId>| Problem { object, ..Problem::general("broken") };
    let unplaced = ObjectId { namespace: None, ..id("x") };
    let known = Declaration::of(&Resolved::default(), &[problem(Some(unplaced.clone()))], Some("shop"));
    assert!(known.complete && known.ids == BTreeSet::from([unplaced, id("x")]));
    assert!(!Declaration::of(&Resolved::default(), &[problem(None)], Some("shop")).complete);
    let resolved = Resolved { problems: vec![problem(None)], ..Resolved::default() };
    assert!(!Declaration::of(&resolved, &[], None).complete);
}

/// What the agent would know of one sync for the others.
#[derive(Clone, Debug)]
struct Sync {
    declares: bool,
    holds: bool,
    unsettled: Option<Unsettled>,
    acts: bool,
}

fn any_sync() -> impl Strategy<Value = Sync> {
    let unsettled = prop::option::weighted(
        0.2,
        prop::sample::select(vec![Unsettled::Unread, Unsettled::Unusable, Unsettled::Suspended]),
    );
    (any::<bool>(), any::<bool>(), unsettled, prop::bool::weighted(0.8))
        .prop_map(|(declares, holds, unsettled, acts)| Sync { declares, holds, unsettled, acts })
}

proptest! {
    /// Whatever order they come in: each sync that acts decides with what is known of the others, and
    /// takes the object if it may. The object changes its owner once at most, and never from somebody who
    /// declares or may declare it.
    #[test]
    fn an_object_comes_to_rest_with_one_sync(
        all in prop::collection::vec(any_sync(), 1..6),
        start in prop::option::of(any::<prop::sample::Index>()),
        turns in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let name = |index: usize| format!("s{index}");
        let set = |index: usize| format!("set-s{index}");
        let mut all = all;
        let mut owner = start.map(|start| start.index(all.len()));
        if let Some(owner) = owner {
            all[owner].holds = true;
        }
        let mut changes = 0;
        for turn in turns {
            let me = turn.index(all.len());
            if !all[me].declares || !all[me].acts {
                continue;
            }
            let syncs = all.iter().enumerate().filter(|(index, _)| *index != me).map(|(index, sync)| {
                let stake = Stake { declares: sync.declares, holds: sync.holds, ..Stake::default() };
                let neighbour = Neighbour {
                    set_id: set(index), unsettled: sync.unsettled, acts: sync.acts,
                    objects: [(id("x"), stake)].into(), ..Neighbour::default()
                };
                (name(index).into(), neighbour)
            });
            let others = others(&name(me), syncs);
            let label = owner.map(set);
            let claimed = others.claim(&id("x"), label.as_deref(), &set(me), all[me].holds);
            if claimed.is_none_or(|(verb, _)| verb == Verb::Configure) && owner != Some(me) {
                if let Some(owner) = owner {
                    prop_assert!(!all[owner].declares && all[owner].unsettled.is_none());
                    all[owner].holds = false;
                }
                owner = Some(me);
                all[me].holds = true;
                changes += 1;
            }
        }
        prop_assert!(changes <= 1, "it changed its owner {changes} times");
    }
}
