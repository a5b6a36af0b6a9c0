//! What must hold of every single request of a run, whatever has happened: read from a record of
//! all that was asked, answered, committed and done by hand, in the order in which it was.

use std::collections::{BTreeMap, BTreeSet};

use driftless::apply::Parent;
use driftless::object::ObjectId;
use serde_json::{Value, json};

use super::declared::{DELETION, Places, State};
use crate::support::cluster::path;
use crate::support::fault::Ask;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A request of the agent came, before the server had it.
    Asked(Ask),
    /// The server answered it, whether or not the agent heard.
    Answered(Ask, u16),
    Pushed(String, State),
    /// Somebody is about to approve the deletion of these objects by a commit.
    Approved(String, Vec<ObjectId>),
    /// Somebody is about to change the object at a path.
    Touched(String),
    /// The agent says that the sync is suspended, and what was under way has ended.
    Suspended,
    /// Somebody is about to resume it.
    Resumed,
    Killed,
}

/// Of the guard of `prune`, its defaults.
const ALWAYS_ALLOWED: usize = 5;
const PERCENT: usize = 20;

pub struct Rules<'a> {
    places: &'a Places,
    /// By the number of a request, the object in the server's answer.
    answers: &'a BTreeMap<usize, Value>,
    commits: Vec<(String, State)>,
    /// The newest commit that the agent is known to have worked on.
    floor: usize,
    /// The parent as it is in the cluster.
    stored: Option<Parent>,
    /// What was approved, by commit, as paths.
    approved: BTreeMap<String, BTreeSet<String>>,
    suspended: bool,
    touched: BTreeSet<String>,
    /// Deleted by the agent, and not made again.
    gone: BTreeSet<String>,
    /// What was applied last of what is there, by path.
    applied: BTreeMap<String, Value>,
    /// Said at its last apply that it is not to be deleted.
    detached: BTreeSet<String>,
    /// UIDs of all objects that it has applied.
    pub ours: BTreeSet<String>,
    /// How many requests of each verb were checked.
    pub counts: BTreeMap<&'static str, usize>,
}

impl<'a> Rules<'a> {
    pub fn new(places: &'a Places, answers: &'a BTreeMap<usize, Value>) -> Self {
        Self {
            places,
            answers,
            commits: Vec::new(),
            floor: 0,
            stored: None,
            approved: BTreeMap::new(),
            suspended: false,
            touched: BTreeSet::new(),
            gone: BTreeSet::new(),
            applied: BTreeMap::new(),
            detached: BTreeSet::new(),
            counts: BTreeMap::new(),
            ours: BTreeSet::new(),
        }
    }

    /// Goes through a record; the error says which rule was broken by what.
    pub fn hold(&mut self, record: &[Entry]) -> Result<(), String> {
        for entry in record {
            match entry {
                Entry::Asked(ask) if ask.is_write() => {
                    self.asked(ask).map_err(|why| format!("{} {ask}: {why}", ask.number))?;
                }
                Entry::Answered(ask, 200..300) if ask.is_write() => self.took_effect(ask),
                Entry::Pushed(commit, state) => self.commits.push((commit.clone(), state.clone())),
                Entry::Approved(commit, objects) => {
                    self.approved.entry(commit.clone()).or_default().extend(objects.iter().map(path_of));
                }
                Entry::Suspended => self.suspended = true,
                Entry::Resumed => self.suspended = false,
                Entry::Touched(path) => drop(self.touched.insert(path.clone())),
                Entry::Asked(_) | Entry::Answered(..) | Entry::Killed => {}
            }
        }
        Ok(())
    }

    fn asked(&mut self, ask: &Ask) -> Result<(), String> {
        let path = target(ask);
        let tells = ask.verb == "create" && ask.resource == "events";
        if tells || ask.namespace == self.places.home || path == format!("/api/v1/namespaces/{}", self.places.home) {
            return Ok(());
        }
        *self.counts.entry(ask.verb).or_default() += 1;
        if self.suspended {
            return Err("the sync is suspended".into());
        }
        match ask.verb {
            // The namespace of the agent's own.
            "create" if ask.resource == "namespaces" && ask.object()["metadata"]["name"] == *self.places.home => Ok(()),
            "apply" => self.may_apply(ask, &path),
            "patch" if ask.object().is_object() => self.may_release(ask, &path),
            "patch" => self.may_take_over(ask, &path),
            "delete" => self.may_delete(ask, &path),
            verb => Err(format!("the agent never asks for {verb} here")),
        }
    }

    /// Content comes from one commit, never from an older one than before, and the inventory in
    /// the cluster lists the object already.
    fn may_apply(&mut self, ask: &Ask, path: &str) -> Result<(), String> {
        if !self.listed(path) {
            return Err("it is written, and the inventory in the cluster does not list it".into());
        }
        let body = unmarked(ask)?;
        let sent = |state: &State| state.sent(self.places).get(path) == Some(&body);
        let from = self.since(sent).ok_or_else(|| {
            let older = self.commits.iter().position(|(_, state)| sent(state));
            format!("its content is that of no commit since {} (older: {older:?}): {body}", self.floor)
        })?;
        self.floor = from;
        Ok(())
    }

    /// The first commit that fits and is not older than what the agent worked on.
    fn since(&self, fits: impl Fn(&State) -> bool) -> Option<usize> {
        (self.floor..self.commits.len()).find(|commit| fits(&self.commits[*commit].1))
    }

    fn may_take_over(&self, ask: &Ask, path: &str) -> Result<(), String> {
        let change = ask.object();
        let fields = change.as_array().ok_or("a patch that is no takeover")?;
        let known = ["/metadata/uid", "/metadata/managedFields", "/metadata/resourceVersion"];
        if !fields.iter().all(|field| known.iter().any(|known| field["path"] == *known)) {
            return Err(format!("a patch that is no takeover: {change}"));
        }
        let declared = self.since(|state| state.sent(self.places).contains_key(path));
        declared.map(drop).ok_or_else(|| "it is patched, and no commit declares it".into())
    }

    /// The agent's marks alone, of what says that it is not to be deleted.
    fn may_release(&mut self, ask: &Ask, path: &str) -> Result<(), String> {
        let change = ask.object();
        let wanted = json!({"metadata": {"uid": change["metadata"]["uid"],
            "labels": {"applyset.kubernetes.io/part-of": null}, "annotations": {"driftless.dev/digest": null}}});
        if change != wanted {
            return Err(format!("a patch that does more than let go: {change}"));
        }
        let uid = change["metadata"]["uid"].as_str().ok_or("it names no UID")?;
        // What somebody put in its place, marks and all, may lose those: nothing else of it goes.
        if !self.touched.contains(path) {
            self.is_ours(uid)?;
        }
        self.may_part(path)
    }

    fn may_delete(&mut self, ask: &Ask, path: &str) -> Result<(), String> {
        if ask.resource == "namespaces" {
            return Err("Namespaces are kept".into());
        }
        if self.detached.contains(path) {
            return Err("it said that it is not to be deleted".into());
        }
        let asked = ask.object();
        self.is_ours(asked["preconditions"]["uid"].as_str().ok_or("it has no UID precondition")?)?;
        self.may_part(path)?;
        let allowed = (self.floor..self.commits.len()).find(|at| {
            let (commit, state) = &self.commits[*at];
            let approved = self.approved.get(commit).is_some_and(|paths| paths.contains(path));
            self.removed(state, path) && (approved || self.passes(state))
        });
        self.floor = allowed.ok_or("the guard holds such a prune, and nobody approved it")?;
        Ok(())
    }

    /// The very object that the agent has applied.
    fn is_ours(&self, uid: &str) -> Result<(), String> {
        let known = self.ours.contains(uid);
        known.then_some(()).ok_or_else(|| format!("the UID {uid} is of no object that the agent has applied"))
    }

    /// Only what is in the inventory, and is not declared by a commit that was applied whole.
    fn may_part(&mut self, path: &str) -> Result<(), String> {
        if !self.listed(path) {
            return Err("the inventory in the cluster does not list it".into());
        }
        let from = self.since(|state| self.removed(state, path));
        self.floor =
            from.ok_or("every commit since declares it, cannot be trusted, or was not applied whole before")?;
        Ok(())
    }

    /// Whether a commit can be applied whole, was, and does not declare an object.
    fn removed(&self, state: &State, path: &str) -> bool {
        let sent = state.sent(self.places);
        let applied = |(path, wanted): (&String, &Value)| {
            // Of what hands have changed, only the agent knows whether there was anything to apply.
            self.touched.contains(path) || self.applied.get(path) == Some(wanted)
        };
        state.is_good() && !sent.contains_key(path) && sent.iter().all(applied)
    }

    /// Whether the guard lets the prune of a commit pass. What hands have changed is not counted,
    /// since the agent may have kept it.
    fn passes(&self, state: &State) -> bool {
        let Some(stored) = &self.stored else { return false };
        let declared = state.sent(self.places);
        let orphans = stored.inventory.keys().filter(|id| &*id.gk.kind != "Namespace").map(path_of);
        // What was refused is listed as well, and was never there.
        let orphans = orphans.filter(|path| self.applied.contains_key(path) && !self.gone.contains(path));
        let orphans = orphans.filter(|path| !declared.contains_key(path));
        let orphans = orphans.filter(|path| !self.touched.contains(path) && !self.detached.contains(path));
        let count = orphans.count();
        let total = stored.inventory.values().filter(|recorded| !recorded.fresh).count();
        !declared.is_empty() && (count <= ALWAYS_ALLOWED || count * 100 <= PERCENT * total)
    }

    fn listed(&self, path: &str) -> bool {
        self.stored.as_ref().is_some_and(|parent| parent.inventory.keys().any(|id| path_of(id) == path))
    }

    fn took_effect(&mut self, ask: &Ask) {
        let path = target(ask);
        if path == self.places.parent() && ask.verb == "apply" {
            let parent = Parent::from_live(&ask.object(), &[]).expect("a parent as the agent writes it");
            // Once a commit is worked on, nothing is written by an older one, heals included.
            let newest = parent.status.attempted.as_ref().or(parent.status.synced.as_ref()).map(|commit| &commit.id);
            let newest = self.commits.iter().rposition(|(commit, _)| Some(commit) == newest);
            self.floor = self.floor.max(newest.unwrap_or_default());
            self.stored = Some(parent);
        } else if ask.verb == "apply" {
            let uid = self.answers.get(&ask.number).and_then(|answer| answer["metadata"]["uid"].as_str());
            self.ours.extend(uid.map(ToOwned::to_owned));
            self.gone.remove(&path);
            self.applied.insert(path.clone(), unmarked(ask).unwrap_or_default());
            if ask.object()["metadata"]["annotations"][DELETION] == "detach" {
                self.detached.insert(path);
            } else {
                self.detached.remove(&path);
            }
        } else if ask.verb == "delete" {
            self.gone.insert(path);
        }
    }
}

/// What is sent, without the agent's marks.
fn unmarked(ask: &Ask) -> Result<Value, String> {
    let mut body = ask.object();
    for (map, key) in [("labels", "applyset.kubernetes.io/part-of"), ("annotations", "driftless.dev/digest")] {
        let marks = body["metadata"][map].as_object_mut().ok_or_else(|| format!("it has no {map}"))?;
        marks.remove(key).ok_or_else(|| format!("it has no {key}"))?;
    }
    // No run declares any.
    body["metadata"].as_object_mut().ok_or("it has no metadata")?.remove("labels");
    Ok(body)
}

/// The path of the object of a request.
fn target(ask: &Ask) -> String {
    ask.path_and_query.split('?').next().unwrap_or_default().to_owned()
}

pub fn path_of(id: &ObjectId) -> String {
    let plural = match &*id.gk.kind {
        "ConfigMap" => "configmaps",
        "Secret" => "secrets",
        "Deployment" => "deployments.apps",
        "Job" => "jobs.batch",
        "Namespace" => "namespaces",
        kind => panic!("no run has a {kind}"),
    };
    path(plural, id.namespace.as_deref(), &id.name)
}
