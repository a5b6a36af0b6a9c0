//! A kind that is not in discovery although its CRD stands, as on an API server that is starting.

use serde_json::Value;

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::fault::{Fault, Proxy, Rule};
use crate::support::site::{Site, config_map, crd, thing};
use crate::support::wait::{check, eventually};

const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// A thing leaves git while its kind is not served: whether it is gone cannot be known, so it stays in
/// the inventory, and is pruned when the kind is back.
fn is_not_forgotten(may_list_crds: bool) {
    let site = Site::with(&[("kept.yaml", &config_map("kept", "1"))]);
    let group = format!("{}.example.com", site.id);
    let definition: Value = serde_saphyr::from_str(&crd(&group)).expect("a CRD");
    cluster().create(&path(CRDS, None, ""), &definition);
    let definition = site.cluster_scoped(CRDS, &format!("things.{group}"));
    eventually("the CRD is established", || {
        let live = cluster().get(&definition).unwrap_or_default();
        check(live["status"]["conditions"].to_string().contains("Established"), live)
    });
    site.repo.commit(&[("thing.yaml", &thing(&group, "thing"))]);
    site.configure(&[site.sync("shop")]);
    let proxy = Proxy::before(&site);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    agent.kill();

    proxy.unserve(Some(&group));
    if !may_list_crds {
        proxy.add(Rule::on(Fault::Answer(403, None), &["list"]).resource("customresourcedefinitions"));
    }
    site.repo.remove("thing.yaml");
    let commit = site.repo.commit_all("without the thing");
    let agent = Agent::start(&site);
    let why = if may_list_crds { "its CRD exists" } else { "it is unknown whether its CRD still exists" };
    eventually("what cannot be known is reported", || {
        let status = agent.sync("shop");
        check(status["phase"] == "Failing" && status["problems"].to_string().contains(why), &status)
    });
    agent.passes("shop", 1);
    assert!(site.inventory("shop").contains(&format!("Thing.{group} {}: thing", site.namespace)));

    proxy.clear();
    proxy.unserve(None);
    agent.eventually_synced("shop", &commit);
    assert!(!site.has(&format!("things.{group}"), "thing"), "it is pruned, and not forgotten");
    cluster().delete(&definition);
}

#[test]
fn an_object_whose_kind_vanishes_from_discovery_is_not_taken_for_gone_while_its_crd_stands() {
    is_not_forgotten(true);
}

#[test]
fn an_object_whose_kind_vanishes_from_discovery_is_not_taken_for_gone_where_crds_may_not_be_listed() {
    is_not_forgotten(false);
}
