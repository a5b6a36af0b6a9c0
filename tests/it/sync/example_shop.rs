//! The example shop: nine syncs of one repository, plain and rendered, every object of it accepted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::deploy::helm;
use crate::support::site::Site;

const SYNCS: [&str; 9] = [
    "shop-cluster",
    "shop-dev",
    "shop-prod",
    "search-dev",
    "search-prod",
    "shop-secrets",
    "reviews-db",
    "reviews-dev",
    "reviews-prod",
];

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests-example")
}

fn shop() -> Site {
    let site = Site::with(&[("README.md", "a shop")]);
    let copied = Command::new("cp").arg("-R").arg(format!("{}/.", example().display())).arg(site.repo.work()).status();
    assert!(copied.expect("cp runs").success());
    site.repo.commit_all("The shop");
    let text = fs::read_to_string(example().join("driftless.yaml")).expect("the example's configuration");
    let config: Value = serde_saphyr::from_str(&text).expect("YAML");
    let mut syncs = config["syncs"].as_array().expect("syncs").clone();
    for sync in &mut syncs {
        sync["source"] = json!({"url": site.repo.url(), "branch": "main"});
        sync["timeout"] = json!("60s");
    }
    assert_eq!(syncs.iter().map(|sync| sync["name"].as_str().expect("a name")).collect::<Vec<_>>(), SYNCS);
    site.configure(&syncs);
    for namespace in ["shop-dev", "shop-prod"] {
        site.cluster_scoped("namespaces", namespace);
    }
    site.cluster_scoped("customresourcedefinitions.apiextensions.k8s.io", "promotions.shop.example.com");
    give_key(&site);
    site
}

/// As the example's README does it.
fn give_key(site: &Site) {
    if !site.has_namespace(&site.home) {
        site.make_namespace(&site.home);
    }
    let key = fs::read_to_string(example().join("sample-key-do-not-use.agekey")).expect("the sample key");
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sops-keys"}, "stringData": {"sample.agekey": key},
    });
    cluster().create(&format!("/api/v1/namespaces/{}/secrets", site.home), &object);
}

#[track_caller]
fn of_shop(plural: &str, namespace: &str, name: &str) -> Value {
    let found = cluster().get(&path(plural, Some(namespace), name));
    found.unwrap_or_else(|| panic!("{plural} {namespace}/{name} is not there"))
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
    for sync in SYNCS {
        assert!(first.stdout.contains(&format!("{sync}: synced")), "{}", first.stdout);
    }
    for name in ["backend", "search", "reviews"] {
        let deployment = of_shop("deployments.apps", "shop-prod", name);
        assert_eq!(deployment["status"]["readyReplicas"], deployment["spec"]["replicas"], "{}", deployment["status"]);
    }
    of_shop("promotions.shop.example.com", "shop-dev", "everything-half");
    overlays_are_as_in_git();
    charts_are_as_in_git();

    // In clear text in the cluster alone.
    assert_eq!(of_shop("secrets", "shop-prod", "reviews-db")["data"]["username"], "cmV2aWV3cw==");
    let rendered = site.cli(&["render", "--cluster"]).expect_code(0);
    let status = site.cli(&["status"]).expect_code(0);
    for text in [plan.all(), first.all(), rendered.all(), status.all()] {
        let is_shown =
            ["sample-of-an-encrypted", "c2FtcGxlLW9mLWFuLWVuY3J5cHRlZC"].iter().any(|part| text.contains(part));
        assert!(!is_shown, "{text}");
    }

    let mark = audit::mark();
    site.once().expect_code(0);
    let quiet = site.cli(&["plan"]).expect_code(0);
    for sync in SYNCS {
        assert!(quiet.stdout.contains(&format!("{sync}: nothing is to change")), "{}", quiet.stdout);
    }
    if let Some(mark) = mark {
        assert_eq!(site.writes(mark), []);
    }
    site.cli(&["check"]).expect_code(0);
}

/// Each environment has its own replicas, image and settings of the one service.
fn overlays_are_as_in_git() {
    let registry = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
    for (namespace, replicas, tag, level) in [("shop-dev", 1, "1.4.0-rc.2", "debug"), ("shop-prod", 3, "1.3.0", "info")]
    {
        let deployment = of_shop("deployments.apps", namespace, "search");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(deployment["spec"]["replicas"], replicas);
        assert_eq!(container["image"], format!("{registry}/shop-search:{tag}"), "the variable has its value");
        let settings = container["envFrom"][0]["configMapRef"]["name"].as_str().expect("a name");
        assert!(settings.starts_with("search-"), "{settings} has a hash");
        assert_eq!(of_shop("configmaps", namespace, settings)["data"]["LOG_LEVEL"], level);
        let selector = &deployment["spec"]["selector"]["matchLabels"];
        assert_eq!(selector, &json!({"app.kubernetes.io/name": "search"}), "labels are in no selector");
        let budget = cluster().get(&path("poddisruptionbudgets.policy", Some(namespace), "search"));
        assert_eq!(budget.is_some(), namespace == "shop-prod", "the component is of prod alone");
    }
}

/// Each environment has its own values of the one chart, whose migration ran; prod has a database of its own.
fn charts_are_as_in_git() {
    for (namespace, host, tag) in [("shop-dev", "postgres", "2.2.0-rc.1"), ("shop-prod", "reviews-db", "2.1.0")] {
        let deployment = of_shop("deployments.apps", namespace, "reviews");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let job = of_shop("jobs.batch", namespace, "reviews-migration");
        assert!(container["image"].as_str().expect("an image").ends_with(&format!("/shop-reviews:{tag}")));
        assert_eq!(container["env"][0], json!({"name": "PGHOST", "value": host}));
        assert_eq!(job["status"]["succeeded"], 1, "{}", job["status"]);
        assert_eq!(job["spec"]["template"]["spec"]["containers"][0]["image"], container["image"]);
        assert!(cluster().get(&path("pods", Some(namespace), "reviews-test-ready")).is_none(), "tests are left out");
    }
    let database = of_shop("statefulsets.apps", "shop-prod", "reviews-db");
    assert_eq!(database["status"]["readyReplicas"], 1, "{}", database["status"]);
    assert_eq!(database["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    assert_eq!(database["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"], "20Gi");
    assert_eq!(database["spec"]["template"]["spec"]["securityContext"]["runAsUser"], 999, "out of the library chart");
}

#[test]
fn the_charts_of_the_example_pass_helms_own_checks() {
    let chart = |path: &str| example().join("charts").join(path).display().to_string();
    helm(&["lint", "--strict", &chart("reviews")]).expect_code(0);
    for values in ["reviews/values-dev.yaml", "reviews/values-prod.yaml"] {
        helm(&["lint", "--strict", &chart("reviews"), "--values", &chart(values)]).expect_code(0);
    }
    helm(&["lint", "--strict", &chart("postgresql"), "--set", "secret=login"]).expect_code(0);
    let refused = helm(&["template", "reviews", &chart("reviews"), "--set", "replicas=many"]).expect_code(1);
    assert!(refused.stderr.contains("/replicas"), "{}", refused.stderr);
}

/// Whoever changes it has to vendor it again.
#[test]
fn the_library_chart_in_the_archive_is_the_one_beside_it() {
    let unpacked = tempfile::tempdir().expect("a directory");
    let run = |command: &mut Command| command.output().expect("the command starts");
    let archive = example().join("charts/postgresql/charts/common-1.0.0.tgz");
    let done = run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(unpacked.path()));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let [beside, vendored] = [example().join("charts/common/templates"), unpacked.path().join("common/templates")];
    let done = run(Command::new("diff").arg("-r").arg(beside).arg(vendored));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}
