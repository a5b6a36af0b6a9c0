use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::object::{Digest, Managers, Manifest, Origin, names};
use crate::plan::{ApplyResult, Desired};

const CRD: &str = "apiextensions.k8s.io/v1/CustomResourceDefinition";

/// `API-VERSION/Kind`, a name, and what it depends on; in the namespace `shop`, but for those of no namespace.
fn declared(kind: &str, name: &str, depends_on: &str, more: &Value) -> Desired {
    let (api_version, kind) = kind.rsplit_once('/').unwrap();
    let mut value = json!({"apiVersion": api_version, "kind": kind,
        "metadata": {"name": name, "annotations": {names::DEPENDS_ON: depends_on}}});
    if !matches!(kind, "Namespace" | "CustomResourceDefinition" | "ValidatingWebhookConfiguration") {
        value["metadata"]["namespace"] = "shop".into();
    }
    for (key, field) in more.as_object().unwrap() {
        value[key] = field.clone();
    }
    let manifest = Manifest::from_value(value, Origin { file: "a.yaml".into(), line: 1 }).unwrap();
    Desired { digest: Digest::of(&manifest.canonical), manifest: Arc::new(manifest) }
}

fn step(verb: Verb, desired: Desired, health: Option<Health>) -> Step {
    let id = desired.manifest.id.clone();
    let live = health.map(|health| live(&id, health));
    Step { id, verb, reason: Reason::NotFound, desired: Some(desired), live }
}

fn live(id: &ObjectId, health: Health) -> Observed {
    Observed::from_metadata(id.clone(), &json!({"uid": "u"}), health, &Managers::default()).unwrap()
}

fn new(kind: &str, name: &str, depends_on: &str) -> Step {
    step(Verb::Create, declared(kind, name, depends_on, &json!({})), None)
}

/// One that git has not changed.
fn old(kind: &str, name: &str, health: Health) -> Step {
    step(Verb::Unchanged, declared(kind, name, "", &json!({})), Some(health))
}

fn plan(steps: impl IntoIterator<Item = Step>) -> Plan {
    let mut steps: Vec<Step> = steps.into_iter().collect();
    steps.sort_by(|one, other| one.id.cmp(&other.id));
    Plan { steps, ..Plan::default() }
}

fn starting() -> Health {
    Health::new(HealthStatus::InProgress, "it starts")
}

fn outcome(step: &Step, result: ApplyResult, health: Health) -> AppliedObject {
    let live = result.succeeded().then(|| live(&step.id, health));
    AppliedObject {
        id: step.id.clone(),
        uid: None,
        result,
        live,
        problem: None,
        obstacle: None,
        removed: Vec::new(),
        rewritten: Vec::new(),
    }
}

/// A schedule, and what was said by it.
struct Run<'a> {
    schedule: Schedule<'a>,
    plan: &'a Plan,
}

impl<'a> Run<'a> {
    fn of(plan: &'a Plan) -> Self {
        Self { schedule: Schedule::new(plan), plan }
    }

    /// The names of all that may begin now.
    fn begin(&mut self) -> Vec<&'a str> {
        std::iter::from_fn(|| self.schedule.begin()).map(|step| &*step.id.name).collect()
    }

    fn awaited(&mut self) -> Vec<&'a str> {
        std::iter::from_fn(|| self.schedule.to_await()).map(|step| &*step.id.name).collect()
    }

    fn held_back(&mut self) -> Vec<(&'a str, String)> {
        std::iter::from_fn(|| self.schedule.held_back()).map(|(step, why, _)| (&*step.id.name, why)).collect()
    }

    fn step(&self, name: &str) -> &'a Step {
        self.plan.steps.iter().find(|step| &*step.id.name == name).unwrap()
    }

    fn applied(&mut self, name: &str, health: Health) {
        let outcome = outcome(self.step(name), ApplyResult::Created, health);
        self.schedule.applied(&outcome);
    }

    fn healthy(&mut self, names: &[&str]) {
        for name in names {
            self.applied(name, Health::current());
        }
    }

    fn failed(&mut self, name: &str) {
        let outcome = outcome(self.step(name), ApplyResult::Failed, Health::current());
        self.schedule.applied(&outcome);
    }

    fn observed(&mut self, name: &str, health: &Health, over: bool) -> bool {
        self.schedule.observed(&self.step(name).id, health, false, over)
    }
}

#[test]
fn kinds_that_others_need_go_first() {
    let plan = plan([
        new("v1/Pod", "pod", ""),
        new("v1/ConfigMap", "config", ""),
        new(CRD, "crd", ""),
        new("v1/Namespace", "other", ""),
        new("admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration", "hook", ""),
    ]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["other", "crd"]);
    run.healthy(&["other"]);
    assert_eq!(run.begin(), [""; 0], "a stage ends with its last object");
    run.healthy(&["crd"]);
    assert_eq!(run.begin(), ["config"]);
    run.healthy(&["config"]);
    assert_eq!(run.begin(), ["pod"]);
    run.healthy(&["pod"]);
    assert_eq!(run.begin(), ["hook"]);
}

#[test]
fn a_dependency_goes_first_also_against_the_order_of_kinds() {
    let plan = plan([
        new("v1/ConfigMap", "after", "/namespaces/shop/Pod/first"),
        new("v1/Pod", "first", ""),
        new("v1/Pod", "second", "/namespaces/shop/Pod/first"),
        new("v1/Pod", "third", "/namespaces/shop/Pod/second, /namespaces/shop/Pod/first"),
    ]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["first"]);
    run.healthy(&["first"]);
    assert_eq!(run.begin(), ["after", "second"]);
    run.healthy(&["second"]);
    assert_eq!(run.begin(), ["third"], "after is still under way, and no concern of it");
}

#[test]
fn what_waits_for_health_holds_up_only_what_depends_on_it() {
    let plan = plan([
        new("v1/PersistentVolumeClaim", "slow", ""),
        new("v1/ConfigMap", "behind", "/namespaces/shop/PersistentVolumeClaim/slow"),
        new("v1/ConfigMap", "free", ""),
        new("v1/Pod", "pod", ""),
        new("v1/Pod", "last", "/namespaces/shop/ConfigMap/behind"),
    ]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["free", "slow"]);
    run.applied("slow", starting());
    assert_eq!((run.awaited(), run.begin()), (vec!["slow"], vec![]), "the stage is under way");
    run.healthy(&["free"]);
    assert_eq!(run.begin(), ["pod"], "the next stage waits for nothing that waits itself");
    assert!(run.observed("slow", &starting(), false));
    assert!(!run.observed("slow", &Health::current(), false));
    assert_eq!(run.begin(), ["behind"]);
    run.healthy(&["behind", "pod"]);
    assert_eq!(run.begin(), ["last"]);
}

#[test]
fn what_never_gets_healthy_is_named_to_all_that_wait_for_it() {
    let plan = plan([
        new("v1/Pod", "a", ""),
        new("v1/Pod", "b", "/namespaces/shop/Pod/a"),
        new("v1/Pod", "c", "/namespaces/shop/Pod/b"),
        new("v1/Pod", "d", "/namespaces/shop/Pod/c"),
    ]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["a"]);
    run.applied("a", starting());
    assert_eq!(run.awaited(), ["a"]);
    assert!(!run.observed("a", &starting(), true));
    let by_way = "Pod shop/a, which it depends on by way of others, is not healthy: InProgress: it starts";
    let expected =
        [("b", "Pod shop/a, which it depends on, is not healthy: InProgress: it starts"), ("c", by_way), ("d", by_way)];
    assert_eq!(run.held_back(), expected.map(|(name, why)| (name, why.to_owned())));
    assert_eq!(run.begin(), [""; 0]);
    // Nobody waits for it any more.
    assert!(!run.observed("a", &Health::current(), false));
}

#[test]
fn a_failure_for_good_is_not_waited_for() {
    let plan = plan([new("v1/Pod", "a", ""), new("v1/Pod", "b", "/namespaces/shop/Pod/a")]);
    let mut run = Run::of(&plan);
    run.begin();
    run.applied("a", starting());
    assert!(!run.observed("a", &Health::new(HealthStatus::Failed, "it crashed"), false));
    assert!(run.held_back()[0].1.ends_with("is not healthy: Failed: it crashed"));
}

#[test]
fn an_object_that_is_refused_holds_back_what_depends_on_it() {
    let refused = Step { verb: Verb::Refuse, ..new("v1/Pod", "a", "") };
    let plan = plan([refused, new("v1/Pod", "b", "/namespaces/shop/Pod/a"), new("v1/Pod", "free", "")]);
    let mut run = Run::of(&plan);
    assert_eq!(run.held_back(), [("b", "Pod shop/a, which it depends on, was not applied".to_owned())]);
    assert_eq!(run.begin(), ["free"]);
}

#[test]
fn an_apply_that_fails_holds_back_what_depends_on_it_and_no_later_stage() {
    let plan = plan([
        new("v1/ConfigMap", "a", ""),
        new("v1/ConfigMap", "b", "/namespaces/shop/ConfigMap/a"),
        new("v1/Pod", "pod", ""),
    ]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["a"]);
    run.failed("a");
    assert_eq!(run.held_back(), [("b", "ConfigMap shop/a, which it depends on, was not applied".to_owned())]);
    assert_eq!(run.begin(), ["pod"]);
}

#[test]
fn what_is_there_and_healthy_is_not_waited_for_and_what_is_not_is() {
    let plan = plan([
        old("v1/Pod", "well", Health::current()),
        old("v1/Pod", "starting", starting()),
        new("v1/Pod", "a", "/namespaces/shop/Pod/well"),
        new("v1/Pod", "b", "/namespaces/shop/Pod/starting"),
        new("v1/Pod", "c", "/namespaces/shop/Pod/nowhere"),
    ]);
    let mut run = Run::of(&plan);
    assert_eq!(run.awaited(), ["starting"]);
    assert_eq!(run.begin(), ["a", "c"], "what is no part of the plan is not waited for");
    assert!(!run.observed("starting", &Health::current(), false));
    assert_eq!(run.begin(), ["b"]);
}

#[test]
fn a_job_has_to_end_before_others_begin() {
    let job = "batch/namespaces/shop/Job/migrate";
    let plan = plan([new("batch/v1/Job", "migrate", ""), new("v1/Pod", "web", job)]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["migrate"]);
    // It runs, which is all that is to be expected of it.
    run.applied("migrate", Health::current());
    assert_eq!((run.awaited(), run.begin()), (vec!["migrate"], vec![]));
    assert!(run.observed("migrate", &Health::current(), false));
    let id = &run.step("migrate").id;
    assert!(!run.schedule.observed(id, &Health::current(), true, false));
    assert_eq!(run.begin(), ["web"]);

    let mut run = Run::of(&plan);
    run.begin();
    run.applied("migrate", Health::current());
    assert!(!run.observed("migrate", &Health::current(), true));
    assert!(run.held_back()[0].1.ends_with("has not run to its end"));
}

#[test]
fn a_job_that_ended_and_is_gone_has_done_what_others_waited_for() {
    let mut gone = old("batch/v1/Job", "migrate", Health::current());
    (gone.live, gone.reason) = (None, Reason::Finished);
    let plan = plan([gone, new("v1/Pod", "web", "batch/namespaces/shop/Job/migrate")]);
    assert_eq!(Run::of(&plan).begin(), ["web"]);
}

fn definition(depends_on: &str, exists: bool) -> Step {
    let spec = json!({"spec": {"group": "e.com", "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things"},
        "versions": [{"name": "v1", "served": true}]}});
    let definition = declared(CRD, "things.e.com", depends_on, &spec);
    step(Verb::Configure, definition, exists.then(Health::current))
}

#[test]
fn custom_resources_begin_when_their_definition_is_served() {
    let plan = plan([definition("", true), new("e.com/v1/Thing", "thing", ""), new("v1/Pod", "pod", "")]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["things.e.com"]);
    // It may serve a version more than before.
    run.healthy(&["things.e.com"]);
    assert_eq!((run.awaited(), run.begin()), (vec!["things.e.com"], vec!["pod"]));
    run.observed("things.e.com", &Health::current(), false);
    assert_eq!(run.begin(), ["thing"]);
}

#[test]
fn a_definition_that_cannot_be_applied_holds_back_what_it_defines_unless_it_is_there_already() {
    for exists in [true, false] {
        let plan = plan([definition("", exists), new("e.com/v1/Thing", "thing", "")]);
        let mut run = Run::of(&plan);
        run.begin();
        run.failed("things.e.com");
        let why = "CustomResourceDefinition things.e.com, which defines it, was not applied".to_owned();
        let expected = if exists { (vec!["thing"], vec![]) } else { (vec![], vec![("thing", why)]) };
        assert_eq!((run.begin(), run.held_back()), expected);
    }
}

#[test]
fn what_lives_in_a_namespace_or_is_defined_by_a_crd_comes_after_it_whatever_that_depends_on() {
    let plan = plan([
        new("v1/Namespace", "shop", "apps/namespaces/infra/Deployment/operator"),
        definition("apps/namespaces/infra/Deployment/operator", false),
        new("v1/ConfigMap", "inside", ""),
        new("e.com/v1/Thing", "thing", ""),
        {
            let operator = declared(
                "apps/v1/Deployment",
                "operator",
                "",
                &json!({"metadata": {"name": "operator", "namespace": "infra"}}),
            );
            step(Verb::Create, operator, None)
        },
    ]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["operator"]);
    run.healthy(&["operator"]);
    assert_eq!(run.begin(), ["shop", "things.e.com"]);
    run.healthy(&["shop"]);
    assert_eq!(run.begin(), ["inside"]);
    run.healthy(&["things.e.com"]);
    assert_eq!((run.begin(), run.awaited()), (vec![], vec!["things.e.com"]));
    run.observed("things.e.com", &Health::current(), false);
    assert_eq!(run.begin(), ["thing"]);
}

#[test]
fn a_namespace_that_depends_on_what_is_in_it_is_a_circle_that_is_reported() {
    let plan = plan([
        new("v1/Namespace", "shop", "/namespaces/shop/ConfigMap/inside"),
        new("v1/ConfigMap", "inside", ""),
        new("v1/ConfigMap", "behind", "/namespaces/shop/ConfigMap/inside"),
    ]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), [""; 0]);
    let held = run.held_back();
    let circle =
        "it would have to be applied before itself: ConfigMap shop/inside -> Namespace shop -> ConfigMap shop/inside";
    assert_eq!(held.len(), 3, "{held:?}");
    assert!(held.contains(&("inside", circle.into())) && held.contains(&("shop", circle.into())), "{held:?}");
}

#[test]
fn a_webhook_comes_after_what_may_be_behind_it_also_where_that_waits() {
    let hook = |name: &str, namespace: &str| {
        let webhooks = json!({"webhooks": [{"clientConfig": {"service": {"namespace": namespace, "name": "s"}}}]});
        step(
            Verb::Create,
            declared("admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration", name, "", &webhooks),
            None,
        )
    };
    let plan = plan([
        new("v1/Pod", "db", ""),
        new("v1/Pod", "backend", "/namespaces/shop/Pod/db"),
        hook("here", "shop"),
        hook("elsewhere", "other"),
    ]);
    let mut run = Run::of(&plan);
    assert_eq!(run.begin(), ["db"]);
    run.applied("db", starting());
    assert_eq!(run.begin(), ["elsewhere"], "its backend is not among what waits");
    run.observed("db", &Health::current(), false);
    assert_eq!(run.begin(), ["backend"]);
    run.healthy(&["backend"]);
    assert_eq!(run.begin(), ["here"]);
}

#[test]
fn a_chain_of_twenty_thousand_is_carried_out_one_after_another() {
    let length = 20_000;
    let name = |number: usize| format!("c{number:05}");
    let on = |number: usize| {
        if number + 1 < length { format!("/namespaces/shop/ConfigMap/{}", name(number + 1)) } else { String::new() }
    };
    let plan = plan((0..length).map(|number| new("v1/ConfigMap", &name(number), &on(number))));
    let began = Instant::now();
    let mut schedule = Schedule::new(&plan);
    for number in (0..length).rev() {
        let step = schedule.begin().expect("the next one");
        assert_eq!(*step.id.name, *name(number));
        assert!(schedule.begin().is_none());
        // Each has to be observed once.
        schedule.applied(&outcome(step, ApplyResult::Created, starting()));
        assert_eq!(schedule.to_await().is_some(), number > 0);
        schedule.observed(&step.id, &Health::current(), false, false);
    }
    let mut schedule = Schedule::new(&plan);
    let first = schedule.begin().expect("the first one");
    schedule.applied(&outcome(first, ApplyResult::Failed, starting()));
    assert_eq!(std::iter::from_fn(|| schedule.held_back()).count(), length - 1);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// What becomes of an object: refused, applied and healthy at once, after an observation, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Refused,
    Healthy,
    Later,
    Never,
}

const KINDS: [&str; 5] = [
    "v1/Namespace",
    "v1/ConfigMap",
    "rbac.authorization.k8s.io/v1/RoleBinding",
    "v1/Pod",
    "admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration",
];

fn any_object() -> impl Strategy<Value = (usize, Vec<usize>, Fate, bool)> {
    let fate = prop_oneof![
        1 => Just(Fate::Refused),
        6 => Just(Fate::Healthy),
        2 => Just(Fate::Later),
        1 => Just(Fate::Never),
    ];
    (0..KINDS.len(), prop::collection::vec(0..20_usize, 0..3), fate, prop::bool::weighted(0.8))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Whatever becomes of the objects, and in whatever order that is known.
    #[test]
    fn every_object_has_one_outcome_and_none_begins_too_early_or_waits_for_nothing(
        objects in prop::collection::vec(any_object(), 1..20),
        order in any::<u64>(),
    ) {
        let id = |number: usize| {
            let kind = KINDS[objects[number].0];
            let (group, kind) = (kind.split('/').next().filter(|_| kind.matches('/').count() == 2).unwrap_or(""), kind.rsplit('/').next().unwrap());
            let namespaced = !matches!(kind, "Namespace" | "ValidatingWebhookConfiguration");
            format!("{group}{}/{kind}/o{number:02}", if namespaced { "/namespaces/shop" } else { "" })
        };
        // Only on those before it, so that there is no circle.
        let needs = |number: usize| objects[number].1.iter().copied().filter(move |on| *on < number);
        let plan = plan(objects.iter().enumerate().map(|(number, (kind, _, _, applies))| {
            let on: Vec<String> = needs(number).map(id).collect();
            let desired = declared(KINDS[*kind], &format!("o{number:02}"), &on.join(","), &json!({}));
            let verb = if *applies { Verb::Create } else { Verb::Unchanged };
            step(verb, desired, (!applies).then(Health::current))
        }));
        let number = |step: &Step| step.id.name[1..].parse::<usize>().unwrap();
        let fate = |step: &Step| objects[number(step)].2;
        let applies = |number: &usize| objects[*number].3;
        let mut random = fastrand::Rng::with_seed(order);
        let mut schedule = Schedule::new(&plan);
        let (mut running, mut awaited): (Vec<&Step>, Vec<&Step>) = (Vec::new(), Vec::new());
        let (mut done, mut healthy, mut ever_awaited) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        healthy.extend((0..objects.len()).filter(|number| !applies(number)));
        loop {
            while let Some((step, ..)) = schedule.held_back() {
                prop_assert!(done.insert(number(step), false).is_none(), "{} has two outcomes", step.id);
            }
            awaited.extend(std::iter::from_fn(|| schedule.to_await()));
            ever_awaited.extend(awaited.iter().map(|step| number(step)));
            // What each object has to wait for: its own stage or that of what it depends on, and whether it
            // does so for the health of another one.
            let (mut stages, mut late) = (Vec::new(), Vec::new());
            for (at, object) in objects.iter().enumerate() {
                let stage = needs(at).filter(&applies).map(|on| stages[on]).chain([object.0]).max().unwrap();
                let is_late = needs(at).any(|on| ever_awaited.contains(&on) || applies(&on) && late[on]);
                stages.push(stage);
                late.push(is_late);
            }
            let held_up = |at: usize, done: &BTreeMap<usize, bool>| {
                let open = (0..objects.len()).filter(|other| applies(other) && !done.contains_key(other) && !late[*other]);
                open.into_iter().any(|other| stages[other] < stages[at]) || !needs(at).all(|on| healthy.contains(&on))
            };
            while let Some(step) = schedule.begin() {
                let at = number(step);
                prop_assert!(!held_up(at, &done), "{} begins too early", step.id);
                prop_assert!(!done.contains_key(&at) && running.iter().all(|other| other.id != step.id));
                running.push(step);
            }
            for at in (0..objects.len()).filter(applies) {
                let waits = !done.contains_key(&at) && running.iter().all(|step| number(step) != at);
                prop_assert!(!waits || held_up(at, &done), "o{:02} could begin, and does not", at);
            }
            let ends = running.len() + awaited.len();
            if ends == 0 {
                break;
            }
            let next = random.usize(..ends);
            if next < running.len() {
                let step = running.swap_remove(next);
                prop_assert!(done.insert(number(step), true).is_none());
                let applied = match fate(step) {
                    Fate::Refused => outcome(step, ApplyResult::Failed, Health::current()),
                    Fate::Healthy => {
                        healthy.insert(number(step));
                        outcome(step, ApplyResult::Created, Health::current())
                    }
                    Fate::Later | Fate::Never => outcome(step, ApplyResult::Created, starting()),
                };
                schedule.applied(&applied);
            } else {
                let at = next - running.len();
                let step = awaited[at];
                let (health, over) = match fate(step) {
                    Fate::Never => (starting(), random.bool()),
                    _ => (Health::current(), false),
                };
                if health.is_current() {
                    healthy.insert(number(step));
                }
                if !schedule.observed(&step.id, &health, true, over) {
                    awaited.swap_remove(at);
                }
            }
        }
        for at in 0..objects.len() {
            prop_assert_eq!(done.contains_key(&at), applies(&at), "o{:02}", at);
        }
    }
}
