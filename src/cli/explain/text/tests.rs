use super::*;
use crate::object::{Blame, Commit, FieldChange, Health, ObjectId, Origin};
use crate::plan::Phase;

fn at(time: &str) -> Timestamp {
    format!("2026-11-21T{time}Z").parse().unwrap()
}

fn explained() -> Explained {
    let object = ObjectId::new("apps", "Deployment", Some("shop"), "web");
    let commit = Commit { id: "0123456789abcdef".repeat(3)[..40].into(), time: at("14:00:00"), subject: "more".into() };
    let field = |path: &str, wanted: &str, found: &str| FieldChange {
        path: path.into(),
        wanted: Some(wanted.into()),
        found: Some(found.into()),
        ..FieldChange::default()
    };
    let blame = Blame {
        manager: Some("tuner".into()),
        fields: vec![field("spec.replicas", "3", "5"), field("spec.paused", "false", "true")],
        ..Blame::default()
    };
    let holder = Holder {
        sync: "shop".into(),
        phase: Phase::Synced,
        url: "https://git.example.com/shop.git".into(),
        reference: "branch main".into(),
        path: "deploy".into(),
        manifest: Declared::At {
            origin: Origin { file: "deploy/web.yaml".into(), line: 3 },
            commit: commit.id.clone(),
        },
        synced: Some(commit),
        synced_at: Some(at("14:10:00")),
        state: LiveState::AsApplied,
        reason: "as last applied".into(),
        declared: None,
        asked_agent: true,
        stored_at: None,
        drift: vec![Drift {
            object: object.clone(),
            at: at("14:19:00"),
            reason: "fields changed".into(),
            blame,
            healed: true,
        }],
        contested: Some(Contest {
            object: object.clone(),
            manager: Some("rival".into()),
            managers: Vec::new(),
            fields: vec!["spec.replicas".into()],
            heals: 4,
            until: at("14:30:00"),
        }),
    };
    let manager = |manager: &str, subresource: &str, time, fields| Manager {
        name: manager.into(),
        operation: "Update".into(),
        subresource: subresource.into(),
        time,
        fields,
        unknown: false,
    };
    let managers = vec![manager("driftless", "", Some(at("14:19:30")), 12), manager("a\u{1b}[31m\n", "scale", None, 1)];
    Explained {
        object,
        exists: Some(true),
        health: Health::current(),
        managers,
        added: Vec::new(),
        syncs: vec![holder],
    }
}

#[test]
fn all_that_is_known_is_shown_and_nothing_moves_the_cursor() {
    let shown = text(&explained(), at("14:20:00"), Paint::off());
    let wanted = r"Deployment shop/web

sync       shop (Synced)
source     https://git.example.com/shop.git, branch main
path       deploy
commit     0123456789ab more, synced 2026-11-21T14:10:00Z (10m0s ago)
manifest   deploy/web.yaml:3
live       exists; as last applied
health     Current
drift      2026-11-21T14:19:00Z (1m0s ago), healed: fields changed; tuner changed spec.replicas from 3 to 5 and 1 more field (spec.paused)
contested  with rival over spec.replicas; healed 4 times in a row, and not again before 2026-11-21T14:30:00Z

MANAGER        OPERATION  SUBRESOURCE  FIELDS  WHEN
driftless      Update     -                12  2026-11-21T14:19:30Z (30s ago)
a\u{1b}[31m\n  Update     scale             1  -
";
    assert_eq!(shown, wanted);
}

#[test]
fn drift_a_newer_commit_and_what_is_not_known_are_said() {
    let mut one = explained();
    one.exists = Some(false);
    one.managers.clear();
    let holder = &mut one.syncs[0];
    (holder.state, holder.reason) = (LiveState::Drifted, "was deleted by somebody".into());
    (holder.synced, holder.contested) = (None, None);
    holder.drift.clear();
    let shown = text(&one, at("14:20:00"), Paint::off());
    for line in [
        "commit     none is synced yet\n",
        "manifest   deploy/web.yaml:3 in commit 0123456789ab, which is not synced yet\n",
        "live       does not exist; drifted: was deleted by somebody\n",
        "drift      none, says the running agent\n",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(!shown.contains("contested") && !shown.contains("MANAGER"), "{shown}");
    one.syncs[0].manifest = Declared::Unknown("git did not answer".into());
    assert!(text(&one, at("14:20:00"), Paint::off()).contains("manifest   not known: git did not answer\n"));
}

#[test]
fn markdown_has_a_table_that_names_cannot_break() {
    let mut one = explained();
    one.managers[0].name = "a|b".into();
    let shown = markdown(&one, at("14:20:00"));
    assert!(shown.contains("| sync | shop (Synced) |\n"), "{shown}");
    assert!(shown.contains("| a\\|b | Update | - | 12 |"), "{shown}");
    assert!(shown.lines().all(|line| !line.contains('\u{1b}')), "{shown}");
}
