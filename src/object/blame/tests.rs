use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::object::is_deceptive;

/// Objects of a real API server (1.36) after kubectl drifted them, without status and server
/// metadata; `tests/devcluster` starts such a server.
fn real(case: &str) -> Blame {
    let file: Value = serde_json::from_str(include_str!("testdata/kubernetes-1.36.json")).unwrap();
    let live = &file["live"][case];
    let desired = file["desired"].as_array().unwrap().iter().find(|desired| desired["kind"] == live["kind"]).unwrap();
    blame(desired, Some(live), live["kind"] == "Secret")
}

/// All its fields, the first with who is blamed.
fn lines_of(blame: &Blame) -> Vec<String> {
    let whole = Blame { fields: blame.fields.iter().take(1).cloned().collect(), ..blame.clone() };
    let others = blame.fields.iter().skip(1).map(|field| match &field.manager {
        Some(manager) => format!("{manager}: {field}"),
        None => field.to_string(),
    });
    std::iter::once(whole.to_string()).chain(others).collect()
}

#[test]
fn drift_on_a_real_server_is_described_in_words() {
    for (case, lines) in [
        ("clean-deploy", &["somebody changed it"] as &[&str]),
        ("clean-svc", &["somebody changed it"]),
        ("clean-cm", &["somebody changed it"]),
        ("clean-secret", &["somebody changed it"]),
        ("image", &["kubectl-set changed spec.template.spec.containers[name=web].image from nginx:1.27 to nginx:1.28"]),
        ("scale", &["kubectl (scale) changed spec.replicas from 3 to 5"]),
        ("force-apply", &["helm changed spec.replicas from 3 to 7"]),
        (
            "env-removed",
            &[
                r#"somebody removed spec.template.spec.containers[name=web].env[name=A] (wanted {"name":"A","value":"1"})"#,
            ],
        ),
        ("env-remade", &["other changed spec.template.spec.containers[name=web].env[name=A].value from 1 to 7"]),
        ("annotation-removed", &[r#"somebody removed metadata.annotations["example.com/team"] (wanted shop)"#]),
        ("label-removed", &[r#"somebody removed metadata.labels["applyset.kubernetes.io/part-of"] (wanted set)"#]),
        (
            "container-removed",
            &[
                r#"kubectl-patch changed spec.template.spec.containers[name=web].args from ["a","b"] to ["a"]"#,
                r#"removed spec.template.spec.containers[name=side] (wanted {"image":"busybox:1","name":"side"})"#,
            ],
        ),
        ("replaced", &["argo changed spec.template.spec.containers[name=web].image from nginx:1.27 to nginx:1.29"]),
        ("same-value-relabelled", &["kubectl-label took over metadata.labels.app with the same value (web)"]),
        (
            "wiped-image",
            &["somebody changed spec.template.spec.containers[name=web].image from nginx:1.27 to nginx:1.28"],
        ),
        ("svc-target", &["kubectl-patch changed spec.ports[port=80,protocol=TCP].targetPort from 8080 to 9090"]),
        (
            "svc-key",
            &[
                r#"kubectl-patch removed spec.ports[port=53,protocol=UDP] (wanted {"name":"dns","port":53,"protocol":"UDP"})"#,
            ],
        ),
        ("cm-edit", &["kubectl-patch changed data.key from x to y"]),
        ("cm-key-removed", &["somebody removed data.key (wanted x)"]),
        ("cm-data-removed", &[r#"somebody removed data (wanted {"app.conf":"a=1\nb=2\n","key":"x"})"#]),
        ("secret-edit", &["kubectl-patch changed data.password"]),
        ("finalizer-removed", &[r#"somebody changed metadata.finalizers[="example.com/a"]"#]),
        ("role-verb", &[r#"kubectl-patch changed rules[0].verbs from ["get"] to ["get","delete"]"#]),
        ("widget-leaf", &["kubectl-patch changed spec.deep.b.c from x to y"]),
        (
            "widget-many",
            &[
                "kubectl-patch changed spec.deep.a from 1 to 5",
                "changed spec.list[name=a].v from 1 to 9",
                r#"changed spec.words from ["x","y"] to ["x"]"#,
            ],
        ),
    ] {
        assert_eq!(lines_of(&real(case)), lines, "{case}");
    }
}

#[test]
fn who_wrote_last_is_blamed_for_equal_shares() {
    let blame = real("image-scale");
    assert_eq!(
        (blame.manager.as_deref(), blame.subresource.as_deref(), blame.at),
        (Some("kubectl-set"), None, Some("2026-11-21T12:24:56Z".parse().unwrap()))
    );
    assert_eq!(blame.fields[0].manager.as_deref(), Some("kubectl"));
    assert_eq!(blame.fields[1].manager, None);
}

#[test]
fn wiped_ownership_alone_is_reported_by_what_was_lost() {
    let blame = real("wiped");
    assert_eq!(blame.to_string(), "somebody reset the ownership of metadata.annotations and 2 more fields");
    assert!(blame.fields.iter().all(|field| field.wanted == field.found && field.wanted.is_some()));
    assert_eq!((blame.manager, blame.at), (None, None));
}

fn config_map(data: &Value, entries: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "managedFields": entries}, "data": data})
}

fn entry(manager: &str, operation: &str, time: &str, fields: &Value) -> Value {
    json!({"manager": manager, "operation": operation, "time": time, "fieldsV1": fields})
}

const EARLY: &str = "2026-01-01T00:00:00Z";
const LATE: &str = "2026-01-02T00:00:00Z";

#[test]
fn the_one_manager_that_wrote_after_us_removed_what_nobody_owns() {
    let desired = config_map(&json!({"a": "1", "b": "2"}), &Value::Null);
    let ours = entry("driftless", "Apply", EARLY, &json!({"f:data": {"f:b": {}}}));
    let annotated = json!({"f:metadata": {"f:annotations": {"f:x": {}}}});
    let reported = |others: &[Value]| {
        let entries = [std::slice::from_ref(&ours), others].concat();
        blame(&desired, Some(&config_map(&json!({"b": "2"}), &entries.into())), false).to_string()
    };
    let edit = entry("kubectl-edit", "Update", LATE, &annotated);
    let status =
        json!({"manager": "kcm", "operation": "Update", "subresource": "status", "time": LATE, "fieldsV1": {}});
    assert_eq!(reported(&[edit.clone(), status]), "kubectl-edit removed data.a (wanted 1)");
    assert_eq!(reported(&[edit, entry("helm", "Apply", LATE, &annotated)]), "somebody removed data.a (wanted 1)");
    assert_eq!(reported(&[entry("helm", "Apply", EARLY, &annotated)]), "somebody removed data.a (wanted 1)");
}

#[test]
fn a_change_without_a_trace_shows_in_the_values() {
    let desired = json!({"metadata": {"name": "q"}, "spec": {"hard": {"cpu": "1000m", "memory": "1Gi"}, "x": false}});
    let entries = json!([entry(
        "driftless",
        "Apply",
        EARLY,
        &json!({"f:spec": {"f:hard": {"f:cpu": {}, "f:memory": {}}, "f:x": {}}})
    )]);
    let live = |cpu: &str| json!({"metadata": {"name": "q", "managedFields": entries}, "spec": {"hard": {"cpu": cpu, "memory": "1024Mi"}}});
    assert_eq!(blame(&desired, Some(&live("1")), false), Blame::default());
    assert_eq!(blame(&desired, Some(&live("2")), false).to_string(), "somebody changed spec.hard.cpu from 1000m to 2");
    assert_eq!(blame(&desired, None, false), Blame::default());
    assert_eq!(
        blame(&desired, Some(&json!("x")), false).to_string(),
        r#"somebody removed spec (wanted {"hard":{"cpu":"1000m","memory":"1Gi"},"x":false})"#
    );
}

#[test]
fn foreign_text_is_harmless_and_short() {
    let long = |end: &str| format!("{}{end}", "ä".repeat(5000));
    let desired = config_map(&json!({"a\u{1b}": "x", "b": long("1"), "c": ""}), &Value::Null);
    let theirs = entry(
        &format!("e\u{202e}{}", "m".repeat(500)),
        "Update",
        LATE,
        &json!({"f:data": {"f:a\u{1b}": {}, "f:b": {}, "f:c": {}}}),
    );
    let live = config_map(&json!({"a\u{1b}": "\u{1b}[2J\n", "b": long("2"), "c": " "}), &json!([theirs]));
    let blame = blame(&desired, Some(&live), false);
    let manager = blame.manager.as_deref().unwrap();
    assert!(manager.starts_with(r"e\u{202e}mmm") && manager.chars().count() <= 129, "{manager}");
    assert_eq!(blame.fields[0].to_string(), r#"changed data["a\u001b"] from x to \u{1b}[2J\n"#);
    assert_eq!(blame.fields[1].to_string(), format!("changed data.b from …{0}1 to …{0}2", "ä".repeat(20)));
    assert_eq!(blame.fields[2].to_string(), "changed data.c from \"\" to  ");
}

#[test]
fn the_fields_beyond_the_most_are_counted() {
    let data =
        |salt: &str| (0..300).map(|n| (format!("k{n:03}"), json!(salt))).collect::<serde_json::Map<_, _>>().into();
    let desired = config_map(&data("x"), &Value::Null);
    let fields: serde_json::Map<_, _> = (0..300).map(|n| (format!("f:k{n:03}"), json!({}))).collect();
    let live = config_map(&data("y"), &json!([entry("vi", "Update", LATE, &json!({"f:data": fields}))]));
    let blame = blame(&desired, Some(&live), false);
    assert_eq!((blame.fields.len(), blame.more), (Blame::MOST, 280));
    assert_eq!(blame.to_string(), "vi changed data.k000 from x to y and 299 more fields");
}

#[test]
fn a_line_reads_well_whatever_is_known() {
    let field = |wanted: Option<&str>, found: Option<&str>| FieldChange {
        path: "spec.x".into(),
        wanted: wanted.map(Into::into),
        found: found.map(Into::into),
        ..FieldChange::default()
    };
    for (manager, subresource, fields, more, line) in [
        (None, None, vec![], 0, "somebody changed it"),
        (Some("vi"), None, vec![], 0, "vi changed it"),
        (Some("vi"), Some("scale"), vec![field(Some("3"), Some("5"))], 0, "vi (scale) changed spec.x from 3 to 5"),
        (None, Some("scale"), vec![field(Some("3"), None)], 0, "somebody removed spec.x (wanted 3)"),
        (Some("vi"), None, vec![field(Some("3"), None); 2], 0, "vi removed spec.x (wanted 3) and 1 more field"),
        (Some("vi"), None, vec![field(None, None); 2], 4, "vi changed spec.x and 5 more fields"),
        (Some("vi"), None, vec![field(None, Some("5"))], 0, "vi changed spec.x to 5"),
        (Some("vi"), None, vec![field(Some("3"), Some("3"))], 0, "vi took over spec.x with the same value (3)"),
        (None, None, vec![field(Some("3"), Some("3"))], 0, "somebody reset the ownership of spec.x"),
        (Some("vi"), None, vec![field(Some(""), Some("5"))], 0, "vi changed spec.x from \"\" to 5"),
    ] {
        let blame = Blame {
            manager: manager.map(Into::into),
            subresource: subresource.map(Into::into),
            at: None,
            fields,
            more,
        };
        assert_eq!(blame.to_string(), line);
    }
}

#[test]
fn a_hostile_object_is_reported_in_time() {
    let items = |salt: u8| (0..5_000).map(|n| json!({"name": format!("n{n}"), "v": salt})).collect::<Vec<_>>();
    let entries: Vec<Value> = (0..500)
        .map(|manager| {
            let keys: serde_json::Map<_, _> =
                (0..50).map(|n| (format!("k:{{\"name\" : \"n{}\"}}", manager * 7 + n), json!({"f:v": {}}))).collect();
            entry(&format!("m{manager}"), "Update", LATE, &json!({"f:spec": {"f:list": keys}}))
        })
        .collect();
    let live = json!({"metadata": {"managedFields": entries}, "spec": {"list": items(2)}});
    let start = std::time::Instant::now();
    let blame = blame(&json!({"spec": {"list": items(1)}}), Some(&live), false);
    assert_eq!((blame.fields.len(), blame.more), (Blame::MOST, 5_000 - Blame::MOST));
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}

/// Objects and `fieldsV1` in one: both have fields of the same few names.
fn any_tree(keys: &'static str) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({})),
        any::<bool>().prop_map(Value::from),
        (0..3_i32).prop_map(Value::from),
        "[ab\u{1b}\u{202e}]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys, inner, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

const FIELDS: &str = "a|b|name|port|protocol|metadata|spec|\u{1b}";
const FIELDS_V1: &str = r#"f:(a|b|name|metadata|spec)|k:\{"(name|port)":("a"|"b"|0|1|1\.0)\}|k:\{"port":1,"protocol":"TCP"\}|v:("a"|1|\{)|i:0|\.|x"#;

proptest! {
    #[test]
    fn whatever_stands_in_an_object_it_is_reported_harmlessly(
        desired in any_tree(FIELDS), live in any_tree(FIELDS), mine in any_tree(FIELDS_V1), theirs in any_tree(FIELDS_V1),
        manager in any::<String>(), secret in any::<bool>(),
    ) {
        let mut live = live;
        if live.is_object() {
            live["metadata"] = json!({"managedFields": [
                entry("driftless", "Apply", EARLY, &mine), entry(&manager, "Update", LATE, &theirs), 5, {}
            ]});
        }
        let blame = blame(&desired, Some(&live), secret);
        prop_assert!(blame.fields.len() <= Blame::MOST);
        prop_assert!(!blame.to_string().chars().any(is_deceptive));
        for field in &blame.fields {
            prop_assert!(!field.to_string().chars().any(is_deceptive));
            prop_assert!(!secret || field.wanted.is_none() && field.found.is_none());
        }
    }
}
