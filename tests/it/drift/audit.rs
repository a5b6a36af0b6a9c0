//! What leaves no trace in the ownership of fields: only the audit finds it.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::cluster::cluster;
use crate::support::etcd;
use crate::support::site::{Site, config_map, crd, thing};
use crate::support::wait::{check, eventually};
use crate::support::watched::daily;

/// A synced site of things `one` and `two` and a `ConfigMap`, in which everything is audited so
/// often; and the group of the things.
fn audited(period: &str) -> (Site, Agent, String) {
    let group = format!("g{}.example.com", fastrand::u32(..));
    let site = Site::with(&[
        ("crd.yaml", &crd(&group)),
        ("one.yaml", &thing(&group, "one")),
        ("two.yaml", &thing(&group, "two")),
        ("a.yaml", &config_map("a", "1")),
    ]);
    site.configure_with(&[daily(&site, "shop")], |config| {
        config["audit"] = json!({"period": period, "maxPerSecond": 50});
    });
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    (site, agent, group)
}

#[test]
fn an_object_restored_behind_the_api_server_is_found_by_the_audit_and_healed() {
    if cluster().etcd().is_none() {
        return;
    }
    let (site, agent, group) = audited("3s");
    let plural = format!("things.{group}");
    let before = site.get(&plural, "one").expect("it exists");
    etcd::change(&group, "things", &site.namespace, "one", |stored| stored["spec"]["size"] = json!(7));
    // Through the watch it comes, too, and is as it always was.
    let changed = eventually("the change is seen or healed", || {
        let live = site.get(&plural, "one").expect("it exists");
        let newer = live["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"];
        if newer { Ok(live) } else { Err(live) }
    });
    assert_eq!(changed["metadata"]["uid"], before["metadata"]["uid"]);
    agent.eventually_logs(&["drift in Thing", "/one", "which only the audit saw", "spec.size"]);
    eventually("it is healed", || {
        let live = site.get(&plural, "one").expect("it exists");
        check(live["spec"]["size"] == 1, live["spec"].clone())
    });
    agent.eventually_logs(&["Thing", "/one healed after"]);
    let missed = |labels: &[&str]| agent.metric("driftless_drift_missed_total", labels);
    eventually("it is counted", || {
        let count = missed(&["kind=\"Thing\"", "sync=\"shop\""]);
        check(count == Some(1.0), format!("{count:?}"))
    });
    assert_eq!(missed(&[]), Some(1.0), "nothing else was missed");
    let drift = agent.sync("shop")["drift"].clone();
    assert_eq!(drift[0]["blame"]["manager"], json!(null), "nobody signed for it: {drift}");

    // Again, as a server that changes it for good would do, now by another value.
    etcd::change(&group, "things", &site.namespace, "two", |stored| stored["spec"] = json!({}));
    eventually("a field that vanished is found, too", || {
        let live = site.get(&plural, "two").expect("it exists");
        check(live["spec"]["size"] == 1 && missed(&[]) == Some(2.0), live["spec"].clone())
    });
}

#[test]
fn without_an_audit_nobody_asks_and_the_watches_do_not_see_it() {
    if cluster().etcd().is_none() {
        return;
    }
    let (site, agent, group) = audited("1h");
    let plural = format!("things.{group}");
    etcd::change(&group, "things", &site.namespace, "one", |stored| stored["spec"]["size"] = json!(7));
    agent.passes("shop", 1);
    assert_eq!(site.get(&plural, "one").expect("it exists")["spec"]["size"], 7);
    // What the fast path does see puts the rest right, too.
    site.edit(&plural, "one", "tuner", &json!({"spec": {"size": 8}}));
    eventually("it is healed", || {
        let live = site.get(&plural, "one").expect("it exists");
        check(live["spec"]["size"] == 1, live["spec"].clone())
    });
    assert_eq!(agent.metric("driftless_drift_missed_total", &[]), None);
}
