//! Inventories that one `ConfigMap` cannot hold: stored, read back, and put right after whatever
//! may break off in between. The objects in them are made up: creating as many takes minutes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use driftless::cluster::{Cluster, Connect, DryRun};
use driftless::config::SyncName;
use driftless::inventory::{EncodedParent, Parent, ParentStore, config_maps, list_parents, read_parent};
use driftless::object::{ObjectId, Short};
use driftless::plan::{Inventory, Recorded, SyncStatus};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

/// Some objects of a shop, of all of which everything is known.
fn inventory(objects: usize) -> Inventory {
    let entry = |number: usize| {
        let namespace = format!("team-{:02}-production", number % 40);
        let id = ObjectId::new("apps", "Deployment", Some(&namespace), &format!("checkout-service-worker-{number:05}"));
        let hash = |what: &str| Short::of(&format!("{what} of {id}"));
        let (uid, digest, fingerprint) = (hash("uid"), hash("digest"), hash("fingerprint"));
        (id, Recorded { uid, digest, fingerprint, applied: true, detach: false, unconfirmed: false, approved: false })
    };
    (0..objects).map(entry).collect()
}

/// The agent's own functions, without an agent.
struct Storing {
    site: Site,
    runtime: Runtime,
    cluster: Cluster,
    sync: SyncName,
    status: SyncStatus,
}

impl Storing {
    fn start() -> Self {
        let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
        site.make_namespace(&site.home);
        let runtime = Runtime::new().expect("a runtime");
        let connect = Connect { kubeconfig: Some(site.kubeconfig()), ..Connect::default() };
        let cluster = runtime.block_on(Cluster::connect(&connect)).expect("a cluster");
        let status = SyncStatus { sync: "shop".into(), message: "as it was stored".into(), ..SyncStatus::default() };
        Self { site, runtime, cluster, sync: SyncName::parse("shop").expect("a name"), status }
    }

    /// As after a start of the agent: nothing is known of what is stored.
    fn store(&self) -> ParentStore {
        ParentStore::new(self.cluster.clone(), Arc::from(&*self.site.home), self.sync.clone())
    }

    #[track_caller]
    fn write(&self, store: &ParentStore, inventory: &Inventory) {
        let warnings =
            self.runtime.block_on(store.write(inventory.clone(), &self.status)).expect("it is stored").warnings;
        assert_eq!(warnings, [] as [String; 0]);
    }

    #[track_caller]
    fn read(&self) -> Parent {
        let read = self.runtime.block_on(read_parent(&self.cluster, &self.site.home, &self.sync));
        read.expect("it can be read").expect("it is there")
    }

    /// What a write would store.
    fn stored(&self, inventory: &Inventory) -> EncodedParent {
        let mut parent = Parent::new(self.sync.clone(), Arc::from(&*self.site.home));
        (parent.inventory, parent.status) = (inventory.clone(), self.status.clone());
        parent.to_apply().expect("it fits")
    }

    #[track_caller]
    fn is_stored(&self, inventory: &Inventory) {
        let read = self.read();
        assert_eq!(read.damaged, None);
        assert!(read.inventory == *inventory, "the inventory is another one");
        assert_eq!(read.status, self.status);
        let named: BTreeSet<String> = self.stored(inventory).shards.into_iter().map(|shard| shard.name).collect();
        assert_eq!(self.shards(), named, "shards of no other inventory are left");
    }

    /// The names of all `ConfigMap`s with the label of shards.
    fn shards(&self) -> BTreeSet<String> {
        let selected = format!("{}?labelSelector=driftless.dev/observed-of=shop", self.path(""));
        let list = cluster().get(&selected).expect("a list");
        let items = list["items"].as_array().expect("items").iter();
        items.map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
    }

    fn path(&self, name: &str) -> String {
        path("configmaps", Some(&self.site.home), name)
    }

    /// One write of several, as before a crash.
    fn apply(&self, object: &Value) {
        let name = object["metadata"]["name"].as_str().expect("a name");
        let id = ObjectId::new("", "ConfigMap", Some(&self.site.home), name);
        let resource = config_maps();
        let applied = self.cluster.apply(&id, &resource, object, DryRun::No);
        self.runtime.block_on(applied).expect("it is applied");
    }
}

#[test]
fn twenty_thousand_objects_are_stored_and_only_changed_pieces_are_written() {
    let at = Storing::start();
    let mut large = inventory(20_000);
    let store = at.store();
    at.write(&store, &large);
    at.is_stored(&large);
    let parent = at.site.parent("shop").expect("a parent");
    for name in at.shards() {
        let shard = cluster().get(&at.path(&name)).expect("a shard");
        assert_eq!(shard["metadata"]["ownerReferences"][0]["uid"], parent["metadata"]["uid"], "{name}");
    }
    assert!(at.site.inventory("shop").starts_with("# driftless inventory 1: 20000 objects\nDeployment.apps team-00"));
    let listed = at.runtime.block_on(list_parents(&at.cluster, &at.site.home)).expect("a list");
    assert_eq!(listed.len(), 1, "shards are no parents");
    assert!(listed[0].as_ref().expect("it can be read").inventory.keys().eq(large.keys()));

    let writes = |mark: audit::Mark| -> Vec<String> {
        at.site.writes(mark).iter().map(|asked| format!("{} {}", asked.verb, asked.what)).collect()
    };
    let home = &at.site.home;
    let write_of_parent = format!("patch configmaps {home}/driftless-shop");
    if let Some(mark) = audit::mark() {
        at.write(&at.store(), &large);
        assert_eq!(writes(mark), [&*write_of_parent], "also when the agent was started anew");
    }
    let mark = audit::mark();
    let before = at.stored(&large);
    large.values_mut().next_back().expect("an object").fingerprint = Short::of("another");
    let after = at.stored(&large);
    at.write(&store, &large);
    at.is_stored(&large);
    if let Some(mark) = mark {
        let (old, new) = (&before.shards[1].name, &after.shards[1].name);
        let expected =
            [format!("patch configmaps {home}/{new}"), write_of_parent, format!("delete configmaps {home}/{old}")];
        assert_eq!(writes(mark), expected, "what the parent names is there before it, and goes after it");
    }
}

#[test]
fn an_inventory_that_shrinks_takes_its_pieces_away_and_nothing_else() {
    let at = Storing::start();
    let bystander = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "driftless-shop.observed-by-me", "labels": {"driftless.dev/observed-of": "shop"}}});
    cluster().create(&at.path(""), &bystander);
    let (large, small) = (inventory(20_000), inventory(10));
    let store = at.store();
    at.write(&store, &large);
    assert_eq!(at.shards().len(), 3);
    at.write(&store, &small);
    assert!(at.read().inventory == small);
    assert_eq!(at.shards().into_iter().collect::<Vec<_>>(), ["driftless-shop.observed-by-me"]);
    cluster().delete(&at.path("driftless-shop.observed-by-me"));

    at.write(&store, &large);
    at.write(&at.store(), &small);
    at.is_stored(&small);
}

#[test]
fn the_longest_list_that_is_not_refused_is_one_that_the_api_server_takes() {
    let at = Storing::start();
    let mut longest = inventory(36_000);
    let mut parent = Parent::new(at.sync.clone(), Arc::from(&*at.site.home));
    parent.status = at.status.clone();
    loop {
        parent.inventory = longest;
        if parent.to_apply().is_ok() {
            break;
        }
        longest = parent.inventory.into_iter().skip(250).collect();
    }
    assert!(parent.inventory.len() > 20_000);
    at.write(&at.store(), &parent.inventory);
    at.is_stored(&parent.inventory);
}

#[test]
fn who_reads_while_it_is_written_gets_one_inventory_or_another() {
    let at = Storing::start();
    let mut versions = vec![inventory(20_000)];
    for number in 1..4 {
        versions.push(versions[0].clone().into_iter().skip(number).collect());
    }
    let store = at.store();
    at.write(&store, &versions[0]);
    let written = AtomicBool::new(false);
    let writing = async {
        for inventory in versions.iter().cycle().skip(1).take(8) {
            store.write(inventory.clone(), &at.status).await.expect("it is stored");
        }
        written.store(true, Ordering::Relaxed);
    };
    let reading = async {
        while !written.load(Ordering::Relaxed) {
            let read = read_parent(&at.cluster, &at.site.home, &at.sync).await.expect("it can be read");
            let read = read.expect("it is there");
            assert_eq!(read.damaged, None);
            assert!(versions.contains(&read.inventory));
        }
    };
    at.runtime.block_on(async { tokio::join!(writing, reading) });
}

#[test]
fn pieces_that_may_not_be_deleted_are_reported_and_do_no_harm() {
    let at = Storing::start();
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create", "patch"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "r"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": at.site.reader()}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}});
    cluster().create(&path("roles.rbac.authorization.k8s.io", Some(&at.site.home), ""), &role);
    cluster().create(&path("rolebindings.rbac.authorization.k8s.io", Some(&at.site.home), ""), &binding);
    let (large, small) = (inventory(20_000), inventory(10));
    at.write(&at.store(), &large);

    let connect =
        Connect { kubeconfig: Some(at.site.kubeconfig()), context: Some("reader".into()), ..Connect::default() };
    let restricted = at.runtime.block_on(Cluster::connect(&connect)).expect("a cluster");
    let store = ParentStore::new(restricted, Arc::from(&*at.site.home), at.sync.clone());
    eventually("the role counts", || at.runtime.block_on(store.write(large.clone(), &at.status)));
    for _ in 0..2 {
        let warnings = at.runtime.block_on(store.write(small.clone(), &at.status)).expect("it is stored").warnings;
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("cannot delete") && warnings[0].contains("driftless check"), "{warnings:?}");
    }
    assert!(at.read().inventory == small);
    at.write(&at.store(), &small);
    at.is_stored(&small);
}

#[test]
fn a_write_that_breaks_off_leaves_the_old_inventory_or_the_new_one() {
    let at = Storing::start();
    let old = inventory(20_000);
    let new: Inventory = old.clone().into_iter().skip(1).collect();
    at.write(&at.store(), &old);
    let stored = at.stored(&new);
    for shard in &stored.shards {
        at.apply(&shard.to_apply(None));
        let read = at.read();
        assert!(read.damaged.is_none() && read.inventory == old, "the parent has not switched over");
    }
    at.apply(&stored.parent);
    let read = at.read();
    assert!(read.damaged.is_none() && read.inventory == new, "the parent has switched over");
    assert_eq!(at.shards().len(), 4, "the old ones are still there");

    at.write(&at.store(), &new);
    at.is_stored(&new);
    let uid = read.uid.expect("a UID");
    for name in at.shards() {
        let shard = cluster().get(&at.path(&name)).expect("a shard");
        assert_eq!(shard["metadata"]["ownerReferences"][0]["uid"], *uid, "nobody's shard has got its owner");
    }
}

#[test]
fn a_piece_that_is_lost_or_edited_costs_what_was_recorded_until_the_next_write() {
    let at = Storing::start();
    let large = inventory(20_000);
    at.write(&at.store(), &large);
    let shard = at.stored(&large).shards[0].name.clone();
    let damages: [&dyn Fn(); 2] = [&|| cluster().delete(&at.path(&shard)), &|| {
        cluster().merge(&at.path(&shard), "kubectl-edit", &json!({"binaryData": {"rows": "AAAA"}}));
    }];
    for damage in damages {
        damage();
        let read = at.read();
        let text = read.damaged.expect("it is noticed");
        assert!(text.contains("of its 20000 objects"), "{text}");
        assert!(read.inventory.keys().eq(large.keys()));
        assert!(read.inventory.values().all(|recorded| *recorded == Recorded::default()));
        at.write(&at.store(), &large);
        at.is_stored(&large);
    }
}

#[test]
fn pieces_go_with_their_parent_and_come_back_with_the_next_one() {
    if !cluster().runs_workloads() {
        return;
    }
    let at = Storing::start();
    let large = inventory(20_000);
    let store = at.store();
    at.write(&store, &large);
    cluster().delete(&at.path("driftless-shop"));
    // At once, so that the garbage collector meets old shards and new owners.
    at.write(&store, &large);
    at.is_stored(&large);
    cluster().delete(&at.path("driftless-shop"));
    eventually("the shards are gone", || check(at.shards().is_empty(), format!("{:?}", at.shards())));
    at.write(&store, &large);
    at.is_stored(&large);
}
