//! One object of each kind that Kubernetes serves by default: applied once, it is as in git, and nobody writes it again.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::deploy::permissions::kinds;
use crate::support::audit;
use crate::support::cluster::cluster;
use crate::support::site::{Site, config_map};

/// Beside those that the chart's `ClusterRole` names. ID is to be replaced.
const OTHERS: &str = "
apiVersion: v1
kind: Endpoints
metadata: {name: by-hand}
subsets: [{addresses: [{ip: 10.1.2.3}], ports: [{port: 80}]}]
---
apiVersion: v1
kind: PodTemplate
metadata: {name: one}
template:
  metadata: {labels: {app: template}}
  spec: {containers: [{name: main, image: pause}]}
---
apiVersion: v1
kind: ReplicationController
metadata: {name: one}
spec:
  replicas: 0
  selector: {app: rc}
  template:
    metadata: {labels: {app: rc}}
    spec: {containers: [{name: main, image: pause}]}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: one}
spec:
  replicas: 0
  selector: {matchLabels: {app: rs}}
  template:
    metadata: {labels: {app: rs}}
    spec: {containers: [{name: main, image: pause, ports: [{containerPort: 80}]}]}
---
apiVersion: apps/v1
kind: ControllerRevision
metadata: {name: one}
revision: 1
data: {spec: {a: 1}}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: one}
spec: {holderIdentity: nobody, leaseDurationSeconds: 15}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: one}
spec: {devices: {requests: [{name: one, exactly: {deviceClassName: one.example.com}}]}}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: one}
spec: {spec: {devices: {requests: [{name: one, exactly: {deviceClassName: one.example.com}}]}}}
---
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: one-ID.example.com}
spec: {selectors: [{cel: {expression: 'device.driver == \"one.example.com\"'}}]}
---
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {name: one-ID.example.com}
spec: {attachRequired: false}
---
apiVersion: storage.k8s.io/v1
kind: CSINode
metadata: {name: one-ID}
spec: {drivers: []}
---
apiVersion: storage.k8s.io/v1
kind: VolumeAttributesClass
metadata: {name: one-ID}
driverName: one.example.com
parameters: {iops: '1000'}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: one-ID}
spec: {type: Limited, limited: {nominalConcurrencyShares: 1, limitResponse: {type: Reject}}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: one-ID}
spec:
  priorityLevelConfiguration: {name: one-ID}
  matchingPrecedence: 9000
  rules:
    - subjects: [{kind: User, user: {name: nobody-ID}}]
      resourceRules: [{verbs: [get], apiGroups: [''], resources: [pods], namespaces: ['*']}]
---
apiVersion: storage.k8s.io/v1
kind: CSIStorageCapacity
metadata: {name: one}
storageClassName: one-ID
capacity: 1Gi
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: one-ID}
spec:
  reinvocationPolicy: Never
  failurePolicy: Ignore
  matchConstraints:
    resourceRules: [{apiGroups: [nobody.example.com], apiVersions: [v1], operations: [CREATE], resources: [nothings]}]
  mutations:
    - patchType: ApplyConfiguration
      applyConfiguration: {expression: 'Object{}'}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: one-ID}
spec: {policyName: one-ID}
";

/// Kinds that nobody declares, since they are made by the cluster itself, or are requests more than objects.
const MADE_BY_OTHERS: [&str; 9] = [
    "APIService",
    "CertificateSigningRequest",
    "ClusterTrustBundle",
    "Event",
    "IPAddress",
    "Node",
    "ResourceSlice",
    "ServiceCIDR",
    "VolumeAttachment",
];

/// Kinds of the groups of Kubernetes itself that can be created and patched.
fn served() -> BTreeSet<String> {
    let groups = cluster().get("/apis").expect("groups");
    let versions = groups["groups"].as_array().expect("groups").iter().filter_map(|group| {
        let name = group["name"].as_str()?;
        let own = name.ends_with(".k8s.io") || ["apps", "batch", "autoscaling", "policy"].contains(&name);
        let version = group["preferredVersion"]["groupVersion"].as_str().filter(|_| own)?;
        Some(format!("/apis/{version}"))
    });
    let mut served = BTreeSet::new();
    for path in versions.chain(["/api/v1".to_owned()]) {
        let list = cluster().get(&path).expect("a list of resources");
        for resource in list["resources"].as_array().expect("resources") {
            let can =
                |verb: &str| resource["verbs"].as_array().is_some_and(|verbs| verbs.iter().any(|one| one == verb));
            let whole = !resource["name"].as_str().unwrap_or_default().contains('/');
            if whole && can("create") && can("patch") {
                served.insert(resource["kind"].as_str().expect("a kind").to_owned());
            }
        }
    }
    served
}

#[test]
fn each_kind_that_kubernetes_serves_is_as_in_git_after_its_first_apply() {
    let site = Site::with(&[]);
    let [namespaced, cluster_wide, _] = kinds(&site.id);
    let all = [namespaced, cluster_wide, OTHERS.replace("-ID", &format!("-{}", site.id))].join("\n---\n");
    let declared: BTreeSet<String> =
        all.lines().filter_map(|line| line.strip_prefix("kind: ")).map(ToOwned::to_owned).collect();
    let missing: Vec<_> =
        served().into_iter().filter(|kind| !declared.contains(kind) && !MADE_BY_OTHERS.contains(&&**kind)).collect();
    assert_eq!(missing, [""; 0], "no object of them is tried");

    site.repo.commit(&[("all.yaml", &all)]);
    let mut sync = site.sync("shop");
    sync["wait"] = json!(false);
    sync["prune"] = json!({"include": ["Namespace", "PersistentVolumeClaim", "CustomResourceDefinition"]});
    site.configure(&[sync]);
    site.once().expect_code(0);
    let plan = site.cli(&["plan"]).expect_code(0);
    assert!(plan.stdout.contains("nothing is to change"), "{}", plan.stdout);
    let status: Value = serde_json::from_str(&site.cli(&["status", "-o", "json"]).stdout).expect("JSON");
    assert_eq!(status[0]["rewritten"], Value::Null, "what the server only writes otherwise is no other value");
    if let Some(mark) = audit::mark() {
        site.once().expect_code(0);
        let written: Vec<_> =
            site.writes(mark).into_iter().map(|asked| asked.what).filter(|what| what.contains("one")).collect();
        assert_eq!(written, [""; 0]);
    }
    site.repo.remove("all.yaml");
    site.repo.commit(&[("kept.yaml", &config_map("kept", "1"))]);
    site.cli(&["run", "--once", "--allow-prune"]).expect_code(0);
}
