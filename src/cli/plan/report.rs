//! What a plan would change, as data for people and programs.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::apply::ApplyError;
use crate::object::{Displayed, ObjectId, Origin};
use crate::plan::{
    DiffKind, Held, ObjectDiff, Plan, PlanInput, Problem, Reason, Replaceable, Rewritten, Step, Verb, dead_end,
};

/// What one sync would change.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct SyncPlan {
    pub sync: String,
    pub commit: String,
    pub subject: String,
    pub reference: String,
    pub path: String,
    pub create: usize,
    pub configure: usize,
    /// To delete and to create again.
    pub replace: usize,
    pub prune: usize,
    pub unchanged: usize,
    /// Objects that could not be read, so that nothing is known of them.
    pub unread: usize,
    /// Steps that change something, or refuse to.
    pub steps: Vec<PlannedStep>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    pub problems: Vec<Problem>,
    pub notes: Vec<String>,
}

/// What would happen to one object.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct PlannedStep {
    pub verb: &'static str,
    pub object: ObjectId,
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Paths of the fields that change.
    pub fields: Vec<String>,
    /// Lines that begin with `+`, `-`, a blank, or `@` where lines are left out.
    pub diff: Vec<String>,
}

impl SyncPlan {
    /// Of what stays as it is, says where the cluster keeps another value than git declares.
    pub(super) fn note_rewritten<'a>(&mut self, steps: &[Step], rewritten: impl Iterator<Item = &'a Rewritten>) {
        let unchanged: BTreeSet<&ObjectId> =
            steps.iter().filter(|step| step.verb == Verb::Unchanged).map(|step| &step.id).collect();
        let notes = rewritten.filter(|one| unchanged.contains(&one.object));
        self.notes.extend(notes.map(|one| Displayed(&format!("{}: {}", one.object, one.words())).to_string()));
    }

    pub fn changes(&self) -> bool {
        let waits = self.steps.iter().any(|step| step.verb == Verb::Wait.as_str());
        self.create + self.configure + self.replace + self.prune > 0 || self.held.is_some() || waits
    }
}

/// What was found out about one step.
pub(super) struct StepPreview<'a> {
    pub step: &'a Step,
    pub difference: Result<Option<ObjectDiff>, ApplyError>,
    /// The server was not asked, for want of permission.
    pub by_declaration: bool,
    /// Who drifted the object, and how.
    pub blame: Option<String>,
    /// It cannot be changed in place, and could be created again.
    pub replaceable: Option<Replaceable>,
    /// It could not be asked about, since the same commit brings this along for it.
    pub brought: Option<ObjectId>,
}

impl SyncPlan {
    pub(super) fn fill(&mut self, steps: &[Step], answers: Vec<StepPreview<'_>>) {
        let mut unasked = 0;
        let mut same: BTreeSet<&ObjectId> = BTreeSet::new();
        let mut blames: BTreeMap<&ObjectId, String> = BTreeMap::new();
        let mut differences: BTreeMap<&ObjectId, ObjectDiff> = BTreeMap::new();
        for answer in answers {
            unasked += usize::from(answer.by_declaration);
            if let Some(brought) = &answer.brought {
                self.notes.push(format!(
                    "{} was compared by what git declares, since the API server cannot be asked about it before it has the {brought} of the same commit",
                    answer.step.id
                ));
            }
            blames.extend(answer.blame.map(|blame| (&answer.step.id, blame)));
            match answer.difference {
                Ok(Some(difference)) => drop(differences.insert(&answer.step.id, difference)),
                Ok(None) => drop(same.insert(&answer.step.id)),
                Err(error) => {
                    self.problems.push(Problem { message: error.to_string(), ..answer.step.problem() });
                }
            }
        }
        for step in steps {
            match step.verb {
                Verb::Create => self.create += 1,
                Verb::Configure if same.contains(&step.id) => {
                    self.unchanged += 1;
                    continue;
                }
                Verb::Configure => self.configure += 1,
                Verb::Replace => self.replace += 1,
                Verb::Prune | Verb::Detach => self.prune += 1,
                Verb::Unchanged => {
                    self.unchanged += 1;
                    continue;
                }
                Verb::Refuse => match &step.reason {
                    Reason::Unreadable { why } => {
                        self.unread += 1;
                        self.notes.push(format!("{} was not compared: {why}", step.id));
                        continue;
                    }
                    _ => self.problems.push(step.problem()),
                },
                Verb::Forget => continue,
                Verb::Report | Verb::Wait | Verb::Keep => {}
            }
            let difference = differences.remove(&step.id).unwrap_or_default();
            self.steps.push(PlannedStep {
                verb: step.verb.as_str(),
                object: step.id.clone(),
                reason: match blames.get(&step.id) {
                    Some(blame) => format!("{}: {blame}", step.reason),
                    None => step.reason.to_string(),
                },
                origin: step.desired.as_ref().map(|desired| desired.manifest.origin.clone()),
                fields: difference.fields,
                diff: difference.lines.iter().map(|line| format!("{}{}", sign(line.kind), line.text)).collect(),
            });
        }
        if unasked > 0 {
            self.notes.push(format!(
                "{unasked} objects were compared by what git declares, since the permission for a dry-run (patch, create) is missing; defaults, admission and what could only be replaced are not seen that way"
            ));
        }
    }
}

fn sign(kind: DiffKind) -> &'static str {
    match kind {
        DiffKind::Context => " ",
        DiffKind::Removed => "-",
        DiffKind::Added => "+",
        DiffKind::Gap => "@ ",
    }
}

/// Keeps in the plan what a run would keep, since what left git is kept as long as something of the commit cannot be
/// applied, and says for what, unless only the API server is against it
/// and a person approved that.
pub(super) fn keep_what_waits(plan: &mut Plan, answers: &[StepPreview<'_>], input: &PlanInput<'_>) {
    let refused = answers.iter().filter(|answer| answer.difference.is_err()).map(|answer| &answer.step.id);
    let (mut refused, mut others): (Vec<ObjectId>, Vec<ObjectId>) = (refused.cloned().collect(), Vec::new());
    for step in plan.steps.iter().filter(|step| step.verb == Verb::Refuse) {
        match step.reason {
            // What this call may not read says nothing of what the agent may.
            Reason::Unreadable { .. } => {}
            Reason::NotReplaced { .. } => refused.push(step.id.clone()),
            _ => others.push(step.id.clone()),
        }
    }
    let total = input.inventory.values().filter(|recorded| !recorded.unconfirmed).count();
    let by_server: Vec<&ObjectId> = refused.iter().collect();
    let held = dead_end(input.commit, plan, &by_server, total).filter(|_| others.is_empty());
    if held.is_some() && input.approved.covers_despite(plan, &by_server, input.inventory) {
        return;
    }
    let unapplied: Vec<&ObjectId> = refused.iter().chain(&others).collect();
    if !unapplied.is_empty() {
        plan.wait_for(&unapplied);
        plan.held = plan.held.take().or(held);
    }
}
