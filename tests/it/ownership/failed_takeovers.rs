//! Fields of others become ours only with an apply that succeeds: of an object that git does not get,
//! nobody's ownership changes.

use http::Method;
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::policy::Policy;
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually};

const DEPLOYMENTS: &str = "deployments.apps";

/// Who owns what of an object, apart from when, and without its controllers, which go on writing.
#[track_caller]
fn owners(site: &Site, plural: &str, name: &str) -> Value {
    let live = site.get(plural, name).expect("it exists");
    let entries = live["metadata"]["managedFields"].as_array().expect("entries").iter();
    let others = entries.filter(|entry| entry["manager"] != "kube-controller-manager").cloned();
    let timeless = others.map(|mut entry| {
        entry.as_object_mut().expect("an entry").remove("time");
        entry
    });
    timeless.collect()
}

/// Applies manifests as Flux does.
fn by_flux(site: &Site, manifest: &str) {
    let arguments =
        ["apply", "-n", &site.namespace, "-f", "-", "--server-side", "--field-manager=kustomize-controller"];
    cluster().kubectl_with(&arguments, Some(manifest), &[]).expect_code(0);
}

/// Applies manifests as a person does.
fn by_kubectl(site: &Site, manifest: &str) {
    let arguments = ["apply", "-n", &site.namespace, "-f", "-"];
    cluster().kubectl_with(&arguments, Some(manifest), &[]).expect_code(0);
}

/// Runs the sync of a manifest that is refused; who owns the live object's fields stays as it was.
#[track_caller]
fn assert_left_alone(site: &Site, plural: &str, name: &str, words: &str) {
    let before = owners(site, plural, name);
    for _ in 0..2 {
        let text = site.once().expect_code(1).all();
        assert!(text.contains(words), "{text}");
        let after = owners(site, plural, name);
        assert_eq!(before.to_string(), after.to_string(), "nobody's ownership has changed");
    }
    let live = site.get(plural, name).expect("it exists");
    assert_eq!(live["metadata"]["labels"]["applyset.kubernetes.io/part-of"], Value::Null);
}

fn invalid(manifest: &str) -> String {
    format!("{manifest}          ports: [{{containerPort: 99999}}]\n")
}

#[test]
fn an_object_of_another_agent_whose_manifest_is_invalid_stays_that_agents() {
    for by in [by_flux, by_kubectl] {
        let web = deployment("web", "nginx");
        let site = Site::of_shop(&[("web.yaml", &invalid(&web))]);
        by(&site, &web);
        let mark = audit::mark();
        assert_left_alone(&site, DEPLOYMENTS, "web", "must be between 1 and 65535");
        if let Some(mark) = mark {
            let writes = site.writes(mark).into_iter().filter(|asked| asked.what.ends_with("/web"));
            assert_eq!(writes.count(), 0, "not even for a moment");
        }
    }
}

#[test]
fn an_object_of_another_agent_whose_new_selector_is_immutable_stays_that_agents() {
    let web = deployment("web", "nginx");
    let site = Site::of_shop(&[("web.yaml", &web.replace("app: web", "app: other"))]);
    by_flux(&site, &web);
    assert_left_alone(&site, DEPLOYMENTS, "web", "spec.selector cannot be changed in place");
}

fn no_bad_values(site: &Site, expression: &str) -> Policy {
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["configmaps"]});
    let probe = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "p"}, "data": {"value": "probe"}});
    let collection = path("configmaps", Some(&site.namespace), "");
    let expression = format!("!has(object.data) || object.data.value != 'probe' && ({expression})");
    Policy::denying(site, &rule, &expression, "not this", (&collection, &probe))
}

#[test]
fn an_object_of_another_agent_that_a_policy_refuses_to_us_stays_that_agents() {
    for by in [by_flux, by_kubectl] {
        let site = Site::of_shop(&[("a.yaml", &config_map("a", "bad"))]);
        by(&site, &config_map("a", "1"));
        let _policy = no_bad_values(&site, "object.data.value != 'bad'");
        assert_left_alone(&site, "configmaps", "a", "not this");
    }
}

#[test]
fn ownership_that_was_taken_for_an_apply_which_then_fails_is_given_back() {
    for by in [by_flux, by_kubectl] {
        let site = Site::of_shop(&[("a.yaml", &config_map("a", "bad"))]);
        by(&site, &config_map("a", "1"));
        // A dry run is let through.
        let _policy = no_bad_values(&site, "has(request.dryRun) && request.dryRun || object.data.value != 'bad'");
        assert_left_alone(&site, "configmaps", "a", "not this");
    }
}

#[test]
fn ports_that_were_taken_over_for_an_apply_which_then_fails_are_given_back() {
    let service = |port: u16, session: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  sessionAffinity: {session}\n  selector: \
             {{app: web}}\n  ports: [{{name: http, port: {port}}}]\n"
        )
    };
    let site = Site::of_shop(&[("web.yaml", &service(80, "None"))]);
    site.once().expect_code(0);
    let change = json!([{"op": "replace", "path": "/spec/ports/0/port", "value": 81}]);
    let at = format!("{}?fieldManager=somebody", path("services", Some(&site.namespace), "web"));
    cluster().ask(&Method::PATCH, &at, "application/json-patch+json", Some(&change)).expect("an edit");
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["services"]});
    let probe = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "p"},
        "spec": {"sessionAffinity": "ClientIP", "ports": [{"port": 80}]}});
    let collection = path("services", Some(&site.namespace), "");
    let _policy =
        Policy::denying(&site, &rule, "object.spec.sessionAffinity != 'ClientIP'", "no", (&collection, &probe));
    site.repo.commit(&[("web.yaml", &service(80, "ClientIP"))]);
    let before = owners(&site, "services", "web");
    site.once().expect_code(1);
    assert_eq!(owners(&site, "services", "web").to_string(), before.to_string());
}

#[test]
fn what_only_a_takeover_makes_valid_is_taken_over() {
    let web = deployment("web", "nginx").replace("replicas: 1\n", "replicas: 0\n");
    let rolling =
        web.replace("  selector:", "  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 2}}\n  selector:");
    for by in [by_flux, by_kubectl] {
        let site =
            Site::of_shop(&[("web.yaml", &web.replace("  selector:", "  strategy: {type: Recreate}\n  selector:"))]);
        by(&site, &rolling);
        let plan = site.cli(&["plan"]).expect_code(2).stdout;
        assert!(plan.contains("1 to configure"), "{plan}");
        site.once().expect_code(0);
        let live = site.get(DEPLOYMENTS, "web").expect("it exists");
        assert_eq!(live["spec"]["strategy"], json!({"type": "Recreate"}));
        let owners = owners(&site, DEPLOYMENTS, "web").to_string();
        assert!(!owners.contains("kustomize-controller") && !owners.contains("kubectl"), "{owners}");
    }
}

#[test]
fn an_atomic_sync_takes_over_what_only_that_makes_valid() {
    let web = deployment("web", "nginx").replace("replicas: 1\n", "replicas: 0\n");
    let strategy = |text: &str| web.replace("  selector:", &format!("  strategy: {text}\n  selector:"));
    let site = Site::with(&[("web.yaml", &strategy("{type: Recreate}"))]);
    let mut sync = site.sync("shop");
    sync["atomic"] = json!(true);
    site.configure(&[sync]);
    by_flux(&site, &strategy("{type: RollingUpdate, rollingUpdate: {maxSurge: 2}}"));
    site.once().expect_code(0);
    let live = site.get(DEPLOYMENTS, "web").expect("it exists");
    assert_eq!(live["spec"]["strategy"], json!({"type": "Recreate"}));
}

#[test]
fn a_takeover_that_is_refused_for_now_is_made_once_it_is_not() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "bad"))]);
    by_flux(&site, &config_map("a", "1"));
    let policy = no_bad_values(&site, "object.data.value != 'bad'");
    let agent = Agent::start(&site);
    agent.eventually_is("shop", "Failing");
    policy.end();
    agent.eventually_synced("shop", &site.repo.head());
    eventually("it is ours alone", || {
        let owners = owners(&site, "configmaps", "a").to_string();
        check(owners.contains("driftless") && !owners.contains("kustomize-controller"), owners)
    });
}
