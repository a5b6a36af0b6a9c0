//! `drift: report`, `drift: off` and `suspend`, for what the watches see. Another sync of the same
//! agent, which heals, shows that changes have come through.

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};
use crate::support::watched::daily;

/// A site with a sync `shop` of that policy, and a sync `other` that heals.
fn beside(drift: &str) -> (Site, Agent) {
    let site = Site::with(&[
        ("shop/a.yaml", &config_map("a", "1")),
        ("shop/b.yaml", &config_map("b", "1")),
        ("other/c.yaml", &config_map("c", "1")),
    ]);
    let [mut shop, mut other] = ["shop", "other"].map(|name| daily(&site, name));
    (shop["path"], other["path"]) = (json!("shop"), json!("other"));
    shop["drift"] = json!(drift);
    site.configure_with(&[shop, other], |config| config["audit"] = json!({"period": "3s", "maxPerSecond": 20}));
    let agent = Agent::start(&site);
    for sync in ["shop", "other"] {
        agent.eventually_synced(sync, &site.repo.head());
    }
    (site, agent)
}

fn edit(site: &Site, name: &str, value: &str) {
    site.edit("configmaps", name, "tuner", &json!({"data": {"value": value}}));
}

/// Drifts what the other sync heals: what came before it has been seen when this is over.
#[track_caller]
fn changes_have_come(site: &Site) {
    edit(site, "c", "by hand");
    site.eventually_has("c", "1");
}

#[track_caller]
fn assert_untouched(site: &Site, mark: Option<audit::Mark>) {
    assert_untouched_but_for(site, mark, "by hand");
}

/// Nobody but the tuner has written `a`, last this value, and `b` is still gone.
#[track_caller]
fn assert_untouched_but_for(site: &Site, mark: Option<audit::Mark>, value: &str) {
    assert_eq!((site.value_of("a").as_deref(), site.has("configmaps", "b")), (Some(value), false));
    let writes = mark.map(|mark| site.writes(mark)).unwrap_or_default();
    let of_shop: Vec<_> =
        writes.iter().filter(|write| write.what.ends_with("/a") || write.what.ends_with("/b")).collect();
    assert!(of_shop.is_empty(), "{of_shop:#?}");
}

#[test]
fn drift_that_is_only_reported_is_reported_once_with_who_did_it_and_reported_gone_when_it_is_put_back() {
    let (site, agent) = beside("report");
    let mark = audit::mark();
    edit(&site, "a", "by hand");
    site.delete("configmaps", "b");
    agent.eventually_logs(&["drift in ConfigMap", "/a", "tuner changed data.value from 1 to by hand"]);
    agent.eventually_logs(&["drift in ConfigMap", "/b", "deleted"]);
    let drifted = || agent.metric("driftless_drifted_objects", &["sync=\"shop\""]);
    eventually("both are counted", || check(drifted() == Some(2.0), format!("{:?}", drifted())));
    changes_have_come(&site);
    agent.passes("shop", 2);
    assert_untouched(&site, mark);
    let lines = agent.log().iter().filter(|line| line.contains("drift in") && line.contains("/a")).count();
    assert_eq!(lines, 1, "reported once");
    let drift = agent.sync("shop")["drift"].clone();
    let of_a =
        drift.as_array().and_then(|all| all.iter().find(|one| one["object"]["name"] == "a")).expect("drift of a");
    assert_eq!((&of_a["blame"]["manager"], &of_a["healed"]), (&json!("tuner"), &json!(false)), "{drift}");

    // Whoever changed it owns the field from then on, so that it is the audit which sees the value.
    edit(&site, "a", "1");
    agent.eventually_logs(&["/a is as in git again"]);
    eventually("one is left", || check(drifted() == Some(1.0), format!("{:?}", drifted())));
    edit(&site, "a", "once more");
    agent.eventually_logs(&["drift in ConfigMap", "/a", "from 1 to once more"]);
    assert_untouched_but_for(&site, mark, "once more");
    eventually("both are counted again", || check(drifted() == Some(2.0), format!("{:?}", drifted())));
}

#[test]
fn drift_is_neither_reported_nor_undone_where_it_is_switched_off() {
    let (site, agent) = beside("off");
    let mark = audit::mark();
    edit(&site, "a", "by hand");
    site.delete("configmaps", "b");
    changes_have_come(&site);
    agent.passes("shop", 1);
    assert_untouched(&site, mark);
    assert_eq!(agent.logged(&["drift in ConfigMap", "/a"]).or(agent.logged(&["drift in ConfigMap", "/b"])), None);
    assert_eq!(agent.metric("driftless_drift_detected_total", &["sync=\"shop\""]), None);
    assert!(agent.sync("shop")["drift"].is_null());
}

#[test]
fn a_suspended_sync_heals_nothing_and_reports_nothing_and_heals_it_all_when_it_is_resumed() {
    let (site, agent) = beside("heal");
    site.cli(&["suspend", "shop"]).expect_code(0);
    agent.eventually_is("shop", "Suspended");
    let mark = audit::mark();
    edit(&site, "a", "by hand");
    site.delete("configmaps", "b");
    changes_have_come(&site);
    assert_untouched(&site, mark);
    assert_eq!(agent.logged(&["drift in ConfigMap", "/a"]).or(agent.logged(&["drift in ConfigMap", "/b"])), None);
    site.cli(&["resume", "shop"]).expect_code(0);
    site.eventually_has("a", "1");
    site.eventually_has("b", "1");
    agent.eventually_logs(&["drift in ConfigMap", "/a", "tuner changed data.value from 1 to by hand"]);
    agent.eventually_logs(&["drift in ConfigMap", "/b", "deleted"]);
    agent.eventually_synced("shop", &site.repo.head());
}
