//! One random run: a world of its own, what happens in it, and what must hold at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::action::Plot;
use super::book::Exchanges;
use super::declared::{DIRS, Dir, Places, State, Sync, Thing};
use super::rules::{Entry, Rules};
use crate::support::agent::Agent;
use crate::support::cluster::{cluster, path};
use crate::support::fault::{Moment, Proxy};
use crate::support::site::Site;

/// What went wrong in a run, and what was seen before.
pub struct Failure {
    pub what: String,
    pub last: Vec<String>,
}

/// How many requests of each verb were checked.
pub type Checked = BTreeMap<&'static str, usize>;

type Record = Arc<Mutex<Vec<Entry>>>;

pub struct World {
    pub(super) site: Site,
    pub(super) proxy: Proxy,
    pub(super) places: Places,
    pub(super) syncs: Vec<Sync>,
    /// What the sync of the shop follows.
    pub(super) dir: Dir,
    pub(super) agent: Option<Agent>,
    /// The last agent ended by itself after SIGTERM, so that nothing of it is under way.
    pub(super) clean: bool,
    /// No fault is at work.
    pub(super) calm: bool,
    /// The logs of agents that are no more.
    pub(super) logs: Vec<String>,
    pub(super) record: Record,
    pub(super) commits: Vec<State>,
    /// Of the cluster, when each was made.
    pub(super) versions: Vec<String>,
    /// What is not the agent's, by path, with its resource version.
    pub(super) foreign: BTreeMap<String, Value>,
    /// UIDs of what somebody made in place of what was the agent's.
    pub(super) replaced: BTreeSet<String>,
    pub(super) copies: usize,
}

/// Carries out a run from the first commit to the end.
pub fn run(plot: &Plot) -> Result<Checked, Failure> {
    let mut world = World::new(plot);
    let checked = world.play(plot);
    let result = checked.map_err(|what| Failure { what, last: world.last() });
    world.end();
    result
}

impl World {
    fn new(plot: &Plot) -> Self {
        let readmes = DIRS.map(|dir| format!("{}/README.md", dir.path()));
        // A directory that has nothing else is there all the same.
        let site = Site::with(&readmes.each_ref().map(|file| (&**file, "a directory\n")));
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
        let mut world = Self {
            site,
            proxy,
            places,
            syncs: plot.syncs.clone(),
            dir: Dir::Shop,
            agent: None,
            clean: false,
            calm: true,
            logs: Vec::new(),
            record,
            commits: vec![State::default()],
            versions: Vec::new(),
            foreign: BTreeMap::new(),
            replaced: BTreeSet::new(),
            copies: 0,
        };
        world.configure();
        world.foreign_map("foreign", &json!({}));
        world.commit(plot.first.clone());
        world
    }

    /// Writes the configuration, which an agent that runs takes up.
    pub(super) fn configure(&self) {
        let sync = |sync: &Sync| {
            let mut config = self.site.sync(sync.name());
            config["path"] = self.dir_of(*sync).path().into();
            config
        };
        self.site.configure(&self.syncs.iter().map(sync).collect::<Vec<_>>());
    }

    pub(super) fn note(&self, entry: Entry) {
        self.record.lock().expect("the record").push(entry);
    }

    pub(super) fn commit(&mut self, state: State) {
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
        let clean = std::mem::take(&mut self.clean);
        self.note(Entry::Started { clean });
        self.agent = Some(Agent::launch(&self.site, self.site.command(&["run"])));
    }

    /// Starts an agent that ended by itself once more, as a kubelet does.
    pub(super) fn keep_alive(&mut self) {
        if self.agent.as_mut().is_none_or(Agent::has_ended) {
            self.bury();
            self.start();
        }
    }

    pub(super) fn bury(&mut self) {
        if let Some(agent) = self.agent.take() {
            self.logs.extend(agent.log());
            self.logs.push("--".into());
            agent.kill();
            self.note(Entry::Killed);
        }
    }

    fn play(&mut self, plot: &Plot) -> Result<Checked, String> {
        self.start();
        for action in &plot.actions {
            self.keep_alive();
            self.act(action);
        }
        self.calm();
        for sync in self.syncs.clone() {
            self.resume(sync);
        }
        self.commit(self.last_state());
        let converged = self.converges();
        self.bury();
        // A request that broke a rule is a better story than what came of it.
        let exchanges = Exchanges::of(&self.proxy);
        let mut rules = Rules::new(&self.places, &self.syncs, &exchanges);
        let record = self.record.lock().expect("the record").clone();
        rules.hold(&record)?;
        converged?;
        self.is_at_rest(&rules.ours())?;
        Ok(rules.counts)
    }

    /// The newest state without anything that cannot be applied, and with each thing declared once.
    fn last_state(&self) -> State {
        let mut last = self.commits.last().cloned().unwrap_or_default();
        let mut declared = BTreeSet::new();
        for dir in [self.dir, Dir::Till, Dir::Yard] {
            let content = last.within(dir);
            content.broken = false;
            content.things.remove(&Thing::Refused);
            content.things.retain(|thing, _| declared.insert(*thing));
        }
        last
    }

    /// Which directory a sync follows.
    pub(super) fn dir_of(&self, sync: Sync) -> Dir {
        match sync {
            Sync::Shop => self.dir,
            Sync::Till => Dir::Till,
            Sync::Yard => Dir::Yard,
        }
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
