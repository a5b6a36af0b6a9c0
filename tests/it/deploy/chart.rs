//! The chart by itself: it lints, says what is wrong with values, and everything that is said twice
//! is the same twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::deploy::{CHART, document, documents, helm, rendered};
use crate::support::process::run;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Values that are enough, with others put over them.
fn values(over: Value) -> Value {
    fn merge(into: &mut Value, from: Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                for (key, value) in from {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, from) => *into = from,
        }
    }
    let mut all = json!({"image": {"repository": "registry.example.com/driftless"}});
    merge(&mut all, over);
    all
}

fn made(over: Value) -> Vec<Value> {
    documents(&rendered(&values(over)).expect_code(0).stdout)
}

fn sync(name: &str) -> Value {
    json!({"name": name, "source": {"url": "https://git.example.com/shop.git", "branch": "main"}})
}

#[test]
fn the_plain_manifests_and_the_schema_are_those_that_the_chart_makes() {
    let mut generate = Command::new(root().join("deploy/generate"));
    run(generate.arg("--check"), None, Duration::from_mins(2)).expect_code(0);
}

#[test]
fn the_chart_lints() {
    for shape in ["cluster", "namespaced", "impersonation"] {
        let file = format!("{CHART}/ci/{shape}-values.yaml");
        helm(&["lint", "--strict", CHART, "--values", &file]).expect_code(0);
    }
}

#[test]
fn values_that_are_wrong_are_refused_with_what_is_wrong() {
    let none = json!({"image": {"repository": ""}});
    let broken = json!({"config": {"syncs": [{"name": "shop", "intervall": "1m", "source": {"url": "x"}}]}});
    let unnamed = json!({"rbac": {"scope": "impersonation"}, "config": {"syncs": [sync("shop")]}});
    let both = json!({"existingConfigMap": "mine", "config": {"syncs": [sync("shop")]}});
    let nobody = json!({"rbac": {"scope": "impersonation"}, "existingConfigMap": "mine"});
    let shared = json!({"dataVolume": {"type": "existingClaim", "existingClaim": "clones"}});
    for (over, parts) in [
        (none, ["image.repository is needed", "registry.example.com/driftless"]),
        (json!({"image": {"digest": "sha256:abc"}}), ["image/digest", "does not match pattern"]),
        (json!({"replicas": 3}), ["additional properties", "'replicas'"]),
        (json!({"replicaCount": "two"}), ["replicaCount", "got string, want integer"]),
        (broken, ["config/syncs/0", "'intervall'"]),
        (json!({"config": {"syncs": [], "namespace": "other"}}), ["config.namespace is other", "leave it out"]),
        (json!({"rbac": {"scope": "everything"}}), ["rbac/scope", "value must be one of"]),
        (json!({"rbac": {"scope": "namespaced"}}), ["rbac.namespaces is empty", "name the namespaces"]),
        (json!({"rbac": {"namespaces": ["shop"]}}), ["no meaning with rbac.scope", "cluster"]),
        (unnamed, ["rbac.scope is impersonation", "the sync shop has no serviceAccount"]),
        (nobody, ["rbac.serviceAccounts", "name the accounts"]),
        (json!({"rbac": {"scope": "none", "clusterAdmin": true}}), ["rbac.clusterAdmin", "no meaning"]),
        (both, ["config.syncs would be ignored", "existingConfigMap is mine"]),
        (shared, ["replicas must not share a claim", "replicaCount: 1"]),
        (json!({"serviceAccount": {"create": false}}), ["serviceAccount.name is needed", "create: false"]),
        (
            json!({"config": {"syncs": [], "leaderElection": {"enabled": false}}}),
            ["without leader election only one replica may run", "replicaCount: 1"],
        ),
    ] {
        let stderr = rendered(&values(over.clone())).expect_code(1).stderr;
        assert!(parts.iter().all(|part| stderr.contains(part)), "{over}: {parts:?}\n{stderr}");
    }
}

#[test]
fn what_the_values_ask_for_is_what_is_made() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let objects = made(json!({
        "image": {"tag": "1.2.3", "digest": digest},
        "imagePullSecrets": [{"name": "registry"}],
        "config": {"listen": ":9090", "dataDir": "/data", "syncs": [
            sync("one"),
            {"name": "two", "source": {"url": "ssh://git@git.example.com:7999/shop.git", "tag": "v1"}},
            {"name": "three", "source": {"url": "git@git.example.com:shop.git", "tag": "v1"}, "render": {
                "helm": {"repository": "oci://registry.example.com:5000/charts", "chart": "web", "version": "1"},
                "remoteHosts": ["git.example.com:8443", "http://charts.example.com"]}},
        ]},
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/driftless"}},
        "dataVolume": {"type": "ephemeral", "size": "8Gi", "storageClassName": "gp3"},
        "metrics": {"serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}}},
        "networkPolicy": {"ingressFrom": [], "extraEgress": [{"ports": [{"port": 4317}]}]},
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/arch": "arm64"},
        "tolerations": [{"key": "ops", "operator": "Exists"}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "ScheduleAnyway"}],
        "podLabels": {"team": "platform"},
        "podAnnotations": {"note": "mine"},
        "extraEnv": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4317"}],
        "podSecurityContext": {"runAsUser": null},
    }));
    let deployment = document(&objects, "Deployment", "driftless");
    let template = &deployment["spec"]["template"];
    let (pod, container) = (&template["spec"], &template["spec"]["containers"][0]);
    assert_eq!(container["image"], format!("registry.example.com/driftless@{digest}"), "a digest wins over a tag");
    assert_eq!(container["ports"][0]["containerPort"], 9090);
    let mounts = container["volumeMounts"].to_string();
    assert!(mounts.contains("\"/data\"") && !mounts.contains("subPath"), "{mounts}");
    let claim = &pod["volumes"][1]["ephemeral"]["volumeClaimTemplate"]["spec"];
    assert_eq!(claim["storageClassName"], "gp3");
    assert_eq!(claim["resources"]["requests"]["storage"], "8Gi");
    assert_eq!(container["env"][1]["name"], "OTEL_EXPORTER_OTLP_ENDPOINT");
    assert_eq!(template["metadata"]["labels"]["team"], "platform");
    assert_eq!(template["metadata"]["annotations"].get("prometheus.io/scrape"), None, "there is a ServiceMonitor");
    assert_eq!(template["metadata"]["annotations"]["note"], "mine");
    for (key, value) in [
        ("imagePullSecrets", json!([{"name": "registry"}])),
        ("priorityClassName", json!("system-cluster-critical")),
        ("nodeSelector", json!({"kubernetes.io/arch": "arm64"})),
        ("tolerations", json!([{"key": "ops", "operator": "Exists"}])),
    ] {
        assert_eq!(pod[key], value, "{key}");
    }
    assert_eq!(pod["topologySpreadConstraints"][0]["maxSkew"], 1);
    assert_eq!(pod["securityContext"].get("runAsUser"), None, "null takes a key away");
    let account = document(&objects, "ServiceAccount", "driftless");
    assert!(account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"].is_string());
    let monitor = document(&objects, "ServiceMonitor", "driftless");
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    let service = document(&objects, "Service", "driftless");
    assert_eq!(monitor["spec"]["selector"]["matchLabels"], service["spec"]["selector"]);
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
    let policy = document(&objects, "NetworkPolicy", "driftless");
    assert_eq!(policy["spec"]["ingress"], json!([]));
    let egress = policy["spec"]["egress"].as_array().expect("rules");
    let ports = |rule: &Value| -> Vec<u64> {
        rule["ports"].as_array().expect("ports").iter().filter_map(|port| port["port"].as_u64()).collect()
    };
    let ports: Vec<Vec<u64>> = egress.iter().map(ports).collect();
    assert_eq!(ports, [vec![53, 53], vec![443, 6443, 8443], vec![22, 443, 5000, 7999, 80, 8443], vec![4317]]);
}

#[test]
fn a_configuration_of_somebody_else_and_roles_of_ones_own_are_taken() {
    let objects = made(json!({"existingConfigMap": "mine", "rbac": {"scope": "none"},
        "serviceAccount": {"create": false, "name": "given"}, "podDisruptionBudget": {"enabled": false},
        "networkPolicy": {"enabled": false}, "replicaCount": 1,
        "dataVolume": {"type": "existingClaim", "existingClaim": "clones"}}));
    let kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    assert_eq!(kinds, ["Service", "Deployment"]);
    let pod = &objects[1]["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["configMap"]["name"], "mine");
    assert_eq!(pod["volumes"][1]["persistentVolumeClaim"]["claimName"], "clones");
    assert_eq!(pod["serviceAccountName"], "given");
    assert_eq!(objects[1]["spec"]["strategy"], json!({"type": "Recreate"}), "one claim is for one pod at a time");
}

#[test]
fn more_rights_are_given_only_where_they_are_asked_for() {
    let extra = json!({"apiGroups": ["shop.example.com"], "resources": ["promotions"], "verbs": ["get"]});
    let asked = made(json!({"rbac": {"extraRules": [extra], "allowEscalation": true}}));
    let rules = document(&asked, "ClusterRole", "driftless")["rules"].as_array().expect("rules").clone();
    assert!(rules.contains(&extra));
    assert_eq!(rules.last().expect("a rule")["verbs"], json!(["bind", "escalate"]));
    let plain = made(json!({}));
    let role = document(&plain, "ClusterRole", "driftless").to_string();
    for word in ["\"*\"", "bind\"", "escalate", "impersonate", "cluster-admin"] {
        assert!(!role.contains(word), "{word}");
    }
    let admin = made(json!({"rbac": {"clusterAdmin": true}}));
    assert!(!admin.iter().any(|object| object["kind"] == "ClusterRole"));
    assert_eq!(document(&admin, "ClusterRoleBinding", "")["roleRef"]["name"], "cluster-admin");

    let mut acting = sync("shop");
    acting["serviceAccount"] = json!("shop/deployer");
    let objects = made(json!({"config": {"syncs": [acting]}, "rbac": {"serviceAccounts": ["shop/other", "infra/x"]}}));
    let role = objects.iter().find(|object| object["kind"] == "Role" && object["metadata"]["namespace"] == "shop");
    let rules = &role.expect("a Role in the namespace of the account")["rules"];
    assert_eq!(rules[0]["resourceNames"], json!(["deployer", "other"]), "in every shape: {rules}");
    assert_eq!(rules.as_array().map(Vec::len), Some(1), "Events are in the ClusterRole: {rules}");
}

#[test]
fn secrets_that_syncs_name_may_be_watched_each_by_its_name() {
    let mut rendered = sync("shop");
    rendered["render"] = json!({
        "helm": {"auth": {"secret": "charts"}, "valuesFrom": [{"kind": "Secret", "name": "values"}, {"kind": "ConfigMap", "name": "open"}]},
        "substituteFrom": [{"kind": "Secret", "name": "variables"}],
        "decrypt": {"secret": "keys"},
    });
    rendered["source"]["auth"] = json!({"secret": "git"});
    rendered["source"]["verify"] = json!({"secret": "signers"});
    let watched = json!({"apiGroups": [""], "resources": ["secrets"],
        "resourceNames": ["charts", "git", "keys", "other", "signers", "values", "variables"], "verbs": ["list", "watch"]});
    let rules = |rbac: Value, syncs: Value| {
        let objects = made(json!({"config": {"syncs": syncs}, "rbac": rbac}));
        let home = |object: &&Value| object["kind"] == "Role" && object["metadata"]["name"] == "driftless";
        objects.iter().find(home).expect("the agent's Role")["rules"].as_array().expect("rules").clone()
    };
    let namespaced = json!({"scope": "namespaced", "namespaces": ["shop"], "secrets": ["other", "keys"]});
    assert!(rules(namespaced, json!([rendered.clone()])).contains(&watched));
    let plain = rules(json!({"scope": "namespaced", "namespaces": ["shop"]}), json!([sync("shop")]));
    assert!(!plain.iter().any(|rule| rule.get("resourceNames").is_some()), "{plain:?}");
    // The ClusterRole has all of it.
    let cluster = rules(json!({"scope": "cluster"}), json!([rendered]));
    assert!(!cluster.iter().any(|rule| rule["resources"] == json!(["secrets"])), "{cluster:?}");
}

/// Every value as `a.b.c` with its default; lists and empty objects are values.
fn leaves(prefix: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                leaves(&path, value, into);
            }
        }
        _ => drop(into.insert(prefix.to_owned(), value.to_string().replace(['"', ' '], ""))),
    }
}

#[test]
fn the_documentation_has_every_value_with_its_default() {
    let read =
        |file: &str| std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let values: Value = serde_saphyr::from_str(&read("deploy/helm/driftless/values.yaml")).expect("YAML");
    let mut all = BTreeMap::new();
    leaves("", &values, &mut all);
    let text = read("docs/install.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | `"));
    let documented: BTreeMap<String, String> = rows
        .filter_map(|(key, rest)| {
            let (default, _) = rest.split_once("` |")?;
            Some((key.to_owned(), default.replace(['"', ' '], "")))
        })
        .collect();
    assert_eq!(documented, all);
}
