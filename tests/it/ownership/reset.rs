//! Objects whose ownership somebody reset: what controllers wrote there stays, what git removes goes.

use http::Method;
use serde_json::{Value, json};

use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};
use crate::support::watched::{commit, watched};

const RESET: [(&str, &str); 4] =
    [("jobs.batch", "job"), ("persistentvolumeclaims", "claim"), ("deployments.apps", "web"), ("configmaps", "a")];

/// The manifests, with a label that changes from commit to commit.
fn files(label: &str, rest: &str) -> Vec<(&'static str, String)> {
    let metadata = |name: &str| format!("metadata: {{name: {name}, labels: {{commit: '{label}'}}}}");
    let pod = "metadata: {labels: {app: web}}, spec: {containers: [{name: main, image: nginx}]}";
    let once = "spec: {restartPolicy: Never, containers: [{name: main, image: nginx}]}";
    vec![
        ("job.yaml", format!("apiVersion: batch/v1\nkind: Job\n{}\nspec: {{template: {{{once}}}}}\n", metadata("job"))),
        (
            "claim.yaml",
            format!(
                "apiVersion: v1\nkind: PersistentVolumeClaim\n{}\nspec: {{accessModes: [ReadWriteOnce], \
                 resources: {{requests: {{storage: 1Gi}}}}}}\n",
                metadata("claim")
            ),
        ),
        (
            "web.yaml",
            format!(
                "apiVersion: apps/v1\nkind: Deployment\n{}\nspec: {{selector: {{matchLabels: {{app: web}}}}, \
                 template: {{{pod}}}}}\n",
                metadata("web")
            ),
        ),
        ("a.yaml", config_map("a", label) + rest),
    ]
}

fn commit_all(site: &Site, agent: &crate::support::agent::Agent, files: &[(&str, String)]) {
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    commit(site, agent, &files);
}

fn get(site: &Site, (plural, name): (&str, &str)) -> Value {
    site.get(plural, name).expect("it exists")
}

/// Resets who owns what, as a restore from a backup may, and waits until it is ours again.
fn reset(site: &Site) {
    for (plural, name) in RESET {
        site.edit(plural, name, "somebody", &json!({"metadata": {"managedFields": [{}]}}));
        eventually("driftless owns its fields again", || {
            let entries = get(site, (plural, name))["metadata"]["managedFields"].clone();
            check(entries.to_string().contains("\"driftless\""), entries)
        });
    }
}

#[test]
fn objects_whose_ownership_was_reset_keep_what_controllers_wrote_and_lose_what_git_removes() {
    if !cluster().runs_workloads() {
        return;
    }
    let first = files("one", "  old: '1'\n");
    let first: Vec<_> = first.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let (site, agent) = watched(&first);
    let [job, claim, web, map] = RESET;
    eventually("the claim is bound", || {
        let live = get(&site, claim);
        check(live["spec"]["volumeName"].is_string(), live["status"].clone())
    });
    let scale = format!("{}/scale", path(web.0, Some(&site.namespace), web.1));
    let replicas = json!({"spec": {"replicas": 3}});
    let merge = "application/merge-patch+json";
    cluster().ask(&Method::PATCH, &scale, merge, Some(&replicas)).expect("it is scaled");
    let before = [job, claim, web].map(|one| get(&site, one));

    reset(&site);
    commit_all(&site, &agent, &files("two", "  old: '1'\n"));
    // Now what was there before the reset is taken over.
    commit_all(&site, &agent, &files("three", ""));

    for (one, before) in [job, claim, web].into_iter().zip(before) {
        let after = get(&site, one);
        assert_eq!(after["metadata"]["labels"]["commit"], "three");
        assert_eq!(after["metadata"]["uid"], before["metadata"]["uid"]);
        assert_eq!(after["metadata"]["finalizers"], before["metadata"]["finalizers"]);
        assert_eq!(after["spec"], before["spec"], "{one:?}");
    }
    assert_eq!(get(&site, web)["spec"]["replicas"], 3);
    assert_eq!(get(&site, map)["data"], json!({"value": "three"}));
}
