//! The status in the parent: what is left of it where there is no room for all.

use super::*;
use crate::plan::Rewritten;

#[test]
fn a_status_is_yaml_and_only_informs() {
    let mut live = shop().to_apply().unwrap().parent;
    let text = live["data"]["status"].as_str().unwrap();
    assert!(text.starts_with("sync: shop\nphase: Synced\n"), "{text}");
    live["data"]["status"] = "phase: Held\nfromTheFuture: {a: 1}\n".into();
    assert_eq!(Parent::from_live(&live, &[]).unwrap().status.phase, Phase::Held);
    for unreadable in [json!("phase: Dancing"), json!("{"), json!(5), Value::Null] {
        live["data"]["status"] = unreadable;
        let read = Parent::from_live(&live, &[]).unwrap();
        assert_eq!((read.status, read.damaged), (SyncStatus::default(), None));
    }
}

#[test]
fn a_long_status_is_shortened_rather_than_refused() {
    let mut long = shop();
    long.status.problems = vec![Problem::general("ä".repeat(20_000)); 50];
    let status = Parent::from_live(&long.to_apply().unwrap().parent, &[]).unwrap().status;
    assert_eq!(status.phase, Phase::Synced);
    assert_eq!(status.problems.len(), 10);
    assert!(status.problems[0].message.ends_with("ä…"));
}

/// The largest status that an agent can have: every list full, every text long.
pub(super) fn largest() -> SyncStatus {
    let long = |bytes: usize| "\u{7}ä\"".repeat(bytes / 4);
    let object = || id("Deployment.apps", Some(&"n".repeat(63)), &"x".repeat(253));
    let origin = Some(Origin { file: long(4000).into(), line: 1 });
    let problem = Problem { object: Some(object()), origin, message: long(8000) };
    let field = FieldChange {
        path: long(4000),
        manager: Some(long(128).into()),
        wanted: Some(long(500)),
        found: Some(long(500)),
        added: true,
    };
    let blame = Blame { manager: Some(long(128).into()), fields: vec![field; Blame::MOST], ..Blame::default() };
    let at: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let drift = Drift { object: object(), at, reason: long(4000), blame, healed: true };
    let contest = Contest {
        object: object(),
        manager: Some(long(128).into()),
        managers: vec![long(128).into(); 8],
        fields: vec![long(4000); 20],
        heals: 7,
        until: at,
    };
    let commit = Commit { id: "c".repeat(40), time: at, subject: long(100_000) };
    SyncStatus {
        sync: "s".repeat(63),
        message: long(100_000),
        url: long(4000),
        reference: long(4000),
        path: long(4000),
        synced: Some(commit.clone()),
        attempted: Some(commit),
        former: vec!["f".repeat(40); SyncStatus::MOST_FORMER],
        held: Some(Held {
            commit: "c".repeat(40),
            digest: "d".repeat(32),
            prune: 4000,
            total: 5000,
            reason: long(4000),
            objects: vec![object(); Held::MOST],
        }),
        approval: Some(Approval { value: "v".repeat(Approval::LONGEST), digest: Some("d".repeat(32)), begun: true }),
        problems: vec![problem.clone(); SyncStatus::MOST],
        summary: vec![problem.clone(); SyncStatus::MOST],
        notes: vec![problem; SyncStatus::MOST],
        unhealthy: vec![(object(), Health::new(HealthStatus::Failed, long(4000))); SyncStatus::MOST],
        drift: vec![drift; SyncStatus::MOST_DRIFT],
        contested: vec![contest; SyncStatus::MOST_DRIFT],
        rewritten: vec![Rewritten { object: object(), fields: vec![long(500); Blame::MOST] }; SyncStatus::MOST_DRIFT],
        ..SyncStatus::default()
    }
}

#[test]
fn the_largest_status_keeps_what_decides_and_says_what_it_leaves_out() {
    let mut wrote = shop();
    wrote.status = largest();
    let live = wrote.to_apply().unwrap().parent;
    let text = live["data"]["status"].as_str().unwrap();
    assert!(text.len() <= 64 * 1024, "{}", text.len());
    let read = Parent::from_live(&live, &[]).unwrap().status;
    assert_eq!((&read.approval, &read.former), (&wrote.status.approval, &wrote.status.former));
    let ids =
        |status: &SyncStatus| [&status.synced, &status.attempted].map(|commit| commit.as_ref().unwrap().id.clone());
    assert_eq!(ids(&read), ids(&wrote.status));
    let (held, before) = (read.held.unwrap(), wrote.status.held.clone().unwrap());
    assert_eq!((held.commit, held.digest, held.prune), (before.commit, before.digest, before.prune));
    let left = |kept: usize, most: usize| most - kept;
    let shortened = read.shortened.unwrap();
    for (count, what) in [
        (left(read.problems.len(), 50), "problems"),
        (left(read.drift.len(), 20), "drifts"),
        (left(read.contested.len(), 20), "contests"),
        (left(read.rewritten.len(), 20), "rewritten objects"),
        (left(read.unhealthy.len(), 50), "unhealthy objects"),
    ] {
        assert!(shortened.contains(&format!("{count} {what}")), "{shortened}");
    }
    assert_eq!(wrote.to_apply().unwrap().parent, live, "the same status is the same bytes");
}

#[test]
fn what_was_left_out_of_a_short_status_is_nothing() {
    assert_eq!(Parent::from_live(&shop().to_apply().unwrap().parent, &[]).unwrap().status.shortened, None);
}

/// Any text, long ones and such that YAML writes with many bytes a character among them.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => ".{0,20}",
        1 => ("(.|\n|[\u{0}-\u{1f}\u{7f}-\u{9f}\u{2028}\u{feff}\"\\\\]){1,6}", 0..400usize).prop_map(|(text, times)| text.repeat(times)),
    ]
}

fn any_status() -> impl Strategy<Value = SyncStatus> {
    let texts = prop::collection::vec(any_text(), 24);
    (texts, 0..60usize, any::<bool>()).prop_map(|(texts, count, plain)| {
        let text = |n: usize| texts[n % texts.len()].clone();
        let mut status = largest();
        (status.sync, status.message, status.url, status.path) = (text(0), text(1), text(2), text(3));
        status.reference = text(4);
        if let (Some(commit), Some(held), Some(approval)) = (&mut status.synced, &mut status.held, &mut status.approval)
        {
            (commit.id, commit.subject) = (text(5), text(6));
            (held.commit, held.digest, held.reason) = (text(7), text(8), text(9));
            (approval.value, approval.digest) = (text(10), Some(text(11)));
        }
        let object = |n: usize| ObjectId::new(&text(n), &text(n + 1), Some(&text(n + 2)), &text(n + 3));
        status.former = vec![text(12); count];
        status.problems =
            (0..count).map(|n| Problem { object: Some(object(n)), ..Problem::general(text(n)) }).collect();
        status.unhealthy = (0..count).map(|n| (object(n), Health::new(HealthStatus::Failed, text(n + 5)))).collect();
        for (n, contest) in status.contested.iter_mut().enumerate() {
            contest.object = object(n);
            contest.managers = vec![text(n + 7).into(); count];
            contest.fields = vec![text(n + 8); count];
        }
        for (n, drift) in status.drift.iter_mut().enumerate() {
            (drift.object, drift.reason) = (object(n + 9), text(n + 1));
            for (m, field) in drift.blame.fields.iter_mut().enumerate() {
                (field.path, field.wanted) = (text(n + m), Some(text(n + m + 1)));
            }
        }
        if plain { SyncStatus { drift: Vec::new(), ..status } } else { status }
    })
}

proptest! {
    // Each is large.
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn no_status_takes_more_than_its_share_and_none_keeps_an_inventory_from_being_stored(status in any_status()) {
        let mut wrote = shop();
        wrote.status = status;
        let live = wrote.to_apply().unwrap().parent;
        let text = live["data"]["status"].as_str().unwrap();
        prop_assert!(text.len() <= 64 * 1024, "{}", text.len());
        prop_assert!(crate::inventory::status::encode(&wrote.status, 0).len() <= 16 * 1024);
        prop_assert_eq!(Parent::from_live(&live, &[]).unwrap().inventory, wrote.inventory);
    }
}

proptest! {
    #[test]
    fn every_status_reads_back_as_written(message in "(.|\n){0,60}", subject in "\\PC{0,30}", count in 0..3usize) {
        let mut wrote = shop();
        wrote.status.message = message.clone();
        wrote.status.synced = Some(Commit { id: "0123".into(), time: "2026-01-01T00:00:00Z".parse().unwrap(), subject });
        wrote.status.health = [(HealthStatus::Current, 3), (HealthStatus::Failed, count)].into();
        wrote.status.problems = vec![Problem::general(message.clone()); count];
        wrote.status.notes = vec![Problem { object: Some(id("Pod", Some("a"), "b")), ..Problem::general("note") }; count];
        wrote.status.unhealthy = vec![(id("Pod", None, "b"), Health::new(HealthStatus::Failed, message)); count];
        prop_assert_eq!(Parent::from_live(&wrote.to_apply().unwrap().parent, &[]).unwrap().status, wrote.status);
    }
}
