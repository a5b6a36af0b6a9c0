//! An agent whose own Deployment, permissions and configuration come from the repository that it
//! follows: no commit cuts it off from the next one.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::site::{Site, config_map};
use crate::support::wait::eventually;

const FILE: &str = "driftless.yaml";
const MAP: &str = "driftless-config";

/// The agent's own repository and cluster, and its mounted configuration.
struct Home {
    site: Site,
    /// What the kubelet has mounted so far.
    versions: std::cell::Cell<u32>,
}

impl Home {
    /// With a first configuration installed by hand, as `helm install` or `kubectl apply` does it.
    fn new() -> Self {
        let home = Self { site: Site::with(&[]), versions: std::cell::Cell::new(0) };
        home.site.make_namespace(&home.site.home);
        let first = home.config(&["agent", "shop"]);
        home.site.write_config(&first);
        for (name, manifest) in home.own(&first, true) {
            home.site.repo.write(&name, manifest.to_string());
        }
        home.site.repo.commit(&[("shop/a.yaml", &config_map("a", "1"))]);
        cluster().create(&path("configmaps", Some(&home.site.home), ""), &home.config_map(&first, true));
        home.kubelet();
        home
    }

    fn config(&self, syncs: &[&str]) -> String {
        let syncs: Vec<Value> = syncs
            .iter()
            .map(|name| {
                let mut sync = self.site.sync(name);
                sync["path"] = json!(name);
                if *name == "agent" {
                    sync["targetNamespace"] = json!(self.site.home);
                    sync["wait"] = json!(false);
                }
                sync
            })
            .collect();
        serde_json::to_string_pretty(&self.site.configuration(&syncs)).expect("JSON")
    }

    fn config_map(&self, text: &str, marked: bool) -> Value {
        let mut annotations = json!({"client.lifecycle.config.k8s.io/deletion": "detach"});
        if marked {
            annotations["driftless.dev/configuration"] = json!(FILE);
        }
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {FILE: text},
            "metadata": {"name": MAP, "namespace": self.site.home, "annotations": annotations}})
    }

    /// What an agent is made of, in its repository.
    fn own(&self, config: &str, marked: bool) -> Vec<(String, Value)> {
        let detached = json!({"name": "driftless", "namespace": self.site.home,
            "annotations": {"client.lifecycle.config.k8s.io/deletion": "detach"}});
        let labels = json!({"app.kubernetes.io/name": "driftless"});
        let rbac = "rbac.authorization.k8s.io";
        let pod = json!({
            "serviceAccountName": "driftless",
            "containers": [{"name": "driftless", "image": "registry.example.com/driftless:v0.1.0", "args": ["run"],
                "volumeMounts": [{"name": "config", "mountPath": "/etc/driftless"}]}],
            "volumes": [{"name": "config", "configMap": {"name": MAP}}],
        });
        let objects = [
            ("config", self.config_map(config, marked)),
            (
                "deployment",
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": detached, "spec": {
                "replicas": 2, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod}}}),
            ),
            ("account", json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": detached})),
            (
                "role",
                json!({"apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": detached,
                "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]}),
            ),
            (
                "binding",
                json!({"apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": detached,
                "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "driftless"},
                "subjects": [{"kind": "ServiceAccount", "name": "driftless", "namespace": self.site.home}]}),
            ),
        ];
        objects.into_iter().map(|(name, object)| (format!("agent/{name}.json"), object)).collect()
    }

    /// Commits a configuration, and whatever else was written.
    fn commit(&self, config: &str, marked: bool) -> String {
        self.site.repo.commit(&[("agent/config.json", &self.config_map(config, marked).to_string())])
    }

    /// The configuration in the cluster.
    fn live(&self) -> String {
        let map = cluster().get(&path("configmaps", Some(&self.site.home), MAP)).expect("a ConfigMap");
        map["data"][FILE].as_str().expect("a text").to_owned()
    }

    fn mount(&self) -> PathBuf {
        self.site.scratch("mount")
    }

    /// Brings the mounted files up to date, as the kubelet does: a new directory, and a link that
    /// is swapped.
    fn kubelet(&self) {
        let (mount, text) = (self.mount(), self.live());
        let file = mount.join(FILE);
        if std::fs::read_to_string(&file).is_ok_and(|mounted| mounted == text) {
            return;
        }
        let version = self.versions.get() + 1;
        self.versions.set(version);
        let data = mount.join(format!("..{version}"));
        std::fs::create_dir_all(&data).expect("a directory");
        std::fs::write(data.join(FILE), text).expect("a file");
        std::os::unix::fs::symlink(format!("..{version}"), mount.join("..data_tmp")).expect("a link");
        std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("a link");
        if version == 1 {
            std::os::unix::fs::symlink(format!("..data/{FILE}"), file).expect("a link");
        }
    }

    /// Waits, while the kubelet does its work.
    #[track_caller]
    fn eventually<T>(&self, what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
        eventually(what, || {
            self.kubelet();
            ask()
        })
    }

    fn start(&self) -> Agent {
        Agent::spawn(&self.site, self.site.command_for(&self.mount().join(FILE), &["run"]))
    }

    fn own_objects(&self) -> Vec<bool> {
        let objects = [
            ("configmaps", MAP),
            ("deployments.apps", "driftless"),
            ("serviceaccounts", "driftless"),
            ("roles.rbac.authorization.k8s.io", "driftless"),
            ("rolebindings.rbac.authorization.k8s.io", "driftless"),
        ];
        objects.map(|(plural, name)| cluster().get(&path(plural, Some(&self.site.home), name)).is_some()).to_vec()
    }
}

#[test]
fn an_agent_takes_up_its_configuration_from_git_and_a_bad_one_never_reaches_the_cluster() {
    let home = Home::new();
    let agent = home.start();
    agent.eventually_synced("agent", &home.site.repo.head());
    agent.eventually_synced("shop", &home.site.repo.head());
    assert_eq!(home.own_objects(), [true; 5]);

    home.site.repo.write("more/b.yaml", config_map("b", "1"));
    let commit = home.commit(&home.config(&["agent", "shop", "more"]), true);
    home.eventually("the new sync is synced", || {
        let status = agent.sync("more");
        if status["synced"]["id"] == commit.as_str() { Ok(()) } else { Err(status.to_string()) }
    });

    let good = home.live();
    let broken = good.replacen("\"more\"", "\"More\"", 1);
    assert_ne!(broken, good);
    home.site.repo.remove("agent/role.json");
    home.site.repo.write("shop/a.yaml", config_map("a", "2"));
    let commit = home.commit(&broken, true);
    let status = agent.eventually_is("agent", "Failing");
    let message = status["message"].as_str().expect("a message");
    for part in ["agent/config.json:1", "holds a configuration that an agent would refuse", "driftless.yaml:", "`More`"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    agent.eventually_synced("shop", &commit);
    assert_eq!(home.site.value_of("a").as_deref(), Some("2"), "everything else goes on");
    agent.passes("agent", 1);
    home.kubelet();
    assert_eq!(home.live(), good, "the configuration in the cluster is the last good one");
    assert_eq!(agent.metric("driftless_config_valid", &[]), Some(1.0));
    assert_eq!(home.own_objects(), [true; 5], "nothing is pruned meanwhile");
    assert!(home.site.cli(&["plan", "--sync", "agent"]).expect_code(1).all().contains("agent would refuse"));

    // A pod that is started anew meanwhile finds nothing wrong.
    agent.stop();
    let agent = home.start();
    agent.eventually_is("agent", "Failing");
    let commit = home.commit(&home.config(&["agent", "more"]), true);
    home.eventually("the next good commit is taken up", || {
        let (own, gone) = (agent.sync("agent"), agent.sync("shop"));
        let there = own["synced"]["id"] == commit.as_str() && gone.is_null();
        if there { Ok(()) } else { Err(format!("{own} {gone}")) }
    });
}

#[test]
fn a_configuration_without_the_sync_that_applies_it_is_refused() {
    let home = Home::new();
    let agent = home.start();
    agent.eventually_synced("agent", &home.site.repo.head());
    let good = home.live();
    for cut_off in [home.config(&["shop"]), home.config(&[])] {
        home.commit(&cut_off, true);
        let status = agent.eventually_is("agent", "Failing");
        let message = status["message"].as_str().expect("a message");
        assert!(message.contains("without the sync agent that applies it"), "{message}");
        agent.passes("agent", 1);
        home.kubelet();
        assert_eq!(home.live(), good);
        let commit = home.commit(&good, true);
        agent.eventually_synced("agent", &commit);
    }
    // Whoever means it says so.
    home.commit(&home.config(&["shop"]), false);
    home.eventually("the agent does without", || {
        let own = agent.sync("agent");
        if own.is_null() { Ok(()) } else { Err(own.to_string()) }
    });
    assert_eq!(home.own_objects(), [true; 5], "a sync that is taken out deletes nothing");
}

#[test]
fn a_bad_configuration_that_reaches_the_agent_nevertheless_leaves_the_old_one_and_is_mended_by_git() {
    let home = Home::new();
    let agent = home.start();
    agent.eventually_synced("agent", &home.site.repo.head());
    let commit = home.commit("syncs: [", false);
    agent.eventually_synced("agent", &commit);
    home.eventually("the running agent refuses it", || match agent.metric("driftless_config_valid", &[]) {
        Some(0.0) => Ok(()),
        value => Err(format!("{value:?}")),
    });
    agent.eventually_logs(&["ERROR", "configuration refused", "driftless.yaml:"]);
    let shown = agent.status()["config"].clone();
    assert!(shown["error"].as_str().is_some_and(|error| error.contains("driftless.yaml:")), "{shown}");

    home.site.repo.write("shop/a.yaml", config_map("a", "2"));
    let commit = home.commit(&home.config(&["agent", "shop"]), false);
    agent.eventually_synced("shop", &commit);
    home.eventually("the good one is taken up", || match agent.metric("driftless_config_valid", &[]) {
        Some(1.0) => Ok(()),
        value => Err(format!("{value:?}")),
    });
}

#[test]
fn a_hand_that_breaks_the_configuration_in_the_cluster_is_put_right() {
    let home = Home::new();
    let agent = home.start();
    agent.eventually_synced("agent", &home.site.repo.head());
    let good = home.live();
    let map = path("configmaps", Some(&home.site.home), MAP);
    cluster().merge(&map, "kubectl-edit", &json!({"data": {FILE: "syncs: ["}}));
    home.eventually("the configuration is back", || if home.live() == good { Ok(()) } else { Err(home.live()) });
    home.eventually("and the agent has it", || match agent.metric("driftless_config_valid", &[]) {
        Some(1.0) => Ok(()),
        value => Err(format!("{value:?}")),
    });
}

#[test]
fn a_commit_without_the_agents_own_objects_leaves_them_where_they_are() {
    let home = Home::new();
    home.site.repo.write("agent/kept.yaml", config_map("kept", "1"));
    home.site.repo.commit(&[("agent/extra.yaml", &config_map("extra", "1"))]);
    let agent = home.start();
    agent.eventually_synced("agent", &home.site.repo.head());
    for name in ["config", "deployment", "account", "role", "binding"] {
        home.site.repo.remove(&format!("agent/{name}.json"));
    }
    home.site.repo.remove("agent/extra.yaml");
    let commit = home.site.repo.commit_all("The agent's own objects leave git");
    agent.eventually_synced("agent", &commit);
    let extra = path("configmaps", Some(&home.site.home), "extra");
    assert!(cluster().get(&extra).is_none(), "what is not detached is pruned");
    assert_eq!(home.own_objects(), [true; 5]);
    assert!(agent.logged(&["Deployment", "driftless", "detached"]).is_some());
}
