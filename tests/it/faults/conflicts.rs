//! Conflicts (409) that do not end while an object is tried.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::fault::{Exchange, Fault, Hits, Proxy, Rule};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};

/// So often is one apply sent before its conflict is an error.
const TRIES: usize = 8;

/// As many conflicts at applies of `a` as one try of it endures, and no more.
fn conflicts(proxy: &Proxy) -> Hits {
    proxy.add(Rule::on(Fault::Answer(409, None), &["apply"]).resource("configmaps").named("a").times(TRIES))
}

#[test]
fn an_apply_that_ends_with_a_conflict_is_reported_and_tried_again() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("b.yaml", &config_map("b", "1"))]);
    let proxy = Proxy::before(&site);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());

    // Of a commit.
    let hits = conflicts(&proxy);
    site.repo.remove("b.yaml");
    let commit = site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    agent.eventually_logs(&["ERROR", "/a", "the object has been modified"]);
    assert_eq!(hits.count(), TRIES);
    let status = agent.eventually_synced("shop", &commit);
    assert_eq!(status["problems"], json!([]));
    assert_eq!(site.value_of("a").as_deref(), Some("2"));
    let failed = |result| agent.metric("driftless_apply_total", &["kind=\"ConfigMap\"", result]);
    assert_eq!(failed("result=\"failed\""), Some(1.0));
    let order: Vec<_> = proxy.seen().into_iter().filter(Exchange::took_effect).map(|one| one.ask.to_string()).collect();
    let at =
        |what: &str| order.iter().rposition(|one| one.starts_with(what)).unwrap_or_else(|| panic!("{what}: {order:?}"));
    let (applied, pruned) = (at(&format!("apply configmaps {}/a", site.namespace)), at("delete configmaps"));
    assert!(applied < pruned, "nothing was pruned before it was applied: {order:?}");

    // Of a heal.
    let hits = conflicts(&proxy);
    site.edit("configmaps", "a", "somebody", &json!({"data": {"value": "by hand"}}));
    agent.eventually_logs(&["drifted, and could not be healed", "the object has been modified"]);
    assert_eq!(hits.count(), TRIES);
    site.eventually_has("a", "2");
    eventually("no problem is left", || {
        let status = agent.sync("shop");
        check(status["phase"] == "Synced" && status["problems"] == json!([]), &status)
    });
}
