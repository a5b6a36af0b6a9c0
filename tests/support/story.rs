//! The story that is run again and again: from nothing to a first commit, to a second one that
//! changes, adds and removes, back again, and to a third one that removes everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use driftless::inventory::applyset_id;
use serde_json::{Value, json};

mod run;

pub use run::{End, Kept, settles};

use super::cluster::{cluster, path};
use super::fault::Proxy;
use super::site::{Site, config_map, crd, deployment, thing};
use super::wait::{check, eventually};

pub const SYNC: &str = "shop";

/// A site behind a proxy, with things in it that are not the agent's.
pub struct Story {
    pub site: Arc<Site>,
    pub proxy: Proxy,
    /// What is not the agent's, by path, with its resource version.
    foreign: BTreeMap<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    First,
    Second,
}

impl Story {
    /// With the first commit.
    pub fn new() -> Self {
        let site = Arc::new(Site::of_shop(&[("README.md", "a shop\n")]));
        let proxy = Proxy::before(&site);
        let mut story = Self { site, proxy, foreign: BTreeMap::new() };
        story.go_to(State::First);
        let set = story.set();
        // As an operator makes one that copies labels and annotations of its owner, and one without any.
        let labels = json!({"applyset.kubernetes.io/part-of": set});
        let copied = json!({"labels": labels, "annotations": {"driftless.dev/digest": "1"}, "name": "copied"});
        for metadata in [copied, json!({"name": "foreign"})] {
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
            let made = cluster().create(&path("configmaps", Some(&story.site.namespace), ""), &object);
            let at = path("configmaps", Some(&story.site.namespace), metadata["name"].as_str().expect("a name"));
            story.foreign.insert(at, made["metadata"]["resourceVersion"].clone());
        }
        story
    }

    fn set(&self) -> String {
        applyset_id(&format!("driftless-{SYNC}"), &self.site.home, "ConfigMap", "")
    }

    pub fn extra(&self) -> String {
        format!("extra-{}", self.site.id)
    }

    pub fn group(&self) -> String {
        format!("{}.example.com", self.site.id)
    }

    /// Commits a state; gives the commit.
    pub fn go_to(&self, state: State) -> String {
        let (site, repo) = (&self.site, &self.site.repo);
        let (extra, group) = (self.extra(), self.group());
        let first = state == State::First;
        repo.write("namespace.yaml", format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {extra}\n"));
        let inside =
            config_map("inside", "1").replace("  name: inside\n", &format!("  name: inside\n  namespace: {extra}\n"));
        repo.write("inside.yaml", inside);
        repo.write("kept.yaml", config_map("kept", "1"));
        repo.write("changed.yaml", config_map("changed", if first { "1" } else { "2" }));
        let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: secret\nstringData:\n  password: hunter2\n";
        repo.write("secret.yaml", secret);
        repo.write("web.yaml", deployment("web", "web:1").replace("replicas: 1", "replicas: 0"));
        repo.write("crd.yaml", crd(&group));
        let differing = [
            (true, "gone.yaml", config_map("gone", "1")),
            (true, "thing.yaml", thing(&group, "thing")),
            (false, "added.yaml", config_map("added", "1")),
        ];
        for (in_first, file, content) in differing {
            if in_first == first { repo.write(file, content) } else { repo.remove(file) }
        }
        site.cluster_scoped("namespaces", &extra);
        site.cluster_scoped("customresourcedefinitions.apiextensions.k8s.io", &format!("things.{group}"));
        repo.commit_all(&format!("{state:?}"))
    }

    /// Commits that there is nothing any more.
    pub fn empty(&self) -> String {
        self.site.repo.remove("*.yaml");
        self.site.repo.commit_all("nothing")
    }

    /// What is in git, as paths.
    fn declared(&self, state: State) -> BTreeSet<String> {
        let (namespace, extra, group) = (&*self.site.namespace, &*self.extra(), self.group());
        let mut names = vec!["kept", "changed"];
        names.extend(if state == State::First { ["gone"].as_slice() } else { &["added"] });
        let mut paths: BTreeSet<String> =
            names.into_iter().map(|name| path("configmaps", Some(namespace), name)).collect();
        paths.insert(path("configmaps", Some(extra), "inside"));
        paths.insert(path("namespaces", None, extra));
        paths.insert(path("secrets", Some(namespace), "secret"));
        paths.insert(path("deployments.apps", Some(namespace), "web"));
        paths.insert(path("customresourcedefinitions.apiextensions.k8s.io", None, &format!("things.{group}")));
        if state == State::First {
            paths.insert(path(&format!("things.{group}"), Some(namespace), "thing"));
        }
        paths
    }

    /// What carries the label of the set, as paths.
    fn labelled(&self) -> BTreeSet<String> {
        let (namespace, extra, group) = (&*self.site.namespace, &*self.extra(), self.group());
        let collections = [
            ("namespaces", None),
            ("customresourcedefinitions.apiextensions.k8s.io", None),
            ("configmaps", Some(namespace)),
            ("configmaps", Some(extra)),
            ("secrets", Some(namespace)),
            ("deployments.apps", Some(namespace)),
            (&*format!("things.{group}"), Some(namespace)),
        ];
        let mut paths = BTreeSet::new();
        for (plural, place) in collections {
            let selected =
                format!("{}?labelSelector=applyset.kubernetes.io/part-of={}", path(plural, place, ""), self.set());
            // There are no things as long as there is no CRD.
            let list = cluster().get(&selected).unwrap_or_default();
            let names =
                list["items"].as_array().into_iter().flatten().filter_map(|item| item["metadata"]["name"].as_str());
            paths.extend(names.map(|name| path(plural, place, name)));
        }
        paths.retain(|path| !self.foreign.contains_key(path));
        paths
    }

    /// The objects of the inventory, as `Kind.group namespace name`.
    fn inventory(&self) -> Vec<String> {
        let text = self.site.inventory(SYNC).replace(",\n ", ",");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let mut objects = Vec::new();
        for line in lines {
            let (place, names) = line.split_once(": ").expect("an inventory");
            objects.extend(names.split(", ").map(|name| format!("{place} {name}")));
        }
        objects
    }

    fn inventory_of(&self, state: State) -> BTreeSet<String> {
        let (namespace, extra, group) = (&*self.site.namespace, &*self.extra(), self.group());
        let mut objects: BTreeSet<String> = [
            format!("ConfigMap {namespace} kept"),
            format!("ConfigMap {namespace} changed"),
            format!("ConfigMap {extra} inside"),
            format!("Namespace - {extra}"),
            format!("Secret {namespace} secret"),
            format!("Deployment.apps {namespace} web"),
            format!("CustomResourceDefinition.apiextensions.k8s.io - things.{group}"),
        ]
        .into();
        match state {
            State::First => {
                objects.extend([format!("ConfigMap {namespace} gone"), format!("Thing.{group} {namespace} thing")]);
            }
            State::Second => drop(objects.insert(format!("ConfigMap {namespace} added"))),
        }
        objects
    }

    /// Waits for the inventory of a state, and has all else hold then.
    #[track_caller]
    pub fn eventually_holds(&self, state: State) {
        eventually("the inventory lists what git declares", || {
            let inventory = self.inventory();
            let there = inventory.iter().cloned().collect::<BTreeSet<_>>() == self.inventory_of(state);
            check(there, inventory.join(", "))
        });
        self.holds(state);
    }

    /// The cluster is equal to git, the inventory says so, nothing else is left of what the agent
    /// made, and what is not the agent's is as it was.
    #[track_caller]
    pub fn holds(&self, state: State) {
        let declared = self.declared(state);
        assert_eq!(self.labelled(), declared, "the members of the set are what git declares");
        let inventory = self.inventory();
        assert_eq!(inventory.iter().cloned().collect::<BTreeSet<_>>(), self.inventory_of(state), "the inventory");
        assert_eq!(inventory.len(), self.inventory_of(state).len(), "each object is once in the inventory");
        let changed = if state == State::First { "1" } else { "2" };
        assert_eq!(self.site.value_of("changed").as_deref(), Some(changed));
        assert_eq!(self.site.value_of("kept").as_deref(), Some("1"));
        for (path, version) in &self.foreign {
            let live = cluster().get(path).unwrap_or_else(|| panic!("{path}, which is not the agent's, is gone"));
            assert_eq!(live["metadata"]["resourceVersion"], *version, "{path} is not the agent's and was written");
        }
        let own = [self.parent_path(), path("secrets", Some(&self.site.home), "driftless-digest-key")];
        for made in self.made() {
            let known =
                declared.contains(&made) || own.contains(&made) || made == path("namespaces", None, &self.site.home);
            assert!(known || cluster().get(&made).is_none(), "{made} was made by the agent and is left over");
        }
        let list = cluster().get(&path("configmaps", Some(&self.site.home), "")).expect("a list");
        let names = list["items"].as_array().expect("items").iter().map(|item| item["metadata"]["name"].clone());
        let names: Vec<Value> = names.filter(|name| name != "kube-root-ca.crt").collect();
        assert_eq!(names, [format!("driftless-{SYNC}")], "the agent's own ConfigMaps");
    }

    /// UID and resource version of all that git declares.
    pub fn versions(&self, state: State) -> BTreeMap<String, (Value, Value)> {
        let version = |path: String| {
            let live = cluster().get(&path).unwrap_or_default();
            (path, (live["metadata"]["uid"].clone(), live["metadata"]["resourceVersion"].clone()))
        };
        self.declared(state).into_iter().map(version).collect()
    }

    /// Every deletion that the agent has asked for, by name.
    pub fn deleted(&self) -> Vec<String> {
        let seen = self.proxy.seen().into_iter();
        seen.filter(|exchange| exchange.ask.verb == "delete").map(|exchange| exchange.ask.name.clone()).collect()
    }

    fn parent_path(&self) -> String {
        path("configmaps", Some(&self.site.home), &format!("driftless-{SYNC}"))
    }

    /// The paths of all objects that the agent has made or changed since the proxy began.
    fn made(&self) -> BTreeSet<String> {
        let writes =
            self.proxy.seen().into_iter().filter(|exchange| exchange.took_effect() && exchange.ask.verb != "delete");
        let path = |exchange: super::fault::Exchange| {
            let path = exchange.ask.path_and_query.split('?').next().unwrap_or_default().to_owned();
            let name = exchange.answered()["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if exchange.ask.verb == "create" { format!("{path}/{name}") } else { path }
        };
        writes.map(path).collect()
    }
}

/// Leaves no CRD behind, of which every one makes the API server slower.
impl Drop for Story {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            cluster().delete(&path(
                "customresourcedefinitions.apiextensions.k8s.io",
                None,
                &format!("things.{}", self.group()),
            ));
            cluster().delete(&path("namespaces", None, &self.extra()));
            cluster().delete(&path("namespaces", None, &self.site.namespace));
            cluster().delete(&path("namespaces", None, &self.site.home));
        }
    }
}
