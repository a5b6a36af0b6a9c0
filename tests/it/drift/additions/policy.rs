//! Additions under `drift: report` and `drift: off`.

use serde_json::json;

use super::fixture::detected;
use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};
use crate::support::watched::daily;

fn extra(site: &Site) -> serde_json::Value {
    site.get("configmaps", "a").expect("it exists")["data"]["extra"].clone()
}

fn with(drift: &str) -> (Site, Agent) {
    let site = Site::with(&[("a.yaml", &config_map("a", "1"))]);
    let mut sync = daily(&site, "shop");
    sync["drift"] = json!(drift);
    site.configure_with(&[sync], |config| config["audit"] = json!({"period": "2s", "maxPerSecond": 20}));
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    (site, agent)
}

#[test]
fn additions_are_reported_once_and_stay_where_the_policy_is_report() {
    let (site, agent) = with("report");
    let mark = audit::mark();
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"extra": "by hand"}}));
    agent.eventually_logs(&["drift in ConfigMap", "/a", "kubectl-edit added data.extra (by hand)"]);
    let drifted = || agent.metric("driftless_drifted_objects", &["sync=\"shop\""]);
    eventually("it is counted", || check(drifted() == Some(1.0), format!("{:?}", drifted())));
    agent.passes("shop", 2);
    // Audits agree, and a commit leaves it where it is.
    if let Some(mark) = audit::mark() {
        eventually("it was audited more than once", || {
            let audits =
                site.requests(mark).into_iter().filter(|asked| asked.dry && asked.what.ends_with("/a")).count();
            check(audits > 1, audits)
        });
    }
    assert_eq!((drifted(), detected(&agent)), (Some(1.0), Some(1.0)), "{:#?}", agent.log());
    if let Some(mark) = mark {
        let writes: Vec<_> = site.writes(mark).into_iter().filter(|write| write.what.ends_with("/a")).collect();
        assert!(writes.is_empty(), "{writes:#?}");
    }
    let commit = site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    agent.poll_now("shop");
    agent.eventually_synced("shop", &commit);
    assert_eq!((site.value_of("a").as_deref(), extra(&site)), (Some("2"), json!("by hand")));
    agent.passes("shop", 1);
    assert_eq!((drifted(), detected(&agent)), (Some(1.0), Some(1.0)), "{:#?}", agent.log());
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"extra": null}}));
    agent.eventually_logs(&["/a is as in git again"]);
    eventually("it is counted no more", || check(drifted() == Some(0.0), format!("{:?}", drifted())));
}

#[test]
fn additions_are_neither_reported_nor_removed_where_drift_is_switched_off() {
    let (site, agent) = with("off");
    site.edit("configmaps", "a", "kubectl-edit", &json!({"data": {"extra": "by hand"}}));
    agent.passes("shop", 2);
    let commit = site.repo.commit(&[("a.yaml", &config_map("a", "2"))]);
    agent.poll_now("shop");
    agent.eventually_synced("shop", &commit);
    assert_eq!(extra(&site), "by hand");
    assert_eq!((detected(&agent), agent.logged(&["drift in"])), (None, None));
    site.cli(&["plan"]).expect_code(0);
}
