//! The surroundings of one test: a git repository, namespaces and a user of its own on the
//! shared cluster, and the agent's configuration.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::audit::{Asked, Mark, requests_since};
use super::cluster::{Cluster, cluster, path};
use super::git::TestRepo;
use super::helpers::{decrypter, renderer};
use super::process::{Finished, run};
use super::rights::{Account, chart_agent};
use super::wait::{check, eventually};

/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(90);

pub struct Site {
    cluster: &'static Cluster,
    /// In every name that must be unique in the cluster.
    pub id: String,
    /// Where the agent keeps its own objects.
    pub home: String,
    /// Where the objects of its syncs go that name no namespace.
    pub namespace: String,
    pub repo: TestRepo,
    directory: TempDir,
    cluster_scoped: Mutex<Vec<String>>,
    /// Whom the agent is, where it is not somebody who may do everything.
    account: Option<Account>,
}

impl Site {
    /// On the shared cluster, with one commit that holds these files, and no configuration yet.
    pub fn with(files: &[(&str, &str)]) -> Self {
        Self::on(cluster(), files)
    }

    /// The same on another cluster.
    pub fn on(cluster: &'static Cluster, files: &[(&str, &str)]) -> Self {
        let id: String = std::iter::repeat_with(|| fastrand::char('a'..='z')).take(8).collect();
        let mut site = Self {
            cluster,
            home: format!("dl-{id}"),
            namespace: format!("app-{id}"),
            repo: TestRepo::with(files),
            directory: tempfile::tempdir().expect("a temporary directory"),
            cluster_scoped: Mutex::default(),
            account: None,
            id,
        };
        site.make_namespace(&site.namespace);
        site.write_kubeconfig();
        // `make test-chart`: the agent is what the chart makes of it.
        if std::env::var_os("DRIFTLESS_TEST_AS").is_some_and(|whom| whom == "chart") {
            site.account = Some(chart_agent(&site));
        }
        site
    }

    /// With one sync named `shop` of the whole repository, polled every second.
    pub fn of_shop(files: &[(&str, &str)]) -> Self {
        let site = Self::with(files);
        site.configure(&[site.sync("shop")]);
        site
    }

    pub fn make_namespace(&self, name: &str) {
        self.cluster_scoped("namespaces", name);
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.cluster.create("/api/v1/namespaces", &object);
    }

    pub fn has_namespace(&self, name: &str) -> bool {
        self.cluster.get(&path("namespaces", None, name)).is_some()
    }

    /// Each test is a user of its own, so that the audit log distinguishes them. `reader` may do
    /// nothing until a test allows it something.
    fn write_kubeconfig(&self) {
        let text = std::fs::read_to_string(&self.cluster.kubeconfig).expect("a kubeconfig");
        let mut config: Value = serde_saphyr::from_str(&text).expect("a kubeconfig");
        if !self.cluster.is_foreign() {
            let token = json!("admin-token");
            config["users"] = json!([
                {"name": "admin", "user": {"token": token, "as": self.user(), "as-groups": ["system:masters"]}},
                {"name": "reader", "user": {"token": token, "as": self.reader()}},
            ]);
        }
        std::fs::write(self.kubeconfig(), config.to_string()).expect("a file");
    }

    /// Has the agent be whoever this token belongs to.
    pub fn use_token(&self, token: &str) {
        self.write_token(&self.kubeconfig(), token);
    }

    /// A kubeconfig of whoever this token belongs to.
    pub fn write_token(&self, file: &Path, token: &str) {
        let text = std::fs::read_to_string(&self.cluster.kubeconfig).expect("a kubeconfig");
        let mut config: Value = serde_saphyr::from_str(&text).expect("a kubeconfig");
        for user in config["users"].as_array_mut().expect("users") {
            user["user"] = json!({"token": token});
        }
        std::fs::write(file, config.to_string()).expect("a file");
    }

    pub fn user(&self) -> String {
        self.account.as_ref().map_or_else(|| format!("it-{}", self.id), Account::user)
    }

    pub fn cluster(&self) -> &'static Cluster {
        self.cluster
    }

    pub fn reader(&self) -> String {
        if self.cluster.is_foreign() { "reader".into() } else { format!("reader-{}", self.id) }
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    pub fn config_file(&self) -> PathBuf {
        self.directory.path().join("config/driftless.yaml")
    }

    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A file or directory beside the configuration.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A sync as the configuration has it, for a test to change.
    pub fn sync(&self, name: &str) -> Value {
        json!({
            "name": name,
            "source": {"url": self.repo.url(), "branch": "main"},
            "interval": "1s",
            "targetNamespace": self.namespace,
            "timeout": "30s",
        })
    }

    /// Writes the configuration (JSON is YAML), the way an editor does: a new file in its place.
    pub fn configure(&self, syncs: &[Value]) {
        self.configure_with(syncs, |_| {});
    }

    /// The same with other settings of the agent.
    pub fn configure_with(&self, syncs: &[Value], adjust: impl FnOnce(&mut Value)) {
        let mut config = self.configuration(syncs);
        adjust(&mut config);
        self.write_config(&serde_json::to_string_pretty(&config).expect("JSON"));
    }

    /// The configuration for these syncs, for a test to change.
    pub fn configuration(&self, syncs: &[Value]) -> Value {
        json!({
            "listen": "127.0.0.1:0",
            "namespace": self.home,
            "dataDir": self.data_dir(),
            "leaderElection": {"enabled": false},
            "syncs": syncs,
        })
    }

    pub fn write_config(&self, text: &str) {
        let file = self.config_file();
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        let new = self.scratch("driftless.yaml.new");
        std::fs::write(&new, text).expect("a file");
        std::fs::rename(new, file).expect("a file");
    }

    /// The program with what every command needs, and nothing of the person's own configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_for(&self.config_file(), arguments)
    }

    /// The same with another configuration file.
    pub fn command_for(&self, config: &Path, arguments: &[&str]) -> Command {
        self.command_as(&self.kubeconfig(), config, arguments)
    }

    /// The same as another user, or by another way to the API server.
    pub fn command_as(&self, kubeconfig: &Path, config: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_driftless"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("DRIFTLESS_RENDERER", renderer())
            .env("DRIFTLESS_DECRYPT", decrypter())
            .current_dir(self.directory.path())
            .args(arguments)
            .arg("--config")
            .arg(config)
            .arg("--kubeconfig")
            .arg(kubeconfig);
        command
    }

    /// Runs a command of driftless to its end.
    #[must_use = "it may have failed; `expect_code` shows that"]
    pub fn cli(&self, arguments: &[&str]) -> Finished {
        run(&mut self.command(arguments), None, COMMAND)
    }

    /// `run --once`.
    #[must_use = "it may have failed; `expect_code` shows that"]
    pub fn once(&self) -> Finished {
        self.cli(&["run", "--once"])
    }

    /// An object in the namespace of this test.
    #[track_caller]
    pub fn get(&self, plural: &str, name: &str) -> Option<Value> {
        self.cluster.get(&path(plural, Some(&self.namespace), name))
    }

    #[track_caller]
    pub fn has(&self, plural: &str, name: &str) -> bool {
        self.get(plural, name).is_some()
    }

    /// Waits until a `ConfigMap` has this value again.
    #[track_caller]
    pub fn eventually_has(&self, name: &str, value: &str) {
        eventually("the value is back", || {
            let found = self.value_of(name);
            check(found.as_deref() == Some(value), format!("{found:?}"))
        });
    }

    /// The value `value` of a `ConfigMap` made by [`config_map`].
    #[track_caller]
    pub fn value_of(&self, name: &str) -> Option<String> {
        self.get("configmaps", name)?["data"]["value"].as_str().map(ToOwned::to_owned)
    }

    /// Changes an object as somebody else.
    #[track_caller]
    pub fn edit(&self, plural: &str, name: &str, manager: &str, patch: &Value) -> Value {
        self.cluster.merge(&path(plural, Some(&self.namespace), name), manager, patch)
    }

    #[track_caller]
    pub fn delete(&self, plural: &str, name: &str) {
        self.cluster.delete(&path(plural, Some(&self.namespace), name));
    }

    /// The names of the `ConfigMap`s in the namespace of this test, without those of Kubernetes itself.
    pub fn config_maps(&self) -> Vec<String> {
        let list = self.cluster.get(&path("configmaps", Some(&self.namespace), "")).expect("a list");
        let names = list["items"].as_array().expect("items").iter();
        let names = names.map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned());
        names.filter(|name| name != "kube-root-ca.crt").collect()
    }

    #[track_caller]
    pub fn parent(&self, sync: &str) -> Option<Value> {
        self.cluster.get(&path("configmaps", Some(&self.home), &format!("driftless-{sync}")))
    }

    /// The inventory of a sync as people read it.
    #[track_caller]
    pub fn inventory(&self, sync: &str) -> String {
        let parent = self.parent(sync).expect("a parent");
        parent["data"]["inventory"].as_str().expect("an inventory").to_owned()
    }

    /// Every request that the agent of this test has sent since.
    pub fn requests(&self, since: Mark) -> Vec<Asked> {
        requests_since(since, &self.user())
    }

    /// Those which may have changed something.
    pub fn writes(&self, since: Mark) -> Vec<Asked> {
        self.requests(since).into_iter().filter(Asked::writes).collect()
    }

    /// The path of an object outside of all namespaces; in a cluster of somebody else it is
    /// deleted at the end.
    pub fn cluster_scoped(&self, plural: &str, name: &str) -> String {
        let path = path(plural, None, name);
        self.cluster_scoped.lock().expect("a list").push(path.clone());
        path
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.cluster.is_foreign() {
            for path in self.cluster_scoped.lock().expect("a list").iter() {
                self.cluster.delete(path);
            }
            self.cluster.delete(&path("namespaces", None, &self.home));
        }
    }
}

/// A `ConfigMap` with one value.
pub fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  value: {value:?}\n")
}

/// A Deployment of one replica whose pod does nothing.
pub fn deployment(name: &str, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: 1\n  selector:\n    \
         matchLabels: {{app: {name}}}\n  template:\n    metadata:\n      labels: {{app: {name}}}\n    spec:\n      \
         containers:\n        - name: main\n          image: {image}\n"
    )
}

/// A `CustomResourceDefinition` of `Thing`s in a group, with a free-form spec.
pub fn crd(group: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: things.{group}\nspec:\n  \
         group: {group}\n  scope: Namespaced\n  names: {{kind: Thing, plural: things, singular: thing}}\n  versions:\n    \
         - name: v1\n      served: true\n      storage: true\n      schema:\n        openAPIV3Schema:\n          type: \
         object\n          properties:\n            spec: {{type: object, x-kubernetes-preserve-unknown-fields: true}}\n"
    )
}

pub fn thing(group: &str, name: &str) -> String {
    format!("apiVersion: {group}/v1\nkind: Thing\nmetadata:\n  name: {name}\nspec: {{size: 1}}\n")
}
