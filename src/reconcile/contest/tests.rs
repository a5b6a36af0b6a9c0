use super::*;
use crate::object::FieldChange;

fn object() -> ObjectId {
    ObjectId::new("apps", "Deployment", Some("shop"), "web")
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn by(manager: &str, paths: &[&str]) -> Blame {
    let fields = paths.iter().map(|path| FieldChange { path: (*path).into(), ..FieldChange::default() }).collect();
    Blame { manager: Some(manager.into()), fields, ..Blame::default() }
}

/// What is left of our fields when these are lost.
fn way(blame: &Blame) -> Way {
    let paths: Vec<&String> = blame.fields.iter().map(|field| &field.path).collect();
    Way::Left(Short::of(&format!("{paths:?}")).0)
}

/// Heals as soon as it may, for so long against a write every 10 ms.
fn fight(contests: &mut Contests, from: Duration, until: Duration, writes: impl Fn(usize) -> Blame) -> Vec<Duration> {
    let (mut now, mut heals, mut number) = (from, Vec::new(), 0);
    while now < until {
        let blame = writes(number);
        number += 1;
        let way = way(&blame);
        let held = contests.delayed_until(&object(), way, now);
        let held = held.or_else(|| contests.examined(&object(), way, &blame, now));
        if let Some(later) = held {
            now = later;
            continue;
        }
        heals.push(now);
        contests.healed(&object(), Some(&"u".into()), way, &blame, now);
        now += Duration::from_millis(10);
    }
    heals
}

fn replicas(manager: &str) -> Blame {
    by(manager, &["spec.replicas"])
}

#[test]
fn heals_of_the_same_field_come_at_growing_intervals_up_to_five_minutes() {
    let mut contests = Contests::default();
    let heals = fight(&mut contests, seconds(0), seconds(7200), |_| replicas("other"));
    let gaps: Vec<u64> = heals.windows(2).map(|two| two[1].saturating_sub(two[0]).as_secs()).collect();
    assert_eq!(gaps[..12], [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    assert!(gaps[12..].iter().all(|gap| *gap == 300));
    assert_eq!(contests.len(), 1);
}

#[test]
fn it_makes_no_difference_who_writes_and_all_of_them_are_named() {
    let mut contests = Contests::default();
    let managers = ["a", "b", "c"];
    let heals = fight(&mut contests, seconds(0), seconds(600), |number| replicas(managers[number % 3]));
    assert!(heals.len() <= 13, "{heals:?}");
    let [contested] = &contests.list()[..] else { panic!("one contest") };
    let mut named: Vec<&str> = contested.managers.iter().map(|manager| &**manager).collect();
    named.sort_unstable();
    assert_eq!(named, managers);
    assert_eq!(contested.fields, ["spec.replicas"]);
    for number in 0..100 {
        contests.healed(&object(), None, Way::Gone, &by(&format!("m{number}"), &[]), seconds(600 + number));
    }
    let [contested] = &contests.list()[..] else { panic!("one contest an object") };
    assert!(contested.managers.len() <= MOST_MANAGERS);
}

#[test]
fn several_who_edit_a_field_once_each_are_no_contest_yet() {
    let mut contests = Contests::default();
    for (second, manager) in (0..).zip(["a", "b", "c", "a"]) {
        let blame = replicas(manager);
        let contested = contests.healed(&object(), None, way(&blame), &blame, seconds(second));
        assert_eq!(contested.map(|(_, more)| more), (second == 3).then_some(true), "after {second} s");
    }
    // It stays one, also when another one joins.
    let other = by("d", &["spec.replicas", "spec.paused"]);
    contests.healed(&object(), None, way(&other), &other, seconds(3));
    assert_eq!(contests.len(), 1);
}

#[test]
fn a_field_is_counted_with_whatever_it_is_written() {
    let mut contests = Contests::default();
    let heals = fight(&mut contests, seconds(0), seconds(60), |number| {
        by("rival", &["spec.replicas", ["spec.paused", "spec.minReadySeconds", "metadata.labels.x"][number % 3]])
    });
    assert!(heals.len() <= 40, "{} heals in a minute", heals.len());
    let fields = &contests.list()[0].fields;
    assert!(fields.len() == 4 && fields.contains(&"spec.replicas".to_owned()), "{fields:?}");
}

#[test]
fn another_field_is_healed_at_once_and_the_contested_one_waits_as_before() {
    let mut contests = Contests::default();
    fight(&mut contests, seconds(0), seconds(600), |_| replicas("other"));
    let before = contests.list();
    let both = by("person", &["spec.paused", "spec.replicas"]);
    assert!(contests.examined(&object(), way(&replicas("other")), &replicas("other"), seconds(600)).is_some());
    assert_eq!(contests.examined(&object(), way(&both), &both, seconds(600)), None);
    assert_eq!(contests.delayed_until(&object(), Way::Gone, seconds(600)), None);
    assert_eq!(contests.examined(&object(), Way::Gone, &Blame::default(), seconds(600)), None);
    let (contested, more) = contests.healed(&object(), None, way(&both), &both, seconds(600)).unwrap();
    assert!(!more);
    assert_eq!((contested.heals, contested.until), (before[0].heals, before[0].until));
}

#[test]
fn a_change_of_a_drift_that_was_examined_needs_no_second_examination() {
    let mut contests = Contests::default();
    fight(&mut contests, seconds(0), seconds(600), |_| replicas("other"));
    assert!(contests.delayed_until(&object(), way(&replicas("another")), seconds(600)).is_some());
    let unknown = Way::Left([9; 16]);
    assert_eq!(contests.delayed_until(&object(), unknown, seconds(600)), None);
    assert!(contests.examined(&object(), unknown, &replicas("other"), seconds(600)).is_some());
    assert!(contests.delayed_until(&object(), unknown, seconds(601)).is_some());
}

#[test]
fn it_is_over_when_all_sides_rest() {
    let mut contests = Contests::default();
    fight(&mut contests, seconds(0), seconds(30), |_| replicas("one"));
    assert_eq!(contests.forget(seconds(31)), []);
    let two = replicas("two");
    let (contested, more) = contests.healed(&object(), Some(&"u".into()), way(&two), &two, seconds(32)).unwrap();
    assert!(!more && contested.heals > CONTESTED);
    let mut over = Vec::new();
    while let Some(next) = contests.next() {
        over.extend(contests.forget(next));
    }
    assert_eq!(over, [(object(), Some("u".into()))]);
    assert_eq!((contests.len(), contests.next(), contests.counted), (0, None, 0));
    assert_eq!(contests.healed(&object(), None, way(&two), &two, seconds(2000)), None, "it begins anew");
}

#[test]
fn edits_with_hours_between_them_are_no_contest() {
    let mut contests = Contests::default();
    let edit = replicas("kubectl-edit");
    for hour in 0..24 {
        assert_eq!(contests.examined(&object(), way(&edit), &edit, seconds(hour * 3600)), None);
        assert_eq!(contests.healed(&object(), None, way(&edit), &edit, seconds(hour * 3600)), None);
    }
}

#[test]
fn an_object_with_endlessly_many_fields_is_contested_as_well_and_takes_no_more_room() {
    let mut contests = Contests::default();
    let heals = fight(&mut contests, seconds(0), seconds(60), |number| {
        by("rival", &[&format!("data.key-{}", number % 1000), &format!("data.other-{}", number % 700)])
    });
    assert!(heals.len() < 300, "{} heals", heals.len());
    assert!(contests.objects[&object()].fields.len() <= MOST_FIELDS + 1);
    assert!(contests.objects[&object()].ways.len() <= MOST_WAYS);
    assert!(contests.list()[0].fields.len() <= MOST_NAMED);
}

#[test]
fn what_is_counted_is_bounded() {
    let mut contests = Contests::default();
    let paths: Vec<String> = (0..50).map(|number| format!("data.{number}")).collect();
    let edit = by("somebody", &paths.iter().map(|path| &**path).collect::<Vec<_>>());
    for number in 0..1000 {
        let id = ObjectId::new("", "ConfigMap", Some("shop"), &format!("c{number}"));
        contests.healed(&id, None, way(&edit), &edit, seconds(1));
    }
    assert_eq!(contests.counted, MOST_COUNTED);
    assert_eq!(contests.objects.values().map(|object| object.fields.len()).sum::<usize>(), MOST_COUNTED);
    contests.forget(seconds(3600));
    assert_eq!((contests.counted, contests.objects.len()), (0, 0));
}
