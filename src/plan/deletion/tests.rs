use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::object::{GroupKind, Health, Managers, Observed, Termination};

const HOOK: &str = "admissionregistration.k8s.io/ValidatingWebhookConfiguration";
const CRD: &str = "apiextensions.k8s.io/CustomResourceDefinition";

/// `GROUP/KIND NAME`; in the namespace `shop`, but for those of no namespace.
fn id(text: &str) -> ObjectId {
    let (gk, name) = text.split_once(' ').unwrap();
    let (group, kind) = gk.split_once('/').unwrap();
    let global =
        matches!(kind, "Namespace" | "CustomResourceDefinition" | "ValidatingWebhookConfiguration" | "APIService");
    ObjectId::new(group, kind, (!global).then_some("shop"), name)
}

fn orphan(text: &str, depends_on: &[&str]) -> Step {
    let mut live =
        Observed::from_metadata(id(text), &json!({"uid": "u"}), Health::current(), &Managers::default()).unwrap();
    live.depends_on = depends_on.iter().map(|text| id(text)).collect();
    Step { id: id(text), verb: Verb::Prune, reason: Reason::RemovedFromGit, desired: None, live: Some(live) }
}

/// One that is being deleted already.
fn terminating(text: &str, depends_on: &[&str]) -> Step {
    let mut step = orphan(text, depends_on);
    let finalizers = vec!["e.com/hold".to_owned()];
    step.live.as_mut().unwrap().terminating =
        Some(Box::new(Termination { finalizers: finalizers.clone(), since: None }));
    Step { verb: Verb::Wait, reason: Reason::Terminating { finalizers }, ..step }
}

/// `Thing` of `e.com` is a kind that a CRD defines.
fn plan(steps: impl IntoIterator<Item = Step>) -> Plan {
    let mut steps: Vec<Step> = steps.into_iter().collect();
    steps.sort_by(|one, other| one.id.cmp(&other.id));
    let definitions = BTreeMap::from([(GroupKind::new("e.com", "Thing"), "things.e.com".to_owned())]);
    Plan { steps, definitions, ..Plan::default() }
}

struct Run<'a> {
    deletions: Deletions<'a>,
    plan: &'a Plan,
}

impl<'a> Run<'a> {
    fn of(plan: &'a Plan) -> Self {
        Self { deletions: Deletions::new(plan), plan }
    }

    fn begin(&mut self) -> Vec<&'a str> {
        std::iter::from_fn(|| self.deletions.begin()).map(|step| &*step.id.name).collect()
    }

    fn awaited(&mut self) -> Vec<&'a str> {
        std::iter::from_fn(|| self.deletions.to_await()).map(|step| &*step.id.name).collect()
    }

    fn id(&self, name: &str) -> &'a ObjectId {
        &self.plan.steps.iter().find(|step| &*step.id.name == name).unwrap().id
    }

    fn ended(&mut self, name: &str, result: PruneResult, gone: bool) {
        self.deletions.ended(&PrunedObject { id: self.id(name).clone(), result, gone, detail: None });
    }

    fn gone(&mut self, names: &[&str]) {
        for name in names {
            self.ended(name, PruneResult::Deleted, true);
        }
    }

    fn accepted(&mut self, name: &str) {
        self.ended(name, PruneResult::Deleted, false);
    }

    /// What waits, and why.
    fn waiting(&self) -> Vec<(&'a str, String)> {
        let named = |(at, reason): (usize, Reason)| (&*self.plan.steps[at].id.name, reason.to_string());
        self.deletions.waiting().into_iter().map(named).collect()
    }
}

#[test]
fn webhooks_go_first_then_custom_resources_and_then_the_stages_of_applying_backwards() {
    let plan = plan([
        orphan("/Namespace other", &[]),
        orphan("/ConfigMap config", &[]),
        orphan("rbac.authorization.k8s.io/RoleBinding binding", &[]),
        orphan("apps/Deployment operator", &[]),
        orphan("e.com/Thing thing", &[]),
        orphan(&format!("{HOOK} hook"), &[]),
    ]);
    let mut run = Run::of(&plan);
    for name in ["hook", "thing", "operator", "binding", "config", "other"] {
        assert_eq!(run.begin(), [name]);
        run.gone(&[name]);
    }
    assert_eq!(run.waiting(), []);
}

#[test]
fn what_depends_on_another_object_is_gone_before_that_also_against_the_order_of_kinds() {
    let plan = plan([
        orphan("/ConfigMap top", &["apps/Deployment middle"]),
        orphan("apps/Deployment middle", &["e.com/Thing bottom"]),
        orphan("e.com/Thing bottom", &[]),
        orphan("e.com/Thing free", &[]),
    ]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["free"]);
    run.gone(&["free"]);
    assert_eq!(run.begin(), ["top"]);
    run.accepted("top");
    assert_eq!((run.begin(), run.awaited()), (vec![], vec!["top"]), "it is not gone");
    let waits = "removed from git, and kept until ConfigMap shop/top is gone, which depends on it";
    let by_way =
        "removed from git, and kept until ConfigMap shop/top is gone, which others wait for that have to go before it";
    assert_eq!(run.waiting(), [("middle", waits.to_owned()), ("bottom", by_way.to_owned())]);
    assert!(run.deletions.observed(run.id("top"), Some(vec!["e.com/a".into(), "e.com/b".into()])));
    assert!(run.waiting()[0].1.ends_with("(finalizers of top: e.com/a, e.com/b)"), "{:?}", run.waiting());
    assert!(!run.deletions.observed(run.id("top"), None));
    assert_eq!(run.begin(), ["middle"]);
    run.gone(&["middle"]);
    assert_eq!(run.begin(), ["bottom"]);
}

#[test]
fn what_may_serve_a_custom_resource_waits_until_that_is_gone_and_is_let_go_in_the_end() {
    let plan = plan([
        orphan("e.com/Thing one", &[]),
        orphan("e.com/Thing two", &[]),
        orphan("apps/Deployment operator", &[]),
        orphan("/ServiceAccount operator-account", &[]),
    ]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["one", "two"]);
    run.accepted("one");
    run.accepted("two");
    assert_eq!(
        (run.begin(), run.awaited()),
        (vec![], vec!["one"]),
        "one read is enough to know that something is left"
    );
    let waits =
        "removed from git, and kept until Thing shop/one is gone, which it may serve; at most for the sync's timeout";
    assert_eq!(run.waiting(), [("operator-account", waits.to_owned()), ("operator", waits.to_owned())]);
    run.deletions.observed(run.id("one"), None);
    assert_eq!((run.begin(), run.awaited()), (vec![], vec!["two"]));
    run.deletions.let_go();
    assert_eq!(run.begin(), ["operator"]);
    run.gone(&["operator"]);
    assert_eq!(run.begin(), ["operator-account"]);
}

#[test]
fn what_an_object_depends_on_is_not_let_go() {
    let plan = plan([
        orphan("e.com/Thing one", &["apps/Deployment operator"]),
        orphan("apps/Deployment operator", &[]),
        orphan("/ConfigMap settings", &[]),
    ]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["one"]);
    run.accepted("one");
    run.deletions.let_go();
    assert_eq!(run.begin(), ["settings"]);
    assert_eq!(run.waiting().len(), 1);
}

#[test]
fn an_object_of_no_custom_kind_with_a_stuck_finalizer_holds_up_nothing() {
    let plan = plan([
        orphan("/Pod stuck", &[]),
        terminating("/ConfigMap stuck-too", &[]),
        orphan("apps/Deployment web", &[]),
        orphan("/ConfigMap settings", &[]),
    ]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["stuck", "web"]);
    run.accepted("stuck");
    run.gone(&["web"]);
    assert_eq!((run.begin(), run.awaited()), (vec!["settings"], vec![]));
}

#[test]
fn what_is_being_deleted_already_counts_until_it_is_overdue() {
    let steps = || {
        [
            terminating("e.com/Thing one", &[]),
            orphan("apps/Deployment operator", &[]),
            orphan(&format!("{HOOK} hook"), &[]),
        ]
    };
    let held = plan(steps());
    let mut run = Run::of(&held);
    assert_eq!(run.begin(), ["hook"]);
    run.gone(&["hook"]);
    assert_eq!(run.begin(), [""; 0]);
    assert!(run.waiting()[0].1.ends_with("(finalizers of one: e.com/hold)"), "{:?}", run.waiting());
    let overdue = Plan { overdue: BTreeSet::from([id("e.com/Thing one")]), ..plan(steps()) };
    let mut run = Run::of(&overdue);
    run.begin();
    run.gone(&["hook"]);
    assert_eq!((run.begin(), run.waiting()), (vec!["operator"], vec![]));
}

#[test]
fn a_webhook_that_cannot_be_deleted_keeps_what_may_be_behind_it() {
    let plan =
        plan([orphan(&format!("{HOOK} hook"), &[]), orphan("/Service backend", &[]), orphan("/Namespace other", &[])]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["hook"]);
    run.ended("hook", PruneResult::Failed, false);
    assert_eq!((run.begin(), run.awaited()), (vec!["other"], vec![]), "there is no end to wait for");
    assert_eq!(run.waiting().len(), 1);
}

#[test]
fn what_holds_others_goes_after_all_that_is_in_it_is_gone() {
    let plan = plan([
        orphan("/Namespace shop", &[]),
        orphan(&format!("{CRD} things.e.com"), &[]),
        orphan(&format!("{CRD} others.e.com"), &[]),
        orphan("apiregistration.k8s.io/APIService v1.metrics.e.com", &[]),
        orphan("metrics.e.com/Sample sample", &[]),
        terminating("e.com/Thing one", &[]),
        orphan("/Pod slow", &[]),
    ]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["others.e.com"], "all else waits for one");
    run.gone(&["others.e.com"]);
    run.deletions.let_go();
    assert_eq!(run.begin(), ["slow", "sample"]);
    run.accepted("slow");
    run.gone(&["sample"]);
    assert_eq!(run.begin(), ["v1.metrics.e.com"]);
    run.gone(&["v1.metrics.e.com"]);
    let names: Vec<&str> = run.waiting().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["shop", "things.e.com"]);
    assert!(run.waiting()[0].1.contains("is gone, which lives in it"));
    run.deletions.observed(run.id("one"), None);
    assert_eq!(run.begin(), ["things.e.com"]);
    run.deletions.observed(run.id("slow"), None);
    assert_eq!(run.begin(), ["shop"]);
}

#[test]
fn an_object_that_is_let_go_of_waits_for_nothing_and_keeps_what_it_depends_on_until_then() {
    let released = Step { verb: Verb::Detach, ..orphan("/ConfigMap released", &["apps/Deployment below"]) };
    let plan = plan([
        terminating("e.com/Thing one", &["/ConfigMap released"]),
        released,
        orphan("apps/Deployment below", &[]),
    ]);
    let mut run = Run::of(&plan);
    run.deletions.let_go();
    assert_eq!(run.begin(), ["released"]);
    run.ended("released", PruneResult::Detached, true);
    assert_eq!(run.begin(), ["below"]);
}

#[test]
fn a_circle_keeps_nothing_for_ever() {
    let plan = plan([
        orphan("/ConfigMap a", &["/ConfigMap b"]),
        orphan("/ConfigMap b", &["/ConfigMap a"]),
        orphan("/ConfigMap itself", &["/ConfigMap itself"]),
        orphan("/ConfigMap above", &["/ConfigMap a"]),
    ]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["above", "b", "itself"]);
    run.gone(&["above", "b", "itself"]);
    assert_eq!(run.begin(), ["a"]);
}

#[test]
fn twenty_thousand_one_behind_the_other_and_as_many_that_go_first_are_no_work() {
    let length = 20_000;
    let name = |number: usize| format!("/ConfigMap c{number:05}");
    let chain = plan((0..length).map(|number| orphan(&name(number), &[&name(number + 1)])));
    let began = Instant::now();
    let mut run = Run::of(&chain);
    for number in 0..length {
        let step = run.deletions.begin().expect("the next one");
        assert_eq!(step.id, id(&name(number)));
        assert!(run.deletions.begin().is_none());
        run.deletions.ended(&PrunedObject {
            id: step.id.clone(),
            result: PruneResult::Deleted,
            gone: false,
            detail: None,
        });
        assert_eq!(run.deletions.to_await().is_some(), number + 1 < length);
        run.deletions.observed(&step.id, None);
    }
    let things = (0..length).map(|number| orphan(&format!("e.com/Thing t{number:05}"), &[]));
    let crowd = plan(things.chain((0..length).map(|number| orphan(&name(number), &[]))));
    let mut run = Run::of(&crowd);
    for thing in std::iter::from_fn(|| run.deletions.begin()).collect::<Vec<_>>() {
        run.deletions.ended(&PrunedObject {
            id: thing.id.clone(),
            result: PruneResult::Deleted,
            gone: false,
            detail: None,
        });
    }
    assert_eq!(run.deletions.waiting().len(), length);
    while let Some(thing) = run.deletions.to_await() {
        run.deletions.observed(&thing.id, None);
    }
    assert_eq!(std::iter::from_fn(|| run.deletions.begin()).count(), length);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Gone,
    Later,
    Never,
    Failed,
}

fn any_orphan() -> impl Strategy<Value = (usize, Vec<usize>, Fate, bool)> {
    let fate =
        prop_oneof![5 => Just(Fate::Gone), 2 => Just(Fate::Later), 1 => Just(Fate::Never), 1 => Just(Fate::Failed)];
    (0..6_usize, prop::collection::vec(0..16_usize, 0..3), fate, prop::bool::weighted(0.15))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_deleted_before_what_needs_it_is_gone_and_what_waits_says_for_what(
        objects in prop::collection::vec(any_orphan(), 1..16),
        order in any::<u64>(),
        lets_go in any::<bool>(),
    ) {
        let kinds = [HOOK, "e.com/Thing", "apps/Deployment", "rbac.authorization.k8s.io/RoleBinding", "/ConfigMap", "/Namespace"];
        let text = |number: usize| format!("{} o{number:02}", kinds[objects[number].0]);
        // Only on those after it, so that there is no circle.
        let needs = |number: usize| objects[number].1.iter().copied().filter(move |on| *on > number).filter(|on| *on < objects.len());
        let plan = plan((0..objects.len()).map(|number| {
            let on: Vec<String> = needs(number).map(text).collect();
            let on: Vec<&str> = on.iter().map(String::as_str).collect();
            if objects[number].3 { terminating(&text(number), &on) } else { orphan(&text(number), &on) }
        }));
        let number = |id: &ObjectId| id.name[1..].parse::<usize>().unwrap();
        let mut random = fastrand::Rng::with_seed(order);
        let mut deletions = Deletions::new(&plan);
        let (mut running, mut reads): (Vec<&Step>, Vec<&Step>) = (Vec::new(), Vec::new());
        let (mut begun, mut gone, mut let_go) = (BTreeSet::new(), BTreeSet::new(), false);
        loop {
            while let Some(step) = deletions.begin() {
                let at = number(&step.id);
                prop_assert!(begun.insert(at), "{} is begun twice", step.id);
                let above = (0..objects.len()).filter(|other| needs(*other).any(|on| on == at));
                for other in above {
                    prop_assert!(gone.contains(&other), "{} goes before o{other:02}", step.id);
                }
                // What itself has to wait for one of the rest cannot go before that.
                let mut depth = vec![0; objects.len()];
                for other in 0..objects.len() {
                    depth[other] = depth[other].max(objects[other].0);
                    // What is going already waits for nothing.
                    let reached: Vec<usize> = needs(other).filter(|on| !objects[*on].3).collect();
                    for on in reached {
                        depth[on] = depth[on].max(depth[other]);
                    }
                }
                let first = (0..objects.len()).filter(|other| depth[*other] <= 1 && !gone.contains(other)).count();
                prop_assert!(let_go || first == 0 || !(2..=4).contains(&depth[at]), "{} goes before what it may serve", step.id);
                running.push(step);
            }
            reads.extend(std::iter::from_fn(|| deletions.to_await()));
            let ends = running.len() + reads.len();
            if ends == 0 {
                break;
            }
            let next = random.usize(..ends);
            if next < running.len() {
                let step = running.swap_remove(next);
                let fate = objects[number(&step.id)].2;
                let result = if fate == Fate::Failed { PruneResult::Failed } else { PruneResult::Deleted };
                let outcome = PrunedObject { id: step.id.clone(), result, gone: fate == Fate::Gone, detail: None };
                if outcome.gone {
                    gone.insert(number(&step.id));
                }
                deletions.ended(&outcome);
            } else {
                let at = next - running.len();
                let step = reads[at];
                let stays = matches!(objects[number(&step.id)].2, Fate::Never | Fate::Failed);
                if !stays {
                    gone.insert(number(&step.id));
                }
                let waits = deletions.observed(&step.id, stays.then(Vec::new));
                if !waits || random.bool() {
                    reads.swap_remove(at);
                    if waits && lets_go {
                        deletions.let_go();
                        let_go = true;
                    }
                }
            }
        }
        let waiting: BTreeSet<usize> = deletions.waiting().into_iter().map(|(at, _)| number(&plan.steps[at].id)).collect();
        for (at, object) in objects.iter().enumerate() {
            prop_assert_eq!(begun.contains(&at), !object.3 && !waiting.contains(&at), "o{:02}", at);
        }
        // Nothing waits where everything goes.
        prop_assert!(!waiting.is_empty() || begun.len() == objects.iter().filter(|object| !object.3).count());
        let all_go = objects.iter().all(|object| matches!(object.2, Fate::Gone | Fate::Later));
        prop_assert!(!all_go || waiting.is_empty());
    }
}
