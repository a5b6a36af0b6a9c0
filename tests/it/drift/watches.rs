//! The watches of a sync on a real API server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use driftless::cluster::{Cluster, Connect, Discovery, DryRun, Followed, Live, Resource, Wanted};
use driftless::object::{Change, GroupKind, ObjectId, Observed};
use http::Method;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, crd, thing};
use crate::support::wait::{DEADLINE, check, eventually};

const PART_OF: &str = "applyset.kubernetes.io/part-of";
const MERGE: &str = "application/merge-patch+json";

/// The watches of a set of its own, in the namespace of a site.
struct Watched {
    // Before the runtime, whose end would leave the tasks to nobody.
    live: Live,
    cluster: Cluster,
    requests: Arc<AtomicUsize>,
    reported: Arc<Mutex<Vec<String>>>,
    runtime: Runtime,
    set: String,
    site: Site,
}

impl Watched {
    fn new() -> Self {
        let site = Site::with(&[]);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let count = move |_: &str, _: Option<u16>, _: Duration| {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        let options =
            Connect { kubeconfig: Some(site.kubeconfig()), hook: Some(Arc::new(count)), ..Connect::default() };
        let cluster = runtime.block_on(Cluster::connect(&options)).unwrap();
        let set = format!("applyset-{}-v1", site.id);
        let reported = Arc::<Mutex<Vec<String>>>::default();
        let messages = Arc::clone(&reported);
        let live = Live::new(cluster.clone(), &set, Arc::new(move |message| messages.lock().unwrap().push(message)));
        Self { live, cluster, requests, reported, runtime, set, site }
    }

    fn follow(&self, resources: &[(&GroupKind, Resource)]) {
        let namespaces = BTreeSet::from([Arc::from(&*self.site.namespace)]);
        let followed = |resource: &Resource| Followed { resource: resource.clone(), namespaces: namespaces.clone() };
        let kinds: BTreeMap<_, _> = resources.iter().map(|(gk, kind)| ((*gk).clone(), followed(kind))).collect();
        self.runtime.block_on(self.live.follow(kinds));
    }

    #[track_caller]
    fn change(&self) -> Change {
        let mut changes = self.runtime.block_on(async { tokio::time::timeout(DEADLINE, self.live.changed()).await });
        let changes = changes.as_mut().expect("a change");
        assert_eq!(changes.len(), 1, "{changes:?}");
        changes.remove(0)
    }

    #[track_caller]
    fn seen(&self) -> Observed {
        match self.change() {
            Change::Seen(live) => live,
            change @ Change::Gone { .. } => panic!("{change:?}"),
        }
    }

    /// The object that went, and whether its end was seen.
    #[track_caller]
    fn gone(&self) -> (ObjectId, bool) {
        match self.change() {
            Change::Gone { id, last } => (id, last.is_some()),
            change @ Change::Seen(_) => panic!("{change:?}"),
        }
    }

    /// Waits until a member is known in the version that the server answered; that was not reported.
    #[track_caller]
    fn known_without_change(&self, gk: &GroupKind, answered: &Value) {
        let version = answered["metadata"]["resourceVersion"].as_str().expect("a version");
        eventually("the watch has shown the object", || {
            let members = self.live.members(gk).unwrap_or_default();
            check(members.iter().any(|live| &*live.resource_version == version), format!("{members:?}"))
        });
        let change = self.runtime.block_on(async { tokio::time::timeout(Duration::ZERO, self.live.changed()).await });
        assert!(change.is_err(), "{change:?}");
    }

    fn labelled(&self, kind: &str, name: &str, more: &Value) -> Value {
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {
            "name": name, "namespace": self.site.namespace, "labels": {PART_OF: self.set}}});
        let fields = more.as_object().expect("fields").clone();
        object.as_object_mut().expect("an object").extend(fields);
        object
    }

    fn at(&self, plural: &str, name: &str) -> String {
        path(plural, Some(&self.site.namespace), name)
    }

    fn discover(&self) -> Discovery {
        self.runtime.block_on(self.cluster.discover()).unwrap()
    }
}

fn config_maps() -> (GroupKind, Resource) {
    (GroupKind::new("", "ConfigMap"), Resource::core("configmaps", true))
}

#[test]
fn what_others_do_to_an_object_is_reported_once() {
    let watched = Watched::new();
    let (gk, resource) = config_maps();
    watched.follow(&[(&gk, resource.clone())]);
    assert_eq!(watched.live.members(&gk), Some(Vec::new()));

    let a = watched.labelled("ConfigMap", "a", &json!({"data": {"value": "1"}}));
    cluster().create(&watched.at("configmaps", ""), &a);
    let first = watched.seen();
    assert_eq!((&*first.id.name, first.part_of.as_deref()), ("a", Some(&*watched.set)));
    // Applied by ourselves: nothing new.
    let applied = watched.cluster.apply(&first.id, &resource, &a, DryRun::No);
    let applied = watched.runtime.block_on(applied).unwrap();
    watched.live.note(&applied.live);
    watched.known_without_change(&gk, &applied.object);
    // A field of ours that somebody else writes.
    watched.site.edit("configmaps", "a", "tuner", &json!({"data": {"value": "2"}}));
    let edited = watched.seen();
    assert_ne!(edited.fingerprint, applied.live.fingerprint);

    watched.site.edit("configmaps", "a", "tuner", &json!({"metadata": {"labels": {PART_OF: null}}}));
    assert_eq!(watched.gone(), (first.id.clone(), true));
    assert_eq!(watched.live.members(&gk), Some(Vec::new()));
    watched.site.edit("configmaps", "a", "tuner", &json!({"metadata": {"labels": {PART_OF: watched.set}}}));
    assert_eq!(watched.seen().uid, first.uid);
    watched.site.delete("configmaps", "a");
    assert_eq!(watched.gone(), (first.id, true));
    assert_eq!(*watched.reported.lock().unwrap(), [""; 0]);
}

#[test]
fn a_status_that_changes_no_health_is_not_reported() {
    let watched = Watched::new();
    let gk = GroupKind::new("", "Service");
    watched.follow(&[(&gk, Resource::core("services", true))]);
    let service = watched.labelled("Service", "web", &json!({"spec": {"ports": [{"port": 80}]}}));
    cluster().create(&watched.at("services", ""), &service);
    assert!(watched.seen().health.is_current());
    let condition = json!({"type": "example.com/Seen", "status": "True", "reason": "It", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let path = watched.at("services", "web/status");
    let answer = cluster().ask(&Method::PATCH, &path, MERGE, Some(&json!({"status": {"conditions": [condition]}})));
    watched.known_without_change(&gk, &answer.expect("a status"));
}

#[test]
fn our_own_deletion_is_not_reported() {
    let watched = Watched::new();
    let (gk, resource) = config_maps();
    watched.follow(&[(&gk, resource.clone())]);
    for name in ["a", "b"] {
        cluster().create(&watched.at("configmaps", ""), &watched.labelled("ConfigMap", name, &json!({})));
        watched.seen();
    }
    let members = watched.live.members(&gk).expect("the watch stands");
    let [a, b] = &members[..] else { panic!("{members:?}") };
    watched.runtime.block_on(watched.cluster.delete(&a.id, &resource, &a.uid)).unwrap();
    watched.live.removed(&a.id, &a.uid);
    watched.site.delete("configmaps", "b");
    assert_eq!(watched.gone(), (b.id.clone(), true));
}

#[test]
fn a_kind_that_is_watched_is_observed_without_a_request() {
    let watched = Watched::new();
    let discovery = watched.discover();
    let (gk, _) = config_maps();
    let a = watched.labelled("ConfigMap", "a", &json!({}));
    cluster().create(&watched.at("configmaps", ""), &a);
    let id = ObjectId { gk, namespace: Some(watched.site.namespace.as_str().into()), name: "a".into() };
    let wanted = Wanted { ids: BTreeSet::from([id.clone()]), ..Wanted::default() };
    let observe = || {
        let seen = watched.cluster.see(&discovery, &wanted, &watched.set, Some(&watched.live));
        watched.runtime.block_on(seen).unwrap().observed
    };
    assert!(observe().contains_key(&id), "by the first LIST");
    let requests = || watched.requests.load(Ordering::Relaxed);
    // Discovery, LIST and WATCH.
    eventually("the watch is up", || check(requests() == 4, requests()));
    assert!(observe().contains_key(&id));
    assert_eq!(requests(), 4);
}

#[test]
fn a_kind_whose_crd_goes_and_comes_back_is_watched_again() {
    let watched = Watched::new();
    let group = format!("{}.example.com", watched.site.id);
    let plural = format!("things.{group}");
    let gk = GroupKind::new(&group, "Thing");
    let definition: Value = serde_saphyr::from_str(&crd(&group)).unwrap();
    let mut object: Value = serde_saphyr::from_str(&thing(&group, "one")).unwrap();
    object["metadata"]["labels"] = json!({PART_OF: watched.set});
    let home = path("customresourcedefinitions.apiextensions.k8s.io", None, "");
    let crd_path = watched.site.cluster_scoped("customresourcedefinitions.apiextensions.k8s.io", &plural);
    let define = || {
        cluster().create(&home, &definition);
        eventually("the kind is served", || {
            let served = cluster().get(&watched.at(&plural, "")).is_some();
            let discovered = watched.discover().preferred(&gk).cloned();
            discovered.filter(|_| served).ok_or("it is not")
        })
    };
    let resource = define();
    watched.follow(&[(&gk, resource)]);
    cluster().create(&watched.at(&plural, ""), &object);
    let first = watched.seen();

    cluster().delete(&crd_path);
    let changes = std::iter::repeat_with(|| watched.change()).find(|change| matches!(change, Change::Gone { .. }));
    assert_eq!(changes.map(|change| change.id().clone()), Some(first.id.clone()), "with the end of its kind");
    eventually("the watch does not stand", || check(watched.live.members(&gk).is_none(), "it does"));
    eventually("the CRD is gone", || check(cluster().get(&crd_path).is_none(), "it is there"));

    define();
    watched.live.retry_now();
    eventually("it is watched", || check(watched.live.members(&gk) == Some(Vec::new()), "it is not"));
    cluster().create(&watched.at(&plural, ""), &object);
    let second = watched.seen();
    assert_eq!(second.id, first.id);
    assert_ne!(second.uid, first.uid);
    assert_eq!(*watched.reported.lock().unwrap(), [""; 0]);
}
