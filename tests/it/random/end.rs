//! What must hold at the end of a random run, soon after the faults have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::declared::Sync;
use super::rules::{Entry, path_of};
use super::run::World;
use crate::support::cluster::{cluster, path};

/// So soon after the last fault everything is as git says.
const BOUND: Duration = Duration::from_mins(1);

impl World {
    /// Waits until every sync says that it is done, lets it prune what the guard holds, and waits
    /// until everything is as git says.
    pub(super) fn converges(&mut self) -> Result<(), String> {
        let until = Instant::now() + BOUND;
        loop {
            self.keep_alive();
            let open = self.syncs.clone().into_iter().find_map(|sync| self.is_open(sync));
            let Some(differs) = open.or_else(|| self.differs().err()) else { return Ok(()) };
            if Instant::now() > until {
                let asked = |sync: &Sync| {
                    cluster().get(&self.places.parent(*sync)).unwrap_or_default()["metadata"]["annotations"].to_string()
                };
                let asked: Vec<String> = self.syncs.iter().map(asked).collect();
                return Err(format!(
                    "{} s after the last fault: {differs}; the parents say {asked:?}",
                    BOUND.as_secs()
                ));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What a sync says while it is not done.
    fn is_open(&mut self, sync: Sync) -> Option<String> {
        let head = self.site.repo.head();
        let agent = self.agent.as_mut().expect("an agent");
        let status = if agent.serves() { agent.try_sync(sync.name()) } else { Value::Null };
        if status["phase"] == "Held" && status["held"]["commit"] == head {
            self.approve(sync);
        }
        let there =
            status["phase"] == "Synced" && status["synced"]["id"] == head && status["path"] == self.dir_of(sync).path();
        (!there).then(|| format!("the status of {} is {status}", sync.name()))
    }

    /// What is to be there, by path, and which sync applies it.
    fn declared(&self) -> BTreeMap<String, (Sync, Value)> {
        let last = self.commits.last().expect("a commit");
        let of = |sync: &Sync| {
            let sync = *sync;
            last.of(self.dir_of(sync)).sent(&self.places).into_iter().map(move |(at, wanted)| (at, (sync, wanted)))
        };
        self.syncs.iter().flat_map(of).collect()
    }

    /// What the inventory of a sync lists, as paths.
    fn listed(&self, sync: Sync) -> Result<BTreeSet<String>, String> {
        let parent = self.parent(sync).map(|parent| parent.inventory.keys().map(path_of).collect());
        // One that has never declared anything has none.
        let declares = self.declared().values().any(|(by, _)| *by == sync);
        parent.or((!declares).then(BTreeSet::new)).ok_or_else(|| format!("{} has no parent", sync.name()))
    }

    /// Whether the cluster is equal to the newest commit.
    fn differs(&self) -> Result<(), String> {
        for (at, (sync, wanted)) in self.declared() {
            let live = cluster().get(&at).ok_or_else(|| format!("{at} is not there"))?;
            holds(&wanted, &live).map_err(|why| format!("{at}: {why}"))?;
            if live["metadata"]["labels"]["applyset.kubernetes.io/part-of"] != *self.places.set(sync) {
                return Err(format!("{at} has not the label of the set of {}", sync.name()));
            }
            // Whoever had it before forgets it once it has another owner.
            for other in &self.syncs {
                if self.listed(*other)?.contains(&at) != (*other == sync) {
                    return Err(format!("{at} is {}'s: the inventory of {}", sync.name(), other.name()));
                }
            }
        }
        Ok(())
    }

    /// The end of all: nothing is left over, nothing was lost, and what is not the agent's is as it was.
    /// `ours` are the UIDs of what each sync has applied.
    pub(super) fn is_at_rest(&self, ours: &BTreeMap<Sync, BTreeSet<String>>) -> Result<(), String> {
        self.differs()?;
        let touched: BTreeSet<String> = self
            .record
            .lock()
            .expect("the record")
            .iter()
            .filter_map(|entry| if let Entry::Touched(path) = entry { Some(path.clone()) } else { None })
            .collect();
        let declared = self.declared();
        for sync in &self.syncs {
            let listed = self.listed(*sync)?;
            let left = |at: &&String| declared.get(*at).is_none_or(|(by, _)| by != sync);
            for at in listed.iter().filter(left) {
                let of = sync.name();
                let live = cluster()
                    .get(at)
                    .ok_or_else(|| format!("{at} is in the inventory of {of}, and neither in git nor there"))?;
                if live["kind"] != "Namespace" && !touched.contains(at) {
                    return Err(format!(
                        "{at} is not in git for {of}, and there is no reason to keep it in its inventory"
                    ));
                }
            }
            self.is_known(*sync, &listed, ours.get(sync).unwrap_or(&BTreeSet::new()))?;
        }
        for (at, version) in &self.foreign {
            let live = cluster().get(at).ok_or_else(|| format!("{at} is not the agent's, and is gone"))?;
            if live["metadata"]["resourceVersion"] != *version {
                return Err(format!("{at} is not the agent's, and was written"));
            }
        }
        Ok(())
    }

    /// Whether everything that carries the label of a set is in its inventory.
    fn is_known(&self, sync: Sync, listed: &BTreeSet<String>, ours: &BTreeSet<String>) -> Result<(), String> {
        for (plural, namespace) in self.places.collections() {
            let label = format!("applyset.kubernetes.io/part-of={}", self.places.set(sync));
            let list =
                cluster().get(&format!("{}?labelSelector={label}", path(plural, namespace, ""))).unwrap_or_default();
            for item in list["items"].as_array().into_iter().flatten() {
                let at = path(plural, namespace, item["metadata"]["name"].as_str().unwrap_or_default());
                let uid = item["metadata"]["uid"].as_str().unwrap_or_default();
                let others = self.foreign.contains_key(&at) || (self.replaced.contains(uid) && !ours.contains(uid));
                if !others && !listed.contains(&at) {
                    return Err(format!(
                        "{at} carries the label of the set of {}, and is neither in git nor in the inventory",
                        sync.name()
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether all that is wanted is in what is there; lists are compared as they are long.
fn holds(wanted: &Value, live: &Value) -> Result<(), String> {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            for (key, wanted) in wanted {
                holds(wanted, live.get(key).unwrap_or(&Value::Null)).map_err(|why| format!("{key}: {why}"))?;
            }
            Ok(())
        }
        (Value::Array(wanted), Value::Array(live)) if wanted.len() == live.len() => {
            wanted.iter().zip(live).try_for_each(|(wanted, live)| holds(wanted, live))
        }
        (wanted, live) if wanted == live => Ok(()),
        (wanted, live) => Err(format!("{live} instead of {wanted}")),
    }
}
