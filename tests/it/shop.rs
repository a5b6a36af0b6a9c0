//! The example shop: three syncs of one repository, every object of it accepted.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::Site;

fn shop() -> Site {
    let site = Site::with(&[("README.md", "a shop")]);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests-example");
    let copied = Command::new("cp").arg("-R").arg(format!("{}/.", example.display())).arg(site.repo.work()).status();
    assert!(copied.expect("cp runs").success());
    site.repo.commit_all("The shop");
    let text = std::fs::read_to_string(example.join("driftless.yaml")).expect("the example's configuration");
    let config: Value = serde_saphyr::from_str(&text).expect("YAML");
    let mut syncs = config["syncs"].as_array().expect("syncs").clone();
    for sync in &mut syncs {
        sync["source"] = json!({"url": site.repo.url(), "branch": "main"});
        sync["timeout"] = json!("60s");
    }
    assert_eq!(syncs.len(), 3);
    site.configure(&syncs);
    for namespace in ["shop-dev", "shop-prod"] {
        site.cluster_scoped("namespaces", namespace);
    }
    site.cluster_scoped("customresourcedefinitions.apiextensions.k8s.io", "promotions.shop.example.com");
    site
}

#[test]
fn the_example_shop_is_synced_in_one_go_and_a_second_one_writes_nothing() {
    if !cluster().runs_workloads() {
        return;
    }
    let site = shop();
    let plan = site.cli(&["plan"]).expect_code(2);
    assert!(!plan.stdout.contains("error:"), "{}", plan.stdout);
    let first = site.once().expect_code(0);
    for sync in ["shop-cluster", "shop-dev", "shop-prod"] {
        assert!(first.stdout.contains(&format!("{sync}: synced")), "{}", first.stdout);
    }
    let web = cluster().get(&path("deployments.apps", Some("shop-prod"), "backend")).expect("the backend");
    assert_eq!(web["status"]["readyReplicas"], web["spec"]["replicas"], "{}", web["status"]);
    assert!(cluster().get(&path("promotions.shop.example.com", Some("shop-dev"), "everything-half")).is_some());
    site.cli(&["status"]).expect_code(0);

    let mark = audit::mark();
    site.once().expect_code(0);
    let quiet = site.cli(&["plan"]).expect_code(0);
    for sync in ["shop-cluster", "shop-dev", "shop-prod"] {
        assert!(quiet.stdout.contains(&format!("{sync}: nothing is to change")), "{}", quiet.stdout);
    }
    if let Some(mark) = mark {
        assert_eq!(site.writes(mark), []);
    }
    site.cli(&["check"]).expect_code(0);
}
