//! Long chains of dependencies: their length stops neither the sync that has them nor any other.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, within};

/// As long as a commit of one sync can make it and still fit into its inventory.
const LONG: usize = 20_000;
/// A debug build renders 20,000 documents on a busy machine.
const PATIENCE: Duration = Duration::from_mins(4);

/// Files with `ConfigMap`s `c00000`, `c00001`, …, each of which depends on the one after it, so that the
/// first by name is the last to be applied; the last by name depends on `on`, where something is given.
fn chain(site: &Site, length: usize, on: Option<&str>) -> Vec<(String, String)> {
    let mut files = vec![String::new(); length.div_ceil(5_000)];
    for number in 0..length {
        let next = (number + 1 < length).then(|| config_map_of(site, number + 1));
        let needs = next
            .as_deref()
            .or(on)
            .map_or_else(String::new, |on| format!("  annotations: {{config.kubernetes.io/depends-on: {on}}}\n"));
        let text = &mut files[number / 5_000];
        write!(text, "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c{number:05}\n{needs}").expect("text");
    }
    files.into_iter().enumerate().map(|(at, text)| (format!("chain/{at}.yaml"), text)).collect()
}

fn config_map_of(site: &Site, number: usize) -> String {
    format!("/namespaces/{}/ConfigMap/c{number:05}", site.namespace)
}

fn commit(site: &Site, files: &[(String, String)]) -> String {
    for (path, text) in files {
        site.repo.write(path, text);
    }
    site.repo.commit_all("a chain")
}

/// Two syncs: `chain` of the directory of that name, `shop` of the rest.
fn configure(site: &Site) {
    let [mut chain, mut shop] = [site.sync("chain"), site.sync("shop")];
    (chain["path"], chain["timeout"]) = (json!("chain"), json!("10s"));
    shop["path"] = json!("shop");
    site.configure(&[chain, shop]);
}

/// Scenario 44
#[test]
fn a_chain_of_twenty_thousand_dependencies_is_no_trouble_for_its_sync_and_none_for_another() {
    let site = Site::with(&[("shop/a.yaml", &config_map("a", "1"))]);
    configure(&site);
    let gate = format!("apps/namespaces/{}/Deployment/gate", site.namespace);
    let closed = deployment("gate", "nginx")
        .replace("      containers:\n", "      nodeSelector: {no-such: node}\n      containers:\n");
    site.repo.write("chain/gate.yaml", closed);
    commit(&site, &chain(&site, LONG, Some(&gate)));
    let mut agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());

    let status = within(PATIENCE, "the sync says what it waits for", || {
        let status = agent.sync("chain");
        if status["phase"] == "Failing" { Ok(status) } else { Err(status) }
    });
    let reported = status["problems"].to_string() + &status["summary"].to_string();
    assert!(reported.contains("Deployment") && reported.contains("gate, which it depends on"), "{reported}");
    assert!(reported.len() < 100_000, "it says so in {} bytes", reported.len());
    assert_eq!(site.config_maps(), ["a"], "none of the chain is begun");
    let second = site.repo.commit(&[("shop/a.yaml", &config_map("a", "two"))]);
    agent.eventually_synced("shop", &second);
    assert!(!agent.has_ended());
    let lines = agent.log().len();
    assert!(lines < 2_000, "the log has {lines} lines");
}

/// Scenario 44, of a chain whose end meets its beginning
#[test]
fn a_circle_of_twenty_thousand_dependencies_is_reported_in_few_words() {
    let site = Site::with(&[("shop/a.yaml", &config_map("a", "1"))]);
    configure(&site);
    let mut files = chain(&site, LONG, Some(&config_map_of(&site, 0)));
    files.push(("chain/free.yaml".into(), config_map("free", "1")));
    commit(&site, &files);
    let agent = Agent::start(&site);
    let status = within(PATIENCE, "the circle is reported", || {
        let status = agent.sync("chain");
        if status["phase"] == "Failing" { Ok(status) } else { Err(status) }
    });
    let reported = status["problems"].to_string() + &status["summary"].to_string();
    assert!(reported.contains("circle") && reported.contains("19994 more"), "{reported}");
    assert!(reported.len() < 100_000, "it says so in {} bytes", reported.len());
    agent.eventually_synced("shop", &site.repo.head());
    assert_eq!(site.config_maps(), ["a", "free"], "all that is in no circle is applied");
}

/// Scenario 44, carried out
#[test]
fn a_chain_is_applied_one_after_another_and_deleted_in_reverse() {
    let site = Site::with(&[]);
    let mut sync = site.sync("chain");
    sync["prune"] = json!({"maxPercent": 100});
    site.configure(&[sync]);
    let length = 300;
    commit(&site, &chain(&site, length, None));
    let agent = Agent::start(&site);
    within(PATIENCE, "the chain is applied", || {
        let status = agent.sync("chain");
        check(status["phase"] == "Synced", status)
    });
    let versions: Vec<u64> = (0..length)
        .rev()
        .map(|number| {
            let live = site.get("configmaps", &format!("c{number:05}")).expect("it is applied");
            live["metadata"]["resourceVersion"].as_str().expect("a version").parse().expect("a number")
        })
        .collect();
    assert!(versions.is_sorted(), "{versions:?}");
    site.repo.remove("chain");
    site.repo.commit(&[("a.yaml", &config_map("a", "1"))]);
    within(PATIENCE, "the chain is deleted", || {
        let left = site.config_maps();
        check(left == ["a"], format!("{} are left", left.len()))
    });
}
