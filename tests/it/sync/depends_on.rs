//! What `config.kubernetes.io/depends-on` waits for, and what it does not.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map, crd, deployment, thing};
use crate::support::wait::{check, eventually};
use crate::support::watched::{commit, set_ready, watched_with};

const CRDS: &str = "customresourcedefinitions.apiextensions.k8s.io";

fn on(manifest: &str, dependency: &str) -> String {
    let annotation = format!("metadata:\n  annotations: {{config.kubernetes.io/depends-on: {dependency}}}\n");
    manifest.replacen("metadata:\n", &annotation, 1)
}

fn job(rest: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: migrate\nspec:\n  {rest}\n  template:\n    spec:\n      \
         restartPolicy: Never\n      containers: [{{name: main, image: nginx}}]\n"
    )
}

/// Scenario 47
#[test]
fn what_depends_on_a_job_begins_when_that_has_ended() {
    if !cluster().runs_workloads() {
        return;
    }
    let site = Site::with(&[]);
    let after = on(&config_map("after", "1"), &format!("batch/namespaces/{}/Job/migrate", site.namespace));
    site.repo.commit(&[("job.yaml", &job("suspend: true")), ("a.yaml", &after), ("b.yaml", &config_map("free", "1"))]);
    let mut sync = site.sync("shop");
    sync["timeout"] = json!("10m");
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    eventually("the Job is there, and all that waits for nothing", || {
        check(site.has("jobs.batch", "migrate") && site.has("configmaps", "free"), "not yet")
    });
    // It is as healthy as a Job can be that has to wait.
    site.repo.commit(&[("b.yaml", &config_map("free", "2"))]);
    site.eventually_has("free", "2");
    assert!(!site.has("configmaps", "after"));
    site.edit("jobs.batch", "migrate", "somebody", &json!({"spec": {"suspend": false}}));
    site.repo.commit(&[("job.yaml", &job("suspend: false"))]);
    agent.eventually_synced("shop", &site.repo.head());
    let ended = site.get("jobs.batch", "migrate").expect("there")["status"]["completionTime"].clone();
    let made = site.get("configmaps", "after").expect("there")["metadata"]["creationTimestamp"].clone();
    assert!(ended.as_str() <= made.as_str() && ended.is_string(), "{ended} {made}");
}

/// Scenario 47
#[test]
fn a_job_that_ended_and_went_satisfies_what_depends_on_it_for_ever() {
    if !cluster().runs_workloads() {
        return;
    }
    let site = Site::with(&[]);
    let after =
        |value: &str| on(&config_map("after", value), &format!("batch/namespaces/{}/Job/migrate", site.namespace));
    site.repo.commit(&[("job.yaml", &job("ttlSecondsAfterFinished: 1")), ("a.yaml", &after("1"))]);
    let mut sync = site.sync("shop");
    sync["timeout"] = json!("10m");
    site.configure(&[sync]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    eventually("the Job is gone", || check(!site.has("jobs.batch", "migrate"), "it is there"));
    let second = site.repo.commit(&[("a.yaml", &after("two"))]);
    agent.eventually_synced("shop", &second);
    assert_eq!(site.value_of("after").as_deref(), Some("two"));
    site.edit("configmaps", "after", "somebody", &json!({"data": {"value": "by hand"}}));
    site.eventually_has("after", "two");
    assert!(!site.has("jobs.batch", "migrate"));
}

#[test]
fn a_heal_waits_for_no_health() {
    if !cluster().runs_workloads() {
        return;
    }
    let (site, agent) = watched_with(&[("db.yaml", &deployment("db", "postgres"))], |sync| {
        sync["timeout"] = json!("2s");
    });
    let after = on(&config_map("after", "1"), &format!("apps/namespaces/{}/Deployment/db", site.namespace));
    commit(&site, &agent, &[("a.yaml", &after)]);
    set_ready(&site, "False");
    agent.eventually_is("shop", "Unhealthy");
    site.edit("configmaps", "after", "somebody", &json!({"data": {"value": "by hand"}}));
    site.eventually_has("after", "1");
    agent.eventually_logs(&["after", "healed after"]);
    assert_eq!(agent.logged(&["could not be healed"]), None);
}

#[test]
fn a_namespace_and_a_crd_that_depend_on_something_still_come_before_what_needs_them() {
    let site = Site::with(&[]);
    let group = format!("{}.example.com", site.id);
    let place = format!("place-{}", site.id);
    site.cluster_scoped(CRDS, &format!("things.{group}"));
    site.cluster_scoped("namespaces", &place);
    let first = format!("/namespaces/{}/Service/first", site.namespace);
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: first}\nspec: {ports: [{port: 80}]}\n";
    let namespace = on(&format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {place}\n"), &first);
    let inside = |manifest: &str| manifest.replacen("metadata:\n", &format!("metadata:\n  namespace: {place}\n"), 1);
    site.repo.commit(&[
        ("1.yaml", &inside(&config_map("inside", "1"))),
        ("2.yaml", &inside(&thing(&group, "one"))),
        ("3.yaml", &on(&crd(&group), &first)),
        ("4.yaml", &namespace),
        ("5.yaml", service),
    ]);
    site.configure(&[site.sync("shop")]);
    site.once().expect_code(0);
    let live: Option<Value> = cluster().get(&path(&format!("things.{group}"), Some(&place), "one"));
    assert!(live.is_some());
}

/// kstatus calls a custom resource without a status current.
#[test]
fn a_custom_resource_whose_definition_has_conditions_is_waited_for_until_its_controller_reports() {
    let site = Site::with(&[]);
    let group = format!("{}.example.com", site.id);
    let plural = format!("things.{group}");
    site.cluster_scoped(CRDS, &plural);
    let status = "            status: {type: object, properties: {conditions: {type: array, items: {type: object, \
                  x-kubernetes-preserve-unknown-fields: true}}}}\n";
    let definition =
        crd(&group).replace("      schema:\n", "      subresources: {status: {}}\n      schema:\n") + status;
    let dependent = config_map("after", "1").replacen(
        "metadata:\n",
        &format!(
            "metadata:\n  annotations: {{config.kubernetes.io/depends-on: {group}/namespaces/{}/Thing/one}}\n",
            site.namespace
        ),
        1,
    );
    site.repo.commit(&[("crd.yaml", &definition), ("one.yaml", &thing(&group, "one")), ("after.yaml", &dependent)]);
    site.configure(&[site.sync("shop")]);
    let mark = audit::mark();
    let agent = Agent::start(&site);
    eventually("it is there, and was asked about", || {
        let Some(mark) = mark else { return check(site.has(&plural, "one"), "not there") };
        let what = format!("things {}/one", site.namespace);
        let asked = site.requests(mark).into_iter().filter(|asked| asked.verb == "get" && asked.what == what);
        let asked = asked.filter(|asked| asked.code == 200).count();
        check(asked > 2, asked)
    });
    assert!(!site.has("configmaps", "after"), "{}", agent.log().join("\n"));
    let path = path(&plural, Some(&site.namespace), "one") + "/status";
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    cluster().merge(&path, "its-controller", &ready);
    agent.eventually_synced("shop", &site.repo.head());
    assert!(site.has("configmaps", "after"));
}
