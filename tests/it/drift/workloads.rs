//! Workloads over time: Jobs that end and go, and Deployments that become unhealthy long after their sync.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::cluster;
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually, within};
use crate::support::watched::{commit, set_ready, watched, watched_with};

fn job(name: &str, word: &str, rest: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}}}\nspec:\n  {rest}\n  template:\n    spec:\n      \
         restartPolicy: Never\n      nodeSelector: {{}}\n      containers: [{{name: main, image: nginx, args: [{word}]}}]\n"
    )
}

fn uid(site: &Site, name: &str) -> Value {
    site.get("jobs.batch", name).unwrap_or_default()["metadata"]["uid"].clone()
}

fn writes_of_jobs(site: &Site, mark: Option<audit::Mark>) -> Vec<String> {
    let writes = mark.map(|mark| site.writes(mark)).unwrap_or_default();
    writes.into_iter().filter(|write| write.what.starts_with("jobs")).map(|write| write.what).collect()
}

/// Waits until changes that come now have been handled.
#[track_caller]
fn changes_have_come(site: &Site) {
    site.edit("configmaps", "a", "tuner", &json!({"data": {"value": "by hand"}}));
    eventually("the value is back", || {
        let found = site.value_of("a");
        check(found.as_deref() == Some("1"), format!("{found:?}"))
    });
}

#[test]
fn a_job_that_ended_and_was_removed_is_not_run_again_before_its_manifest_changes() {
    if !cluster().runs_workloads() {
        return;
    }
    let mark = audit::mark();
    let file = |word: &str| job("job", word, "ttlSecondsAfterFinished: 1");
    let (site, agent) = watched(&[("job.yaml", &file("one")), ("a.yaml", &config_map("a", "1"))]);
    eventually("it has ended and is gone", || check(!site.has("jobs.batch", "job"), "it is there"));
    changes_have_come(&site);
    agent.passes("shop", 1);
    agent.stop();
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    changes_have_come(&site);
    agent.passes("shop", 1);
    assert_eq!(agent.logged(&["drift in Job"]), None);
    assert_eq!(agent.sync("shop")["phase"], "Synced");
    assert!(!site.has("jobs.batch", "job"));
    if mark.is_some() {
        assert_eq!(writes_of_jobs(&site, mark).len(), 1, "that which created it");
    }
    commit(&site, &agent, &[("job.yaml", &file("two"))]);
    agent.eventually_logs(&["Job", "/job created"]);
}

#[test]
fn a_job_that_is_deleted_before_it_ended_is_created_again() {
    let rest = |more: &str| format!("ttlSecondsAfterFinished: 60\n  {more}");
    let waiting = |name: &str| job(name, "one", &rest("")).replace("{}", "{devcluster/never: there}");
    let suspended = job("suspended", "one", &rest("suspend: true"));
    let (site, agent) =
        watched_with(&[("waiting.yaml", &waiting("waiting")), ("suspended.yaml", &suspended)], |sync| {
            sync["wait"] = json!(false);
        });
    for name in ["waiting", "suspended"] {
        let before = uid(&site, name);
        site.delete("jobs.batch", name);
        eventually(&format!("the Job {name} is another one"), || {
            let now = uid(&site, name);
            check(now.is_string() && now != before, now)
        });
        agent.eventually_logs(&["drift in Job", name, "deleted"]);
    }
}

#[test]
fn a_deployment_that_becomes_unhealthy_long_after_its_sync_makes_the_sync_unhealthy_until_it_is_healthy() {
    if !cluster().runs_workloads() {
        return;
    }
    let (site, agent) =
        watched_with(&[("web.yaml", &deployment("web", "nginx")), ("a.yaml", &config_map("a", "1"))], |sync| {
            sync["timeout"] = json!("2s");
        });
    let is_ready = |wanted: f64| {
        eventually(&format!("the metric says {wanted}"), || {
            let ready = agent.metric("driftless_sync_ready", &["sync=\"shop\""]);
            check(ready == Some(wanted), format!("{ready:?}"))
        });
    };
    is_ready(1.0);
    for _ in 0..2 {
        set_ready(&site, "False");
        let status = agent.eventually_is("shop", "Unhealthy");
        assert!(status["unhealthy"].to_string().contains("web"), "{status}");
        assert!(status["message"].as_str().is_some_and(|message| message.contains("/web")), "{status}");
        is_ready(0.0);
        // It heals all the same.
        changes_have_come(&site);
        set_ready(&site, "True");
        within(Duration::from_mins(1), "it is well again", || {
            let status = agent.sync("shop");
            check(status["phase"] == "Synced", status)
        });
        is_ready(1.0);
    }
    assert_eq!(agent.logged(&["drift in Deployment"]), None);
}
