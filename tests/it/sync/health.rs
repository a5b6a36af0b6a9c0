//! How long is waited for objects to become healthy, and how often that is written to the parent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map, crd, deployment, thing};
use crate::support::wait::{check, eventually};
use crate::support::watched::watched;

/// A site with a Deployment whose pods no node takes, polled every second and with a `timeout` of 5 s.
fn never_ready() -> Site {
    let never = deployment("never", "nginx").replace("    spec:\n", "    spec:\n      nodeSelector: {no: such}\n");
    let site = Site::with(&[("never.yaml", &never), ("other.yaml", &config_map("other", "0"))]);
    let mut sync = site.sync("shop");
    sync["timeout"] = json!("5s");
    site.configure(&[sync]);
    site
}

/// Commits something else every second for as long as it is there.
struct Committing<'a>(&'a AtomicBool);

impl<'a> Committing<'a> {
    fn begin<'scope>(scope: &'scope thread::Scope<'scope, '_>, site: &'scope Site, ended: &'a AtomicBool) -> Self
    where
        'a: 'scope,
    {
        scope.spawn(move || {
            let mut number = 0;
            while !ended.load(Ordering::SeqCst) {
                number += 1;
                site.repo.commit(&[("other.yaml", &config_map("other", &number.to_string()))]);
                thread::sleep(Duration::from_secs(1));
            }
        });
        Self(ended)
    }
}

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn what_never_becomes_healthy_is_reported_also_where_a_commit_comes_every_second() {
    let site = never_ready();
    let agent = Agent::start(&site);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let _committing = Committing::begin(scope, &site, &ended);
        eventually("the sync is unhealthy", || {
            let ended = agent.metric("driftless_sync_total", &["sync=\"shop\"", "result=\"unhealthy\""]);
            check(ended.is_some_and(|ended| ended >= 2.0), format!("{ended:?}"))
        });
        eventually("and says so", || {
            let status = agent.sync("shop");
            let says = status["message"].as_str().is_some_and(|message| message.contains("never"));
            check(status["phase"] == "Unhealthy" && says, status)
        });
        eventually("its phase is a metric", || {
            let here = agent.metric("driftless_sync_phase", &["sync=\"shop\"", "phase=\"Unhealthy\""]);
            check(here == Some(1.0), format!("{here:?}"))
        });
    });
    eventually("what each commit changes is applied all the same", || {
        let wanted = std::fs::read_to_string(site.repo.work().join("other.yaml")).expect("the file");
        let value = site.value_of("other");
        check(value.as_ref().is_some_and(|value| wanted.contains(&format!("{value:?}"))), format!("{value:?}"))
    });
}

#[test]
fn a_single_run_ends_as_not_healthy_also_where_a_commit_comes_every_second() {
    let site = never_ready();
    let ended = AtomicBool::new(false);
    let text = thread::scope(|scope| {
        let _committing = Committing::begin(scope, &site, &ended);
        site.once().expect_code(3).all()
    });
    assert!(text.contains("never"), "{text}");
}

/// A custom resource with a status, which somebody writes.
fn with_status(group: &str) -> String {
    let schema = "spec: {type: object, x-kubernetes-preserve-unknown-fields: true}\n";
    let status = "            status: {type: object, x-kubernetes-preserve-unknown-fields: true}\n";
    crd(group)
        .replace(schema, &format!("{schema}{status}"))
        .replace("      storage: true\n", "      storage: true\n      subresources: {status: {}}\n")
}

/// Scenario 51
#[test]
fn health_that_flips_ten_times_a_second_writes_the_parent_twice_a_minute_at_most() {
    let group = format!("g{}.example.com", fastrand::u32(..));
    let (site, agent) = watched(&[("crd.yaml", &with_status(&group)), ("one.yaml", &thing(&group, "one"))]);
    let status = format!("{}/status", path(&format!("things.{group}"), Some(&site.namespace), "one"));
    let set = |ready: bool| {
        let condition = json!({"type": "Ready", "status": if ready { "True" } else { "False" }, "reason": "Flips"});
        cluster().merge(&status, "flipper", &json!({"status": {"conditions": [condition]}}));
    };
    let Some(mark) = audit::mark() else { return };
    let (began, mut number) = (Instant::now(), 0_u32);
    while began.elapsed() < Duration::from_secs(45) {
        set(number % 7 < 3);
        number += 1;
        thread::sleep(Duration::from_millis(100));
    }
    let parent = format!("configmaps {}/driftless-shop", site.home);
    let writes: Vec<_> = site.writes(mark).into_iter().filter(|write| write.what == parent).collect();
    assert!(writes.len() <= 2, "{} writes in 45 s: {writes:#?}", writes.len());
    set(false);
    eventually("it is shown at once", || {
        let health = agent.sync("shop")["health"].clone();
        check(health["InProgress"] == 1, health)
    });
    set(true);
    agent.eventually_is("shop", "Synced");
    eventually("and the last word is stored", || {
        let stored = site.parent("shop").expect("a parent")["data"]["status"].to_string();
        check(stored.contains("phase: Synced"), stored)
    });
    cluster().delete(&path("customresourcedefinitions.apiextensions.k8s.io", None, &format!("things.{group}")));
}
