//! What pods of before may still use: a `ConfigMap` or Secret that left git goes only after the workloads in its
//! namespace have rolled out. A kustomize generator gives each content a name of its own, so a pod that is restarted in
//! the middle of a rollout would not find the one that it was made with.

use std::collections::BTreeMap;

use crate::object::{Health, ObjectId};

use super::{Plan, Reason, Verb};

/// The workloads that replace their pods one after the other.
const ROLLS: [&str; 3] = ["DaemonSet", "Deployment", "StatefulSet"];

/// Puts off the prunes of what pods may refer to while a declared workload of the same namespace is not healthy by what
/// is known after the apply. Gives the number of what is put off.
pub fn wait_for_rollouts<'a>(plan: &mut Plan, health: impl Fn(&ObjectId) -> Option<&'a Health>) -> usize {
    let refers = |id: &ObjectId| id.gk.is("", "ConfigMap") || id.gk.is("", "Secret");
    if !plan.steps.iter().any(|step| step.verb == Verb::Prune && refers(&step.id)) {
        return 0;
    }
    let mut rolling: BTreeMap<std::sync::Arc<str>, ObjectId> = BTreeMap::new();
    for step in plan.steps.iter().filter(|step| step.desired.is_some()) {
        let id = &step.id;
        let rolls = ROLLS.iter().any(|kind| id.gk.is("apps", kind));
        if let Some(namespace) = id.namespace.clone().filter(|_| rolls)
            && health(id).is_some_and(|health| !health.is_current())
        {
            rolling.entry(namespace).or_insert_with(|| id.clone());
        }
    }
    let mut put_off = 0;
    for step in plan.steps.iter_mut().filter(|step| step.verb == Verb::Prune && refers(&step.id)) {
        if let Some(by) = step.id.namespace.as_ref().and_then(|namespace| rolling.get(namespace)) {
            (step.verb, step.reason) = (Verb::Wait, Reason::RollingOut { workload: by.clone() });
            put_off += 1;
        }
    }
    put_off
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::object::{Digest, HealthStatus, Manifest, Origin};
    use crate::plan::{Desired, Step};

    fn step(verb: Verb, group: &str, kind: &str, namespace: &str, name: &str) -> Step {
        let id = ObjectId::new(group, kind, Some(namespace), name);
        let declared = verb != Verb::Prune;
        let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}});
        let manifest = Manifest::from_value(object, Origin { file: "a.yaml".into(), line: 1 }).unwrap();
        let desired = declared.then(|| Desired { manifest: Arc::new(manifest), digest: Digest::of(b"x") });
        Step { id, verb, reason: Reason::RemovedFromGit, desired, live: None }
    }

    #[test]
    fn what_pods_may_use_waits_for_the_rollout_in_its_namespace_and_nothing_else_does() {
        let rolling = Health { status: HealthStatus::InProgress, ..Health::current() };
        let web = ObjectId::new("apps", "Deployment", Some("shop"), "web");
        let mut plan = Plan {
            steps: vec![
                step(Verb::Configure, "apps", "Deployment", "shop", "web"),
                step(Verb::Prune, "", "ConfigMap", "shop", "web-abc"),
                step(Verb::Prune, "", "Secret", "shop", "web-def"),
                step(Verb::Prune, "", "ConfigMap", "other", "x"),
                step(Verb::Prune, "", "Service", "shop", "old"),
            ],
            ..Plan::default()
        };
        let mut healthy = plan.clone();
        assert_eq!(wait_for_rollouts(&mut plan, |id| (*id == web).then_some(&rolling)), 2);
        let verbs: Vec<Verb> = plan.steps.iter().map(|step| step.verb).collect();
        assert_eq!(verbs, [Verb::Configure, Verb::Wait, Verb::Wait, Verb::Prune, Verb::Prune]);
        assert_eq!(plan.steps[1].reason, Reason::RollingOut { workload: web });
        let current = Health::current();
        assert_eq!(wait_for_rollouts(&mut healthy, |_| Some(&current)), 0);
    }
}
