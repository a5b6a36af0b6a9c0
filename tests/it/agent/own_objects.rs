//! The agent's own objects, which no repository may name.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

fn live(site: &Site, plural: &str, name: &str) -> Option<Value> {
    cluster().get(&path(plural, Some(&site.home), name))
}

/// Scenario 42
#[test]
fn a_repository_that_declares_the_agents_own_objects_is_refused_with_file_and_line() {
    let site = Site::with(&[("old/x.yaml", &config_map("x", "1"))]);
    let [mut old, mut other] = ["old", "other"].map(|name| site.sync(name));
    (old["path"], other["path"]) = (json!("old"), json!("old"));
    other["targetNamespace"] = json!(site.home);
    // Once synced, and not configured any more: its parent is still the agent's.
    site.configure(&[old]);
    site.once().expect_code(0);

    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: driftless-digest-key}\nstringData: {key: ours}\n";
    let lease =
        "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: driftless}\nspec: {holderIdentity: me}\n";
    let shard = format!("driftless-other.observed-{}", "0".repeat(32));
    let marked = config_map("marked", "1").replace("metadata:", "metadata:\n  labels: {driftless.dev/sync: shop}");
    let named =
        config_map("driftless-other", "1").replace("metadata:", &format!("metadata:\n  namespace: {}", site.home));
    let files = [
        ("shop/fine.yaml", config_map("fine", "1")),
        ("shop/config.yaml", config_map("driftless-config", "1")),
        ("shop/0-own.yaml", config_map("driftless-shop", "1")),
        ("shop/1-other.yaml", format!("# a comment\n---\n{named}")),
        ("shop/2-old.yaml", config_map("driftless-old", "1")),
        ("shop/3-shard.yaml", config_map(&shard, "1")),
        ("shop/4-marked.yaml", marked),
        ("shop/5-key.yaml", secret.to_owned()),
        ("shop/6-lease.yaml", lease.to_owned()),
    ];
    site.repo.commit(&files.each_ref().map(|(file, text)| (*file, text.as_str())));
    let mut shop = site.sync("shop");
    shop["path"] = json!("shop");
    // The namespace is the agent's only because the sync says so.
    shop["targetNamespace"] = json!(site.home);
    let before = [("secrets", "driftless-digest-key"), ("configmaps", "driftless-old")]
        .map(|(plural, name)| live(&site, plural, name));
    site.configure_with(&[shop, other], |config| config["leaderElection"] = json!({"enabled": true}));
    let agent = Agent::start(&site);
    agent.eventually_synced("other", &site.repo.head());
    let status = agent.eventually_is("shop", "Failing");
    let problems = status["problems"].as_array().expect("problems");
    for (file, line) in
        [("0-own", 1), ("1-other", 3), ("2-old", 1), ("3-shard", 1), ("4-marked", 1), ("5-key", 1), ("6-lease", 1)]
    {
        let at = |problem: &&Value| problem["origin"]["file"] == *format!("shop/{file}.yaml");
        let problem = problems.iter().find(at).unwrap_or_else(|| panic!("{file}: {status:#}"));
        assert_eq!(problem["origin"]["line"], line, "{problem}");
        assert!(problem["message"].as_str().expect("text").contains("driftless's own"), "{problem}");
    }
    assert_eq!(problems.len(), 7, "{status:#}");

    eventually("the rest of the sync goes on", || {
        check(
            live(&site, "configmaps", "fine").is_some() && live(&site, "configmaps", "driftless-config").is_some(),
            "no",
        )
    });
    agent.passes("shop", 1);
    let after = [("secrets", "driftless-digest-key"), ("configmaps", "driftless-old")]
        .map(|(plural, name)| live(&site, plural, name));
    assert_eq!(before, after, "nothing of the agent's was touched");
    assert!(!site.inventory("shop").contains("driftless-old"), "{}", site.inventory("shop"));
    assert_eq!(live(&site, "configmaps", &shard), None);
    let holder =
        live(&site, "leases.coordination.k8s.io", "driftless").expect("a Lease")["spec"]["holderIdentity"].clone();
    assert_ne!(holder, "me");
    agent.eventually_synced("other", &site.repo.head());
}
