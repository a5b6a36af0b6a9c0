//! Replacing objects whose fields cannot be changed in place (`driftless.dev/replace`): a deletion, and
//! so only of what can be made again and asks for it, and never past a policy, a guard or data.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::policy::Policy;
use crate::support::process::Finished;
use crate::support::site::{Site, config_map, crd, deployment, thing};
use crate::support::wait::{check, eventually};
use crate::support::webhook::Webhook;

const OPT_IN: &str = "driftless.dev/replace: \"true\"";
const DEPLOYMENTS: &str = "deployments.apps";
const STATEFUL_SETS: &str = "statefulsets.apps";

/// A manifest with annotations.
fn annotated(manifest: &str, annotations: &str) -> String {
    manifest.replacen("metadata:\n", &format!("metadata:\n  annotations: {{{annotations}}}\n"), 1)
}

fn opted_in(manifest: &str) -> String {
    annotated(manifest, OPT_IN)
}

/// A synced site that does not wait for health.
fn synced(files: &[(&str, &str)]) -> Site {
    synced_with(files, |_| {})
}

fn synced_with(files: &[(&str, &str)], adjust: impl FnOnce(&mut Value)) -> Site {
    let site = Site::with(files);
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    adjust(&mut sync);
    site.configure(&[sync]);
    site.once().expect_code(0);
    site
}

#[track_caller]
fn uid(site: &Site, plural: &str, name: &str) -> Value {
    site.get(plural, name).unwrap_or_else(|| panic!("{plural} {name} is gone"))["metadata"]["uid"].clone()
}

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

/// A Deployment whose selector is `app: SELECTOR` and whose pods have the label `app: LABEL`.
fn selecting(name: &str, selector: &str, label: &str) -> String {
    deployment(name, "nginx")
        .replace(&format!("matchLabels: {{app: {name}}}"), &format!("matchLabels: {{app: {selector}}}"))
        .replace(&format!("labels: {{app: {name}}}"), &format!("labels: {{app: {label}}}"))
}

fn of_namespace(site: &Site, plural: &str) -> String {
    path(plural, Some(&site.namespace), "")
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

fn rule(group: &str, resource: &str, operations: &[&str]) -> Value {
    json!({"apiGroups": [group], "apiVersions": ["v1"], "operations": operations, "resources": [resource]})
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
    let name = format!("hook-{}", site.id);
    let hook = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name}, "webhooks": [{"name": format!("{name}.example.com"), "failurePolicy": "Fail",
            "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 2,
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": site.namespace}},
            "rules": [rule("", "configmaps", &["UPDATE"])], "clientConfig": server.client_config()}]});
    let live = site.cluster_scoped("validatingwebhookconfigurations.admissionregistration.k8s.io", &name);
    cluster().create("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", &hook);
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

/// A manifest before a change of an immutable field and after it, where its object is, and a name.
struct Case {
    plural: &'static str,
    name: String,
    namespaced: bool,
    before: Value,
    after: Value,
}

fn case(plural: &'static str, object: Value, pointer: &str, value: Value) -> Case {
    let mut after = object.clone();
    *after.pointer_mut(pointer).expect("a field of the manifest") = value;
    after["metadata"]["annotations"] = json!({"driftless.dev/replace": "true"});
    let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
    let namespaced = object["metadata"]["labels"]["scope"] != "cluster";
    Case { plural, name, namespaced, before: object, after }
}

/// What the API server lets nobody change, of the kinds that ship with it.
fn cases(id: &str) -> Vec<Case> {
    let named = |kind: &str| format!("{}-{id}", kind.to_lowercase());
    let object = |version: &str, kind: &str, rest: Value| {
        let mut object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": named(kind)}});
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        object
    };
    let cluster = |version: &str, kind: &str, rest: Value| {
        let mut object = object(version, kind, rest);
        object["metadata"]["labels"] = json!({"scope": "cluster"});
        object
    };
    let template = |restart: &str| {
        json!({"metadata": {"labels": {"app": "a"}},
            "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": "i"}]}})
    };
    let reference =
        |kind: &str, name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    let (rbac, storage) = ("rbac.authorization.k8s.io/v1", "storage.k8s.io/v1");
    let selector = json!({"matchLabels": {"app": "a"}});
    let always = template("Always");
    let driver = format!("csi-{id}.example.com");
    let mut csi = cluster(storage, "CSIDriver", json!({"spec": {"attachRequired": true}}));
    csi["metadata"]["name"] = driver.into();
    let mut claims = object(
        "apps/v1",
        "StatefulSet",
        json!({"spec": {"replicas": 0, "serviceName": "s", "selector": selector, "template": always}}),
    );
    claims["metadata"]["name"] = format!("stateful-{id}").into();
    vec![
        case(
            "jobs.batch",
            object("batch/v1", "Job", json!({"spec": {"template": template("Never")}})),
            "/spec/template/spec/containers/0/image",
            json!("other"),
        ),
        case(STATEFUL_SETS, claims, "/spec/serviceName", json!("other")),
        case(
            "services",
            object("v1", "Service", json!({"spec": {"clusterIP": "", "ports": [{"port": 80}]}})),
            "/spec/clusterIP",
            json!("None"),
        ),
        case(
            "secrets",
            object("v1", "Secret", json!({"type": "Opaque", "data": {"a": "YQ=="}})),
            "/type",
            json!("e.x/y"),
        ),
        case(
            "configmaps",
            object("v1", "ConfigMap", json!({"immutable": true, "data": {"a": "1"}})),
            "/data/a",
            json!("2"),
        ),
        case(
            "pods",
            object("v1", "Pod", json!({"spec": {"containers": [{"name": "c", "image": "i", "command": ["a"]}]}})),
            "/spec/containers/0/command",
            json!(["b"]),
        ),
        case(
            "resourcequotas",
            object("v1", "ResourceQuota", json!({"spec": {"hard": {"pods": "100"}, "scopes": ["BestEffort"]}})),
            "/spec/scopes",
            json!(["NotBestEffort"]),
        ),
        case(
            "rolebindings.rbac.authorization.k8s.io",
            object(rbac, "RoleBinding", json!({"roleRef": reference("Role", "a")})),
            "/roleRef/name",
            json!("b"),
        ),
        case(
            "clusterrolebindings.rbac.authorization.k8s.io",
            cluster(rbac, "ClusterRoleBinding", json!({"roleRef": reference("ClusterRole", "a")})),
            "/roleRef/name",
            json!("b"),
        ),
        case(
            "storageclasses.storage.k8s.io",
            cluster(storage, "StorageClass", json!({"provisioner": "e.x/y", "parameters": {"a": "1"}})),
            "/parameters/a",
            json!("2"),
        ),
        case("csidrivers.storage.k8s.io", csi, "/spec/attachRequired", json!(false)),
        case(
            "priorityclasses.scheduling.k8s.io",
            cluster("scheduling.k8s.io/v1", "PriorityClass", json!({"value": 10})),
            "/value",
            json!(20),
        ),
        case(
            "runtimeclasses.node.k8s.io",
            cluster("node.k8s.io/v1", "RuntimeClass", json!({"handler": "a"})),
            "/handler",
            json!("b"),
        ),
        case(
            "ingressclasses.networking.k8s.io",
            cluster("networking.k8s.io/v1", "IngressClass", json!({"spec": {"controller": "e.x/y"}})),
            "/spec/controller",
            json!("e.x/z"),
        ),
    ]
}

/// The guard counts a replacement as the deletion that it is. Scenarios 29 and 46
#[test]
fn every_kind_of_immutable_field_is_replaced_on_request_and_the_guard_counts_it() {
    let site = Site::with(&[]);
    let cases = cases(&site.id);
    for case in &cases {
        if !case.namespaced {
            site.cluster_scoped(case.plural, &case.name);
        }
    }
    let place = |case: &Case| path(case.plural, case.namespaced.then_some(&*site.namespace), &case.name);
    let uids = || -> Vec<Value> {
        let uid = |case: &Case| cluster().get(&place(case)).unwrap_or_default()["metadata"]["uid"].clone();
        cases.iter().map(uid).collect()
    };
    let all = |object: fn(&Case) -> &Value| -> String {
        cases.iter().map(|case| format!("---\n{}\n", object(case))).collect()
    };
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    site.configure(&[sync]);
    site.repo.commit(&[("all.yaml", &all(|case| &case.before))]);
    site.once().expect_code(0);
    let before = uids();

    site.repo.commit(&[("all.yaml", &all(|case| &case.after))]);
    let plan = site.cli(&["plan"]).expect_code(2);
    let number = cases.len();
    let named = plan.stdout.matches("cannot be changed in place; replacing it deletes it").count();
    assert_eq!(named, number, "{}", plan.stdout);
    let sum = format!("would delete {number} of {number} objects ({number} of them to create again)");
    assert!(plan.stdout.contains(&sum) && plan.stdout.contains("driftless approve shop"), "{}", plan.stdout);
    assert_eq!(uids(), before, "a plan changes nothing");

    let held = site.once().expect_code(4).all();
    assert!(held.contains(&format!("{number} of {number}")) && held.contains("driftless approve shop"), "{held}");
    assert_eq!(uids(), before, "held, nothing was replaced");
    let status = site.cli(&["status"]).expect_code(3).stdout;
    assert!(status.contains("Held") && status.contains("driftless approve shop"), "{status}");

    site.cli(&["approve", "shop"]).expect_code(0);
    let plan = site.cli(&["plan"]).expect_code(2);
    assert_eq!(plan.stdout.matches("replace (deletes)").count(), number + 1, "each and the sum: {}", plan.stdout);
    site.once().expect_code(0);
    for (case, (before, after)) in cases.iter().zip(before.iter().zip(uids())) {
        assert!(after.is_string() && *before != after, "{} was replaced: {after}", case.plural);
    }
    site.cli(&["plan"]).expect_code(0);
    for case in cases.iter().filter(|case| !case.namespaced) {
        cluster().delete(&place(case));
    }
}

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
