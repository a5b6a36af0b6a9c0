//! `driftless remove`: ending a sync on purpose.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map, deployment};

const PART_OF: &str = "applyset.kubernetes.io/part-of";

fn claim() -> String {
    "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], \
     resources: {requests: {storage: 1Gi}}}\n"
        .into()
}

/// A site whose only sync was synced once, and then left the configuration.
fn unconfigured(files: &[(&str, &str)]) -> Site {
    let site = Site::with(files);
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    site.configure(&[sync]);
    site.once().expect_code(0);
    site.configure(&[]);
    site
}

fn is_marked(site: &Site, plural: &str, name: &str) -> bool {
    let live = site.get(plural, name).expect("it exists");
    let text = live["metadata"]["labels"].to_string() + &live["metadata"]["annotations"].to_string();
    text.contains(PART_OF) || text.contains("driftless.dev/digest")
}

#[test]
fn a_sync_that_is_ended_leaves_nothing_but_what_holds_data() {
    let files = [("a.yaml", config_map("a", "1")), ("web.yaml", deployment("web", "nginx")), ("data.yaml", claim())];
    let site = unconfigured(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
    let ended = site.cli(&["remove", "shop", "--yes"]).expect_code(0);
    let shown = &ended.stdout;
    assert!(shown.contains("ending sync shop: 2 to delete, 1 to leave in the cluster"), "{shown}");
    assert!(shown.contains("(deleting it would delete data)"), "{shown}");
    assert!(shown.ends_with("sync shop is ended\n"), "{shown}");
    assert!(!site.has("configmaps", "a") && !site.has("deployments.apps", "web"));
    assert!(!is_marked(&site, "persistentvolumeclaims", "data"));
    assert_eq!(site.parent("shop"), None);
    let again = site.cli(&["remove", "shop", "--yes"]).expect_code(1);
    assert!(again.stderr.contains("sync shop has no inventory in namespace"), "{}", again.stderr);
}

#[test]
fn nothing_is_ended_that_is_configured_or_that_nobody_confirmed() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1"))]);
    site.once().expect_code(0);
    let before = site.parent("shop");
    let refused = site.cli(&["remove", "shop", "--yes"]).expect_code(1);
    assert!(
        refused.stderr.contains("so its agent would make its objects anew; take it out there first"),
        "{refused:?}"
    );
    site.configure(&[]);
    let asked = site.cli(&["remove", "shop"]).expect_code(1);
    assert!(asked.stdout.contains("delete    ConfigMap"), "{}", asked.stdout);
    assert!(asked.stderr.contains("to go ahead: --yes"), "{}", asked.stderr);
    assert_eq!(site.parent("shop"), before);
    assert!(is_marked(&site, "configmaps", "a"));
}

#[test]
fn objects_that_are_kept_are_as_if_they_had_never_been_managed() {
    let site = unconfigured(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    let foreign = json!({"metadata": {"labels": {PART_OF: "applyset-theirs-v1"}}});
    site.edit("configmaps", "b", "somebody", &foreign);
    let ended = site.cli(&["remove", "shop", "--keep-objects", "--yes"]).expect_code(0);
    assert!(ended.stdout.contains("ending sync shop: 0 to delete, 1 to leave"), "{}", ended.stdout);
    assert_eq!(site.value_of("a").as_deref(), Some("1"));
    assert!(!is_marked(&site, "configmaps", "a"));
    assert!(is_marked(&site, "configmaps", "b"), "what is another's is not touched");
    assert_eq!(site.parent("shop"), None);
}

#[test]
fn what_two_syncs_declare_goes_to_the_one_that_stays() {
    let site = Site::with(&[("x/same.yaml", &config_map("same", "x")), ("y/same.yaml", &config_map("same", "y"))]);
    let [mut first, mut second] = ["first", "second"].map(|name| site.sync(name));
    (first["path"], second["path"]) = (json!("x"), json!("y"));
    site.configure(&[first]);
    site.once().expect_code(0);
    site.configure(&[second]);
    let agent = Agent::start(&site);
    agent.eventually_is("second", "Failing");
    site.cli(&["remove", "first", "--keep-objects", "--yes"]).expect_code(0);
    agent.eventually_synced("second", &site.repo.head());
    assert_eq!(site.value_of("same").as_deref(), Some("y"));
}

#[test]
fn an_object_that_cannot_go_yet_keeps_the_inventory() {
    let held = config_map("held", "1").replace("metadata:", "metadata:\n  finalizers: [example.com/hold]");
    let site = unconfigured(&[("held.yaml", &held)]);
    let ended = site.cli(&["remove", "shop", "--yes"]).expect_code(1);
    assert!(ended.stderr.contains("1 of its objects are still there"), "{}", ended.stderr);
    assert!(site.parent("shop").is_some());
    let at = path("configmaps", Some(&site.namespace), "held");
    cluster().merge(&at, "somebody", &json!({"metadata": {"finalizers": null}}));
    site.cli(&["remove", "shop", "--yes"]).expect_code(0);
    assert_eq!(site.parent("shop"), None);
}
