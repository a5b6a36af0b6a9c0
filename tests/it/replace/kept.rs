//! Replacing is a deletion, and so only of what can be made again and asks for it, and never past a policy, a guard or
//! data.

use serde_json::{Value, json};

use super::fixture::{DEPLOYMENTS, OPT_IN, annotated, of_namespace, opted_in, rule, selecting, synced, uid};
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::policy::Policy;
use crate::support::process::Finished;
use crate::support::site::{Site, config_map, crd, deployment, thing};
use crate::support::wait::{check, eventually};
use crate::support::webhook::{Webhook, install};

const STATEFUL_SETS: &str = "statefulsets.apps";

/// The sync fails with these words, also when it is tried again, and the object stays what it was.
#[track_caller]
fn assert_stays(site: &Site, plural: &str, name: &str, words: &[&str]) -> Finished {
    let before = uid(site, plural, name);
    let mark = audit::mark();
    site.once().expect_code(1);
    let ended = site.once().expect_code(1);
    for word in words {
        assert!(ended.all().contains(word), "{word}: {}", ended.all());
    }
    assert_eq!(uid(site, plural, name), before, "it is the same object");
    if let Some(mark) = mark {
        let deletions = site.writes(mark).into_iter().filter(|asked| asked.verb == "delete").collect::<Vec<_>>();
        assert_eq!(deletions, [], "nothing was asked to be deleted");
    }
    ended
}

/// Scenario 46
#[test]
fn a_deployment_whose_new_selector_does_not_fit_its_template_stays() {
    let site = synced(&[("web.yaml", &deployment("web", "nginx"))]);
    site.repo.commit(&[("web.yaml", &opted_in(&selecting("web", "other", "web")))]);
    assert_stays(&site, DEPLOYMENTS, "web", &["does not match template", "web.yaml:1"]);
}

#[test]
fn a_name_or_a_value_that_says_immutable_makes_no_field_immutable() {
    let invalid = |manifest: &str| format!("{manifest}          ports: [{{containerPort: 99999}}]\n");
    let (cache, named) = (deployment("immutable-cache", "nginx"), config_map("may-not-be-changed", "1"));
    let site = synced(&[("cache.yaml", &cache), ("named.yaml", &named)]);
    let before = uid(&site, "configmaps", "may-not-be-changed");
    site.repo.commit(&[
        ("cache.yaml", &opted_in(&invalid(&cache))),
        ("named.yaml", &opted_in(&named.replace("  value:", "  \"field is immutable\":"))),
    ]);
    assert_stays(&site, DEPLOYMENTS, "immutable-cache", &["must be between 1 and 65535", "cache.yaml:1"]);
    assert_eq!(uid(&site, "configmaps", "may-not-be-changed"), before);
}

#[test]
fn a_field_that_is_invalid_beside_one_that_is_immutable_keeps_the_object() {
    let site = synced(&[("web.yaml", &deployment("web", "nginx"))]);
    let changed = selecting("web", "other", "other") + "          ports: [{containerPort: 99999}]\n";
    site.repo.commit(&[("web.yaml", &opted_in(&changed))]);
    assert_stays(&site, DEPLOYMENTS, "web", &["must be between 1 and 65535"]);
}

#[test]
fn what_an_admission_policy_refuses_is_not_answered_by_deletion_whatever_its_words() {
    let site = synced(&[("a.yaml", &config_map("a", "1"))]);
    let refused = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "p"}, "data": {"value": "bad"}});
    let _policy = Policy::denying(
        &site,
        &rule("", "configmaps", &["CREATE", "UPDATE"]),
        "!has(object.data) || object.data.value != 'bad'",
        "data.value: Invalid value: field is immutable",
        (&of_namespace(&site, "configmaps"), &refused),
    );
    site.repo.commit(&[("a.yaml", &opted_in(&config_map("a", "bad")))]);
    let text = assert_stays(&site, "configmaps", "a", &["ValidatingAdmissionPolicy", "a.yaml:1"]).all();
    assert!(!text.contains("driftless.dev/replace"), "{text}");
}

#[test]
fn a_policy_that_refuses_only_updates_is_not_passed_by_making_the_object_anew() {
    let site = synced(&[("a.yaml", &config_map("a", "1"))]);
    // Tried on an update that nobody would send, since a creation is not refused.
    cluster().create(
        &of_namespace(&site, "configmaps"),
        &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"value": "1"}}),
    );
    let probe = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "p"}, "data": {"value": "probe"}});
    let _policy = Policy::denying(
        &site,
        &rule("", "configmaps", &["CREATE", "UPDATE"]),
        "request.operation == 'CREATE' ? object.metadata.name != 'p' : object.data == oldObject.data",
        "data may not be changed: field is immutable",
        (&of_namespace(&site, "configmaps"), &probe),
    );
    site.repo.commit(&[("a.yaml", &opted_in(&config_map("a", "2")))]);
    assert_stays(&site, "configmaps", "a", &["data may not be changed"]);
    assert_eq!(site.value_of("a").as_deref(), Some("1"));
}

#[test]
fn what_a_webhook_refuses_is_not_answered_by_deletion_also_with_the_servers_own_causes() {
    if cluster().is_foreign() {
        // Its API server does not reach this machine.
        return;
    }
    let site = synced(&[("a.yaml", &config_map("a", "1"))]);
    let server = Webhook::invalid("data", "Invalid value: \"2\": field is immutable");
    let rules = [rule("", "configmaps", &["UPDATE"])];
    let live = install(&site, &json!({"rules": rules, "clientConfig": server.client_config()}));
    let update = json!({"data": {"value": "probe"}});
    let tried = format!("{}?dryRun=All", path("configmaps", Some(&site.namespace), "a"));
    eventually("the webhook is asked", || {
        let answer = cluster().ask(&http::Method::PATCH, &tried, "application/merge-patch+json", Some(&update));
        check(answer == Err(422), format!("{answer:?}"))
    });
    site.repo.commit(&[("a.yaml", &opted_in(&config_map("a", "2")))]);
    assert_stays(&site, "configmaps", "a", &["admission webhook", "field is immutable"]);
    cluster().delete(&live);
}

#[test]
fn a_policy_against_the_new_object_keeps_the_old_one_that_cannot_be_changed() {
    let site = synced(&[("web.yaml", &deployment("web", "nginx"))]);
    let probe = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"selector": {"matchLabels": {"app": "other"}}, "template":
            {"metadata": {"labels": {"app": "other"}}, "spec": {"containers": [{"name": "main", "image": "nginx"}]}}}});
    // By name: the object under another name would be let through.
    let _policy = Policy::denying(
        &site,
        &rule("apps", "deployments", &["CREATE"]),
        "object.metadata.name != 'web' || object.spec.selector.matchLabels.app != 'other'",
        "no other app is to be called web",
        (&of_namespace(&site, DEPLOYMENTS), &probe),
    );
    site.repo.commit(&[("web.yaml", &opted_in(&selecting("web", "other", "other")))]);
    assert_stays(&site, DEPLOYMENTS, "web", &["spec.selector", "no other app is to be called web"]);
}

#[test]
fn what_says_detach_in_git_or_in_the_cluster_is_not_replaced() {
    let site = synced(&[("web.yaml", &deployment("web", "nginx")), ("api.yaml", &deployment("api", "nginx"))]);
    let detach = "client.lifecycle.config.k8s.io/deletion";
    let marked = json!({"metadata": {"annotations": {detach: "detach"}}});
    site.edit(DEPLOYMENTS, "api", "somebody", &marked);
    let api = uid(&site, DEPLOYMENTS, "api");
    let annotations = format!("{OPT_IN}, {detach}: detach");
    site.repo.commit(&[
        ("web.yaml", &annotated(&selecting("web", "other", "other"), &annotations)),
        ("api.yaml", &opted_in(&selecting("api", "other", "other"))),
    ]);
    assert_stays(&site, DEPLOYMENTS, "web", &["2 objects of kind Deployment", "deletion: detach"]);
    assert_eq!(uid(&site, DEPLOYMENTS, "api"), api);
    let plan = site.cli(&["plan"]).expect_code(1);
    assert!(plan.all().contains("deletion: detach") && !plan.stdout.contains("replace (deletes)"), "{}", plan.all());
}

fn claim(class: &str) -> String {
    format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: data\nspec:\n  storageClassName: {class}\n  \
         accessModes: [ReadWriteOnce]\n  resources: {{requests: {{storage: 1Gi}}}}\n"
    )
}

#[test]
fn a_claim_is_replaced_only_where_its_kind_may_be_pruned() {
    let site = synced(&[("data.yaml", &claim("one"))]);
    let before = uid(&site, "persistentvolumeclaims", "data");
    site.repo.commit(&[("data.yaml", &opted_in(&claim("two")))]);
    let text = assert_stays(&site, "persistentvolumeclaims", "data", &["prune.include", "data.yaml:1"]).all();
    assert!(!text.contains("set the annotation"), "{text}");

    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    sync["prune"] = json!({"include": ["PersistentVolumeClaim"]});
    site.configure(&[sync]);
    site.once().expect_code(0);
    assert_ne!(uid(&site, "persistentvolumeclaims", "data"), before);
    let live = site.get("persistentvolumeclaims", "data").expect("it is there");
    assert_eq!(live["spec"]["storageClassName"], "two");
}

#[test]
fn a_crd_is_not_replaced_with_the_custom_resources_that_it_carries() {
    let site = Site::with(&[]);
    let group = format!("{}.example.com", site.id);
    let crds = "customresourcedefinitions.apiextensions.k8s.io";
    let definition = site.cluster_scoped(crds, &format!("things.{group}"));
    site.configure(&[site.sync("shop")]);
    site.repo.commit(&[("crd.yaml", &crd(&group)), ("thing.yaml", &thing(&group, "one"))]);
    site.once().expect_code(0);
    let (before, kept) =
        (cluster().get(&definition).expect("it is there"), uid(&site, &format!("things.{group}"), "one"));
    site.repo.commit(&[("crd.yaml", &opted_in(&crd(&group).replace("scope: Namespaced", "scope: Cluster")))]);
    let text = site.once().expect_code(1).all();
    assert!(text.contains("spec.scope") && text.contains("crd.yaml:1"), "{text}");
    assert_eq!(cluster().get(&definition).expect("it is there")["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(uid(&site, &format!("things.{group}"), "one"), kept);
}

/// A `StatefulSet` with a claim for each pod. `when_deleted` is what becomes of the claims with it.
fn database(service: &str, when_deleted: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: db\nspec:\n  serviceName: {service}\n  \
         persistentVolumeClaimRetentionPolicy: {{whenDeleted: {when_deleted}, whenScaled: Retain}}\n  selector: \
         {{matchLabels: {{app: db}}}}\n  template:\n    metadata: {{labels: {{app: db}}}}\n    spec: {{containers: \
         [{{name: db, image: postgres}}]}}\n  volumeClaimTemplates:\n    - metadata: {{name: data}}\n      spec: \
         {{accessModes: [ReadWriteOnce], storageClassName: none, resources: {{requests: {{storage: 1Gi}}}}}}\n"
    )
}

#[track_caller]
fn eventually_claimed(site: &Site) -> Value {
    eventually("the claim is made", || site.get("persistentvolumeclaims", "data-db-0").ok_or("no claim"))
}

#[test]
fn a_stateful_set_that_takes_its_claims_along_is_neither_replaced_nor_advised_to_be() {
    if !cluster().runs_workloads() {
        return;
    }
    let site = synced(&[("db.yaml", &database("one", "Delete"))]);
    let claimed = eventually_claimed(&site);
    site.repo.commit(&[("db.yaml", &database("two", "Delete"))]);
    let text = assert_stays(&site, STATEFUL_SETS, "db", &["cannot be changed in place"]).all();
    assert!(!text.contains("driftless.dev/replace"), "no such advice: {text}");

    site.repo.commit(&[("db.yaml", &opted_in(&database("two", "Delete")))]);
    let text = assert_stays(&site, STATEFUL_SETS, "db", &["whenDeleted", "db.yaml:1"]).all();
    assert!(text.contains("prune.include"), "{text}");
    // What git says now is not what would become of the claims.
    site.repo.commit(&[("db.yaml", &opted_in(&database("two", "Retain")))]);
    assert_stays(&site, STATEFUL_SETS, "db", &["whenDeleted"]);
    assert_eq!(eventually_claimed(&site)["metadata"]["uid"], claimed["metadata"]["uid"]);
}

#[test]
fn a_stateful_set_that_leaves_its_claims_is_replaced_and_takes_them_up_again() {
    if !cluster().runs_workloads() {
        return;
    }
    let site = synced(&[("db.yaml", &database("one", "Retain"))]);
    let claimed = eventually_claimed(&site);
    let before = uid(&site, STATEFUL_SETS, "db");
    site.repo.commit(&[("db.yaml", &opted_in(&database("two", "Retain")))]);
    site.once().expect_code(0);
    assert_ne!(uid(&site, STATEFUL_SETS, "db"), before);
    assert_eq!(eventually_claimed(&site)["metadata"]["uid"], claimed["metadata"]["uid"]);
}
