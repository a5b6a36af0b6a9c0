//! What a plan lists and a run would not do: what left git is kept as long as something of the commit
//! cannot be applied.

use super::report::Answer;
use crate::object::ObjectId;
use crate::plan::{Plan, PlanInput, Reason, Verb, dead_end};

/// Keeps in the plan what a run would keep, and says for what, unless only the API server is against it
/// and a person approved that.
pub(super) fn keep_what_waits(plan: &mut Plan, answers: &[Answer<'_>], input: &PlanInput<'_>) {
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
