//! Effects as words, for the log of a world, and their numbers.

use crate::plan::{Plan, Step};
use crate::reconcile::{Effect, EffectId};

pub fn word(effect: &Effect) -> String {
    let some = |verbs: &dyn Fn(&Step) -> bool, plan: &Plan| {
        let names: Vec<&str> = plan.steps.iter().filter(|step| verbs(step)).map(|step| &*step.id.name).collect();
        names.join(",")
    };
    match effect {
        Effect::Poll { .. } => "Poll".into(),
        Effect::Render { commit, .. } => format!("Render {commit}"),
        Effect::Declare { commit } => format!("Declare {commit}"),
        Effect::Observe { .. } => "Observe".into(),
        Effect::WriteParent { inventory, .. } => {
            let names: Vec<&str> = inventory.keys().map(|id| &*id.name).collect();
            format!("WriteParent {}", names.join(","))
        }
        Effect::Apply { plan, .. } => format!("Apply {}", some(&Step::applies, plan)),
        Effect::Prune { plan, .. } => format!("Prune {}", some(&Step::prunes, plan)),
        Effect::Examine { desired, .. } => format!("Examine {}", desired.manifest.id.name),
        Effect::Heal { step, .. } => format!("Heal {}", step.id.name),
        Effect::Audit { desired, .. } => format!("Audit {}", desired.manifest.id.name),
        Effect::Emit(_) | Effect::Interrupt { .. } => unreachable!(),
    }
}

pub fn number(effect: &Effect) -> EffectId {
    match effect {
        Effect::Poll { id }
        | Effect::Render { id, .. }
        | Effect::Observe { id, .. }
        | Effect::WriteParent { id, .. }
        | Effect::Apply { id, .. }
        | Effect::Prune { id, .. }
        | Effect::Examine { id, .. }
        | Effect::Heal { id, .. }
        | Effect::Audit { id, .. } => *id,
        Effect::Declare { .. } | Effect::Emit(_) | Effect::Interrupt { .. } => 0,
    }
}
