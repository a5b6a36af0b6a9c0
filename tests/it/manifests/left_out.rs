//! What git declares and only others may say is left out with a warning; the rest of the object is applied, and
//! nothing is fought over.

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map, deployment};
use crate::support::wait::{check, eventually};
use crate::support::watched::daily;

const ROLES: &str = "clusterroles.rbac.authorization.k8s.io";

/// Scenario 16
#[test]
fn a_namespace_on_a_cluster_scoped_kind_is_left_out_and_pruning_goes_on() {
    let site = Site::of_shop(&[("a.yaml", &config_map("a", "1")), ("old.yaml", &config_map("old", "1"))]);
    site.once().expect_code(0);
    let name = format!("odd-{}", site.id);
    let live = site.cluster_scoped(ROLES, &name);
    let role = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {name}, namespace: shop}}\n\
         rules: [{{apiGroups: [''], resources: [pods], verbs: [get]}}]\n"
    );
    site.repo.remove("old.yaml");
    site.repo.commit(&[("role.yaml", &role)]);
    let warning = "role.yaml:1): metadata.namespace shop is not applied";
    let plan = site.cli(&["plan"]).expect_code(2).all();
    assert!(plan.contains(warning), "{plan}");
    let text = site.once().expect_code(0).all();
    assert_eq!(text.lines().filter(|line| line.contains(warning) && line.contains("WARN")).count(), 1, "{text}");
    assert!(cluster().get(&live).is_some());
    assert_eq!(site.config_maps(), ["a"], "the other one is pruned");
    let again = site.once().expect_code(0).all();
    assert!(!again.contains(warning), "a warning that was given is not repeated: {again}");
    let status = site.cli(&["status"]).expect_code(0).all();
    assert!(status.contains(warning), "{status}");
}

#[test]
fn what_an_export_carries_and_controllers_write_is_not_fought_over() {
    let exported = |revision: &str, image: &str| {
        let annotations = format!(
            "metadata:\n  ownerReferences: [{{apiVersion: v1, kind: ConfigMap, name: gone, uid: 1f6b0a52-1111-4e6f-9d4b-9f6a0c3f7d11}}]\n  \
             annotations: {{deployment.kubernetes.io/revision: \"{revision}\", mine: kept}}\n"
        );
        deployment("web", image).replacen("metadata:\n", &annotations, 1)
    };
    let site = Site::with(&[("web.yaml", &exported("7", "nginx:1"))]);
    site.configure(&[daily(&site, "shop")]);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let uid = |live: &Value| live["metadata"]["uid"].clone();
    let before = site.get("deployments.apps", "web").expect("it exists");
    for names in ["ownerReferences is not applied", "annotation deployment.kubernetes.io/revision is not applied"] {
        agent.eventually_logs(&["WARN", "web.yaml:1", names]);
    }
    site.repo.commit(&[("web.yaml", &exported("7", "nginx:2"))]);
    agent.poll_now("shop");
    agent.eventually_synced("shop", &site.repo.head());
    let live = eventually("the controller has its revision", || {
        let live = site.get("deployments.apps", "web").expect("it exists");
        let annotations = &live["metadata"]["annotations"];
        check(annotations["deployment.kubernetes.io/revision"] == "2", annotations.clone()).map(|()| live)
    });
    assert_eq!(uid(&live), uid(&before), "it was not collected as an orphan");
    assert_eq!(live["metadata"]["annotations"]["mine"], "kept");
    agent.passes("shop", 1);
    assert_eq!(agent.metric("driftless_drift_detected_total", &[]), None, "{}", agent.log().join("\n"));
}

#[test]
fn an_aggregated_cluster_role_keeps_what_was_aggregated_and_empty_rules_are_no_drift() {
    let site = Site::with(&[]);
    let [all, part] = ["all", "part"].map(|name| format!("{name}-{}", site.id));
    let live = site.cluster_scoped(ROLES, &all);
    site.cluster_scoped(ROLES, &part);
    let role = |name: &str, rest: &str| {
        format!("---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: {name}\n{rest}\n")
    };
    let selects = format!("aggregationRule: {{clusterRoleSelectors: [{{matchLabels: {{into: {all}}}}}]}}\nrules: []");
    let gives = format!("  labels: {{into: {all}}}\nrules: [{{apiGroups: [''], resources: [pods], verbs: [list]}}]");
    let closed = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: closed}\n\
                  spec: {podSelector: {}, ingress: [], policyTypes: [Ingress]}\n";
    site.repo.write("roles.yaml", role(&all, &selects) + &role(&part, &gives));
    site.repo.write("closed.yaml", closed);
    site.repo.commit_all("roles");
    site.configure_with(&[daily(&site, "shop")], |config| {
        config["audit"] = json!({"period": "1s", "maxPerSecond": 50});
    });
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    eventually("it is aggregated", || {
        let rules = cluster().get(&live).expect("it exists")["rules"].clone();
        check(rules[0]["verbs"] == json!(["list"]), rules)
    });
    let Some(mark) = audit::mark() else { return };
    eventually("all were audited more than once", || {
        let dry =
            site.requests(mark).into_iter().filter(|asked| asked.dry && asked.what.starts_with("networkpolicies"));
        check(dry.count() > 2, "not yet")
    });
    let written =
        site.writes(mark).into_iter().filter(|asked| asked.what.contains(&site.namespace) || asked.what.contains(&all));
    assert_eq!(written.map(|asked| asked.what).collect::<Vec<_>>(), [] as [String; 0]);
    for name in ["driftless_drift_detected_total", "driftless_drift_missed_total"] {
        assert_eq!(agent.metric(name, &[]), None, "{name}");
    }
    assert!(cluster().get(&path(ROLES, None, &all)).expect("it exists")["rules"][0].is_object());
}
