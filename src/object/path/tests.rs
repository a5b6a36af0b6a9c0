use proptest::prelude::*;
use serde_json::json;

use super::*;

fn path(text: &str) -> FieldPath {
    text.parse().unwrap()
}

#[test]
fn paths_read_as_people_write_them() {
    for text in [
        "spec.replicas",
        "spec.template.spec.containers[name=web].image",
        r#"metadata.annotations["example.com/x"]"#,
        r#"data["app.conf"]"#,
        "spec.ports[port=80,protocol=TCP].targetPort",
        "args[0]",
        r#"metadata.finalizers[="example.com/x"]"#,
        "list[=5].x",
        "spec.topologySpreadConstraints[topologyKey=kubernetes.io/hostname,whenUnsatisfiable=DoNotSchedule]",
        r#"env[name="80"].value"#,
        r#"["a.b"].c"#,
        r#"items["a\nb"]"#,
        r#"items["\u202e"]"#,
        r#"items["x y"=true]"#,
    ] {
        assert_eq!(path(text).to_string(), text);
    }
    assert_eq!(path("ports[protocol=TCP,port=80]"), path(r#"ports["port"=80,protocol="TCP"]"#));
    assert_eq!(path("finalizers[=a/b]"), path(r#"finalizers[="a/b"]"#));
}

#[test]
fn an_error_says_what_is_wrong_and_where() {
    for (text, at, problem) in [
        ("", 1, "the name of a field is missing"),
        (".spec", 1, "a path does not begin with a dot"),
        ("spec..replicas", 6, "the name of a field is missing"),
        ("spec.", 6, "the name of a field is missing"),
        ("metadata.annotations.example.com/x", 33, "keys with slashes or dots stand in brackets and quotes"),
        (r#"data.["a"]"#, 6, "no dot stands before a bracket"),
        ("containers[web].image", 12, "an item needs its key"),
        ("containers[]", 12, "an item needs its key"),
        ("containers[name=]", 17, "a value is missing"),
        ("containers[name=web", 20, "a comma or ] is missing"),
        ("containers[name=web]image", 21, "a dot or a bracket is missing"),
        ("ports[port=80,port=81]", 15, "a key is there twice"),
        (r#"data["a"#, 6, "the text in quotes does not end"),
        ("data[=x", 8, "a ] is missing"),
        ("größe.ä b", 8, "a dot or a bracket is missing"),
        ("args[99999999999999999999999]", 6, "an item needs its key"),
    ] {
        let error = text.parse::<FieldPath>().unwrap_err().to_string();
        assert!(error.contains(&format!("at character {at}, {problem}")), "{text}: {error}");
        assert!(error.contains("; write for example "), "{error}");
    }
    assert!("x".repeat(5000).parse::<FieldPath>().unwrap_err().to_string().len() < 500);
    assert!(vec!["x"; 65].join(".").parse::<FieldPath>().unwrap_err().to_string().contains("more than 64 steps"));
    assert!("a\u{1b}[31m".parse::<FieldPath>().unwrap_err().to_string().starts_with(r#""a\u001b[31m" is not a path"#));
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}, "finalizers": ["a/b", "c/d"]},
        "spec": {"replicas": 2, "containers": [
            {"name": "web", "image": "web:1", "args": ["a", "b"], "ports": [{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
                "resources": {"limits": {"cpu": "1"}}},
            {"name": "side", "image": "side:1"},
        ]},
    })
}

#[test]
fn a_path_finds_its_value() {
    let object = deployment();
    for (text, value) in [
        ("spec.replicas", json!(2)),
        ("spec.containers[name=side].image", json!("side:1")),
        ("spec.containers[1].image", json!("side:1")),
        (r#"metadata.finalizers[="c/d"]"#, json!("c/d")),
        ("spec.containers[name=web].ports[containerPort=80,protocol=TCP]", json!({"containerPort": 80})),
        ("spec.containers[name=web].ports[containerPort=53.0].protocol", json!("UDP")),
    ] {
        assert_eq!(path(text).get(&object), Some(&value), "{text}");
    }
    for text in [
        "spec.x",
        "spec.replicas.x",
        "spec.containers[name=no]",
        "spec.containers[7]",
        "kind[0]",
        "spec[name=x]",
        "spec.containers[name=web].ports[containerPort=80,protocol=UDP]",
    ] {
        assert_eq!(path(text).get(&object), None, "{text}");
        let mut same = object.clone();
        assert!(!path(text).remove(&mut same), "{text}");
        assert_eq!(same, object);
    }
}

#[test]
fn what_becomes_empty_goes_with_the_field_and_items_with_other_fields_stay() {
    let mut object = deployment();
    assert!(path("spec.containers[name=web].resources.limits.cpu").remove(&mut object));
    assert_eq!(object["spec"]["containers"][0].get("resources"), None);
    assert!(path("spec.containers[name=side].image").remove(&mut object));
    assert_eq!(object["spec"]["containers"][1], json!({"name": "side"}));
    assert!(path("spec.containers[name=side]").remove(&mut object));
    assert_eq!(object["spec"]["containers"].as_array().unwrap().len(), 1);
    assert!(path(r#"metadata.finalizers[="a/b"]"#).remove(&mut object));
    assert_eq!(object["metadata"]["finalizers"], json!(["c/d"]));
    assert!(path("metadata.finalizers[0]").remove(&mut object));
    assert_eq!(object["metadata"].get("finalizers"), None);
    let mut small = json!({"a": {"b": [{"c": 1}]}});
    assert!(path("a.b[0].c").remove(&mut small));
    assert_eq!(small, json!({}));
}

#[test]
fn an_object_is_reduced_to_fields_and_what_identifies_it() {
    let paths: Vec<_> = [
        "spec.containers[name=side].image",
        "spec.containers[name=web].ports[containerPort=80,protocol=TCP]",
        r#"metadata.finalizers[="c/d"]"#,
        "spec.nothing",
        "metadata.labels.app.x",
    ]
    .map(path)
    .into();
    assert_eq!(
        only(&deployment(), &paths),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "finalizers": ["c/d"]},
            "spec": {"containers": [
                {"name": "web", "ports": [{"containerPort": 80}]},
                {"name": "side", "image": "side:1"},
            ]},
        })
    );
    let by_place = only(&deployment(), &[path("spec.containers[name=web].args[1]"), path("metadata.name")]);
    assert_eq!(by_place["spec"], json!({"containers": [{"name": "web", "args": ["a", "b"]}]}));
    let nothing = only(&deployment(), &[]);
    assert_eq!(nothing["metadata"], json!({"name": "web", "namespace": "shop"}));
    assert_eq!(only(&json!("x"), &paths), json!({"metadata": {}}));
}

fn any_step() -> impl Strategy<Value = PathStep> {
    let scalar = || {
        prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z./-]{1,8}".prop_map(Value::from),
            "(true|null|-?[0-9]{1,3}|1e9)".prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ]
    };
    let key = || prop_oneof!["[a-zA-Z_-]{1,8}", any::<String>()];
    prop_oneof![
        key().prop_map(PathStep::Field),
        any::<u16>().prop_map(|index| PathStep::Index(index.into())),
        scalar().prop_map(PathStep::Member),
        prop::collection::btree_map(key(), scalar(), 1..4).prop_map(|keys| PathStep::Item(keys.into_iter().collect())),
    ]
}

proptest! {
    #[test]
    fn a_path_that_is_shown_can_be_parsed_again(steps in prop::collection::vec(any_step(), 1..8)) {
        let path = FieldPath::new(steps).unwrap();
        let text = path.to_string();
        prop_assert!(!text.chars().any(is_deceptive), "{text:?}");
        prop_assume!(text.len() < 4000);
        prop_assert_eq!(text.parse::<FieldPath>(), Ok(path), "{}", text);
    }

    #[test]
    fn any_text_is_a_path_or_an_error_for_people(text in any::<String>()) {
        match text.parse::<FieldPath>() {
            Ok(path) => prop_assert_eq!(path.to_string().parse::<FieldPath>(), Ok(path)),
            Err(error) => prop_assert!(!error.to_string().chars().any(is_deceptive)),
        }
    }
}

#[test]
fn the_item_around_a_field_is_the_innermost_one() {
    let item = |text: &str| text.parse::<FieldPath>().unwrap().item().map(|item| item.to_string());
    assert_eq!(item("spec.replicas"), None);
    assert_eq!(item("containers[name=web]"), None);
    assert_eq!(item("containers[name=web].env[name=A].value").as_deref(), Some("containers[name=web].env[name=A]"));
    assert_eq!(item("a[name=b].c.d").as_deref(), Some("a[name=b]"));
}
