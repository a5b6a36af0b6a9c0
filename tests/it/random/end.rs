//! What must hold at the end of a random run, soon after the faults have ended.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::rules::{Entry, path_of};
use super::run::World;
use crate::support::cluster::{cluster, path};

/// So soon after the last fault everything is as git says.
const BOUND: Duration = Duration::from_mins(1);

impl World {
    /// Waits until the sync says that it is done, lets it prune what the guard holds, and waits
    /// until everything is as git says.
    pub(super) fn converges(&mut self) -> Result<(), String> {
        let until = Instant::now() + BOUND;
        let head = self.site.repo.head();
        loop {
            self.keep_alive();
            let agent = self.agent.as_mut().expect("an agent");
            let status = if agent.serves() { agent.try_sync("shop") } else { Value::Null };
            if status["phase"] == "Held" && status["held"]["commit"] == head {
                self.approve();
            }
            let there = status["phase"] == "Synced" && status["synced"]["id"] == head;
            let differs = if there { self.differs().err() } else { Some(format!("the status is {status}")) };
            let Some(differs) = differs else { return Ok(()) };
            if Instant::now() > until {
                let asked = cluster().get(&self.places.parent()).unwrap_or_default()["metadata"]["annotations"].clone();
                return Err(format!("{} s after the last fault: {differs}; its parent says {asked}", BOUND.as_secs()));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether the cluster is equal to the newest commit.
    fn differs(&self) -> Result<(), String> {
        let declared = self.commits.last().expect("a commit").sent(&self.places);
        for (at, wanted) in &declared {
            let live = cluster().get(at).ok_or_else(|| format!("{at} is not there"))?;
            holds(wanted, &live).map_err(|why| format!("{at}: {why}"))?;
            if live["metadata"]["labels"]["applyset.kubernetes.io/part-of"] != *self.set {
                return Err(format!("{at} has not the label of the set"));
            }
        }
        let parent = self.parent().ok_or("there is no parent")?;
        let listed: BTreeSet<String> = parent.inventory.keys().map(path_of).collect();
        declared
            .keys()
            .find(|at| !listed.contains(*at))
            .map_or(Ok(()), |at| Err(format!("{at} is not in the inventory")))
    }

    /// The end of all: nothing is left over, nothing was lost, and what is not the agent's is as it was.
    pub(super) fn is_at_rest(&self, ours: &BTreeSet<String>) -> Result<(), String> {
        self.differs()?;
        let declared = self.commits.last().expect("a commit").sent(&self.places);
        let parent = self.parent().ok_or("there is no parent")?;
        let listed: BTreeSet<String> = parent.inventory.keys().map(path_of).collect();
        for at in listed.iter().filter(|at| !declared.contains_key(*at)) {
            let live =
                cluster().get(at).ok_or_else(|| format!("{at} is in the inventory, and neither in git nor there"))?;
            let touched = self
                .record
                .lock()
                .expect("the record")
                .iter()
                .any(|entry| matches!(entry, Entry::Touched(path) if path == at));
            if live["kind"] != "Namespace" && !touched {
                return Err(format!("{at} is not in git, and there is no reason to keep it"));
            }
        }
        for (plural, namespace) in self.places.collections() {
            let selected =
                format!("{}?labelSelector=applyset.kubernetes.io/part-of={}", path(plural, namespace, ""), self.set);
            let list = cluster().get(&selected).unwrap_or_default();
            for item in list["items"].as_array().into_iter().flatten() {
                let at = path(plural, namespace, item["metadata"]["name"].as_str().unwrap_or_default());
                let uid = item["metadata"]["uid"].as_str().unwrap_or_default();
                let others = self.foreign.contains_key(&at) || (self.replaced.contains(uid) && !ours.contains(uid));
                if !others && !listed.contains(&at) {
                    return Err(format!(
                        "{at} carries the label of the set, and is neither in git nor in the inventory"
                    ));
                }
            }
        }
        for (at, version) in &self.foreign {
            let live = cluster().get(at).ok_or_else(|| format!("{at} is not the agent's, and is gone"))?;
            if live["metadata"]["resourceVersion"] != *version {
                return Err(format!("{at} is not the agent's, and was written"));
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
