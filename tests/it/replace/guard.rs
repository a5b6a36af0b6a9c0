//! Replacements that are carried out: as planned, as far as the guard lets them, and to their end.

use serde_json::{Value, json};

use super::fixture::{DEPLOYMENTS, of_namespace, opted_in, rule, selecting, synced, synced_with, uid};
use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::cluster;
use crate::support::policy::Policy;
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually};
use crate::support::webhook::{Webhook, install};

#[test]
fn a_plan_says_that_it_deletes_and_a_run_does_what_the_plan_said() {
    let site = synced(&[("web.yaml", &deployment("web", "nginx")), ("a.yaml", &config_map("a", "1"))]);
    let before = uid(&site, DEPLOYMENTS, "web");
    site.repo
        .commit(&[("web.yaml", &opted_in(&selecting("web", "other", "other"))), ("a.yaml", &config_map("a", "2"))]);
    let mark = audit::mark();
    let plan = site.cli(&["plan"]).expect_code(2).stdout;
    for part in ["replace (deletes) Deployment", "spec.selector", "1 to configure", "1 to replace (deletes)"] {
        assert!(plan.contains(part), "{part}: {plan}");
    }
    let markdown = site.cli(&["plan", "--output", "markdown"]).expect_code(2).stdout;
    assert!(markdown.contains("replace (deletes) <code>Deployment"), "{markdown}");
    if let Some(mark) = mark {
        assert_eq!(site.writes(mark), []);
    }
    assert_eq!(uid(&site, DEPLOYMENTS, "web"), before);
    let ended = site.once().expect_code(0).all();
    assert!(ended.contains("replaced"), "{ended}");
    assert_ne!(uid(&site, DEPLOYMENTS, "web"), before);
    assert_eq!(site.value_of("a").as_deref(), Some("2"));
}

/// Eight Deployments, of which `changed` have another selector and ask to be replaced.
fn many(changed: usize) -> Vec<(String, String)> {
    let one = |number: usize| {
        let name = format!("web-{number}");
        let manifest =
            if number < changed { opted_in(&selecting(&name, "other", "other")) } else { deployment(&name, "nginx") };
        (format!("{number}.yaml"), manifest.replace("replicas: 1", "replicas: 0"))
    };
    (0..8).map(one).collect()
}

fn borrowed(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(file, content)| (&**file, &**content)).collect()
}

#[test]
fn replacements_beyond_the_guard_wait_for_an_approval_and_the_rest_is_applied() {
    let site = Site::with(&borrowed(&many(0)));
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let uids = || -> Vec<Value> { (0..8).map(|number| uid(&site, DEPLOYMENTS, &format!("web-{number}"))).collect() };
    let before = uids();
    let mut files = many(6);
    files.push(("new.yaml".into(), config_map("new", "1")));
    let commit = site.repo.commit(&borrowed(&files));
    let status = agent.eventually_is("shop", "Held");
    assert_eq!((&status["held"]["prune"], &status["held"]["total"]), (&json!(6), &json!(8)), "{status}");
    assert!(site.has("configmaps", "new"), "the rest is applied");
    agent.passes("shop", 2);
    assert_eq!(uids(), before);
    // Held is held after a restart, too.
    agent.kill();
    let agent = Agent::start(&site);
    agent.eventually_is("shop", "Held");
    assert_eq!(uids(), before);

    site.cli(&["approve", "shop"]).expect_code(0);
    agent.eventually_synced("shop", &commit);
    let after = uids();
    assert!(before[..6].iter().zip(&after).all(|(before, after)| before != after), "{after:?}");
    assert_eq!(before[6..], after[6..]);
}

#[test]
fn an_atomic_commit_of_which_a_replacement_is_held_writes_nothing() {
    let site = synced_with(&borrowed(&many(0)), |sync| sync["atomic"] = json!(true));
    let mut files = many(6);
    files.push(("new.yaml".into(), config_map("new", "1")));
    let commit = site.repo.commit(&borrowed(&files));
    let held = site.once().expect_code(4).all();
    assert!(held.contains("driftless approve shop"), "{held}");
    assert!(!site.has("configmaps", "new"), "nothing of it is written");
    site.cli(&["approve", "shop", "--commit", &commit]).expect_code(0);
    site.once().expect_code(0);
    assert!(site.has("configmaps", "new"));
}

#[test]
fn an_atomic_commit_replaces_nothing_when_another_of_its_objects_is_refused() {
    let site = synced_with(&[("web.yaml", &deployment("web", "nginx"))], |sync| sync["atomic"] = json!(true));
    let before = uid(&site, DEPLOYMENTS, "web");
    let bad = "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: 99999}]}\n";
    let changed = opted_in(&selecting("web", "other", "other"));
    site.repo.commit(&[("web.yaml", &changed), ("bad.yaml", bad)]);
    site.once().expect_code(1);
    assert_eq!(uid(&site, DEPLOYMENTS, "web"), before);
    site.repo.remove("bad.yaml");
    site.repo.commit_all("without the bad one");
    site.once().expect_code(0);
    assert_ne!(uid(&site, DEPLOYMENTS, "web"), before);
}

#[test]
fn a_service_keeps_its_node_port_through_its_replacement() {
    let port = 30_000 + u32::from(fastrand::u16(..2_700));
    let service = |rest: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  type: LoadBalancer\n  {rest}\n  selector: \
             {{app: web}}\n  ports: [{{port: 80, nodePort: {port}}}]\n"
        )
    };
    let site = synced(&[("web.yaml", &service("loadBalancerClass: example.com/one"))]);
    let before = uid(&site, "services", "web");
    site.repo.commit(&[("web.yaml", &opted_in(&service("loadBalancerClass: example.com/two")))]);
    site.once().expect_code(0);
    let live = site.get("services", "web").expect("it is there");
    assert_ne!(live["metadata"]["uid"], before);
    assert_eq!(live["spec"]["ports"][0]["nodePort"], port);
    assert_eq!(live["spec"]["loadBalancerClass"], "example.com/two");
}

#[test]
fn an_object_that_somebody_made_anew_with_other_immutable_fields_is_replaced_on_request() {
    let manifest = opted_in(&deployment("web", "nginx").replace("replicas: 1", "replicas: 0"));
    let site = Site::with(&[("web.yaml", &manifest)]);
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    site.delete(DEPLOYMENTS, "web");
    let other = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "hand"}}, "template":
            {"metadata": {"labels": {"app": "hand"}}, "spec": {"containers": [{"name": "main", "image": "nginx"}]}}}});
    // The agent may be faster.
    eventually("somebody has made another one", || {
        let made =
            cluster().ask(&http::Method::POST, &of_namespace(&site, DEPLOYMENTS), "application/json", Some(&other));
        if made.is_err() {
            site.delete(DEPLOYMENTS, "web");
        }
        made.map(|_| ())
    });
    eventually("it is as in git", || {
        let live = site.get(DEPLOYMENTS, "web").unwrap_or_default();
        check(live["spec"]["selector"]["matchLabels"]["app"] == "web", live["spec"]["selector"].clone())
    });
    agent.eventually_synced("shop", &site.repo.head());
}

#[test]
fn an_object_that_cannot_be_made_again_after_all_is_reported_and_made_as_soon_as_it_can_be() {
    let site = Site::with(&[("web.yaml", &deployment("web", "nginx").replace("replicas: 1", "replicas: 0"))]);
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let probe = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "probe"},
        "spec": {"selector": {"matchLabels": {"app": "other"}}, "template":
            {"metadata": {"labels": {"app": "other"}}, "spec": {"containers": [{"name": "main", "image": "nginx"}]}}}});
    // A policy that shows itself only when it is too late.
    let policy = Policy::denying(
        &site,
        &rule("apps", "deployments", &["CREATE"]),
        "object.metadata.name != 'probe' && (has(request.dryRun) && request.dryRun || object.spec.selector.matchLabels.app != 'other')",
        "not today",
        (&of_namespace(&site, DEPLOYMENTS), &probe),
    );
    let changed = selecting("web", "other", "other").replace("replicas: 1", "replicas: 0");
    let commit = site.repo.commit(&[("web.yaml", &opted_in(&changed))]);
    let status = agent.eventually_is("shop", "Failing");
    let problems = status["problems"].to_string();
    assert!(problems.contains("was deleted to be replaced") && problems.contains("not today"), "{problems}");
    agent.eventually_logs(&["was deleted to be replaced", "web.yaml:1"]);
    policy.end();
    agent.eventually_synced("shop", &commit);
    assert_eq!(site.get(DEPLOYMENTS, "web").expect("it is there")["spec"]["selector"]["matchLabels"]["app"], "other");
}

/// A replacement proves by a dry run, just before it deletes, that the object could be created again. A suspension that
/// comes during that dry run is obeyed.
#[test]
fn a_suspension_just_before_the_deletion_of_a_replacement_deletes_nothing() {
    if cluster().is_foreign() {
        // Its API server does not reach this machine.
        return;
    }
    let site = synced(&[("web.yaml", &deployment("web", "nginx").replace("replicas: 1", "replicas: 0"))]);
    let before = uid(&site, DEPLOYMENTS, "web");
    let server = Webhook::refusing("closed");
    let rules = [rule("apps", "deployments", &["CREATE"])];
    let hook = json!({"rules": rules, "clientConfig": server.client_config(), "timeoutSeconds": 30});
    let live = install(&site, &hook);
    let probe: Value = serde_saphyr::from_str(&deployment("probe", "nginx")).expect("a Deployment");
    let tried = format!("{}?dryRun=All", of_namespace(&site, DEPLOYMENTS));
    eventually("the webhook is asked", || {
        let answer = cluster().ask(&http::Method::POST, &tried, "application/json", Some(&probe));
        check(answer == Err(403), format!("{answer:?}"))
    });
    server.open();

    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    // The first proof is that of the apply, the second that of the replacement.
    server.hold_after(1);
    let changed = opted_in(&selecting("web", "other", "other")).replace("replicas: 1", "replicas: 0");
    let commit = site.repo.commit(&[("web.yaml", &changed)]);
    eventually("the replacement is about to delete", || check(server.held() == 1, server.held()));
    site.cli(&["suspend", "shop"]).expect_code(0);
    agent.eventually_logs(&["shop", "suspended"]);
    server.release();
    // In order, so that whatever is under way has ended.
    agent.stop();
    assert_eq!(uid(&site, DEPLOYMENTS, "web"), before);
    let agent = Agent::start(&site);
    site.cli(&["resume", "shop"]).expect_code(0);
    agent.eventually_synced("shop", &commit);
    assert_ne!(uid(&site, DEPLOYMENTS, "web"), before);
    cluster().delete(&live);
}
