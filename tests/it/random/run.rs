//! One random run: a world of its own, what happens in it, and what must hold at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use driftless::apply::{Parent, applyset_id};
use driftless::plan::{Commit, Phase};
use fastrand::Rng;
use http::Method;
use serde_json::{Value, json};

use super::action::{Action, Change, Hand, Plot, Spoil, fault};
use super::declared::{Places, State, Thing};
use super::rules::{Entry, Rules, path_of};
use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::fault::{Moment, Proxy, Rule};
use crate::support::site::Site;

const MERGE: &str = "application/merge-patch+json";
/// So soon after the last fault everything is as git says.
const BOUND: Duration = Duration::from_mins(1);
/// So long is waited for what may not come. Who does not end so soon after SIGTERM is killed, as by a kubelet.
const SOON: Duration = Duration::from_millis(1500);

/// What went wrong in a run, and what was seen before.
pub struct Failure {
    pub what: String,
    pub last: Vec<String>,
}

/// How many requests of each verb were checked.
pub type Checked = BTreeMap<&'static str, usize>;

type Record = Arc<Mutex<Vec<Entry>>>;

struct World {
    site: Site,
    proxy: Proxy,
    places: Places,
    set: String,
    agent: Option<Agent>,
    /// The logs of agents that are no more.
    logs: Vec<String>,
    record: Record,
    commits: Vec<State>,
    /// Of the cluster, when each was made.
    versions: Vec<String>,
    /// What is not the agent's, by path, with its resource version.
    foreign: BTreeMap<String, Value>,
    /// UIDs of what somebody made in place of what was the agent's.
    replaced: BTreeSet<String>,
    copies: usize,
}

/// Carries out a run from the first commit to the end.
pub fn run(plot: &Plot) -> Result<Checked, Failure> {
    let mut world = World::new(plot.first.clone());
    let told = world.tell(plot);
    let result = told.map_err(|what| Failure { what, last: world.last() });
    world.end();
    result
}

impl World {
    fn new(first: State) -> Self {
        let site = Site::of_shop(&[("README.md", "a shop\n")]);
        let proxy = Proxy::before(&site);
        let places = Places::of(&site);
        let record = Record::default();
        let into = Arc::clone(&record);
        proxy.listen(move |moment| {
            let entry = match moment {
                Moment::Before(ask) if ask.is_write() => Entry::Asked(ask.clone()),
                Moment::After(ask, code) if ask.is_write() => Entry::Answered(ask.clone(), code),
                _ => return,
            };
            into.lock().expect("the record").push(entry);
        });
        site.cluster_scoped("namespaces", &places.extra);
        let set = applyset_id("driftless-shop", &site.home, "ConfigMap", "");
        let mut world = Self {
            site,
            proxy,
            places,
            set,
            agent: None,
            logs: Vec::new(),
            record,
            commits: vec![State::default()],
            versions: Vec::new(),
            foreign: BTreeMap::new(),
            replaced: BTreeSet::new(),
            copies: 0,
        };
        world.foreign_map("foreign", &json!({}));
        world.commit(first);
        world
    }

    fn note(&self, entry: Entry) {
        self.record.lock().expect("the record").push(entry);
    }

    fn commit(&mut self, state: State) {
        let list = cluster().get(&format!("{}?limit=1", path("configmaps", Some(&self.places.namespace), "")));
        let version = list.and_then(|list| list["metadata"]["resourceVersion"].as_str().map(ToOwned::to_owned));
        self.versions.extend(version);
        let before = self.commits.last().cloned().unwrap_or_default();
        state.write(&before, &self.site, &self.places);
        // Noted before anybody can see it.
        let subject = format!("commit {}", self.commits.len());
        let commit = self.site.repo.commit_unpushed(&subject);
        self.note(Entry::Pushed(commit, state.clone()));
        self.site.repo.push();
        self.commits.push(state);
    }

    fn start(&mut self) {
        self.agent = Some(Agent::launch(&self.site, self.site.command(&["run"])));
    }

    /// Starts an agent that ended by itself once more, as a kubelet does.
    fn keep_alive(&mut self) {
        if self.agent.as_mut().is_none_or(Agent::has_ended) {
            self.bury();
            self.start();
        }
    }

    fn bury(&mut self) {
        if let Some(agent) = self.agent.take() {
            self.logs.extend(agent.log());
            self.logs.push("--".into());
            agent.kill();
            self.note(Entry::Killed);
        }
    }

    fn tell(&mut self, plot: &Plot) -> Result<Checked, String> {
        self.start();
        for action in &plot.actions {
            self.keep_alive();
            self.act(action);
        }
        self.calm();
        self.annotate("driftless.dev/suspend", &Value::Null);
        let mut last = self.commits.last().cloned().unwrap_or_default();
        last.broken = false;
        last.things.remove(&Thing::Refused);
        self.commit(last);
        let converged = self.converges();
        self.bury();
        // A request that broke a rule is a better story than what came of it.
        let seen = self.proxy.seen().into_iter().filter(|exchange| exchange.ask.is_write());
        let answers = seen.map(|exchange| (exchange.ask.number, exchange.answered())).collect();
        let mut rules = Rules::new(&self.places, &answers);
        let record = self.record.lock().expect("the record").clone();
        rules.hold(&record)?;
        converged?;
        self.is_at_rest(&rules.ours)?;
        Ok(rules.counts)
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Commit(changes) => {
                let mut state = self.commits.last().cloned().unwrap_or_default();
                for change in changes {
                    apply(change, &mut state);
                }
                self.commit(state);
            }
            Action::Revert => {
                let before = self.commits.len().saturating_sub(2).max(1);
                self.commit(self.commits[before].clone());
            }
            Action::Hand(hand, thing) => self.by_hand(*hand, *thing),
            Action::Spoil(spoil) => self.spoil(spoil),
            Action::Calm => self.calm(),
            Action::Kill => self.bury(),
            Action::Crash(number, side) => {
                let frozen = self.proxy.freeze_at(*number, *side);
                soon(|| frozen.is_reached());
                self.bury();
                self.proxy.thaw();
            }
            Action::Stop => self.stop(),
            Action::Suspend => self.annotate("driftless.dev/suspend", &json!("true")),
            Action::Resume => self.annotate("driftless.dev/suspend", &Value::Null),
            Action::Approve => self.approve(),
            Action::Hurry => {
                self.annotate("driftless.dev/sync-requested-at", &json!(jiff::Timestamp::now().to_string()));
            }
            Action::Wait(time) => thread::sleep(*time),
            Action::Requests(more) => {
                let before = self.proxy.count();
                soon(|| self.proxy.count() >= before + more);
            }
            Action::Settle => {
                let head = self.site.repo.head();
                let settled = || self.parent().is_some_and(|parent| is_done(&parent, &head));
                soon(settled);
            }
        }
    }

    fn stop(&mut self) {
        let Some(agent) = &mut self.agent else { return };
        let told = std::process::Command::new("kill").args(["-TERM", &agent.pid().to_string()]).status();
        assert!(told.expect("kill runs").success());
        soon(|| agent.has_ended());
        self.bury();
    }

    /// As the commands of driftless do it, which would have to go through the faults.
    fn annotate(&self, name: &str, value: &Value) {
        let change = json!({"metadata": {"annotations": {name: value}}});
        let path = format!("{}?fieldManager=driftless-cli", self.places.parent());
        // There may be no parent yet.
        let _ = cluster().ask(&Method::PATCH, &path, MERGE, Some(&change));
    }

    fn parent(&self) -> Option<Parent> {
        Parent::from_live(&cluster().get(&self.places.parent())?, &[]).ok()
    }

    fn approve(&self) {
        let Some(held) = self.parent().and_then(|parent| parent.status.held) else { return };
        self.note(Entry::Approved(held.commit.clone()));
        self.annotate("driftless.dev/approve", &json!(held.commit));
    }

    fn spoil(&self, spoil: &Spoil) {
        match spoil {
            Spoil::Some { fault, verbs, times } => drop(self.proxy.add(Rule::on(fault.clone(), verbs).times(*times))),
            Spoil::Storm { seed, percent } => {
                let (rng, percent) = (Mutex::new(Rng::with_seed(*seed)), *percent);
                self.proxy.add(Rule::by(move |_| {
                    let mut rng = rng.lock().expect("the dice");
                    (rng.u8(..100) < percent).then(|| fault(&mut rng))
                }));
            }
            Spoil::Refuse => self.proxy.refuse(true),
            Spoil::Stall => self.proxy.stall_watches(true),
            Spoil::Cut => self.proxy.cut_watches(),
            Spoil::Expire => self.proxy.expire_watches(),
            Spoil::Pages => {
                self.proxy.pages_of(2);
                let expired = crate::support::fault::Fault::Answer(410, None);
                self.proxy.add(Rule::by(move |ask| ask.later_page.then(|| expired.clone())).times(3));
            }
            Spoil::Down(group) => self.proxy.take_down(Some(group)),
            Spoil::Past(commits) => {
                let of = self.versions.len().saturating_sub(commits + 1);
                self.proxy.answer_as_of(&self.versions[of]);
            }
        }
    }

    fn calm(&self) {
        self.proxy.clear();
        self.proxy.refuse(false);
        self.proxy.catch_up();
        self.proxy.take_down(None);
    }

    fn by_hand(&mut self, hand: Hand, thing: Thing) {
        let (at, change) = thing.by_hand(&self.places, "by hand");
        self.note(Entry::Touched(at.clone()));
        let merge = |manager: &str, change: &Value| {
            // What is not there cannot be changed.
            let _ = cluster().ask(&Method::PATCH, &format!("{at}?fieldManager={manager}"), MERGE, Some(change));
        };
        match hand {
            Hand::Edit => merge("somebody", &change),
            Hand::EditWithKubectl => merge("kubectl-edit", &change),
            Hand::Delete => cluster().delete(&format!("{at}?propagationPolicy=Background")),
            Hand::Unlabel => {
                merge("somebody", &json!({"metadata": {"labels": {"applyset.kubernetes.io/part-of": null}}}));
            }
            Hand::Unannotate => {
                merge("somebody", &json!({"metadata": {"annotations": {"driftless.dev/digest": null}}}));
            }
            Hand::WipeManagers => merge("somebody", &json!({"metadata": {"managedFields": [{}]}})),
            Hand::Recreate | Hand::Restore => self.replace(&at, &change, hand == Hand::Restore),
            Hand::Copy => {
                let Some(live) = cluster().get(&at) else { return };
                self.copies += 1;
                self.foreign_map(&format!("copy{}", self.copies), &live["metadata"]);
            }
            Hand::Status => {
                let _ = cluster().ask(
                    &Method::PATCH,
                    &format!("{at}/status?fieldManager=somebody"),
                    MERGE,
                    Some(&json!({"status": {"unavailableReplicas": 1}})),
                );
            }
        }
    }

    /// Deletes an object and makes another one of its name, if it is one that can be made again.
    fn replace(&mut self, at: &str, change: &Value, marked: bool) {
        let Some(live) = cluster().get(at).filter(|live| live["kind"] != "Job") else { return };
        let mut metadata = json!({"name": live["metadata"]["name"]});
        if marked {
            metadata["labels"] = live["metadata"]["labels"].clone();
            metadata["annotations"] = live["metadata"]["annotations"].clone();
        }
        let mut object = json!({"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata});
        for field in ["data", "spec"] {
            let of = if change[field].is_object() && field == "data" { change } else { &live };
            if of[field].is_object() {
                object[field] = of[field].clone();
            }
        }
        cluster().delete(at);
        let collection = at.rsplit_once('/').map(|(collection, _)| collection).unwrap_or_default();
        // The agent may have been faster.
        if let Ok(made) = cluster().ask(&Method::POST, collection, "application/json", Some(&object)) {
            self.replaced.extend(made["metadata"]["uid"].as_str().map(ToOwned::to_owned));
        }
    }

    /// A `ConfigMap` that is not the agent's, with labels and annotations of another object.
    fn foreign_map(&mut self, name: &str, of: &Value) {
        let metadata = json!({"name": name, "labels": of["labels"], "annotations": of["annotations"]});
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
        let made = cluster().create(&path("configmaps", Some(&self.places.namespace), ""), &object);
        let at = path("configmaps", Some(&self.places.namespace), name);
        self.foreign.insert(at, made["metadata"]["resourceVersion"].clone());
    }

    /// Waits until the sync says that it is done, lets it prune what the guard holds, and waits
    /// until everything is as git says.
    fn converges(&mut self) -> Result<(), String> {
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
                return Err(format!("{} s after the last fault: {differs}", BOUND.as_secs()));
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
    fn is_at_rest(&self, ours: &BTreeSet<String>) -> Result<(), String> {
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

    /// The last requests and lines of the log.
    fn last(&self) -> Vec<String> {
        let seen = self.proxy.seen();
        let seen = seen.iter().filter(|exchange| !exchange.ask.is_watch());
        let mut last: Vec<String> = seen.map(ToString::to_string).collect();
        last.push("--".into());
        last.extend(self.logs.iter().cloned());
        last
    }

    fn end(mut self) {
        self.bury();
        for name in [&self.places.extra, &self.places.namespace, &self.places.home] {
            cluster().delete(&path("namespaces", None, name));
        }
    }
}

/// Whether the sync is at the end of a commit, or waits for somebody.
fn is_done(parent: &Parent, commit: &str) -> bool {
    let of = |one: &Commit| one.id == commit;
    let status = &parent.status;
    match status.phase {
        Phase::Synced => status.synced.as_ref().is_some_and(of),
        Phase::Failing | Phase::Held => status.attempted.as_ref().is_some_and(of),
        _ => false,
    }
}

/// Waits for something that may never come.
fn soon(mut come: impl FnMut() -> bool) {
    let until = Instant::now() + SOON;
    while Instant::now() < until && !come() {
        thread::sleep(Duration::from_millis(2));
    }
}

fn apply(change: &Change, state: &mut State) {
    match change {
        Change::Put(thing, number) => drop(state.things.insert(*thing, *number)),
        Change::Remove(thing) => drop(state.things.remove(thing)),
        Change::RemoveAllBut(kept) => state.things.retain(|thing, _| Some(*thing) == *kept),
        Change::Break(broken) => state.broken = *broken,
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
