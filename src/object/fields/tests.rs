use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

fn lost(desired: &Value, ours: Option<&Value>, others: &[&Value]) -> Vec<FieldPath> {
    let others: Vec<FieldSet> = others.iter().map(|fields| FieldSet::from_json(fields)).collect();
    super::lost(desired, ours.map(FieldSet::from_json).as_ref(), &others.iter().collect::<Vec<_>>())
}

fn shown(desired: &Value, ours: Option<&Value>, others: &[&Value]) -> Vec<String> {
    lost(desired, ours, others).iter().map(ToString::to_string).collect()
}

fn path(text: &str) -> FieldPath {
    text.parse().unwrap()
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "x/y": "set"}, "annotations": {"a/b": "d"},
            "finalizers": ["a/b", "c/d"]},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "volumes": [], "template": {"spec": {"containers": [
            {"name": "web", "image": "web:1", "args": ["a"], "env": [{"name": "A", "value": "1"}, {"name": "B"}],
                "ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]},
        ]}}},
    })
}

/// As the API server writes it after our apply.
fn ours() -> Value {
    json!({
        "f:metadata": {"f:labels": {"f:app": {}, "f:x/y": {}}, "f:annotations": {"f:a/b": {}},
            "f:finalizers": {"v:\"a/b\"": {}, "v:\"c/d\"": {}}},
        "f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                "f:env": {"k:{\"name\":\"A\"}": {".": {}, "f:name": {}, "f:value": {}}, "k:{\"name\":\"B\"}": {".": {}, "f:name": {}}},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}},
                    "k:{\"containerPort\":80,\"protocol\":\"UDP\"}": {".": {}, "f:containerPort": {}, "f:protocol": {}}}},
        }}}},
    })
}

/// Our entry without what is at a JSON pointer.
fn without(pointer: &str) -> Value {
    let mut fields = ours();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    fields.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(&key).unwrap();
    fields
}

const CONTAINER: &str = "/f:spec/f:template/f:spec/f:containers/k:{\"name\":\"web\"}";

#[test]
fn what_we_own_is_not_lost() {
    assert_eq!(shown(&deployment(), Some(&ours()), &[]), [""; 0]);
    let theirs = json!({"f:spec": {"f:replicas": {}, "f:paused": {}}});
    assert_eq!(shown(&deployment(), Some(&ours()), &[&theirs]), [""; 0]);
}

#[test]
fn what_is_lost_is_named_as_finely_as_its_owners_say() {
    let web = "spec.template.spec.containers[name=web]";
    for (gone, theirs, paths) in [
        ("/f:spec/f:replicas", json!({}), vec!["spec.replicas".to_owned()]),
        ("/f:spec/f:selector", json!({}), vec!["spec.selector.matchLabels.app".into()]),
        ("/f:metadata/f:labels/f:x~1y", json!({}), vec![r#"metadata.labels["x/y"]"#.into()]),
        ("/f:metadata/f:labels", json!({}), vec!["metadata.labels".into()]),
        (
            "/f:metadata/f:labels",
            json!({"f:metadata": {"f:labels": {"f:app": {}}}}),
            vec!["metadata.labels.app".into(), r#"metadata.labels["x/y"]"#.into()],
        ),
        ("/f:metadata/f:finalizers/v:\"c~1d\"", json!({}), vec![r#"metadata.finalizers[="c/d"]"#.into()]),
        ("/f:metadata/f:finalizers", json!({}), vec!["metadata.finalizers".into()]),
        (&format!("{CONTAINER}/f:args"), json!({}), vec![format!("{web}.args")]),
        (
            &format!("{CONTAINER}/f:env/k:{{\"name\":\"A\"}}/f:value"),
            json!({}),
            vec![format!("{web}.env[name=A].value")],
        ),
        (&format!("{CONTAINER}/f:env/k:{{\"name\":\"B\"}}"), json!({}), vec![format!("{web}.env[name=B]")]),
        (&format!("{CONTAINER}/f:env"), json!({}), vec![format!("{web}.env")]),
        (
            &format!("{CONTAINER}/f:ports/k:{{\"containerPort\":80,\"protocol\":\"TCP\"}}"),
            json!({}),
            vec![format!("{web}.ports[containerPort=80,protocol=TCP]")],
        ),
        // Removed, and made again by somebody: the item is theirs as a whole.
        (
            CONTAINER,
            json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:image": {}}}}}}}),
            vec![web.into()],
        ),
        // Another item is there instead.
        (
            &format!("{CONTAINER}/f:ports"),
            json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"web\"}": {"f:ports": {
                "k:{\"containerPort\":81,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}}}}}}),
            vec![
                format!("{web}.ports[containerPort=80,protocol=TCP]"),
                format!("{web}.ports[containerPort=80,protocol=UDP]"),
            ],
        ),
    ] {
        assert_eq!(shown(&deployment(), Some(&without(gone)), &[&theirs]), paths, "{gone}");
    }
}

#[test]
fn without_an_entry_of_ours_all_is_lost_and_not_what_identifies() {
    let all = ["metadata.annotations[\"a/b\"]", "metadata.finalizers", "metadata.labels", "spec"];
    assert_eq!(shown(&deployment(), None, &[]), all);
    assert_eq!(shown(&deployment(), Some(&json!({})), &[]), all);
    assert_eq!(shown(&json!({"kind": "A", "metadata": {"name": "x", "labels": {}}}), None, &[]), [""; 0]);
}

#[test]
fn a_map_without_schema_is_lost_where_others_own_parts_of_it() {
    let desired = json!({"spec": {"deep": {"a": 1, "b": 2}}});
    let ours = json!({"f:spec": {".": {}, "f:deep": {}}});
    assert_eq!(shown(&desired, Some(&ours), &[]), [""; 0]);
    let theirs = json!({"f:spec": {"f:deep": {"f:b": {}}}});
    let ours = json!({"f:spec": {".": {}, "f:deep": {".": {}, "f:a": {}}}});
    assert_eq!(shown(&desired, Some(&ours), &[&theirs]), ["spec.deep.b"]);
}

#[test]
fn an_item_is_found_by_the_keys_that_it_has() {
    let desired = json!({"spec": {"list": [{"a": 1, "v": 1}, {"a": 2, "v": 1}]}});
    let ours = json!({"f:spec": {"f:list": {"k:{\"a\":1,\"b\":\"default\"}": {".": {}, "f:a": {}, "f:v": {}}}}});
    assert_eq!(shown(&desired, Some(&ours), &[]), ["spec.list[1]"]);
}

#[test]
fn an_entry_shows_what_it_owns() {
    let entry = json!({"manager": "m", "operation": "Update", "time": "2026-01-01T00:00:00Z", "fieldsV1": ours()});
    let entry = ManagedFieldsEntry::of(&entry);
    for (text, owns, within) in [
        ("spec.replicas", true, true),
        ("spec.selector.matchLabels.app", true, true),
        ("spec.template", false, true),
        ("spec.template.spec.containers[name=web]", true, true),
        ("spec.template.spec.containers[name=web].args[0]", true, true),
        ("spec.template.spec.containers[name=web].env[name=B].name", true, true),
        ("spec.template.spec.containers[name=web].env[name=B].value", false, false),
        ("spec.template.spec.containers[name=web].ports[protocol=UDP]", true, true),
        ("spec.template.spec.containers[name=web].ports[containerPort=80.0,protocol=TCP].containerPort", true, true),
        ("spec.template.spec.containers[name=no]", false, false),
        (r#"metadata.finalizers[="a/b"]"#, true, true),
        (r#"metadata.finalizers[="x"]"#, false, false),
        ("metadata.finalizers", false, true),
        ("metadata.name", false, false),
    ] {
        assert_eq!((entry.owns(&path(text)), entry.owns_within(&path(text))), (owns, within), "{text}");
    }
}

#[test]
fn owners_are_reported_with_how_they_wrote() {
    let live = json!({"metadata": {"managedFields": [
        {"manager": "driftless", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        {"manager": "driftless", "operation": "Apply", "subresource": "status", "fieldsV1": {}},
        {"manager": "kubectl", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        {}, 5, {"manager": "x", "fieldsV1": "text", "time": "yesterday"},
    ]}});
    let entries = entries(&live);
    assert_eq!(
        entries.iter().map(ManagedFieldsEntry::is_ours).collect::<Vec<_>>(),
        [true, false, false, false, false, false]
    );
    let owners: Vec<_> =
        owners(&entries, &path("spec.replicas")).map(|entry| (entry.manager, entry.subresource)).collect();
    assert_eq!(owners, [("driftless", ""), ("kubectl", "scale")]);
}

#[test]
fn hostile_entries_cost_little() {
    let deep =
        |key: &str| (0..1_000).fold(json!({}), |inner, _| Value::Object(Map::from_iter([(key.to_owned(), inner)])));
    let paths = lost(&deep("a"), Some(&json!({})), &[&deep("f:a")]);
    assert_eq!(paths.len(), 1);
    assert_eq!(paths[0].steps().len(), FieldPath::DEEPEST);

    let items: Vec<Value> = (0..20_000).map(|n| json!({"name": format!("n{n}"), "x": 1})).collect();
    let keys: Map<String, Value> =
        (0..20_000).map(|n| (format!("k:{{\"name\":\"m{n}\",\"z{n}\":1}}"), json!({"f:x": {}}))).collect();
    let theirs = json!({"f:spec": {"f:list": keys}});
    let start = Instant::now();
    assert_eq!(lost(&json!({"spec": {"list": items}}), None, &[&theirs]).len(), 20_000);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

/// Fields of few names, lists of scalars and of items with names of their own.
fn any_object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![any::<i8>().prop_map(Value::from), "[a-c]{0,2}".prop_map(Value::from), Just(json!({}))];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let map = || prop::collection::btree_map("[a-d./]{1,3}|metadata|name", inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            map().prop_map(|map| Value::Object(map.into_iter().collect())),
            prop::collection::vec(map(), 1..4).prop_map(|items| {
                let named = items.into_iter().enumerate().map(|(index, mut item)| {
                    item.insert("name".into(), format!("n{index}").into());
                    Value::Object(item.into_iter().collect())
                });
                named.collect::<Vec<_>>().into()
            }),
        ]
    })
}

/// What structured-merge-diff makes of a value: lists whose items all have names of their own are
/// taken as keyed, all others as atomic.
fn fields_of(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.iter().map(|(key, field)| (format!("f:{key}"), fields_of(field))).collect(),
        Value::Array(items) => {
            let names: std::collections::HashSet<_> =
                items.iter().filter_map(|item| item.get("name")?.as_str()).collect();
            if names.len() < items.len() {
                return json!({});
            }
            let item = |item: &Value| {
                let mut below = fields_of(item);
                below["."] = json!({});
                (format!("k:{}", json!({"name": item["name"]})), below)
            };
            items.iter().map(item).collect()
        }
        _ => json!({}),
    }
}

proptest! {
    #[test]
    fn an_object_that_was_just_applied_has_lost_nothing(object in any_object()) {
        prop_assert_eq!(shown(&object, Some(&fields_of(&object)), &[]), [""; 0]);
    }

    #[test]
    fn what_is_lost_is_not_owned(object in any_object(), mine in any_object()) {
        let mine = fields_of(&mine);
        // Metadata is examined even where somebody claims it as a whole.
        prop_assume!(mine.get("f:metadata") != Some(&json!({})));
        let entry = json!({"fieldsV1": mine});
        for path in lost(&object, Some(&mine), &[]) {
            prop_assert!(!ManagedFieldsEntry::of(&entry).owns_within(&path), "{path}");
        }
    }

    #[test]
    fn any_json_will_do(desired in any_object(), ours in any_object(), theirs in any_object()) {
        for path in lost(&desired, Some(&ours), &[&theirs]).iter().chain(&lost(&desired, None, &[&ours, &theirs])) {
            prop_assert!(path.get(&desired).is_some(), "{path}");
        }
    }
}

#[test]
fn the_fields_of_an_entry_are_counted_without_what_holds_them() {
    let count = |fields: Value| ManagedFieldsEntry::of(&json!({"fieldsV1": fields})).count();
    assert_eq!(count(json!({})), 0);
    assert_eq!(count(json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}})), 2);
    assert_eq!(count(json!({"f:ports": {"k:{\"port\":80}": {".": {}, "f:port": {}}}, "f:set": {"v:\"x\"": {}}})), 2);
    assert_eq!(ManagedFieldsEntry::of(&json!({})).count(), 0);
}

#[test]
fn a_part_of_an_atomic_field_is_owned_only_as_a_whole() {
    let ours = json!({"manager": "driftless", "operation": "Apply", "fieldsV1": ours()});
    let entry = ManagedFieldsEntry::of(&ours);
    assert!(entry.owns_whole(&path("spec.selector.matchLabels.app")));
    assert!(entry.owns_whole(&path("spec.selector.matchLabels")));
    for text in ["spec.selector", "spec.replicas", "spec.template.spec.containers[name=web].image", "spec.paused"] {
        assert!(!entry.owns_whole(&path(text)), "{text}");
    }
}
