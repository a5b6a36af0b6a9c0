//! The agent as it is deployed: by the real helm or from the plain manifests, and then run beside
//! the cluster as its pod would run it, since the pods of the devcluster are simulated.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::cluster::path;
use super::process::{Finished, run};
use super::site::Site;
use super::wait::eventually;

/// `helm install --wait` of two replicas, on a busy machine.
const HELM: Duration = Duration::from_secs(90);
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/helm/driftless");

/// The program; built by whoever asks first, where it is not in the cache.
pub fn helm_program() -> &'static Path {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    HELM.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/helm/build");
        let built = run(&mut Command::new(script), None, Duration::from_mins(20));
        let program = PathBuf::from(built.stdout.trim());
        assert!(built.code == Some(0) && program.is_absolute(), "no helm, which `make helm` builds: {}", built.all());
        program
    })
}

/// Runs helm on charts alone, with nothing of the person's own configuration.
#[must_use = "it may have failed; `expect_code` shows that"]
pub fn helm(arguments: &[&str]) -> Finished {
    run(helm_command().args(arguments), None, HELM)
}

fn helm_command() -> Command {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).join("helm");
    let mut command = Command::new(helm_program());
    command.env_clear().env("HOME", &own).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for variable in ["HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME"] {
        command.env(variable, &own);
    }
    command
}

/// The manifests in `deploy/kubernetes` for a shape.
pub fn plain(shape: &str) -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes").join(format!("{shape}.yaml"));
    documents(&fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

/// The objects that a chart or a file of manifests is made of.
pub fn documents(text: &str) -> Vec<Value> {
    let documents = text.split("\n---\n").map(|document| document.trim_start_matches("---\n"));
    let values = documents.map(|document| serde_saphyr::from_str(document).expect("YAML"));
    values.filter(|value: &Value| value.is_object()).collect()
}

/// The one of a kind and name; the name may be empty for the first of the kind.
#[track_caller]
pub fn document<'a>(all: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let fits = |one: &&Value| one["kind"] == kind && (name.is_empty() || one["metadata"]["name"] == name);
    all.iter().find(fits).unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// `helm template` with these values.
#[must_use = "it may have failed; `expect_code` shows that"]
pub fn rendered(values: &Value) -> Finished {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("values.json");
    fs::write(&file, values.to_string()).expect("a file");
    helm(&["template", "driftless", CHART, "--namespace", "driftless", "--values", &file.display().to_string()])
}

/// A release, or the plain manifests, in the namespace of a site's agent.
pub struct Deployed<'a> {
    site: &'a Site,
    /// Of the Deployment and all else; also of the release.
    pub name: String,
}

impl<'a> Deployed<'a> {
    /// The namespace `site.home`, which takes nothing but restricted pods.
    fn prepare(site: &'a Site) -> Self {
        if !site.has_namespace(&site.home) {
            site.make_namespace(&site.home);
        }
        let restricted = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        site.cluster().merge(&path("namespaces", None, &site.home), "it", &restricted);
        Self { site, name: format!("driftless-{}", site.id) }
    }

    /// What somebody else has installed in the namespace of the site's agent.
    pub fn found(site: &'a Site, name: &str) -> Self {
        Self { site, name: name.into() }
    }

    /// `helm install` with these values, until all is ready. The image is given, unless they name one.
    #[track_caller]
    pub fn install(site: &'a Site, values: &Value) -> Self {
        let deployed = Self::prepare(site);
        deployed.helm("install", values).expect_code(0);
        deployed
    }

    #[track_caller]
    pub fn upgrade(&self, values: &Value) {
        self.helm("upgrade", values).expect_code(0);
    }

    #[must_use = "it may have failed; `expect_code` shows that"]
    pub fn helm(&self, verb: &str, values: &Value) -> Finished {
        for plural in ["clusterroles", "clusterrolebindings"] {
            self.site.cluster_scoped(&format!("{plural}.rbac.authorization.k8s.io"), &self.name);
        }
        let mut values = values.clone();
        if values.get("image").is_none() {
            values["image"] = json!({"repository": "registry.example.com/driftless"});
        }
        let file = self.site.scratch("values.json");
        fs::write(&file, values.to_string()).expect("a file");
        let file = file.display().to_string();
        self.run_helm(&[verb, &self.name, CHART, "--values", &file, "--wait", "--timeout", "60s"])
    }

    /// As administrator, in the agent's namespace.
    #[must_use = "it may have failed; `expect_code` shows that"]
    fn run_helm(&self, arguments: &[&str]) -> Finished {
        let mut command = helm_command();
        command.env("KUBECONFIG", &self.site.cluster().kubeconfig).args(["--namespace", &self.site.home]);
        run(command.args(arguments), None, HELM)
    }

    #[track_caller]
    pub fn uninstall(self) {
        self.run_helm(&["uninstall", &self.name, "--wait"]).expect_code(0);
    }

    /// `kubectl apply` of a file in `deploy/kubernetes`, with namespace, names of cluster-wide objects
    /// and the rest adjusted as its reader would.
    #[track_caller]
    pub fn apply(site: &'a Site, shape: &str, adjust: impl Fn(&mut Value)) -> Self {
        site.cluster_scoped("namespaces", &site.home);
        let cluster_role = format!("driftless-{}", site.id);
        let mut objects = plain(shape);
        for object in &mut objects {
            let kind = object["kind"].as_str().expect("a kind").to_owned();
            match &*kind {
                "Namespace" => object["metadata"]["name"] = json!(site.home),
                "ClusterRole" => object["metadata"]["name"] = json!(cluster_role),
                "ClusterRoleBinding" => {
                    object["metadata"]["name"] = json!(cluster_role);
                    object["roleRef"]["name"] = json!(cluster_role);
                }
                _ if object["metadata"]["namespace"] == "driftless" => {
                    object["metadata"]["namespace"] = json!(site.home);
                }
                _ => object["metadata"]["namespace"] = json!(site.namespace),
            }
            for subject in object.get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
                subject["namespace"] = json!(site.home);
            }
            adjust(object);
        }
        for plural in ["clusterroles", "clusterrolebindings"] {
            site.cluster_scoped(&format!("{plural}.rbac.authorization.k8s.io"), &cluster_role);
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        site.cluster().kubectl_with(&["apply", "--server-side", "-f", "-"], Some(&list), &[]).expect_code(0);
        Self { site, name: "driftless".into() }
    }

    pub fn deployment(&self) -> Value {
        self.site.cluster().get(&path("deployments.apps", Some(&self.site.home), &self.name)).expect("a Deployment")
    }

    /// The pods, once all that are wanted are ready and no other is left.
    #[track_caller]
    pub fn ready_pods(&self) -> Vec<Value> {
        eventually("all replicas are ready", || {
            let deployment = self.deployment();
            let pods = self.site.cluster().get(&path("pods", Some(&self.site.home), "")).expect("a list");
            let pods = pods["items"].as_array().expect("pods").clone();
            let ready = |pod: &Value| {
                let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
                conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
            };
            let wanted = deployment["spec"]["replicas"].as_u64().and_then(|count| usize::try_from(count).ok());
            if wanted == Some(pods.len()) && pods.iter().all(ready) {
                Ok(pods)
            } else {
                Err(deployment["status"].clone())
            }
        })
    }

    /// As the audit log has it.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.site.home, self.name)
    }

    /// What the kubelet would put into a pod: a token of its `ServiceAccount`, bound to it.
    #[track_caller]
    pub fn token(&self) -> String {
        let pod = &self.ready_pods()[0];
        let account = pod["spec"]["serviceAccountName"].as_str().expect("a ServiceAccount");
        let (name, uid) = (&pod["metadata"]["name"], &pod["metadata"]["uid"]);
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
            "expirationSeconds": 3607,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}}});
        let path = format!("{}/token", path("serviceaccounts", Some(&self.site.home), account));
        let answer =
            self.site.cluster().ask(&Method::POST, &path, "application/json", Some(&request)).expect("a token");
        answer["status"]["token"].as_str().expect("a token").to_owned()
    }

    /// The container of the Deployment.
    fn container(&self) -> Value {
        self.deployment()["spec"]["template"]["spec"]["containers"][0].clone()
    }

    /// The configuration as the container would find it, of the `ConfigMap` that the pods mount. Address
    /// and `dataDir` alone are others, so that several agents fit on one machine.
    #[track_caller]
    pub fn configuration(&self, data: &Path) -> String {
        let volumes = self.deployment()["spec"]["template"]["spec"]["volumes"].clone();
        let name = volumes.as_array().expect("volumes").iter().find_map(|volume| volume["configMap"]["name"].as_str());
        let map =
            self.site.cluster().get(&path("configmaps", Some(&self.site.home), name.expect("a ConfigMap is mounted")));
        let text = map.expect("the configuration")["data"]["driftless.yaml"].clone();
        let mut config: Value = serde_saphyr::from_str(text.as_str().expect("a text")).expect("YAML");
        config["listen"] = json!("127.0.0.1:0");
        config["dataDir"] = json!(data);
        config.to_string()
    }

    /// Does what the kubelet does with the mounted `ConfigMap` when that has changed: a new directory,
    /// and a link swapped.
    #[track_caller]
    pub fn mount(&self, replica: &str) -> PathBuf {
        let mounted = self.site.scratch(&format!("{replica}/etc"));
        fs::create_dir_all(&mounted).expect("a directory");
        let version: String = std::iter::repeat_with(|| fastrand::char('a'..='z')).take(8).collect();
        fs::create_dir(mounted.join(format!("..{version}"))).expect("a directory");
        let content = self.configuration(&self.site.scratch(&format!("{replica}/data")));
        fs::write(mounted.join(format!("..{version}/driftless.yaml")), content).expect("a file");
        symlink(format!("..{version}"), mounted.join("..data_tmp")).expect("a link");
        fs::rename(mounted.join("..data_tmp"), mounted.join("..data")).expect("a link");
        if !mounted.join("driftless.yaml").exists() {
            symlink("..data/driftless.yaml", mounted.join("driftless.yaml")).expect("a link");
        }
        mounted
    }

    /// The container's command: its arguments and variables, the token of the pod, the configuration
    /// mounted, and nowhere else to write to than the volume for data.
    #[track_caller]
    pub fn command(&self, replica: &str) -> Command {
        self.site.use_token(&self.token());
        let mounted = self.mount(replica);
        fs::create_dir_all(self.site.scratch(&format!("{replica}/data"))).expect("a directory");
        let container = self.container();
        let texts = |key: &str| container[key].as_array().into_iter().flatten();
        let mut command = Command::new(env!("CARGO_BIN_EXE_driftless"));
        command.env_clear().current_dir("/").env("HOME", "/nonexistent").env("TMPDIR", "/nonexistent");
        for variable in texts("env") {
            let (name, value) = (variable["name"].as_str().expect("a name"), variable["value"].as_str());
            let value = value.unwrap_or_default().replace("/etc/driftless", &mounted.display().to_string());
            command.env(name, value);
        }
        command.args(texts("args").map(|argument| argument.as_str().expect("an argument")));
        command.arg("--kubeconfig").arg(self.site.kubeconfig());
        command
    }
}
