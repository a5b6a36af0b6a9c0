//! An etcd that is restored to an older state while agents run: its revisions are lower than what
//! they have seen, and what they know of the cluster is of a history that never was.

use std::sync::Arc;

use driftless::cluster::{Cluster, Connect};
use driftless::config::SyncName;
use driftless::inventory::{ParentStore, read_parent};
use driftless::object::ObjectId;
use driftless::plan::{Inventory, Recorded, SyncStatus};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::support::agent::Agent;
use crate::support::cluster::path;
use crate::support::plane::{Plane, plane};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

/// How far the history goes on after the backup, in writes that nobody cares for.
const MORE: usize = 600;

/// A sync that polls git tomorrow: nothing but the watches, and the loss of history, makes it act.
fn site_of(plane: &Plane, elected: bool) -> Site {
    let names = ["kept", "changed", "removed", "edited"];
    let files: Vec<_> = names.iter().map(|name| (format!("{name}.yaml"), config_map(name, "1"))).collect();
    let site = Site::on(plane.cluster, &files.iter().map(|(file, text)| (&**file, &**text)).collect::<Vec<_>>());
    let mut sync = site.sync("shop");
    sync["interval"] = json!("24h");
    site.configure_with(&[sync], |config| config["leaderElection"] = json!({"enabled": elected}));
    site
}

/// A commit that changes one object, removes one, and adds one.
fn go_on(site: &Site, agent: &Agent) -> String {
    site.repo.remove("removed.yaml");
    let files = [("changed.yaml", &*config_map("changed", "2")), ("added.yaml", &config_map("added", "1"))];
    let head = site.repo.commit(&files);
    site.cli(&["sync", "shop"]).expect_code(0);
    agent.eventually_synced("shop", &head);
    head
}

/// Has the revisions go far beyond those of a backup.
fn move_on(plane: &Plane) {
    let noise = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "noise-"}});
    let made = plane.cluster.create(&path("configmaps", Some("default"), ""), &noise);
    let noise = path("configmaps", Some("default"), made["metadata"]["name"].as_str().expect("a name"));
    for number in 0..MORE {
        plane.cluster.merge(&noise, "somebody", &json!({"data": {"n": number.to_string()}}));
    }
}

#[track_caller]
fn eventually_has_exactly(site: &Site, wanted: &[(&str, &str)]) {
    let wanted: Vec<(String, Option<String>)> =
        wanted.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
    eventually("everything is as in git", || {
        let values: Vec<_> = site.config_maps().into_iter().map(|name| (name.clone(), site.value_of(&name))).collect();
        check(values == wanted, format!("{values:?}"))
    });
}

/// The watches of the objects and of the parent see what happens.
#[track_caller]
fn sees(site: &Site, agent: &Agent) {
    site.edit("configmaps", "edited", "somebody", &json!({"data": {"value": "by hand"}}));
    site.eventually_has("edited", "1");
    site.cli(&["suspend", "shop"]).expect_code(0);
    agent.eventually_is("shop", "Suspended");
}

/// Scenario 52, with and without a Lease, whose renewals notice it first; and of a sync of which nothing has
/// changed since the backup.
#[test]
fn an_etcd_restored_to_an_older_state_is_noticed_and_everything_is_as_in_git_again() {
    let Some(mut plane) = plane() else { return };
    let sites = [false, true].map(|elected| site_of(&plane, elected));
    let quiet = site_of(&plane, false);
    let agents = sites.each_ref().map(Agent::start);
    let unchanged = Agent::start(&quiet);
    for (site, agent) in sites.iter().zip(&agents).chain([(&quiet, &unchanged)]) {
        agent.eventually_synced("shop", &site.repo.head());
    }
    let backup = plane.back_up();
    let heads: Vec<String> = sites.iter().zip(&agents).map(|(site, agent)| go_on(site, agent)).collect();
    move_on(&plane);
    let mark = plane.mark();
    plane.restore(&backup);
    for ((site, agent), head) in sites.iter().zip(&agents).zip(&heads) {
        eventually_has_exactly(site, &[("added", "1"), ("changed", "2"), ("edited", "1"), ("kept", "1")]);
        agent.eventually_synced("shop", head);
        agent.eventually_logs(&["etcd was restored to an older state", "all syncs begin anew"]);
        assert!(site.inventory("shop").contains(": added, changed, edited, kept\n"), "{}", site.inventory("shop"));
        let mut deletions = plane.requests_since(mark, &site.user());
        deletions.retain(|(verb, ..)| verb.starts_with("delete"));
        assert_eq!(deletions, [("delete".into(), "configmaps".into(), 200)], "what git had removed, and nothing else");
        sees(site, agent);
    }
    sees(&quiet, &unchanged);
    assert!(unchanged.logged(&["etcd was restored"]).is_none(), "nothing proves it, and nothing is lost");
}

/// What was pruned since the backup is back, and only the restored inventory knows: it must not be written
/// over by an agent that has not noticed yet.
#[test]
fn an_inventory_out_of_a_backup_is_not_written_over_before_it_was_read() {
    let Some(mut plane) = plane() else { return };
    let site = site_of(&plane, false);
    site.make_namespace(&site.home);
    let runtime = Runtime::new().expect("a runtime");
    let connect = Connect { kubeconfig: Some(site.kubeconfig()), ..Connect::default() };
    let cluster = runtime.block_on(Cluster::connect(&connect)).expect("a cluster");
    let sync = SyncName::parse("shop").expect("a name");
    let inventory = |names: &[&str]| -> Inventory {
        let id = |name: &&str| (ObjectId::new("", "ConfigMap", Some(&site.namespace), name), Recorded::default());
        names.iter().map(id).collect()
    };
    let store = || ParentStore::new(cluster.clone(), Arc::from(&*site.home), sync.clone());
    let write = |store: &ParentStore, names: &[&str]| {
        runtime.block_on(store.write(inventory(names), &SyncStatus::default())).map(drop)
    };
    let listed = || {
        let read = runtime.block_on(read_parent(&cluster, &site.home, &sync)).expect("it can be read");
        read.expect("it is there").inventory
    };
    let old = store();
    write(&old, &["pruned", "kept"]).expect("it is stored");
    let backup = plane.back_up();
    write(&old, &["kept"]).expect("it is stored");
    // Whoever annotates it meanwhile keeps nobody from writing it.
    site.cli(&["suspend", "shop"]).expect_code(0);
    write(&old, &["kept", "more"]).expect("it is stored");
    move_on(&plane);
    let mut proofs = cluster.history().proofs();
    plane.restore(&backup);

    let error = eventually("the API server answers", || {
        let error = write(&old, &["kept"]).expect_err("it was restored").to_string();
        check(error.contains("etcd was restored"), &error).map(|()| error)
    });
    assert!(error.contains("driftless-shop has resource version"), "{error}");
    assert!(listed() == inventory(&["kept", "pruned"]), "it is as it was restored");
    assert!(proofs.has_changed().expect("a sender"));
    let proof = proofs.borrow_and_update().clone().expect("a proof");
    assert_eq!(&*proof.object.name, "driftless-shop");
    write(&store(), &["kept"]).expect("an agent that begins anew writes it");
    assert!(listed() == inventory(&["kept"]));
}
