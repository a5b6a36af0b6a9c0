//! The order in which orphans are deleted, decided as work goes on: what may be deleted now, and what
//! has to wait for another object to be gone. A deletion that was accepted and waits for finalizers or
//! a grace period counts as an object that is still there.
//!
//! An orphan is deleted when
//! - each object that depends on it (`config.kubernetes.io/depends-on`) is gone;
//! - what lives in it is gone: in a Namespace, of the kind that a CRD defines or an `APIService` serves;
//! - nothing that goes earlier is about to be deleted: first webhooks and aggregated APIs, then custom
//!   resources, then the stages of applying backwards;
//! - the webhooks, aggregated APIs and custom resources are gone, as far as they have not taken longer
//!   than others are held back for them ([`Plan::overdue`]). Any of the rest may be what they call, or
//!   what removes their finalizers.
//!
//! Nothing recurses, and the work is linear in objects and dependencies: their shape comes from
//! annotations of live objects.

mod dependencies;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::object::ObjectId;

use self::dependencies::{Dependency, RANKS, Rank, dependencies};
use super::{Awaited, Plan, PruneResult, PrunedObject, Reason, Step, Verb};

#[cfg(test)]
mod tests;

/// What is left to be deleted of one plan.
pub struct Deletions<'a> {
    steps: &'a [Step],
    /// One a step, at the same place.
    nodes: Vec<Node>,
    /// What nothing else holds back than what goes earlier.
    ready: BTreeSet<(Rank, usize)>,
    /// How many objects of each rank the later ones wait for.
    open: [usize; RANKS],
    /// Objects that go first, hold back the rest, and are not gone.
    first: BTreeSet<usize>,
    /// One of these is still there after its deletion.
    first_stays: bool,
    /// How many objects wait that those hold back.
    held: usize,
    /// Which of these is observed.
    first_awaited: Option<usize>,
    to_await: VecDeque<usize>,
}

struct Node {
    /// That of its kind, or of what has to be gone before it, where that is later.
    rank: Rank,
    state: DeletionState,
    /// Objects that have to be gone first.
    unmet: usize,
    /// Objects that wait until this one is gone.
    after: Vec<(usize, Awaited)>,
    /// It waits, maybe by way of others, for an object that is still there.
    late: bool,
    /// Its deletion was accepted, and is not done.
    going: bool,
    finalizers: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeletionState {
    /// Nothing is to be done, or it is gone.
    Done,
    Waiting,
    Begun,
    /// It is still there after all that can be done about it now.
    Staying,
}

impl<'a> Deletions<'a> {
    /// Orders what the plan prunes and detaches. Nothing of it has begun.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Self {
        let node = |step: &Step| Node {
            rank: Rank::of(&step.id.gk, plan),
            state: match step.verb {
                Verb::Prune | Verb::Detach => DeletionState::Waiting,
                Verb::Wait if is_terminating(step) => DeletionState::Staying,
                _ => DeletionState::Done,
            },
            unmet: 0,
            after: Vec::new(),
            late: false,
            going: is_terminating(step),
            finalizers: finalizers(step),
        };
        let mut deletions = Self {
            steps: &plan.steps,
            nodes: plan.steps.iter().map(node).collect(),
            ready: BTreeSet::new(),
            open: [0; RANKS],
            first: BTreeSet::new(),
            first_stays: false,
            held: 0,
            first_awaited: None,
            to_await: VecDeque::new(),
        };
        deletions.connect(plan);
        deletions.rank();
        for (at, step) in plan.steps.iter().enumerate() {
            let node = &deletions.nodes[at];
            let (rank, unmet) = (node.rank, node.unmet);
            if node.state == DeletionState::Done {
                continue;
            }
            if rank <= Rank::Custom && step.verb != Verb::Detach && !plan.overdue.contains(&step.id) {
                deletions.first.insert(at);
            }
            if node.state == DeletionState::Waiting {
                deletions.open[rank as usize] += 1;
                deletions.held += usize::from(deletions.is_held(at));
                if unmet == 0 {
                    deletions.ready.insert((rank, at));
                }
            }
        }
        for at in 0..deletions.nodes.len() {
            if deletions.nodes[at].state == DeletionState::Staying {
                deletions.stays(at);
            }
        }
        deletions
    }

    fn connect(&mut self, plan: &Plan) {
        for Dependency { first, then, why } in dependencies(plan, |at| self.nodes[at].state != DeletionState::Done) {
            self.nodes[first].after.push((then, why));
            self.nodes[then].unmet += 1;
        }
    }

    /// Moves each object behind what has to be gone before it.
    fn rank(&mut self) {
        let mut unmet: Vec<usize> = self.nodes.iter().map(|node| node.unmet).collect();
        let mut placed: Vec<usize> = (0..self.nodes.len()).filter(|at| unmet[*at] == 0).collect();
        let mut next = 0;
        while let Some(&at) = placed.get(next) {
            next += 1;
            let rank = self.nodes[at].rank;
            for place in 0..self.nodes[at].after.len() {
                let (below, _) = self.nodes[at].after[place];
                self.nodes[below].rank = self.nodes[below].rank.max(rank);
                unmet[below] -= 1;
                if unmet[below] == 0 {
                    placed.push(below);
                }
            }
        }
    }

    /// An object that may be deleted, or released, now; each is given once.
    pub fn begin(&mut self) -> Option<&'a Step> {
        let is_open = |rank: Rank| self.open[..rank as usize].iter().all(|objects| *objects == 0);
        let mut allowed = self.ready.iter().copied().take_while(|(rank, _)| is_open(*rank));
        let next = allowed.find(|(_, at)| self.first.is_empty() || !self.is_held(*at))?;
        self.ready.remove(&next);
        self.held -= usize::from(self.is_held(next.1));
        self.nodes[next.1].state = DeletionState::Begun;
        Some(&self.steps[next.1])
    }

    /// Whether it waits for what goes first.
    fn is_held(&self, at: usize) -> bool {
        self.nodes[at].rank.serves() && self.steps[at].verb == Verb::Prune
    }

    /// Takes in what became of an object that was begun.
    pub fn ended(&mut self, outcome: &PrunedObject) {
        let Some(at) = self.position(&outcome.id).filter(|at| self.nodes[*at].state == DeletionState::Begun) else {
            return;
        };
        self.open[self.nodes[at].rank as usize] -= usize::from(!self.nodes[at].late);
        self.nodes[at].state = DeletionState::Staying;
        self.nodes[at].going = outcome.result == PruneResult::Deleted;
        if outcome.gone { self.is_gone(at) } else { self.stays(at) }
    }

    /// An object that is going, and for which others wait: it is to be observed. Each is given once; of
    /// those for which all the rest waits, one after another.
    pub fn to_await(&mut self) -> Option<&'a Step> {
        while let Some(at) = self.to_await.pop_front() {
            if self.nodes[at].state == DeletionState::Staying && self.is_needed(at) {
                return Some(&self.steps[at]);
            }
        }
        if self.held == 0 || self.first_awaited.is_some_and(|at| self.first.contains(&at)) {
            return None;
        }
        let going = |at: &&usize| self.nodes[**at].state == DeletionState::Staying && self.nodes[**at].going;
        self.first_awaited = self.first.iter().find(going).copied();
        let at = self.first_awaited?;
        // It is observed already where others depend on it.
        if self.is_needed(at) { None } else { Some(&self.steps[at]) }
    }

    /// Takes in what an observation has shown of an object that is still there: its finalizers, or `None` when it is
    /// gone. Whether anything waits for it still.
    pub fn observed(&mut self, id: &ObjectId, finalizers: Option<Vec<String>>) -> bool {
        let Some(at) = self.position(id).filter(|at| self.nodes[*at].state == DeletionState::Staying) else {
            return false;
        };
        if let Some(finalizers) = finalizers {
            self.nodes[at].finalizers = finalizers;
            return self.is_awaited(at);
        }
        self.is_gone(at);
        false
    }

    /// Nothing waits any longer only for what goes first.
    pub fn let_go(&mut self) {
        self.first.clear();
        self.go_on_with_the_rest();
    }

    /// What cannot be deleted before another object is gone, by the place of its step, and why.
    #[must_use]
    pub fn waiting(&self) -> Vec<(usize, Reason)> {
        let waits = |at: &usize| self.nodes[*at].state == DeletionState::Waiting;
        let mut reasons: BTreeMap<usize, Reason> = BTreeMap::new();
        let mut reached: Vec<(usize, usize)> = Vec::new();
        for at in self.staying() {
            for (below, why) in self.nodes[at].after.iter().filter(|(below, _)| waits(below)) {
                if let Entry::Vacant(entry) = reasons.entry(*below) {
                    entry.insert(self.reason(at, *why));
                    reached.push((*below, at));
                }
            }
        }
        if let Some(at) = self.staying().find(|at| self.first.contains(at)) {
            let held = (0..self.nodes.len()).filter(|below| waits(below));
            for below in held.filter(|below| self.is_held(*below)) {
                if let Entry::Vacant(entry) = reasons.entry(below) {
                    entry.insert(self.reason(at, Awaited::First));
                    reached.push((below, at));
                }
            }
        }
        while let Some((at, root)) = reached.pop() {
            for (below, _) in self.nodes[at].after.iter().filter(|(below, _)| waits(below)) {
                if let Entry::Vacant(entry) = reasons.entry(*below) {
                    entry.insert(self.reason(root, Awaited::ByWay));
                    reached.push((*below, root));
                }
            }
        }
        reasons.into_iter().collect()
    }

    fn staying(&self) -> impl Iterator<Item = usize> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.state == DeletionState::Staying).map(|(at, _)| at)
    }

    fn reason(&self, at: usize, why: Awaited) -> Reason {
        Reason::Awaits { object: self.steps[at].id.clone(), finalizers: self.nodes[at].finalizers.clone(), why }
    }

    fn position(&self, id: &ObjectId) -> Option<usize> {
        self.steps.binary_search_by(|step| step.id.cmp(id)).ok()
    }

    /// Whether an object waits for this very one.
    fn is_needed(&self, at: usize) -> bool {
        self.nodes[at].after.iter().any(|(below, _)| self.nodes[*below].state == DeletionState::Waiting)
    }

    fn is_awaited(&self, at: usize) -> bool {
        self.is_needed(at) || self.held > 0 && self.first.contains(&at)
    }

    /// It is still there: what waits for it holds up nothing else.
    fn stays(&mut self, at: usize) {
        if self.nodes[at].going {
            self.to_await.push_back(at);
        }
        self.hold_up(at);
    }

    fn hold_up(&mut self, at: usize) {
        let mut reached: Vec<usize> = self.nodes[at].after.iter().map(|(below, _)| *below).collect();
        if self.first.contains(&at) && !std::mem::replace(&mut self.first_stays, true) {
            reached.extend((0..self.nodes.len()).filter(|below| self.is_held(*below)));
        }
        while let Some(below) = reached.pop() {
            let node = &mut self.nodes[below];
            if node.state != DeletionState::Waiting || node.late {
                continue;
            }
            node.late = true;
            self.open[node.rank as usize] -= 1;
            reached.extend(node.after.iter().map(|(next, _)| *next));
        }
    }

    /// What goes first is gone: the rest follows in its own order.
    fn go_on_with_the_rest(&mut self) {
        if !self.first.is_empty() || !std::mem::take(&mut self.first_stays) {
            return;
        }
        self.open = [0; RANKS];
        for node in &mut self.nodes {
            node.late = false;
            self.open[node.rank as usize] +=
                usize::from(matches!(node.state, DeletionState::Waiting | DeletionState::Begun));
        }
        let staying: Vec<usize> = self.staying().collect();
        for at in staying {
            self.hold_up(at);
        }
    }

    fn is_gone(&mut self, at: usize) {
        self.nodes[at].state = DeletionState::Done;
        self.first.remove(&at);
        self.go_on_with_the_rest();
        for (below, _) in std::mem::take(&mut self.nodes[at].after) {
            let node = &mut self.nodes[below];
            node.unmet -= 1;
            if node.unmet == 0 && node.state == DeletionState::Waiting {
                self.ready.insert((node.rank, below));
            }
        }
    }
}

fn is_terminating(step: &Step) -> bool {
    step.live.as_ref().is_some_and(|live| live.terminating.is_some())
}

fn finalizers(step: &Step) -> Vec<String> {
    let terminating = step.live.as_ref().and_then(|live| live.terminating.as_ref());
    terminating.map(|termination| termination.finalizers.clone()).unwrap_or_default()
}
