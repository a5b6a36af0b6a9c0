//! What a sync finds out about the others before it plans, so that an object which moves from one to another is neither
//! deleted nor taken over in between: for whose declarations it waits, whose it reads itself and what follows from that,
//! and about which orphans the API server is asked. The agent sleeps, renders and asks; times are handed in. What the
//! answers mean for an object is decided by `plan::claims`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Fleet;
use crate::config::{ServiceAccount, SyncConfig, SyncName};
use crate::object::{ObjectId, Observed};
use crate::plan::{Declaration, Others, Problem, Resolved};

/// How long another sync may take to declare its objects, and how long a rendering of a commit for it may take. Its
/// repository may not answer for hours, and whoever waits has other things to do.
pub const DECLARATIONS: Duration = Duration::from_secs(15);
/// Between two checks whether another sync has declared its objects.
const PAUSE: Duration = Duration::from_millis(100);
/// Orphans about which the API server is asked in one cycle, whether another sync may take them.
/// The others count as if it may, and stay until a later cycle.
const ASKED: usize = 64;
/// For how long such an answer counts.
const REMEMBERED: Duration = Duration::from_mins(10);

/// One wait for what other syncs declare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclarationWait {
    sets: BTreeSet<Arc<str>>,
    until: Duration,
}

/// The sets whose syncs were waited for in vain, and are not waited for again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitedInVain(BTreeSet<Arc<str>>);

impl WaitedInVain {
    /// Begins a wait. At the start all syncs read git at the same time: an object that carries the label of one which has
    /// not done so yet may be moving here, or may stay, which is worth a moment of waiting, once.
    #[must_use]
    pub fn begin(&self, observed: &BTreeMap<ObjectId, Observed>, now: Duration) -> DeclarationWait {
        let sets = labels(observed).filter(|set| !self.0.contains(*set));
        DeclarationWait { sets: sets.map(Arc::from).collect(), until: now + DECLARATIONS }
    }

    /// For how long to pause before this is asked again; `None`: the wait is over, since all have declared their objects
    /// or its time is up. `stopping`: the agent stops.
    pub fn pause(
        &mut self,
        wait: &DeclarationWait,
        fleet: &Fleet,
        sync: &SyncName,
        now: Duration,
        stopping: bool,
    ) -> Option<Duration> {
        let open = fleet.undecided(sync, &wait.sets);
        if open.is_empty() {
            return None;
        }
        if now >= wait.until || stopping {
            self.0.extend(open);
            return None;
        }
        Some(PAUSE)
    }
}

/// Of the syncs that have not come to a commit of this repository, those of which has to be found out now what it declares
/// for them. An orphan may have moved to any of them; without one, only whose objects are declared here matter.
#[must_use]
pub fn to_read(
    behind: Vec<Arc<SyncConfig>>,
    others: &Others,
    orphans: &BTreeSet<ObjectId>,
    observed: &BTreeMap<ObjectId, Observed>,
) -> Vec<Arc<SyncConfig>> {
    let owners = labels(observed).filter_map(|set| others.of_set(set)).map(|(name, _)| &**name);
    let owners: BTreeSet<&str> = owners.collect();
    behind.into_iter().filter(|other| !orphans.is_empty() || owners.contains(other.name.as_str())).collect()
}

/// Whether an object carries the label of a set that is of no configured sync.
#[must_use]
pub fn has_unknown_set(others: &Others, own: &str, observed: &BTreeMap<ObjectId, Observed>) -> bool {
    labels(observed).any(|set| set != own && others.of_set(set).is_none())
}

fn labels(observed: &BTreeMap<ObjectId, Observed>) -> impl Iterator<Item = &str> {
    observed.values().filter_map(|live| live.part_of.as_deref())
}

/// What became of rendering a commit for another sync.
#[derive(Clone, Copy, Debug)]
pub enum OtherRendering<'a> {
    /// It was rendered from what its sources have now.
    Made {
        /// Its objects in their places.
        resolved: &'a Resolved,
        /// Those of rendering.
        problems: &'a [Problem],
        /// Target namespace of the other sync.
        target: Option<&'a str>,
    },
    /// It was made of something that could not be compared with its source.
    Unverified,
    /// The commit has no such path.
    NoPath,
    /// It failed, or took longer than [`DECLARATIONS`].
    Unknown,
}

impl OtherRendering<'_> {
    /// What the commit declares for the other sync, as far as the objects in question go.
    #[must_use]
    pub fn declaration(self, wanted: &BTreeSet<ObjectId>) -> Declaration {
        let mut declaration = match self {
            Self::Made { resolved, problems, target } => Declaration::of(resolved, problems, target),
            Self::NoPath => Declaration { complete: true, ..Declaration::default() },
            // What is unverified may be older than what the other sync has applied, and lack something.
            Self::Unverified | Self::Unknown => Declaration::default(),
        };
        declaration.ids.retain(|id| wanted.contains(id));
        declaration
    }
}

/// Orphans that other syncs may take over, by the time at which the API server said so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takeable(BTreeMap<(Arc<str>, ObjectId), Duration>);

/// A question to the API server: whether a sync may take an orphan over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeoverQuestion<'a> {
    /// The sync that names the orphan.
    pub sync: Arc<str>,
    /// As whom that sync acts.
    pub account: ServiceAccount,
    /// The orphan.
    pub live: &'a Observed,
    /// `ApplySet` id of that sync.
    pub set_id: String,
}

impl Takeable {
    /// What to ask about the orphans that other syncs name: a sync that has no right to an object does not keep it by
    /// naming it. `account`: as whom a sync acts; one with the agent's own rights is not asked about.
    pub fn questions<'a>(
        &mut self,
        others: &Others,
        orphans: impl Iterator<Item = &'a Observed>,
        account: impl Fn(&str) -> Option<ServiceAccount>,
        now: Duration,
    ) -> Vec<TakeoverQuestion<'a>> {
        self.0.retain(|_, asked| now.saturating_sub(*asked) < REMEMBERED);
        let mut questions = Vec::new();
        for live in orphans {
            for name in others.named_by(&live.id) {
                if questions.len() == ASKED {
                    return questions;
                }
                let known = self.0.contains_key(&(Arc::clone(name), live.id.clone()));
                if let Some(account) = account(name).filter(|_| !known) {
                    let set_id = others.syncs.get(name).map(|sync| sync.set_id.clone()).unwrap_or_default();
                    questions.push(TakeoverQuestion { sync: Arc::clone(name), account, live, set_id });
                }
            }
        }
        questions
    }

    /// Takes in an answer; `None`: it cannot be said, so that the orphan stays, and it is asked again.
    pub fn answered(&mut self, others: &mut Others, question: &TakeoverQuestion<'_>, may: Option<bool>, now: Duration) {
        let TakeoverQuestion { sync, live, .. } = question;
        match may {
            Some(true) => drop(self.0.insert((Arc::clone(sync), live.id.clone()), now)),
            Some(false) => others.bar(sync, &live.id),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::parse;
    use crate::object::{Health, Managers, names};
    use crate::plan::{Neighbour, Phase};

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn config(name: &str) -> Arc<SyncConfig> {
        let text = format!("syncs:\n- {{name: {name}, source: {{url: 'https://e.com/r.git', branch: main}}}}\n");
        Arc::clone(&parse(&text, "driftless.yaml").unwrap().syncs[0])
    }

    fn id(name: &str) -> ObjectId {
        ObjectId::new("", "ConfigMap", Some("shop"), name)
    }

    /// An object with the label of a set; empty: without one.
    fn live(name: &str, set: &str) -> Observed {
        let labels = if set.is_empty() { json!({}) } else { json!({names::PART_OF: set}) };
        let metadata = json!({"uid": "u", "resourceVersion": "1", "labels": labels});
        Observed::from_metadata(id(name), &metadata, Health::current(), &Managers::default()).unwrap()
    }

    fn observed(objects: &[(&str, &str)]) -> BTreeMap<ObjectId, Observed> {
        objects.iter().map(|(name, set)| (id(name), live(name, set))).collect()
    }

    /// The syncs `left` and `right`, which have not read their repository yet.
    fn fleet() -> (Fleet, SyncName, SyncName) {
        let mut fleet = Fleet::default();
        let [left, right] = ["left", "right"].map(|name| {
            let config = config(name);
            fleet.enter(&config, &format!("set-{name}"));
            fleet.set_phase(&config.name, Phase::Pending);
            config.name.clone()
        });
        (fleet, left, right)
    }

    #[test]
    fn a_sync_that_does_not_declare_is_waited_for_once_and_for_so_long() {
        let (fleet, _, right) = fleet();
        let seen = observed(&[("x", "set-left")]);
        let mut vain = WaitedInVain::default();
        let wait = vain.begin(&seen, at(100));
        for now in [Duration::from_secs(100), Duration::from_millis(114_999)] {
            assert_eq!(vain.pause(&wait, &fleet, &right, now, false), Some(PAUSE), "{now:?}");
        }
        assert_eq!(vain.pause(&wait, &fleet, &right, at(115), false), None);
        let again = vain.begin(&seen, at(200));
        assert_eq!(vain.pause(&again, &fleet, &right, at(200), false), None, "it was in vain before");
    }

    #[test]
    fn a_wait_is_over_with_the_declaration_and_another_one_is_waited_for_then() {
        let (mut fleet, left, right) = fleet();
        let mut vain = WaitedInVain::default();
        let seen = observed(&[("x", "set-left"), ("y", "set-right"), ("z", "set-of-nobody"), ("free", "")]);
        let wait = vain.begin(&seen, at(0));
        assert_eq!(vain.pause(&wait, &fleet, &right, at(1), false), Some(PAUSE));
        fleet.declare(&left, "c1", true, &Declaration { complete: true, ..Declaration::default() });
        assert_eq!(vain.pause(&wait, &fleet, &right, at(2), false), None, "neither for its own set nor for nobody's");
        // Resumed after a suspension, it has not read its repository: it was never waited for in vain.
        fleet.set_phase(&left, Phase::Suspended);
        fleet.set_phase(&left, Phase::Pending);
        let wait = vain.begin(&seen, at(60));
        assert_eq!(vain.pause(&wait, &fleet, &right, at(60), false), Some(PAUSE));
        assert_eq!(vain.pause(&wait, &fleet, &right, at(60), true), None, "the agent stops");
    }

    #[test]
    fn without_an_object_of_another_sync_nothing_is_waited_for() {
        let (fleet, left, _) = fleet();
        let mut vain = WaitedInVain::default();
        let wait = vain.begin(&observed(&[("x", ""), ("y", "set-left")]), at(0));
        assert_eq!(vain.pause(&wait, &fleet, &left, at(0), false), None);
        assert_eq!(vain, WaitedInVain::default());
    }

    /// `left` and `right`, which name these objects; `unsure` has manifests that cannot be used.
    fn others(names: &[&str]) -> Others {
        let mut others = Others::default();
        for sync in ["left", "right", "unsure"] {
            let neighbour =
                Neighbour { set_id: format!("set-{sync}"), unsure: sync == "unsure", ..Neighbour::default() };
            others.syncs.insert(sync.into(), neighbour);
        }
        for sync in ["left", "right"] {
            let ids = names.iter().map(|name| id(name)).collect();
            others.declares(sync, Declaration { ids, complete: true });
        }
        others
    }

    fn account(sync: &str) -> Option<ServiceAccount> {
        (sync != "right").then(|| ServiceAccount { namespace: "shop".into(), name: sync.into() })
    }

    fn asked(questions: &[TakeoverQuestion<'_>]) -> Vec<(String, String)> {
        questions.iter().map(|question| (question.sync.to_string(), question.live.id.name.to_string())).collect()
    }

    #[test]
    fn of_an_orphan_it_is_asked_whether_those_who_name_it_with_fewer_rights_may_take_it() {
        let orphans = [live("x", "set-me"), live("y", "set-me")];
        let mut others = others(&["x"]);
        let mut takeable = Takeable::default();
        let questions = takeable.questions(&others, orphans.iter(), account, at(0));
        let pair = |sync: &str, name: &str| (sync.to_owned(), name.to_owned());
        assert_eq!(asked(&questions), [pair("left", "x"), pair("unsure", "x"), pair("unsure", "y")]);
        assert_eq!((&*questions[0].set_id, &*questions[0].account.name), ("set-left", "left"));
        for (question, may) in questions.iter().zip([Some(true), Some(false), None]) {
            takeable.answered(&mut others, question, may, at(1));
        }
        let barred = |others: &Others, sync: &str, name: &str| {
            others.syncs[sync].objects.get(&id(name)).is_some_and(|stake| stake.barred)
        };
        assert!(barred(&others, "unsure", "x"));
        assert!(
            !barred(&others, "left", "x") && !barred(&others, "unsure", "y"),
            "what nobody can say keeps the orphan"
        );
    }

    #[test]
    fn that_an_orphan_may_be_taken_counts_for_a_while_and_anything_else_is_asked_again() {
        let orphans = [live("x", "set-me")];
        let mut others = others(&["x"]);
        let mut takeable = Takeable::default();
        let questions = takeable.questions(&others, orphans.iter(), account, at(0));
        takeable.answered(&mut others, &questions[0], Some(true), at(5));
        takeable.answered(&mut others, &questions[1], Some(false), at(5));
        for (now, syncs) in [(5, &["unsure"][..]), (604, &["unsure"]), (605, &["left", "unsure"])] {
            let questions = takeable.questions(&others, orphans.iter(), account, at(now));
            assert_eq!(asked(&questions).iter().map(|(sync, _)| sync.as_str()).collect::<Vec<_>>(), syncs, "{now}");
        }
    }

    #[test]
    fn so_many_are_asked_about_in_one_cycle_and_the_rest_stays_for_a_later_one() {
        let names: Vec<String> = (0..100).map(|number| format!("x{number:02}")).collect();
        let orphans: Vec<Observed> = names.iter().map(|name| live(name, "set-me")).collect();
        let mut others = others(&[]);
        others.syncs.remove("unsure");
        others.declares("left", Declaration { ids: names.iter().map(|name| id(name)).collect(), complete: true });
        let mut takeable = Takeable::default();
        let first = takeable.questions(&others, orphans.iter(), account, at(0));
        assert_eq!(first.len(), ASKED);
        for question in &first {
            takeable.answered(&mut others, question, Some(true), at(1));
        }
        let second = takeable.questions(&others, orphans.iter(), account, at(2));
        assert_eq!(asked(&second).first().map(|(_, name)| name.as_str()), Some("x64"));
        assert_eq!(second.len(), 100 - ASKED);
    }

    #[test]
    fn an_orphan_may_have_moved_to_anybody_and_else_only_owners_of_what_is_declared_matter() {
        let others = others(&[]);
        let behind = || vec![config("left"), config("right")];
        let read = |orphans: &[&str], seen: &BTreeMap<ObjectId, Observed>| {
            let orphans = orphans.iter().map(|name| id(name)).collect();
            let found = to_read(behind(), &others, &orphans, seen);
            found.iter().map(|sync| sync.name.to_string()).collect::<Vec<_>>()
        };
        let seen = observed(&[("x", "set-right"), ("y", "set-me"), ("z", "")]);
        assert_eq!(read(&["y"], &seen), ["left", "right"]);
        assert_eq!(read(&[], &seen), ["right"]);
        assert_eq!(read(&[], &observed(&[("y", "set-me")])), [""; 0]);
        assert!(!has_unknown_set(&others, "set-me", &seen));
        assert!(has_unknown_set(&others, "set-me", &observed(&[("x", "set-of-nobody")])));
    }

    #[test]
    fn only_a_rendering_that_is_certain_says_what_another_sync_does_not_declare() {
        let wanted = BTreeSet::from([id("x")]);
        let resolved = Resolved::default();
        let made = |problems| OtherRendering::Made { resolved: &resolved, problems, target: None };
        let unusable = [Problem { object: Some(id("x")), ..Problem::general("bad") }];
        let declaration = made(&unusable).declaration(&wanted);
        assert!(declaration.complete && declaration.ids == wanted, "it says which object it is");
        assert_eq!(made(&unusable).declaration(&BTreeSet::new()).ids, BTreeSet::new(), "nobody asks about it");
        assert!(!made(&[Problem::general("bad")]).declaration(&wanted).complete);
        assert_eq!(
            OtherRendering::NoPath.declaration(&wanted),
            Declaration { complete: true, ..Declaration::default() }
        );
        for unknown in [OtherRendering::Unverified, OtherRendering::Unknown] {
            assert_eq!(unknown.declaration(&wanted), Declaration::default());
        }
    }
}
