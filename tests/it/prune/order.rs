//! The order of deletions: what finalizes an object stays until that object is gone.
//!
//! The test plays the operator: it removes a finalizer only as long as the operator's Deployment is there.

use std::thread;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::site::{Site, config_map, crd, deployment, thing};
use crate::support::wait::{check, eventually};

const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";
const FINALIZER: &str = "operator.example.com/clean-up";

/// An operator with what it needs, and one object that it finalizes.
struct Operated {
    site: Site,
    things: String,
}

/// `timeout` bounds how long an operator is kept for its objects; `depends` says that the object
/// depends on the operator.
fn operated(timeout: &str, depends: bool) -> Operated {
    let site = Site::with(&[]);
    let group = format!("{}.example.com", site.id);
    site.cluster_scoped(CRDS, &format!("things.{group}"));
    let mut one = thing(&group, "one");
    let on = format!("config.kubernetes.io/depends-on: apps/namespaces/{}/Deployment/operator", site.namespace);
    let annotations = if depends { format!("  annotations: {{{on}}}\n") } else { String::new() };
    one = one.replace("metadata:\n", &format!("metadata:\n  finalizers: [{FINALIZER}]\n{annotations}"));
    site.repo.commit(&[
        ("stays.yaml", &config_map("stays", "1")),
        ("crd.yaml", &crd(&group)),
        ("app/one.yaml", &one),
        ("app/operator.yaml", &deployment("operator", "operator")),
        ("app/settings.yaml", &config_map("settings", "1")),
        ("app/account.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: operator}\n"),
    ]);
    let mut sync = site.sync("shop");
    sync["timeout"] = json!(timeout);
    sync["wait"] = json!(false);
    sync["prune"] = json!({"maxPercent": 100});
    site.configure(&[sync]);
    Operated { site, things: format!("things.{group}") }
}

impl Operated {
    fn thing(&self) -> Option<Value> {
        self.site.get(&self.things, "one")
    }

    fn eventually_terminating(&self) {
        eventually("its deletion has begun", || match self.thing() {
            Some(live) if live["metadata"]["deletionTimestamp"].is_string() => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    /// What of the operator is there.
    fn operator(&self) -> [bool; 3] {
        [("deployments.apps", "operator"), ("serviceaccounts", "operator"), ("configmaps", "settings")]
            .map(|(plural, name)| self.site.has(plural, name))
    }

    /// What the operator does with an object that is being deleted, as long as there is an operator.
    #[track_caller]
    fn finalize(&self) {
        assert!(self.site.has("deployments.apps", "operator"), "nobody is there who would finalize it");
        self.site.edit(&self.things, "one", "operator", &json!({"metadata": {"finalizers": null}}));
    }

    fn remove_app(&self) -> String {
        self.site.repo.remove("app");
        self.site.repo.commit_all("without the app")
    }

    fn eventually_without_operator(&self) {
        eventually("the operator is gone, too", || {
            let there = self.operator();
            check(there == [false; 3] && self.thing().is_none(), format!("{there:?}, {:?}", self.thing()))
        });
    }
}

/// Scenario 47
#[test]
fn an_operator_is_deleted_after_the_object_that_depends_on_it_is_gone() {
    let app = operated("1s", true);
    let agent = Agent::start(&app.site);
    agent.eventually_synced("shop", &app.site.repo.head());
    let commit = app.remove_app();
    app.eventually_terminating();
    // Nothing else waits for it: the sync goes on with other work, and the operator stays for as long as it takes.
    agent.eventually_synced("shop", &commit);
    eventually("all else is gone", || {
        let there = app.operator();
        check(there == [true, false, false], format!("{there:?}"))
    });
    let status = agent.eventually_synced("shop", &commit);
    let notes = status["notes"].to_string();
    assert!(notes.contains("operator") && notes.contains("until Thing") && notes.contains(FINALIZER), "{notes}");
    let third = app.site.repo.commit(&[("more.yaml", &config_map("more", "1"))]);
    agent.eventually_synced("shop", &third);
    agent.passes("shop", 1);
    app.finalize();
    app.eventually_without_operator();
    eventually("the inventory has neither", || {
        let inventory = app.site.inventory("shop");
        check(!inventory.contains("operator") && !inventory.contains("one"), inventory)
    });
}

/// Scenario 47, where nothing says what depends on what
#[test]
fn what_may_finalize_a_custom_resource_is_deleted_after_it() {
    let app = operated("5m", false);
    let agent = Agent::start(&app.site);
    agent.eventually_synced("shop", &app.site.repo.head());
    let commit = app.remove_app();
    app.eventually_terminating();
    let status = agent.eventually_synced("shop", &commit);
    let notes = status["notes"].to_string();
    assert!(notes.contains("operator") && notes.contains("until Thing") && notes.contains(FINALIZER), "{notes}");
    agent.passes("shop", 1);
    assert_eq!(app.operator(), [true; 3]);
    app.finalize();
    app.eventually_without_operator();
}

/// Scenario 30 of a custom resource: nothing waits for ever
#[test]
fn a_custom_resource_that_is_never_finalized_holds_nothing_back_longer_than_the_timeout() {
    let app = operated("2s", false);
    let agent = Agent::start(&app.site);
    agent.eventually_synced("shop", &app.site.repo.head());
    app.remove_app();
    eventually("the operator is gone", || {
        let there = app.operator();
        check(there == [false; 3], format!("{there:?}"))
    });
    assert!(app.thing().is_some());
    let third = app.site.repo.commit(&[("more.yaml", &config_map("more", "1"))]);
    agent.eventually_synced("shop", &third);
}

/// Scenario 47 of an agent that was restarted in between
#[test]
fn an_agent_that_is_started_anew_keeps_an_operator_for_what_depends_on_it() {
    let app = operated("1s", true);
    let agent = Agent::start(&app.site);
    agent.eventually_synced("shop", &app.site.repo.head());
    let commit = app.remove_app();
    app.eventually_terminating();
    agent.kill();
    let agent = Agent::start(&app.site);
    agent.eventually_synced("shop", &commit);
    agent.passes("shop", 1);
    app.finalize();
    app.eventually_without_operator();
}

/// Scenario 47 with `run --once`, which waits for what is to come first
#[test]
fn one_run_deletes_an_operator_after_what_depends_on_it() {
    for depends in [true, false] {
        let app = operated("30s", depends);
        app.site.once().expect_code(0);
        app.remove_app();
        let (done, ()) = thread::scope(|scope| {
            let run = scope.spawn(|| app.site.once());
            app.eventually_terminating();
            app.finalize();
            (run.join().expect("it ends"), ())
        });
        done.expect_code(0);
        assert_eq!((app.operator(), app.thing()), ([false; 3], None), "depends-on: {depends}");
    }
}

/// Scenario 47 with `driftless remove`
#[test]
fn ending_a_sync_deletes_an_operator_after_what_it_finalizes() {
    for depends in [true, false] {
        let app = operated("30s", depends);
        app.site.once().expect_code(0);
        app.site.configure(&[]);
        let done = thread::scope(|scope| {
            let run = scope.spawn(|| app.site.cli(&["remove", "shop", "--yes"]));
            app.eventually_terminating();
            app.finalize();
            run.join().expect("it ends")
        });
        let done = done.expect_code(0);
        assert!(done.stdout.contains("Thing"), "{}", done.stdout);
        assert_eq!((app.operator(), app.thing()), ([false; 3], None), "depends-on: {depends}");
        assert_eq!(app.site.parent("shop"), None);
    }
}

#[test]
fn ending_a_sync_keeps_an_operator_whose_object_is_never_finalized_and_says_so() {
    let app = operated("30s", true);
    app.site.once().expect_code(0);
    app.site.configure(&[]);
    let done = app.site.cli(&["remove", "shop", "--yes"]).expect_code(1);
    assert!(done.all().contains("until Thing") && done.all().contains(FINALIZER), "{}", done.all());
    assert!(app.site.has("deployments.apps", "operator") && app.site.parent("shop").is_some());
    app.finalize();
    app.site.cli(&["remove", "shop", "--yes"]).expect_code(0);
    app.eventually_without_operator();
}
