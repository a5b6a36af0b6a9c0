//! The order in which a plan is applied, decided as work goes on: what may begin now, and what never
//! may, given what has become of the rest.
//!
//! An object begins when
//! - each object that it depends on (`config.kubernetes.io/depends-on`) is applied and healthy, and a
//!   Job has run to its end;
//! - the Namespace in which it is and the CRD that defines it, where this plan makes them, are there;
//! - nothing of an earlier stage is about to be applied. What waits for the health of another object
//!   is not about to be: nothing waits for it but what depends on it.
//!
//! It holds no socket and no clock. Everything is linear in objects and dependencies, but for looking
//! up identities, and nothing recurses: their number and shape come from a repository.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::object::{GroupKind, Health, HealthStatus, ObjectId, Observed};

use super::graph::{components, spelled};
use super::{AppliedObject, Obstacle, Plan, Reason, Stage, Step, Verb};

mod backends;
#[cfg(test)]
mod tests;

use backends::Backends;

const STAGES: usize = Stage::Interceptors as usize + 1;

/// What is left to be applied of one plan.
pub struct Schedule<'a> {
    steps: &'a [Step],
    /// One a step, at the same place.
    nodes: Vec<Node>,
    /// What nothing else holds back than its stage.
    ready: BTreeSet<(Stage, usize)>,
    /// How many objects of each stage the later ones wait for.
    open: [usize; STAGES],
    held_back: VecDeque<(usize, String, Obstacle)>,
    to_await: VecDeque<usize>,
    backends: Backends,
}

struct Node {
    /// That of its kind, or of what it depends on, where that is later.
    stage: Stage,
    state: ApplyState,
    /// Dependencies that are not met yet.
    unmet: usize,
    dependents: Vec<(usize, Need)>,
    /// It depends, maybe by way of others, on an object whose health was or is waited for.
    late: bool,
    awaited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ApplyState {
    /// Nothing is to be applied, or it has an outcome.
    Done,
    Waiting,
    Begun,
}

/// Why an object waits for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// It says that it depends on it.
    Declared,
    /// It is in that Namespace, or that CRD defines it.
    Home,
}

impl<'a> Schedule<'a> {
    /// Nothing is begun yet. What a dependency names that is no step of the plan is not waited for.
    #[must_use]
    pub fn new(plan: &'a Plan) -> Self {
        let steps = &plan.steps;
        let node = |step: &Step| Node {
            stage: Stage::of(&step.id.gk),
            state: if step.applies() { ApplyState::Waiting } else { ApplyState::Done },
            unmet: 0,
            dependents: Vec::new(),
            late: false,
            awaited: false,
        };
        let mut schedule = Self {
            steps,
            nodes: steps.iter().map(node).collect(),
            ready: BTreeSet::new(),
            open: [0; STAGES],
            held_back: VecDeque::new(),
            to_await: VecDeque::new(),
            backends: Backends::new(steps),
        };
        let (refused, outside) = schedule.connect(plan);
        let circles = schedule.rank();
        for at in 0..schedule.nodes.len() {
            if schedule.nodes[at].state == ApplyState::Waiting {
                schedule.open[schedule.nodes[at].stage as usize] += 1;
                if schedule.nodes[at].unmet == 0 {
                    schedule.ready.insert((schedule.nodes[at].stage, at));
                }
            }
        }
        for at in refused {
            schedule.fail(at, "was not applied", &Obstacle::Dependency);
        }
        let circular: Vec<usize> = circles.iter().map(|(at, _)| *at).collect();
        for (at, circle) in circles {
            if schedule.nodes[at].state == ApplyState::Waiting {
                schedule.hold_back(at, format!("it would have to be applied before itself: {circle}"), Obstacle::Other);
            }
        }
        for at in circular {
            schedule.fail(at, "was not applied", &Obstacle::Dependency);
        }
        for at in outside {
            schedule.wait_for(at);
        }
        schedule
    }

    /// Makes the edges. The result: refused objects, and objects that the plan does not apply and whose
    /// health is to be seen, each with objects that depend on it.
    fn connect(&mut self, plan: &Plan) -> (BTreeSet<usize>, BTreeSet<usize>) {
        let (mut refused, mut outside) = (BTreeSet::new(), BTreeSet::new());
        let definitions: BTreeMap<GroupKind, usize> = self
            .steps
            .iter()
            .enumerate()
            .filter(|(_, step)| step.applies())
            .filter_map(|(at, step)| Some((step.desired.as_ref()?.manifest.defines()?.0, at)))
            .collect();
        for (at, step) in self.steps.iter().enumerate().filter(|(_, step)| step.applies()) {
            let declared = step.desired.iter().flat_map(|desired| &desired.manifest.directives.depends_on);
            let needed: BTreeSet<usize> = declared.filter_map(|id| plan.position(id)).collect();
            for on in needed {
                let other = &self.steps[on];
                if is_refused(other) {
                    refused.insert(on);
                } else if !other.applies() {
                    if is_met_already(other) {
                        continue;
                    }
                    outside.insert(on);
                }
                self.nodes[on].dependents.push((at, Need::Declared));
                self.nodes[at].unmet += 1;
            }
            let namespace = step.id.namespace.as_deref().map(|name| ObjectId::new("", "Namespace", None, name));
            let namespace = namespace.and_then(|id| plan.position(&id));
            let made = namespace.filter(|on| self.steps[*on].applies() && self.steps[*on].live.is_none());
            for on in made.into_iter().chain(definitions.get(&step.id.gk).copied()) {
                self.nodes[on].dependents.push((at, Need::Home));
                self.nodes[at].unmet += 1;
            }
        }
        (refused, outside)
    }

    /// Moves each object to the stage of what it depends on, where that is later. The result: objects
    /// that wait for themselves, by way of others, each with the circle.
    fn rank(&mut self) -> Vec<(usize, String)> {
        let waits = |node: &Node| node.state == ApplyState::Waiting;
        let mut inner = vec![0_usize; self.nodes.len()];
        for node in self.nodes.iter().filter(|node| waits(node)) {
            node.dependents.iter().for_each(|(dependent, _)| inner[*dependent] += 1);
        }
        let free = |at: &usize| waits(&self.nodes[*at]) && inner[*at] == 0;
        let mut placed: Vec<usize> = (0..self.nodes.len()).filter(free).collect();
        let mut next = 0;
        while let Some(&at) = placed.get(next) {
            next += 1;
            let stage = self.nodes[at].stage;
            for place in 0..self.nodes[at].dependents.len() {
                let (dependent, _) = self.nodes[at].dependents[place];
                let node = &mut self.nodes[dependent];
                node.stage = node.stage.max(stage);
                inner[dependent] -= 1;
                if inner[dependent] == 0 {
                    placed.push(dependent);
                }
            }
        }
        if placed.len() == self.nodes.iter().filter(|node| waits(node)).count() {
            return Vec::new();
        }
        let mut edges = vec![Vec::new(); self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| waits(node)) {
            node.dependents.iter().for_each(|(dependent, _)| edges[*dependent].push(at));
        }
        let found = components(&edges);
        let mut circles = Vec::new();
        for (component, members) in found.list.iter().enumerate() {
            let circle = found.circle(component, &edges);
            if !circle.is_empty() {
                let ids: Vec<&ObjectId> = circle.iter().map(|at| &self.steps[*at].id).collect();
                let circle = spelled(&ids);
                circles.extend(members.iter().map(|at| (*at, circle.clone())));
            }
        }
        circles
    }

    /// An object that may begin now; each is given once. What earlier stages and dependencies need comes first.
    pub fn begin(&mut self) -> Option<&'a Step> {
        let is_open = |stage: Stage| self.open[..stage as usize].iter().all(|objects| *objects == 0);
        let mut allowed = self.ready.iter().copied().take_while(|(stage, _)| is_open(*stage));
        let next = allowed.find(|(_, at)| !self.backends.are_late(*at))?;
        self.ready.remove(&next);
        self.nodes[next.1].state = ApplyState::Begun;
        Some(&self.steps[next.1])
    }

    /// An object that cannot be applied in this plan, and why; each is given once.
    pub fn held_back(&mut self) -> Option<(&'a Step, String, Obstacle)> {
        self.held_back.pop_front().map(|(at, why, obstacle)| (&self.steps[at], why, obstacle))
    }

    /// An object that is to be observed until [`Schedule::observed`] says that it is enough; each is given once.
    pub fn to_await(&mut self) -> Option<&'a Step> {
        self.to_await.pop_front().map(|at| &self.steps[at])
    }

    /// Takes in what became of an object that was begun.
    pub fn applied(&mut self, outcome: &AppliedObject) {
        let Some(at) = self.position(&outcome.id).filter(|at| self.nodes[*at].state == ApplyState::Begun) else {
            return;
        };
        self.decide(at);
        if !outcome.result.succeeded() {
            return self.fail(at, "was not applied", &Obstacle::Dependency);
        }
        let changed = outcome.result.changed();
        let healthy = outcome.live.as_ref().is_some_and(is_met);
        // What a CRD defines is there when discovery shows it, and a custom resource as it should be when its controller
        // has seen it.
        let needed = !self.nodes[at].dependents.is_empty();
        let later = is_definition(&outcome.id.gk) || needed && outcome.id.gk.may_be_custom();
        if healthy && !(changed && later) {
            self.release(at);
        } else if changed && is_foundation(&outcome.id.gk) || !self.nodes[at].dependents.is_empty() {
            self.wait_for(at);
        }
    }

    /// Takes in how an object is that is awaited; `ended`: a Job that has run to its end. `over`: it was
    /// waited for long enough. Whether it is to be observed again.
    pub fn observed(&mut self, id: &ObjectId, health: &Health, ended: bool, over: bool) -> bool {
        let Some(at) = self.position(id).filter(|at| self.nodes[*at].awaited) else { return false };
        if health.is_current() && (ended || !is_job(&id.gk)) {
            self.nodes[at].awaited = false;
            self.release(at);
            return false;
        }
        // One whose time to live is over may have ended well: that is decided by the next plan.
        let expired = health.status == HealthStatus::NotFound && self.expires(at);
        if !over && !expired && health.status != HealthStatus::Failed {
            let waits = |(dependent, _): &(usize, Need)| self.nodes[*dependent].state == ApplyState::Waiting;
            return is_foundation(&id.gk) || self.nodes[at].dependents.iter().any(waits);
        }
        self.nodes[at].awaited = false;
        let unended = || "has not run to its end".to_owned();
        let what = if health.is_current() { unended() } else { format!("is not healthy: {health}") };
        self.fail(at, &what, &Obstacle::Other);
        false
    }

    /// Whether it is a Job that goes by itself some time after its end.
    fn expires(&self, at: usize) -> bool {
        self.steps[at].desired.as_ref().is_some_and(|desired| desired.manifest.directives.expires)
    }

    fn position(&self, id: &ObjectId) -> Option<usize> {
        self.steps.binary_search_by(|step| step.id.cmp(id)).ok()
    }

    /// Its health is waited for, and until then later stages do not wait for what depends on it.
    fn wait_for(&mut self, at: usize) {
        self.nodes[at].awaited = true;
        self.to_await.push_back(at);
        let declared = self.nodes[at].dependents.iter().filter(|(_, need)| *need == Need::Declared);
        let mut reached: Vec<usize> = declared.map(|(dependent, _)| *dependent).collect();
        while let Some(at) = reached.pop() {
            let node = &mut self.nodes[at];
            if node.state != ApplyState::Waiting || node.late {
                continue;
            }
            node.late = true;
            self.open[node.stage as usize] -= 1;
            reached.extend(node.dependents.iter().map(|(dependent, _)| *dependent));
            self.backends.is_late(&self.steps[at].id, node.stage);
        }
    }

    /// Lets those go on that waited for an object.
    fn release(&mut self, at: usize) {
        for (dependent, _) in std::mem::take(&mut self.nodes[at].dependents) {
            self.meet(dependent);
        }
    }

    fn meet(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.unmet = node.unmet.saturating_sub(1);
        if node.unmet == 0 && node.state == ApplyState::Waiting {
            self.ready.insert((node.stage, at));
        }
    }

    /// Holds back all that depends on an object, also by way of others.
    fn fail(&mut self, root: usize, what: &str, obstacle: &Obstacle) {
        let mut reached = vec![root];
        while let Some(at) = reached.pop() {
            for (dependent, need) in std::mem::take(&mut self.nodes[at].dependents) {
                // What is there already carries others as it is.
                if need == Need::Home && self.steps[at].live.is_some() {
                    self.meet(dependent);
                } else if self.nodes[dependent].state == ApplyState::Waiting {
                    let how = match need {
                        _ if at != root => "which it depends on by way of others",
                        Need::Declared => "which it depends on",
                        Need::Home if is_definition(&self.steps[at].id.gk) => "which defines it",
                        Need::Home => "in which it is",
                    };
                    let why = format!("{}, {how}, {what}", self.steps[root].id);
                    self.hold_back(dependent, why, obstacle.clone());
                    reached.push(dependent);
                }
            }
        }
    }

    fn hold_back(&mut self, at: usize, why: String, obstacle: Obstacle) {
        self.decide(at);
        self.held_back.push_back((at, why, obstacle));
    }

    /// It has an outcome.
    fn decide(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.state = ApplyState::Done;
        self.ready.remove(&(node.stage, at));
        if node.late {
            self.backends.is_late_no_more(&self.steps[at].id, node.stage);
        } else {
            self.open[node.stage as usize] -= 1;
        }
    }
}

/// Whether git declares it, and the plan does not apply it: it is refused, or its replacement is held.
fn is_refused(step: &Step) -> bool {
    step.verb == Verb::Refuse || (step.verb == Verb::Keep && step.desired.is_some())
}

/// Whether an object that the plan does not apply is as those need it which depend on it.
fn is_met_already(step: &Step) -> bool {
    // A Job that ended, and went when its time to live was over, has done what it was for.
    step.reason == Reason::Finished || step.live.as_ref().is_some_and(is_met)
}

fn is_met(live: &Observed) -> bool {
    live.health.is_current() && (live.finished || !is_job(&live.id.gk))
}

fn is_job(gk: &GroupKind) -> bool {
    gk.is("batch", "Job")
}

fn is_definition(gk: &GroupKind) -> bool {
    gk.is("apiextensions.k8s.io", "CustomResourceDefinition")
}

fn is_foundation(gk: &GroupKind) -> bool {
    Stage::of(gk) == Stage::Foundations
}
