//! What must hold of every single request of a run, whatever has happened: read from a record of
//! all that was asked, answered, committed and done by hand, in the order in which it was. What concerns one
//! sync alone is in its book.

use std::collections::{BTreeMap, BTreeSet};

use driftless::object::ObjectId;

use super::book::{Book, Exchanges, Facts, target};
use super::declared::{Dir, Places, State, Sync};
use crate::support::cluster::path;
use crate::support::fault::Ask;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A request of the agent came, before the server had it.
    Asked(Ask),
    /// The server answered it, whether or not the agent received that.
    Answered(Ask, u16),
    Pushed(String, State),
    /// Somebody is about to approve the deletion of these for a commit.
    Approved {
        sync: Sync,
        commit: String,
        shown: BTreeSet<String>,
    },
    /// Somebody is about to change the object at a path.
    Touched(String),
    /// An agent starts; `clean`: nothing of the one before is under way.
    Started {
        clean: bool,
    },
    /// An agent ended by itself after SIGTERM; `calm`: while no fault was at work.
    Stopped {
        calm: bool,
    },
    Killed,
    /// A sync is suspended, and what it had under way has ended.
    Still(Sync),
    /// A sync is about to be resumed.
    Resumed(Sync),
    /// The sync of the shop is about to be configured to follow a directory.
    Follows(Dir),
}

pub struct Rules<'a> {
    facts: Facts<'a>,
    books: Vec<Book>,
    /// By path, which sync applied last what is there.
    owners: BTreeMap<String, Sync>,
    /// How many requests of each verb were checked, and how often other things were.
    pub counts: BTreeMap<&'static str, usize>,
}

impl<'a> Rules<'a> {
    pub fn new(places: &'a Places, syncs: &[Sync], exchanges: &'a Exchanges) -> Self {
        let (touched, named) = (BTreeSet::new(), BTreeMap::new());
        let facts = Facts { places, exchanges, commits: Vec::new(), touched, named };
        let books = syncs.iter().map(|sync| Book::new(*sync, places)).collect();
        Self { facts, books, owners: BTreeMap::new(), counts: BTreeMap::new() }
    }

    /// UIDs of all objects that each sync has applied.
    pub fn ours(&self) -> BTreeMap<Sync, BTreeSet<String>> {
        self.books.iter().map(|book| (book.sync, book.ours.clone())).collect()
    }

    /// Goes through a record; the error says which rule was broken by what.
    pub fn hold(&mut self, record: &[Entry]) -> Result<(), String> {
        for entry in record {
            let newest = self.facts.newest();
            match entry {
                Entry::Asked(ask) if ask.is_write() => {
                    self.asked(ask).map_err(|why| format!("{} {ask}: {why}", ask.number))?;
                }
                Entry::Answered(ask, 200..300) if ask.is_write() => self.took_effect(ask),
                Entry::Pushed(commit, state) => self.facts.commits.push((commit.clone(), state.clone())),
                Entry::Approved { sync, commit, shown } => self.book(*sync).approved(commit, shown),
                Entry::Touched(path) => drop(self.facts.touched.insert(path.clone())),
                Entry::Started { clean } => self.books.iter_mut().for_each(|book| book.started(*clean, newest)),
                Entry::Stopped { calm: true } => {
                    self.count("stop");
                    self.books.iter().try_for_each(Book::has_stored_what_it_learned)?;
                }
                Entry::Still(sync) => {
                    self.count("suspension");
                    self.book(*sync).still = Some(newest);
                }
                Entry::Resumed(sync) => self.book(*sync).resumed(newest),
                Entry::Follows(dir) => self.book(Sync::Shop).dirs.push(*dir),
                Entry::Asked(_) | Entry::Answered(..) | Entry::Stopped { .. } | Entry::Killed => {}
            }
        }
        Ok(())
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn book(&mut self, sync: Sync) -> &mut Book {
        self.books.iter_mut().find(|book| book.sync == sync).expect("a sync of this run")
    }

    fn asked(&mut self, ask: &Ask) -> Result<(), String> {
        let (path, home) = (target(ask), &self.facts.places.home);
        let reports = ask.verb == "create" && ask.resource == "events";
        if reports || ask.namespace == *home || path == format!("/api/v1/namespaces/{home}") {
            return Ok(());
        }
        self.count(ask.verb);
        match ask.verb {
            // The namespace of the agent's own.
            "create" if ask.resource == "namespaces" && ask.object()["metadata"]["name"] == **home => Ok(()),
            "apply" => self.may_apply(ask, &path),
            "patch" if ask.object().is_object() => self.by_any(|book, facts| book.may_release(ask, &path, facts)),
            "patch" => self.by_any(|book, facts| book.may_take_over(ask, &path, facts)),
            "delete" => {
                let named = self.books.iter().map(|book| (book.sync, book.names(&self.facts))).collect();
                self.facts.named = named;
                self.by_any(|book, facts| book.may_delete(ask, &path, facts))
            }
            verb => Err(format!("the agent never asks for {verb} here")),
        }
    }

    /// Nothing in the request says which sync asks: it has to be right for one that is not suspended.
    fn by_any(&mut self, may: impl Fn(&mut Book, &Facts<'_>) -> Result<(), String>) -> Result<(), String> {
        let mut refused = Vec::new();
        for book in &mut self.books {
            let answer = match book.still {
                Some(_) => Err("it is suspended".into()),
                None => may(book, &self.facts),
            };
            match answer {
                Ok(()) => return Ok(()),
                Err(why) => refused.push(format!("{}: {why}", book.sync.name())),
            }
        }
        Err(refused.join("; "))
    }

    fn may_apply(&mut self, ask: &Ask, path: &str) -> Result<(), String> {
        let set = ask.object()["metadata"]["labels"]["applyset.kubernetes.io/part-of"].clone();
        let at = self.books.iter().position(|book| set == *book.set).ok_or("it has not the label of a set")?;
        let asks = self.books[at].sync;
        if let Some(owner) = self.owners.get(path).copied().filter(|owner| *owner != asks)
            && !self.facts.touched.contains(path)
        {
            let lets_go =
                self.books.iter().find(|book| book.sync == owner).is_some_and(|book| book.lets_go(path, &self.facts));
            if !lets_go {
                return Err(format!("{} owns it, and is not known to declare it no longer", owner.name()));
            }
        }
        let book = &mut self.books[at];
        if book.still.is_some() {
            return Err(format!("{} is suspended", asks.name()));
        }
        book.may_apply(ask, path, &self.facts).map_err(|why| format!("{}: {why}", asks.name()))?;
        if asks != Sync::Shop {
            self.count("of others");
        }
        Ok(())
    }

    fn took_effect(&mut self, ask: &Ask) {
        let path = target(ask);
        if let Some(book) = self.books.iter_mut().find(|book| book.parent == path) {
            return book.stores(ask, &self.facts);
        }
        match ask.verb {
            "apply" => {
                let set = ask.object()["metadata"]["labels"]["applyset.kubernetes.io/part-of"].clone();
                for book in &mut self.books {
                    if set == *book.set {
                        self.owners.insert(path.clone(), book.sync);
                        book.applied(ask, &path, &self.facts);
                    } else {
                        book.is_taken(&path);
                    }
                }
            }
            "delete" => {
                self.owners.remove(&path);
                self.books.iter_mut().for_each(|book| book.deleted(&path));
            }
            _ => {}
        }
    }
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
