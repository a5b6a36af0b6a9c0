use serde_json::json;

use super::*;
use crate::object::project;

fn text(diff: &ObjectDiff) -> Vec<String> {
    let sign = |kind| match kind {
        DiffKind::Context => ' ',
        DiffKind::Removed => '-',
        DiffKind::Added => '+',
        DiffKind::Gap => '@',
    };
    diff.lines.iter().map(|line| format!("{}{}", sign(line.kind), line.text)).collect()
}

fn deployment(image: &str) -> Value {
    json!({
        "kind": "Deployment", "apiVersion": "apps/v1",
        "metadata": {"namespace": "shop", "labels": {"app": "web"}, "name": "web", "generation": 3, "uid": "u",
            "annotations": {"driftless.dev/digest": "x", "deployment.kubernetes.io/revision": "2"},
            "resourceVersion": "7", "managedFields": [{}], "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [
            {"name": "side", "image": "side:1"}, {"name": "web", "image": image, "args": ["a", "b"]},
        ]}}},
        "status": {"replicas": image.len()},
    })
}

#[test]
fn a_change_is_shown_with_the_lines_around_it_and_its_path() {
    let found = diff(Some(&deployment("web:1")), Some(&deployment("web:2")), false).unwrap();
    assert_eq!(
        text(&found),
        [
            "@14 unchanged lines",
            "       - args:",
            "         - a",
            "         - b",
            "-        image: web:1",
            "+        image: web:2",
            "         name: web",
        ]
    );
    assert_eq!(found.fields, ["spec.template.spec.containers[name=web].image"]);
}

#[test]
fn an_object_that_is_made_is_shown_whole_in_the_order_of_people() {
    let found = diff(None, Some(&deployment("web:1")), false).unwrap();
    assert_eq!(
        text(&found)[..10],
        [
            "+apiVersion: apps/v1",
            "+kind: Deployment",
            "+metadata:",
            "+  name: web",
            "+  namespace: shop",
            "+  labels:",
            "+    app: web",
            "+spec:",
            "+  replicas: 1",
            "+  template:",
        ]
    );
    assert_eq!(found.fields, [""; 0]);
    let gone = diff(Some(&deployment("web:1")), None, false).unwrap();
    assert!(gone.lines.iter().all(|line| line.kind == DiffKind::Removed));
    assert_eq!(gone.lines.len(), found.lines.len());
}

#[test]
fn what_only_servers_write_and_the_notation_of_numbers_are_no_difference() {
    let mut other = deployment("web:1");
    other["metadata"] = json!({"name": "web", "namespace": "shop", "labels": {"app": "web"}});
    other["spec"]["replicas"] = json!(1.0);
    other.as_object_mut().unwrap().remove("status");
    assert_eq!(diff(Some(&deployment("web:1")), Some(&other), false), None);
    assert_eq!(diff(None, None, false), None);
}

#[test]
fn text_of_several_lines_is_compared_by_line() {
    let map = |text: &str| json!({"data": {"conf": text, "long": "word ".repeat(100)}});
    let found = diff(Some(&map("a\nb\nc\n")), Some(&map("a\nB\nc\n")), false).unwrap();
    assert_eq!(
        text(&found)[..6],
        [" data:", "   conf: |", "     a", "-    b", "+    B", "     c"].map(|line| format!(
            "{}{}",
            &line[..1],
            &line[1..]
        ))
    );
    assert_eq!(found.fields, ["data.conf"]);
}

#[test]
fn paths_name_items_and_odd_keys() {
    let before = json!({
        "metadata": {"annotations": {"a.b/c": "1"}},
        "spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 1}], "args": ["a"], "rules": [{"verbs": ["get"]}],
            "list": [{"name": "a"}, {"name": "b"}]},
    });
    let after = json!({
        "metadata": {"annotations": {"a.b/c": "2"}, "labels": {"x": "y"}},
        "spec": {"ports": [{"port": 80, "targetPort": 2, "protocol": "TCP"}, {"port": 81}], "args": ["b"],
            "rules": [{"verbs": ["list"]}], "list": [{"name": "b"}, {"name": "a"}]},
    });
    assert_eq!(
        diff(Some(&before), Some(&after), false).unwrap().fields,
        [
            "metadata.annotations[\"a.b/c\"]",
            "metadata.labels",
            "spec.args",
            "spec.list",
            "spec.ports[port=80,protocol=TCP].targetPort",
            "spec.ports[port=81,protocol=TCP]",
            "spec.rules[0].verbs",
        ]
    );
}

fn secret(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "annotations": {
        "kubectl.kubernetes.io/last-applied-configuration": data.to_string(), "note": "kept"}}, "data": data})
}

#[test]
fn a_secret_whose_values_alone_differ_shows_that_and_nothing_else() {
    let found =
        diff(Some(&secret(&json!({"a": "MQ==", "b": "x"}))), Some(&secret(&json!({"a": "Mg==", "b": "x"}))), true)
            .unwrap();
    assert_eq!(text(&found), [" # values are not shown; 2 keys declared"]);
    assert_eq!(found.fields, ["data"]);
}

#[test]
fn keys_of_a_secret_come_and_go_without_their_values() {
    let found =
        diff(Some(&secret(&json!({"a": "MQ==", "b": "x"}))), Some(&secret(&json!({"a": "Mg==", "c": "x"}))), true)
            .unwrap();
    assert_eq!(
        text(&found),
        [
            "@5 unchanged lines",
            "     note: kept",
            " data:",
            "   a: <hidden>",
            "-  b: <hidden>",
            "+  c: <hidden>",
            " # values are not shown; 2 keys declared",
        ]
    );
    assert_eq!(found.fields, ["data.b", "data.c"]);
    let made = text(&diff(None, Some(&secret(&json!({"a": "MQ=="}))), true).unwrap()).join("\n");
    assert!(made.contains("note: kept") && made.contains("# values are not shown; 1 key declared"), "{made}");
    assert!(!made.contains("MQ=="), "{made}");
}

#[test]
fn control_characters_do_not_reach_a_terminal() {
    let map = |text: &str| json!({"data": {"a\u{1b}[2J": text}});
    let found = diff(Some(&map("x")), Some(&map("\u{1b}[31m\r\u{202e}\u{85}\n\u{1b}]0;x\u{7}")), false).unwrap();
    for line in found.lines.iter().map(|line| &line.text).chain(&found.fields) {
        assert!(!line.chars().any(|character| character.is_control() || character == '\u{202e}'), "{line:?}");
    }
}

#[test]
fn huge_objects_are_compared_in_time() {
    let map = |salt: &str, count: usize| json!({"items": (0..count).map(|n| json!({"name": format!("{salt}{n}")})).collect::<Vec<_>>()});
    for count in [9_000, 20_000] {
        let start = std::time::Instant::now();
        let found = diff(Some(&map("a", count)), Some(&map("b", count)), false).unwrap();
        assert!(found.lines.len() >= 2 * count);
        assert_eq!(project(&map("a", count), &map("b", count)), json!({"items": []}));
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "{count}: {:?}", start.elapsed());
    }
}

#[test]
fn a_projection_is_what_git_speaks_of_in_its_own_notation() {
    let live = json!({
        "metadata": {"name": "web", "uid": "u", "finalizers": ["x/y", "a/b"], "labels": {"app": "web", "other": "1"}},
        "spec": {
            "replicas": 2, "revisionHistoryLimit": 10,
            "containers": [
                {"name": "injected"},
                {"name": "web", "image": "web:1", "imagePullPolicy": "Always",
                    "resources": {"limits": {"cpu": "1", "memory": "100Mi"}},
                    "env": [{"name": "A"}], "args": ["a", "b"],
                    "volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}],
                    "ports": [{"containerPort": 80, "protocol": "TCP"}]},
            ],
            "rules": [{"verbs": ["get"]}, {"verbs": ["*"]}],
        },
    });
    let declared = json!({
        "metadata": {"name": "web", "finalizers": ["a/b"], "labels": {"app": "web"}, "annotations": {}},
        "spec": {
            "replicas": 2.0, "hostNetwork": false,
            "containers": [{"name": "web", "image": "web:1",
                "resources": {"limits": {"cpu": "1000m", "memory": 104_857_600}},
                "env": [{"name": "A", "value": ""}], "args": ["a", "b"],
                "volumeMounts": [{"name": "v", "mountPath": "/b"}, {"name": "v", "mountPath": "/a"}],
                "ports": [{"containerPort": 80}]}],
            "rules": [{"verbs": ["get"]}, {"verbs": ["*"]}],
        },
    });
    assert_eq!(project(&live, &declared), declared);
}

#[test]
fn a_projection_keeps_what_differs() {
    let fields =
        |live: Value, declared: Value| diff(Some(&project(&live, &declared)), Some(&declared), false).unwrap().fields;
    assert_eq!(fields(json!({"a": {"x": 1}}), json!({"a": {"x": 2}})), ["a.x"]);
    assert_eq!(fields(json!({"data": {}}), json!({"data": {"a": ""}})), ["data.a"]);
    assert_eq!(
        fields(json!({"rules": [{"verbs": ["get"]}, {"verbs": ["*"]}]}), json!({"rules": [{"verbs": ["get"]}]})),
        ["rules"]
    );
    assert_eq!(fields(json!({"c": [{"name": "a"}]}), json!({"c": [{"name": "a"}, {"name": "b"}]})), ["c[name=b]"]);
    assert_eq!(fields(json!({"limits": {"cpu": "1"}}), json!({"limits": {"cpu": "2"}})), ["limits.cpu"]);
    assert_eq!(fields(json!({"x": {"cpu": "1"}}), json!({"x": {"cpu": "1000m"}})), ["x.cpu"]);
    assert_eq!(fields(json!({"args": ["a", "b"]}), json!({"args": ["a"]})), ["args"]);
    assert_eq!(fields(json!("text"), json!({"a": 1})), [""]);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[ -~\n\t\u{1b}]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("name|key|port|spec|[a-c]", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn an_object_does_not_differ_from_itself(value in any_value()) {
            prop_assert_eq!(diff(Some(&value), Some(&value), false), None);
            prop_assert_eq!(&project(&value, &value), &value);
        }

        #[test]
        fn objects_that_differ_have_fields_that_differ(old in any_value(), new in any_value()) {
            let found = diff(Some(&old), Some(&new), false);
            if let Some(found) = found {
                prop_assert!(!found.fields.is_empty());
                prop_assert!(found.lines.iter().any(|line| matches!(line.kind, DiffKind::Added | DiffKind::Removed)));
            } else {
                prop_assert_eq!(present::cleaned(&old), present::cleaned(&new));
            }
        }

        #[test]
        fn a_secrets_diff_does_not_depend_on_its_values(values in prop::collection::vec("[ -~]{0,40}", 6), label in any::<bool>()) {
            let of = |values: &[String]| {
                let mut before = secret(&json!({"a": values[0], "b": values[1], "c": values[2]}));
                let mut after = secret(&json!({"a": values[3], "b": values[4], "d": values[5]}));
                before["stringData"] = json!({"e": values[5]});
                after["stringData"] = json!({"e": values[0]});
                after["metadata"]["labels"] = json!({"x": label});
                diff(Some(&before), Some(&after), true)
            };
            prop_assert_eq!(of(&values), of(&vec!["same".to_owned(); 6]));
        }
    }
}
