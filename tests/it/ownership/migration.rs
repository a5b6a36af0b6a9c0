//! Objects that another agent keeps, as it leaves them: they are taken over as they run.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::audit;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map};
use crate::support::wait::{check, eventually};
use crate::support::watched::daily;

/// Who keeps the objects, and how it writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// `kustomize-controller`: server-side apply, two labels.
    Flux,
    /// Argo CD as it is installed: `kubectl apply` under its own name, an annotation, and a label
    /// where that was chosen.
    Argo,
    /// The same with the sync option `ServerSideApply=true`.
    ArgoServerSide,
    /// A release of Helm: created and updated by `helm`.
    Helm,
}

const KINDS: [(&str, &str); 8] = [
    ("configmaps", "settings"),
    ("secrets", "login"),
    ("services", "web"),
    ("persistentvolumeclaims", "files"),
    ("deployments.apps", "web"),
    ("statefulsets.apps", "db"),
    ("jobs.batch", "schema"),
    ("ingresses.networking.k8s.io", "web"),
];

const SETTINGS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {color: blue, size: '3'}\n";
const SHOP: &str = r"apiVersion: v1
kind: Secret
metadata: {name: login}
stringData: {password: hunter2}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: files}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx, ports: [{name: http, containerPort: 80}]}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: postgres}]}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: schema}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: schema, image: busybox}]}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]}}]}
";

impl Before {
    fn manager(self) -> &'static str {
        match self {
            Self::Flux => "kustomize-controller",
            Self::Argo | Self::ArgoServerSide => "argocd-controller",
            Self::Helm => "helm",
        }
    }

    /// Puts this agent's metadata on a manifest.
    fn sign(self, object: &mut Value, namespace: &str) {
        let kind = object["kind"].as_str().expect("a kind").to_owned();
        let name = object["metadata"]["name"].as_str().expect("a name").to_owned();
        let group = object["apiVersion"].as_str().and_then(|text| Some(text.split_once('/')?.0)).unwrap_or_default();
        let tracking = format!("shop:{group}/{kind}:{namespace}/{name}");
        let (labels, annotations) = match self {
            Self::Flux => {
                let owner = "kustomize.toolkit.fluxcd.io";
                (vec![(format!("{owner}/name"), "shop"), (format!("{owner}/namespace"), "flux-system")], vec![])
            }
            Self::Argo | Self::ArgoServerSide => (
                vec![("app.kubernetes.io/instance".to_owned(), "shop")],
                vec![("argocd.argoproj.io/tracking-id".to_owned(), tracking)],
            ),
            Self::Helm => (
                vec![("app.kubernetes.io/managed-by".to_owned(), "Helm")],
                vec![("meta.helm.sh/release-name".to_owned(), "shop".to_owned())],
            ),
        };
        for (key, value) in labels {
            object["metadata"]["labels"][key] = value.into();
        }
        for (key, value) in annotations {
            object["metadata"]["annotations"][key] = value.into();
        }
    }

    /// Applies manifests as this agent does.
    #[track_caller]
    fn applies(self, site: &Site, manifests: &[&str]) {
        let documents = manifests.iter().flat_map(|text| text.split("---\n"));
        let mut items: Vec<Value> = documents.map(|text| serde_saphyr::from_str(text).expect("a manifest")).collect();
        for item in &mut items {
            self.sign(item, &site.namespace);
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
        let manager = format!("--field-manager={}", self.manager());
        let mut arguments = vec!["-n", &site.namespace, "-f", "-", &manager];
        match self {
            Self::Flux | Self::ArgoServerSide => {
                arguments.splice(0..0, ["apply", "--server-side", "--force-conflicts"]);
            }
            Self::Argo => arguments.insert(0, "apply"),
            Self::Helm => arguments.insert(0, "create"),
        }
        cluster().kubectl_with(&arguments, Some(&list), &[]).expect_code(0);
    }

    /// What shows this agent in an object's metadata.
    fn signs(self) -> &'static [&'static str] {
        match self {
            Self::Flux => &["fluxcd", "kustomize-controller"],
            Self::Argo | Self::ArgoServerSide => &["argo", "app.kubernetes.io/instance", "last-applied"],
            Self::Helm => &["elm"],
        }
    }
}

/// The shop in git, and in the cluster as another agent keeps it, with a field that git has not.
fn kept_by(before: Before) -> Site {
    let site = Site::with(&[("settings.yaml", SETTINGS), ("shop.yaml", SHOP), ("old.yaml", &config_map("old", "1"))]);
    let with_more = SETTINGS.replace("color", "forgotten: 'yes', color");
    before.applies(&site, &[&with_more, SHOP, &config_map("old", "1")]);
    if cluster().runs_workloads() {
        eventually("the shop of before runs", || {
            let ready = |plural, name| site.get(plural, name).expect("it exists")["status"]["readyReplicas"].clone();
            let ready = [ready("deployments.apps", "web"), ready("statefulsets.apps", "db")];
            let done = site.get("jobs.batch", "schema").expect("it exists")["status"]["succeeded"] == 1;
            check(ready == [2, 1] && done, format!("{ready:?}, the Job is done: {done}"))
        });
    }
    site.configure(&[daily(&site, "shop")]);
    site
}

/// Of everything that must be as before: the UID and the spec, with the addresses and ports in it.
fn specs(site: &Site) -> BTreeMap<&'static str, Value> {
    let of = |(plural, name): (&'static str, &str)| {
        let live = site.get(plural, name).unwrap_or_else(|| panic!("{plural} {name} exists"));
        (plural, json!({"uid": live["metadata"]["uid"], "spec": live["spec"]}))
    };
    KINDS.into_iter().map(of).collect()
}

/// The UIDs of pods and `ReplicaSet`s, with how often the containers were restarted.
fn running(site: &Site) -> Vec<String> {
    let mut found = Vec::new();
    for plural in ["pods", "replicasets.apps"] {
        let list = cluster().get(&path(plural, Some(&site.namespace), "")).expect("a list");
        let items = list["items"].as_array().expect("items").iter();
        found.extend(items.map(|item| {
            let status = &item["status"]["containerStatuses"][0];
            format!("{plural} {} restarted {}", item["metadata"]["uid"], status["restartCount"])
        }));
    }
    found.sort();
    found
}

#[track_caller]
fn assert_taken_over_as_it_runs(before: Before) {
    let site = kept_by(before);
    let (specs_before, running_before) = (specs(&site), running(&site));

    // The plan shows it all, and nothing is touched.
    let mark = audit::mark();
    let plan = site.cli(&["plan", "--output", "json"]).expect_code(2);
    let plan: Value = serde_json::from_str(&plan.stdout).expect("JSON");
    let plan = &plan[0];
    assert_eq!((&plan["create"], &plan["prune"], &plan["configure"]), (&json!(0), &json!(0), &json!(9)), "{plan}");
    let steps = plan["steps"].as_array().expect("steps");
    for step in steps {
        let fields: Vec<&str> = step["fields"].as_array().expect("fields").iter().filter_map(Value::as_str).collect();
        let strangers = fields.iter().filter(|path| !path.starts_with("metadata."));
        let strangers: Vec<_> = strangers.filter(|path| **path != "data.forgotten").collect();
        assert!(strangers.is_empty(), "{before:?}: {step}");
        assert!(fields.len() >= 2, "the old metadata goes, ours comes: {step}");
    }
    assert!(plan["steps"].to_string().contains("data.forgotten"), "{plan}");
    assert_eq!(audit::mark().zip(mark).map(|(_, mark)| site.writes(mark)).unwrap_or_default(), []);

    site.once().expect_code(0);
    site.cli(&["plan"]).expect_code(0);
    assert_eq!(specs(&site), specs_before, "{before:?}");
    assert_eq!(running(&site), running_before, "{before:?}");
    let settings = site.get("configmaps", "settings").expect("it exists");
    assert_eq!(settings["data"], json!({"color": "blue", "size": "3"}));
    for (plural, name) in KINDS {
        let live = site.get(plural, name).expect("it exists");
        let metadata = live["metadata"].to_string();
        let left: Vec<_> = before.signs().iter().filter(|sign| metadata.contains(**sign)).collect();
        assert!(left.is_empty(), "{before:?}: {left:?} in {metadata}");
    }

    // From now on what leaves git leaves the cluster.
    site.repo.remove("old.yaml");
    site.repo.commit(&[("settings.yaml", &SETTINGS.replace(", size: '3'", ""))]);
    site.once().expect_code(0);
    assert_eq!(site.get("configmaps", "settings").expect("it exists")["data"], json!({"color": "blue"}));
    assert!(!site.has("configmaps", "old"));
    assert_eq!(running(&site), running_before, "{before:?}");
}

#[test]
fn what_flux_keeps_is_taken_over_as_it_runs() {
    assert_taken_over_as_it_runs(Before::Flux);
}

#[test]
fn what_argo_cd_keeps_is_taken_over_as_it_runs() {
    assert_taken_over_as_it_runs(Before::Argo);
}

#[test]
fn what_argo_cd_keeps_by_server_side_apply_is_taken_over_as_it_runs() {
    assert_taken_over_as_it_runs(Before::ArgoServerSide);
}

#[test]
fn what_helm_installed_is_taken_over_as_it_runs() {
    assert_taken_over_as_it_runs(Before::Helm);
}

/// A release of a person who forgot to stop the agent of before.
#[test]
fn an_agent_that_goes_on_keeps_what_it_adds_is_named_in_a_contest_and_can_be_taken_over_once_it_rests() {
    let flux = Before::Flux;
    let site = kept_by(flux);
    let agent = Agent::start(&site);
    agent.eventually_synced("shop", &site.repo.head());
    let data = || site.get("configmaps", "settings").expect("it exists")["data"].clone();
    assert_eq!(data(), json!({"color": "blue", "size": "3"}));

    // It says the same and some more: nobody loses anything, and nothing is written for it.
    let mark = audit::mark();
    let more = SETTINGS.replace("color", "added: 'yes', color");
    flux.applies(&site, &[&more]);
    agent.passes("shop", 1);
    assert_eq!(data(), json!({"added": "yes", "color": "blue", "size": "3"}));
    if let Some(mark) = mark {
        let writes = site.writes(mark);
        let writes: Vec<_> = writes.iter().filter(|write| write.what.ends_with("/settings")).collect();
        assert!(writes.is_empty(), "{writes:?}");
    }

    // It says something else: healed each time, until that is a contest with its name.
    for heals in 1..=3 {
        flux.applies(&site, &[&more.replace("blue", "red")]);
        eventually("it is healed", || {
            let healed = agent.metric("driftless_drift_healed_total", &["kind=\"ConfigMap\""]);
            check(healed == Some(f64::from(heals)), format!("{healed:?}, {}", data()))
        });
    }
    agent.eventually_logs(&["kustomize-controller changed data.color from blue to red"]);
    agent.eventually_logs(&["settings is contested: kustomize-controller and driftless both write data.color"]);
    assert_eq!(data(), json!({"added": "yes", "color": "blue", "size": "3"}));

    // It was stopped. Without our label, the object is adopted once more.
    cluster().kubectl(&["-n", &site.namespace, "label", "configmap", "settings", "applyset.kubernetes.io/part-of-"]);
    eventually("what it added is gone", || check(data() == json!({"color": "blue", "size": "3"}), data()));
    let metadata = site.get("configmaps", "settings").expect("it exists")["metadata"].to_string();
    assert!(!metadata.contains("kustomize"), "{metadata}");
}

#[test]
fn the_way_back_leaves_nothing_of_driftless_on_the_objects_and_restarts_nothing() {
    let flux = Before::Flux;
    let site = kept_by(flux);
    site.once().expect_code(0);
    let (specs_before, running_before) = (specs(&site), running(&site));

    // As the documentation has it: what driftless applied becomes what Flux applied.
    let objects = KINDS.into_iter().chain([("configmaps", "old")]);
    for (plural, name) in objects.clone() {
        let mut live = site.get(plural, name).expect("it exists");
        let metadata = live["metadata"].as_object_mut().expect("metadata");
        let of = |part: &str| metadata[part].as_object().cloned().unwrap_or_default();
        let (mut labels, mut annotations) = (of("labels"), of("annotations"));
        assert!(labels.remove("applyset.kubernetes.io/part-of").is_some(), "{plural} {name}");
        assert!(annotations.remove("driftless.dev/digest").is_some(), "{plural} {name}");
        (metadata["labels"], metadata["annotations"]) = (labels.into(), annotations.into());
        for entry in metadata["managedFields"].as_array_mut().expect("entries") {
            if entry["manager"] == "driftless" {
                entry["manager"] = flux.manager().into();
            }
        }
        let at = path(plural, Some(&site.namespace), name);
        cluster().ask(&Method::PUT, &at, "application/json", Some(&live)).expect("it is replaced");
    }
    flux.applies(&site, &[SETTINGS, SHOP, &config_map("old", "1")]);
    assert_eq!(specs(&site), specs_before);
    assert_eq!(running(&site), running_before);
    for (plural, name) in objects {
        let metadata = site.get(plural, name).expect("it exists")["metadata"].to_string();
        assert!(!metadata.contains("driftless") && !metadata.contains("applyset"), "{metadata}");
        assert!(metadata.contains("\"kustomize-controller\""), "{metadata}");
    }
    // What leaves git now leaves the cluster by Flux.
    flux.applies(&site, &[&SETTINGS.replace(", size: '3'", "")]);
    assert_eq!(site.get("configmaps", "settings").expect("it exists")["data"], json!({"color": "blue"}));
    // A sync that is taken up again adopts them again.
    site.once().expect_code(0);
    assert_eq!(running(&site), running_before);
    let metadata = site.get("deployments.apps", "web").expect("it exists")["metadata"].to_string();
    assert!(!metadata.contains("kustomize"), "{metadata}");
}
