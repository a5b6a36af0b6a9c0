use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::object::{Digest, Foreign, Health, Manifest, Origin, Unreadable};
use crate::plan::{Neighbour, Reserved, Stake, Unsettled};

const SET: &str = "applyset-ours-v1";
const COMMIT: &str = "c0ffee";

fn id(name: &str) -> ObjectId {
    ObjectId::new("", "ConfigMap", Some("shop"), name)
}

fn desired(name: &str, content: &str) -> Desired {
    let value = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "shop"}, "data": {"a": content}});
    let manifest = Manifest::from_value(value, Origin { file: "a.yaml".into(), line: 1 }).unwrap();
    let digest = Digest::of(&manifest.canonical);
    Desired { manifest: Arc::new(manifest), digest }
}

/// The live object as an apply of `desired` leaves it.
fn applied(desired: &Desired) -> Observed {
    Observed {
        id: desired.manifest.id.clone(),
        uid: "uid-1".into(),
        resource_version: "1".into(),
        part_of: Some(SET.into()),
        digest: Some(desired.digest),
        fingerprint: Some(Fingerprint::of(b"fields")),
        terminating: None,
        controlled: false,
        detach: false,
        depends_on: Box::default(),
        foreign: None,
        takeover: false,
        finished: false,
        headless: false,
        health: Health::current(),
    }
}

/// What one plan depends on, owned.
#[derive(Clone, Debug, Default)]
struct World {
    desired: Vec<Desired>,
    incomplete: Option<String>,
    observed: BTreeMap<ObjectId, Observed>,
    unreadable: Unreadable,
    crds: BTreeMap<GroupKind, String>,
    inventory: Inventory,
    prune: PrunePolicy,
    drift: DriftPolicy,
    /// A person approved whatever is pruned.
    approved: bool,
    others: Others,
    source_change: Option<String>,
    deleted_early: BTreeSet<ObjectId>,
    overdue_since: Timestamp,
    replaceable: Replaceables,
}

impl World {
    fn input(&self) -> PlanInput<'_> {
        PlanInput {
            set_id: SET,
            commit: COMMIT,
            desired: &self.desired,
            looked_up: &crate::plan::NOTHING_LOOKED_UP,
            incomplete: self.incomplete.as_deref(),
            observed: &self.observed,
            unreadable: &self.unreadable,
            crds: &self.crds,
            inventory: &self.inventory,
            prune: &self.prune,
            drift: self.drift,
            approved: if self.approved { Approved::Everything } else { Approved::Nothing },
            others: &self.others,
            source_change: self.source_change.as_deref(),
            deleted_early: &self.deleted_early,
            overdue_since: self.overdue_since,
            replaceable: &self.replaceable,
        }
    }

    fn plan(&self) -> Plan {
        plan(&self.input())
    }

    /// An object that is applied, recorded and live, and declared where `declared` says so.
    fn with(mut self, name: &str, declared: bool) -> Self {
        let object = desired(name, "1");
        let live = applied(&object);
        self.inventory.insert(live.id.clone(), Recorded::of(&live, &object, false));
        self.observed.insert(live.id.clone(), live);
        if declared {
            self.desired.push(object);
        }
        self
    }

    fn live(&mut self, name: &str) -> &mut Observed {
        self.observed.get_mut(&id(name)).unwrap()
    }

    fn verdict(&self, name: &str) -> (Verb, Reason) {
        let plan = self.plan();
        let step = plan.steps.iter().find(|step| step.id == id(name)).unwrap();
        (step.verb, step.reason.clone())
    }
}

#[test]
fn what_is_as_applied_is_left_alone() {
    let world = World::default().with("a", true);
    assert_eq!(world.verdict("a"), (Verb::Unchanged, Reason::Same));
    assert!(!world.plan().changes());
}

#[test]
fn what_is_new_is_created_and_what_exists_is_adopted() {
    let mut world = World { desired: vec![desired("a", "1"), desired("b", "1")], ..World::default() };
    let mut live = applied(&world.desired[1]);
    (live.part_of, live.digest, live.fingerprint) = (None, None, None);
    world.observed.insert(live.id.clone(), live);
    assert_eq!(world.verdict("a"), (Verb::Create, Reason::NotFound));
    assert_eq!(world.verdict("b"), (Verb::Configure, Reason::Adopted));
}

#[test]
fn every_kind_of_drift_has_its_reason() {
    let world = World::default().with("a", true);
    let mut deleted = world.clone();
    deleted.observed.clear();
    assert_eq!(deleted.verdict("a"), (Verb::Create, Reason::Deleted));
    let mut recreated = world.clone();
    recreated.live("a").uid = "uid-2".into();
    assert_eq!(recreated.verdict("a"), (Verb::Configure, Reason::Recreated));
    let mut unlabelled = world.clone();
    unlabelled.live("a").part_of = None;
    assert_eq!(unlabelled.verdict("a"), (Verb::Configure, Reason::MetadataLost));
    let mut remarked = world.clone();
    remarked.live("a").digest = Some(Digest::of(b"other"));
    assert_eq!(remarked.verdict("a"), (Verb::Configure, Reason::MetadataLost));
    let mut edited = world.clone();
    edited.live("a").fingerprint = Some(Fingerprint::of(b"fewer fields"));
    assert_eq!(edited.verdict("a"), (Verb::Configure, Reason::Fields));
    let mut wiped = world;
    wiped.live("a").fingerprint = None;
    assert_eq!(wiped.verdict("a"), (Verb::Configure, Reason::Fields));
    wiped.drift = DriftPolicy::Report;
    assert_eq!(wiped.verdict("a").0, Verb::Report);
    wiped.drift = DriftPolicy::Off;
    assert_eq!(wiped.verdict("a").0, Verb::Unchanged);
}

#[test]
fn a_change_in_git_is_no_drift() {
    let mut world = World::default().with("a", true);
    world.desired = vec![desired("a", "2")];
    world.drift = DriftPolicy::Off;
    assert_eq!(world.verdict("a"), (Verb::Configure, Reason::GitChanged));
}

#[test]
fn an_object_of_another_set_is_refused() {
    let mut world = World::default().with("a", true);
    world.live("a").part_of = Some("applyset-theirs-v1".into());
    assert_eq!(world.verdict("a").0, Verb::Refuse);
}

#[test]
fn an_orphan_is_pruned_only_with_every_proof() {
    let world = World::default().with("a", false).with("b", true);
    assert_eq!(world.verdict("a"), (Verb::Prune, Reason::RemovedFromGit));
    let kept = |change: &dyn Fn(&mut World)| {
        let mut world = world.clone();
        change(&mut world);
        let (verb, reason) = world.verdict("a");
        assert_ne!(verb, Verb::Prune, "{reason}");
        verb
    };
    assert_eq!(kept(&|world| world.live("a").part_of = None), Verb::Keep);
    assert_eq!(kept(&|world| world.live("a").part_of = Some("x".into())), Verb::Forget);
    assert_eq!(kept(&|world| world.live("a").fingerprint = None), Verb::Keep);
    assert_eq!(kept(&|world| world.live("a").digest = None), Verb::Keep);
    assert_eq!(kept(&|world| world.live("a").controlled = true), Verb::Keep);
    assert_eq!(kept(&|world| world.live("a").uid = "uid-2".into()), Verb::Keep);
    assert_eq!(kept(&|world| world.live("a").detach = true), Verb::Detach);
    let let_go = |detach: bool, digest: bool| {
        kept(&|world| {
            let live = world.live("a");
            (live.part_of, live.detach) = (None, detach);
            live.digest = live.digest.filter(|_| digest);
        })
    };
    assert_eq!(let_go(true, false), Verb::Forget);
    assert_eq!(let_go(true, true), Verb::Keep);
    assert_eq!(let_go(false, false), Verb::Keep);
    assert_eq!(kept(&|world| world.live("a").terminating = Some(Box::default())), Verb::Wait);
    assert_eq!(kept(&|world| world.prune.enabled = false), Verb::Keep);
    assert_eq!(kept(&|world| world.incomplete = Some("a file cannot be parsed".into())), Verb::Keep);
    assert_eq!(kept(&|world| drop(world.observed.remove(&id("a")))), Verb::Forget);
    assert_eq!(
        kept(&|world| {
            world.observed.remove(&id("a"));
            world.unreadable.insert(GroupKind::new("", "ConfigMap"), None, "forbidden".into());
        }),
        Verb::Keep
    );
}

fn many(orphans: usize, declared: usize) -> World {
    let world = (0..orphans).fold(World::default(), |world, n| world.with(&format!("orphan-{n}"), false));
    (0..declared).fold(world, |world, n| world.with(&format!("kept-{n}"), true))
}

#[test]
fn the_guard_holds_a_large_prune_until_it_is_approved() {
    assert_eq!(many(5, 1).plan().count(Verb::Prune), 5, "five may always go");
    assert_eq!(many(6, 24).plan().count(Verb::Prune), 6, "20 % may go");
    let mut world = many(6, 23);
    let held = world.plan();
    assert_eq!(held.count(Verb::Prune), 0);
    assert_eq!(held.held.as_ref().map(|held| (held.prune, held.total)), Some((6, 29)));
    world.approved = true;
    assert_eq!(world.plan().count(Verb::Prune), 6);
}

#[test]
fn what_another_source_in_the_configuration_prunes_is_held_whatever_its_size() {
    let mut world = many(1, 100);
    assert_eq!(world.plan().count(Verb::Prune), 1);
    world.source_change = Some("the path was a and is b".into());
    let held = world.plan().held.expect("it is held");
    assert_eq!((held.prune, held.total), (1, 101));
    assert_eq!(held.reason, "the path was a and is b, and the commit would delete 1 of 101 objects");
    assert_eq!(world.plan().count(Verb::Prune), 0);
    world.approved = true;
    assert!(world.plan().by_approval && world.plan().count(Verb::Prune) == 1);
    let world = World { source_change: world.source_change.clone(), ..many(0, 3) };
    assert!(world.plan().held.is_none(), "nothing is to go");
}

#[test]
fn a_commit_that_declares_nothing_is_held_whatever_its_size() {
    let mut world = many(1, 0);
    world.prune.max_percent = 100;
    assert!(world.plan().held.is_some());
    assert_eq!(world.plan().count(Verb::Prune), 0);
}

#[test]
fn what_a_commit_adds_does_not_hide_what_it_removes() {
    let mut world = many(6, 1);
    for n in 0..100 {
        world = world.with(&format!("new-{n}"), true);
        world.inventory.get_mut(&id(&format!("new-{n}"))).unwrap().unconfirmed = true;
    }
    assert_eq!(world.plan().held.map(|held| held.total), Some(7));
}

fn live_of(kind: (&str, &str), name: &str) -> (ObjectId, Observed, Recorded) {
    let object = desired("x", "1");
    let live = Observed { id: ObjectId::new(kind.0, kind.1, None, name), ..applied(&object) };
    (live.id.clone(), live.clone(), Recorded::of(&live, &object, false))
}

#[test]
fn kinds_that_hold_data_are_kept_unless_named() {
    for kind in [("", "Namespace"), ("", "PersistentVolumeClaim"), ("apiextensions.k8s.io", "CustomResourceDefinition")]
    {
        let mut world = World::default().with("other", true);
        let (id, live, recorded) = live_of(kind, "x");
        world.observed.insert(id.clone(), live);
        world.inventory.insert(id.clone(), recorded);
        let verb = |world: &World| world.plan().steps.iter().find(|step| step.id == id).unwrap().verb;
        assert_eq!(verb(&world), Verb::Keep, "{kind:?}");
        world.prune.include.push(GroupKind::new(kind.0, kind.1));
        assert_eq!(verb(&world), Verb::Prune, "{kind:?}");
    }
}

#[test]
fn a_crd_whose_resources_are_declared_is_refused() {
    let mut world = World::default().with("other", true);
    let (crd, live, recorded) = live_of(("apiextensions.k8s.io", "CustomResourceDefinition"), "maps.e.com");
    world.observed.insert(crd.clone(), live);
    world.inventory.insert(crd.clone(), recorded);
    world.crds.insert(GroupKind::new("", "ConfigMap"), "maps.e.com".into());
    let plan = world.plan();
    let step = plan.steps.iter().find(|step| step.id == crd).unwrap();
    assert_eq!((step.verb, &step.reason), (Verb::Refuse, &Reason::StillUsed { by: id("other") }));
}

#[test]
fn a_namespace_is_not_pruned_over_the_heads_of_what_is_kept_in_it() {
    let mut world = World::default().with("other", false).with("elsewhere", false);
    let elsewhere = desired("elsewhere", "1").manifest.in_namespace(Some("b"));
    world.desired.push(Desired { digest: Digest::of(b""), manifest: Arc::new(elsewhere) });
    let (space, live, recorded) = live_of(("", "Namespace"), "shop");
    world.observed.insert(space.clone(), live);
    world.inventory.insert(space.clone(), recorded);
    world.prune.include.push(space.gk.clone());
    let verb = |world: &World, id: &ObjectId| world.plan().steps.iter().find(|step| step.id == *id).unwrap().verb;
    assert_eq!((verb(&world, &space), verb(&world, &id("other"))), (Verb::Prune, Verb::Prune));
    let mut detached = world.clone();
    detached.live("other").detach = true;
    assert_eq!((verb(&detached, &space), verb(&detached, &id("other"))), (Verb::Keep, Verb::Keep));
    let mut foreign = world.clone();
    foreign.live("other").uid = "uid-2".into();
    assert_eq!((verb(&foreign, &space), verb(&foreign, &id("elsewhere"))), (Verb::Keep, Verb::Prune));
    let other = Neighbour { namespaces: ["shop".into()].into(), ..Neighbour::default() };
    world.others.syncs.insert("sync".into(), other);
    assert_eq!((verb(&world, &space), verb(&world, &id("other"))), (Verb::Keep, Verb::Prune));
}

mod approval;
mod between;
mod containers;
mod random;

#[test]
fn what_is_new_in_a_namespace_that_is_being_deleted_waits_and_nothing_is_pruned_meanwhile() {
    let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    let manifest = Manifest::from_value(value, Origin { file: "shop.yaml".into(), line: 1 }).unwrap();
    let shop = Desired { digest: Digest::of(&manifest.canonical), manifest: Arc::new(manifest) };
    let mut live = applied(&shop);
    live.terminating = Some(Box::default());
    let mut world = World::default().with("orphan", false).with("drifted", true);
    world.inventory.insert(live.id.clone(), Recorded::of(&live, &shop, false));
    world.observed.insert(live.id.clone(), live);
    world.observed.remove(&id("drifted"));
    world.desired.push(shop);
    assert_eq!(world.verdict("orphan").0, Verb::Prune);

    world.desired.push(desired("new", "1"));
    assert_eq!(world.verdict("new"), (Verb::Wait, Reason::NamespaceTerminating { namespace: "shop".into() }));
    assert_eq!(world.verdict("drifted").1, Reason::Deleted, "the heal queue has it");
    assert_eq!(world.verdict("orphan").0, Verb::Keep);
    assert!(world.plan().blocked.is_some_and(|why| why.contains("waits for namespace shop")));
}

#[test]
fn what_cannot_be_read_in_one_namespace_is_refused_there_alone() {
    let mut world = World { desired: vec![desired("a", "1")], ..World::default() };
    let kind = GroupKind::new("", "ConfigMap");
    world.unreadable.insert(kind.clone(), Some("other".into()), "forbidden".into());
    assert_eq!(world.verdict("a").0, Verb::Create);
    world.unreadable.insert(kind, Some("shop".into()), "forbidden".into());
    assert_eq!(world.verdict("a").0, Verb::Refuse);
}

#[test]
fn what_people_have_added_is_drift_under_the_policy_of_drift() {
    for (drift, verb) in
        [(DriftPolicy::Heal, Verb::Configure), (DriftPolicy::Report, Verb::Report), (DriftPolicy::Off, Verb::Unchanged)]
    {
        let mut world = World { drift, ..World::default().with("a", true) };
        let foreign = Foreign { added: Some(Short::of("x")), ..Foreign::default() };
        world.live("a").foreign = Some(Box::new(foreign));
        let plan = world.plan();
        assert_eq!((plan.steps[0].verb, &plan.steps[0].reason), (verb, &Reason::Added));
        let unknown = Foreign { unknown: ["tuner".into()].into(), shared: true, ..Foreign::default() };
        world.live("a").foreign = Some(Box::new(unknown));
        assert_eq!((world.plan().steps[0].verb, &world.plan().steps[0].reason), (Verb::Unchanged, &Reason::Same));
    }
}

#[test]
fn only_what_the_sync_has_applied_is_replaced() {
    let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "shop",
        "annotations": {crate::object::names::REPLACE: "true"}}, "data": {"a": "2"}});
    let manifest = Manifest::from_value(value, Origin { file: "a.yaml".into(), line: 1 }).unwrap();
    let wanted = Desired { digest: Digest::of(&manifest.canonical), manifest: Arc::new(manifest) };
    let mut world = World::default().with("a", false);
    let live = world.live("a").clone();
    let proof = crate::plan::Replaceable {
        uid: Arc::clone(&live.uid),
        digest: wanted.digest,
        fields: vec!["data".to_owned()].into(),
        takes_claims: false,
    };
    world.replaceable.insert(live.id.clone(), proof);
    world.desired.push(wanted);
    assert_eq!(world.verdict("a").0, Verb::Replace);

    let record = world.inventory.remove(&live.id).unwrap();
    assert_eq!(world.verdict("a").0, Verb::Replace, "the live object says it");
    world.live("a").fingerprint = None;
    assert_ne!(world.verdict("a").0, Verb::Replace, "its label alone proves nothing");
    *world.live("a") = Observed { part_of: None, ..live.clone() };
    assert_ne!(world.verdict("a").0, Verb::Replace, "it is nobody's");
    world.inventory.insert(live.id.clone(), Recorded { applied: false, ..record });
    assert_ne!(world.verdict("a").0, Verb::Replace, "an apply was announced only");
    world.inventory.insert(live.id, record);
    assert_eq!(world.verdict("a").0, Verb::Replace, "the inventory says it");
}
