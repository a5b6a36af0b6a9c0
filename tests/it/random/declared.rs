//! What git declares in a random run: directories with a few things of several kinds, each with a number
//! that its content is made of; and the syncs that follow them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use driftless::inventory::applyset_id;
use serde_json::{Value, json};

use crate::support::cluster::path;
use crate::support::site::Site;

/// One of the syncs of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sync {
    Shop,
    Till,
    Yard,
}

impl Sync {
    pub fn name(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::Till => "till",
            Self::Yard => "yard",
        }
    }
}

/// A directory of the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dir {
    Shop,
    /// What the sync of the shop follows after a change of its configuration.
    Aside,
    Till,
    Yard,
}

pub const DIRS: [Dir; 4] = [Dir::Shop, Dir::Aside, Dir::Till, Dir::Yard];

impl Dir {
    pub fn path(self) -> &'static str {
        match self {
            Self::Shop => "shop",
            Self::Aside => "aside",
            Self::Till => "till",
            Self::Yard => "yard",
        }
    }
}

/// Something that a commit adds, changes or removes: one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    Map(u8),
    Secret(u8),
    /// A Deployment of no replicas.
    Web,
    /// A Job that is suspended.
    Job,
    /// A Namespace, and a `ConfigMap` in it.
    Extra,
    /// A `ConfigMap` whose name the API server does not accept.
    Refused,
}

pub const THINGS: [Thing; 12] = [
    Thing::Map(0),
    Thing::Map(1),
    Thing::Map(2),
    Thing::Map(3),
    Thing::Map(4),
    Thing::Map(5),
    Thing::Map(6),
    Thing::Secret(0),
    Thing::Secret(1),
    Thing::Web,
    Thing::Job,
    Thing::Extra,
];

/// What several syncs may declare at once.
pub const SHARED: [Thing; 4] = [Thing::Map(0), Thing::Map(1), Thing::Map(2), Thing::Secret(0)];

/// Every so many numbers, the object says that it is to be left alone when it leaves git.
const DETACHED: u32 = 7;
pub const DELETION: &str = "client.lifecycle.config.k8s.io/deletion";

/// Where the objects of one run are.
#[derive(Clone, Debug)]
pub struct Places {
    pub home: String,
    pub namespace: String,
    pub extra: String,
}

impl Places {
    pub fn of(site: &Site) -> Self {
        let (home, namespace) = (site.home.clone(), site.namespace.clone());
        Self { home, namespace, extra: format!("extra-{}", site.id) }
    }

    pub fn parent(&self, sync: Sync) -> String {
        path("configmaps", Some(&self.home), &format!("driftless-{}", sync.name()))
    }

    /// The id of the set of a sync.
    pub fn set(&self, sync: Sync) -> String {
        applyset_id(&format!("driftless-{}", sync.name()), &self.home, "ConfigMap", "")
    }

    /// Where members of the set can be.
    pub fn collections(&self) -> Vec<(&'static str, Option<&str>)> {
        let kinds = ["configmaps", "secrets", "deployments.apps", "jobs.batch"];
        let all = kinds.into_iter().flat_map(|plural| [&self.namespace, &self.extra].map(|at| (plural, Some(&**at))));
        all.chain([("namespaces", None)]).collect()
    }
}

/// An object as git has it, and as it is expected in the body of an apply, without the agent's metadata.
pub struct Declared {
    pub path: String,
    pub in_git: Value,
    pub sent: Value,
}

impl Thing {
    pub fn file(self) -> String {
        format!("{self:?}.yaml").replace(['(', ')'], "-").to_lowercase()
    }

    pub fn objects(self, number: u32, places: &Places) -> Vec<Declared> {
        let value = number.to_string();
        let metadata = |name: &str| {
            let mut metadata = json!({"name": name, "annotations": {"number": value}});
            if number.is_multiple_of(DETACHED) {
                metadata["annotations"][DELETION] = "detach".into();
            }
            metadata
        };
        let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name), "data": {"value": value}});
        let pod = |app: &str| {
            let main = json!([{"name": "main", "image": format!("{app}:{value}")}]);
            json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": main}})
        };
        match self {
            Self::Map(which) => vec![placed("configmaps", &places.namespace, map(&format!("map{which}")))],
            Self::Refused => vec![placed("configmaps", &places.namespace, map("Not_A_Name"))],
            Self::Secret(which) => {
                let name = format!("secret{which}");
                let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata(&name),
                    "stringData": {"value": value}});
                let mut secret = placed("secrets", &places.namespace, secret);
                let fields = secret.sent.as_object_mut().expect("an object");
                fields.remove("stringData");
                fields.insert("data".into(), json!({"value": STANDARD.encode(&value)}));
                vec![secret]
            }
            Self::Web => {
                let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata("web"),
                    "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": pod("web")}});
                vec![placed("deployments.apps", &places.namespace, web)]
            }
            Self::Job => {
                let template =
                    json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "job"}]}});
                let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata("job"),
                    "spec": {"suspend": true, "template": template}});
                vec![placed("jobs.batch", &places.namespace, job)]
            }
            Self::Extra => {
                let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(&places.extra)});
                let at = path("namespaces", None, &places.extra);
                let namespace = Declared { path: at, in_git: namespace.clone(), sent: namespace };
                let mut inside = placed("configmaps", &places.extra, map("inside"));
                inside.in_git = inside.sent.clone();
                vec![namespace, inside]
            }
        }
    }

    /// The object of it that people edit: the path, and a change of a field that git declares.
    pub fn by_hand(self, places: &Places, value: &str) -> (String, Value) {
        let (namespace, data) = (&*places.namespace, json!({"data": {"value": value}}));
        let annotation = json!({"metadata": {"annotations": {"number": value}}});
        match self {
            Self::Map(which) => (path("configmaps", Some(namespace), &format!("map{which}")), data),
            Self::Secret(which) => {
                let data = json!({"data": {"value": STANDARD.encode(value)}});
                (path("secrets", Some(namespace), &format!("secret{which}")), data)
            }
            Self::Web => (
                path("deployments.apps", Some(namespace), "web"),
                json!({"spec": {"template":
                {"spec": {"containers": [{"name": "main", "image": value}]}}}}),
            ),
            Self::Job => (path("jobs.batch", Some(namespace), "job"), annotation),
            Self::Extra => (path("configmaps", Some(&places.extra), "inside"), data),
            Self::Refused => (path("configmaps", Some(namespace), "not-a-name"), data),
        }
    }
}

impl Thing {
    /// An apply by somebody else that adds what git does not declare to the object that people edit.
    pub fn addition(self, places: &Places, value: &str) -> (String, Value) {
        let (at, _) = self.by_hand(places, value);
        let change = match self {
            Self::Map(_) | Self::Extra | Self::Refused => json!({"data": {"added": value}}),
            Self::Secret(_) => json!({"data": {"added": STANDARD.encode(value)}}),
            Self::Web => {
                let main = json!([{"name": "main", "env": [{"name": "ADDED", "value": value}]}]);
                json!({"spec": {"template": {"spec": {"containers": main}}}})
            }
            Self::Job => json!({"metadata": {"annotations": {"added": value}}}),
        };
        (at, change)
    }
}

fn placed(plural: &str, namespace: &str, object: Value) -> Declared {
    let mut sent = object.clone();
    sent["metadata"]["namespace"] = namespace.into();
    let name = object["metadata"]["name"].as_str().expect("a name");
    Declared { path: path(plural, Some(namespace), name), in_git: object, sent }
}

/// What one commit has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    dirs: BTreeMap<Dir, Content>,
}

/// What is in a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub things: BTreeMap<Thing, u32>,
    /// With a file that cannot be parsed.
    pub broken: bool,
}

impl State {
    pub fn of(&self, dir: Dir) -> Content {
        self.dirs.get(&dir).cloned().unwrap_or_default()
    }

    pub fn within(&mut self, dir: Dir) -> &mut Content {
        self.dirs.entry(dir).or_default()
    }

    /// Makes the work tree of a repository that holds `before` hold this.
    pub fn write(&self, before: &Self, site: &Site, places: &Places) {
        for dir in DIRS {
            self.of(dir).write(dir, &before.of(dir), site, places);
        }
    }
}

impl Content {
    /// By path, what is to be sent for each object.
    pub fn sent(&self, places: &Places) -> BTreeMap<String, Value> {
        let things = self.things.iter().flat_map(|(thing, number)| thing.objects(*number, places));
        things.map(|object| (object.path, object.sent)).collect()
    }

    /// Whether all of it can be applied.
    pub fn is_good(&self) -> bool {
        !self.broken && !self.things.contains_key(&Thing::Refused)
    }

    fn write(&self, dir: Dir, before: &Self, site: &Site, places: &Places) {
        let file = |thing: Thing| format!("{}/{}", dir.path(), thing.file());
        for thing in before.things.keys().filter(|thing| !self.things.contains_key(thing)) {
            site.repo.remove(&file(*thing));
        }
        for (thing, number) in self.things.iter().filter(|(thing, number)| before.things.get(thing) != Some(number)) {
            let documents: Vec<String> =
                thing.objects(*number, places).iter().map(|object| object.in_git.to_string()).collect();
            site.repo.write(&file(*thing), documents.join("\n---\n"));
        }
        let broken = format!("{}/broken.yaml", dir.path());
        match (before.broken, self.broken) {
            (false, true) => site.repo.write(&broken, "kind: [ConfigMap\n"),
            (true, false) => site.repo.remove(&broken),
            _ => {}
        }
    }
}
