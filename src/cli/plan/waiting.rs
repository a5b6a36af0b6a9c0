//! What a plan lists and a run would not do: what left git is kept as long as something of the commit
//! cannot be applied.

use super::report::Answer;
use crate::object::ObjectId;
use crate::plan::{Facts, Plan, Reason, Verb, dead_end};

/// Keeps in the plan what a run would keep, and says for what, unless only the API server is against it
/// and a person approved that.
pub(super) fn keep_what_waits(plan: &mut Plan, answers: &[Answer<'_>], facts: &Facts<'_>) {
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
    let total = facts.inventory.values().filter(|recorded| !recorded.fresh).count();
    let held = dead_end(facts.commit, plan, &refused.iter().collect::<Vec<_>>(), total).filter(|_| others.is_empty());
    let pruned: Vec<&ObjectId> = plan.steps.iter().filter(|step| step.prunes()).map(|step| &step.id).collect();
    if held.is_some() && facts.approved.covers_despite(&pruned, facts.inventory) {
        return;
    }
    let unapplied: Vec<&ObjectId> = refused.iter().chain(&others).collect();
    if !unapplied.is_empty() {
        plan.wait_for(&unapplied);
        plan.held = plan.held.take().or(held);
    }
}
