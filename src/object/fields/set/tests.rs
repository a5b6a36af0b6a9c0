use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn set(fields: &Value) -> FieldSet {
    FieldSet::from_json(fields)
}

fn path(text: &str) -> FieldPath {
    text.parse().unwrap()
}

#[test]
fn what_two_sets_share_is_split_off_and_nothing_is_left_empty() {
    let all = json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:spec": {"f:x": {"f:y": {}}}});
    let mut left = set(&all);
    let taken = left.split_off(&set(&json!({"f:data": {"f:a": {}, "f:c": {}}, "f:spec": {"f:x": {"f:y": {}}}})));
    assert_eq!(taken.to_json(), json!({"f:data": {"f:a": {}}, "f:spec": {"f:x": {"f:y": {}}}}));
    assert_eq!(left.to_json(), json!({"f:data": {".": {}, "f:b": {}}}));
    left.unite(&taken);
    assert_eq!(left.to_json(), all);
}

#[test]
fn sets_overlap_where_both_own_a_field() {
    let ours = set(&json!({"f:data": {".": {}, "f:a": {}}, "f:spec": {"f:selector": {}}}));
    for (theirs, shared) in [
        (json!({"f:data": {"f:a": {}}}), true),
        (json!({"f:data": {"f:b": {}}}), false),
        (json!({"f:data": {".": {}, "f:b": {}}}), true),
        (json!({"f:spec": {"f:selector": {"f:x": {}}}}), true),
        (json!({"f:spec": {"f:type": {}}}), false),
    ] {
        assert_eq!(set(&theirs).overlaps(&ours), shared, "{theirs}");
    }
}

#[test]
fn what_is_not_in_the_format_is_kept_and_leads_nowhere() {
    let odd = json!({"f:a": {"x:b": {}, "k:{\"n\":{}}": {".": {}, "f:c": {}}, "v:[": {}, "i:-1": {}, "": {}}, "g": {}});
    assert_eq!(set(&odd).to_json(), odd);
    assert_eq!(set(&odd).paths(), []);
    for nothing in [json!(null), json!(5), json!("f:a"), json!([{"f:a": {}}]), json!({})] {
        assert_eq!((set(&nothing), set(&nothing).count()), (FieldSet::default(), 0), "{nothing}");
    }
    let leaves = json!({"f:a": 5, "f:b": null, "f:c": ["f:d"], "f:e": {".": {"f:g": {}}, "f:h": true}});
    let read = set(&leaves);
    assert_eq!(read.to_json(), json!({"f:a": {}, "f:b": {}, "f:c": {}, "f:e": {".": {}, "f:h": {}}}));
    assert!(read.contains(&path("a.x")) && read.contains(&path("e")) && !read.contains(&path("e.g")));
}

#[test]
fn elements_keep_the_notation_of_the_server() {
    let written = json!({"f:env": {r#"k:{"name" : "a\u003cb"}"#: {".": {}, "f:value": {}}, "k:{\"name\":\"c\"}": {}}});
    let mut fields = set(&written);
    let taken = fields.take(&path(r#"env[name="a<b"].value"#)).unwrap();
    assert_eq!(taken.to_json(), json!({"f:env": {r#"k:{"name" : "a\u003cb"}"#: {"f:value": {}}}}));
    fields.unite(&taken);
    assert_eq!(fields.to_json(), written);
}

#[test]
fn a_field_is_taken_with_what_is_left_empty_above_it() {
    let all = json!({"f:spec": {"f:a": {"f:b": {"f:c": {}}}, "f:s": {}}, "f:list": {"v:1": {}, "v:2": {}}});
    for (text, taken, left) in [
        ("spec.a.b", json!({"f:spec": {"f:a": {"f:b": {"f:c": {}}}}}), Some(("/f:spec/f:a", false))),
        ("list[=2.0]", json!({"f:list": {"v:2": {}}}), Some(("/f:list/v:1", true))),
        ("spec.s.x", json!({}), None),
        ("spec.none", json!({}), None),
    ] {
        let mut fields = set(&all);
        let part = fields.take(&path(text));
        assert_eq!(part.clone().unwrap_or_default().to_json(), taken, "{text}");
        match left {
            Some((pointer, is_there)) => assert_eq!(fields.to_json().pointer(pointer).is_some(), is_there),
            None => assert_eq!((part, fields.to_json()), (None, all.clone())),
        }
    }
}

#[test]
fn the_fields_of_one_name_become_those_of_another() {
    let mut fields = set(&json!({"f:data": {"f:a": {}}, "f:stringData": {".": {}, "f:b": {}}}));
    fields.rename("stringData", "data");
    assert_eq!(fields.to_json(), json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}}));
    fields.rename("none", "data");
    assert_eq!(fields.count(), 2);
}

#[test]
fn depth_and_size_cost_no_more_than_they_are() {
    const DEEP: usize = 10_000;
    let text = format!("{}{}", "{\"f:a\":".repeat(100), "}".repeat(99));
    assert!(serde_json::from_str::<Value>(&text).is_err());
    let mut deep = FieldSet::default();
    let mut at = 0;
    for _ in 0..DEEP {
        at = deep.enter(at, Element::field_of("a"));
    }
    assert_eq!((deep.count(), deep.paths().len()), (1, 1));
    assert_eq!(deep.paths()[0].steps().len(), FieldPath::DEEPEST);
    assert!(deep.overlaps(&deep) && deep.clone() == deep);
    let mut copy = deep.clone();
    assert_eq!(copy.split_off(&deep), deep);
    assert!(copy.is_empty());
    copy.unite(&deep);
    assert_eq!(copy, deep);

    let start = Instant::now();
    let wide = |salt: &str| -> Map<String, Value> {
        (0..50_000).map(|number| (format!("k:{{\"name\":\"{salt}{number}\"}}"), json!({".": {}, "f:x": {}}))).collect()
    };
    let (mut one, other) = (set(&json!({"f:l": wide("a")})), set(&json!({"f:l": wide("b")})));
    one.unite(&other);
    assert_eq!(one.split_off(&other).count(), 50_000);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

/// `fieldsV1` as the server writes it, and as it never would.
fn any_fields() -> impl Strategy<Value = Value> {
    let key = || {
        prop_oneof![
            8 => r"f:[a-d]|f:(metadata|data|stringData)",
            2 => r#"k:\{"(name|port)":("a"|"b"|0|1|1\.0)\}|k:\{"port":1,"protocol":"TCP"\}"#,
            2 => r#"v:("a"|"b"|1|1\.0|true)|i:[0-3]"#,
            1 => r"[fkvix]?:?\PC{0,3}",
        ]
    };
    let itself = |fields: &mut serde_json::Map<String, Value>, dot: bool| {
        if dot {
            fields.insert(".".into(), json!({}));
        }
    };
    Just(json!({})).prop_recursive(5, 40, 5, move |inner| {
        (prop::collection::btree_map(key(), inner, 0..5), any::<bool>()).prop_map(move |(fields, dot)| {
            let mut fields: Map<String, Value> = fields.into_iter().filter(|(key, _)| key != ".").collect();
            itself(&mut fields, dot);
            Value::Object(fields)
        })
    })
}

/// The operations as they read: by recursion on the JSON.
mod plain {
    use serde_json::{Map, Value, json};

    pub fn unite(into: &mut Value, from: &Value) {
        let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) else { return };
        for (key, below) in from {
            unite(into.entry(key).or_insert_with(|| json!({})), below);
        }
    }

    pub fn split_off(set: &mut Value, other: &Value) -> Value {
        let (Some(fields), Some(other)) = (set.as_object_mut(), other.as_object()) else { return Value::Null };
        let mut taken = Map::new();
        let is_empty = |set: &Value| set.as_object().is_none_or(Map::is_empty);
        fields.retain(|key, below| {
            let Some(others) = other.get(key) else { return true };
            if is_empty(below) {
                taken.insert(key.clone(), json!({}));
                return false;
            }
            let part = split_off(below, others);
            if !is_empty(&part) {
                taken.insert(key.clone(), part);
            }
            !is_empty(below)
        });
        Value::Object(taken)
    }

    pub fn overlap(one: &Value, other: &Value) -> bool {
        let is_leaf = |set: &Value| set.as_object().is_none_or(|fields| fields.keys().all(|key| key == "."));
        let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return false };
        one.iter().any(|(key, below)| {
            other.get(key).is_some_and(|others| is_leaf(below) || is_leaf(others) || overlap(below, others))
        })
    }
}

/// Without a `.` of the object itself, which says nothing.
fn without_root(mut fields: Value) -> Value {
    fields.as_object_mut().unwrap().remove(".");
    fields
}

proptest! {
    #[test]
    fn what_is_read_is_written_back(fields in any_fields()) {
        prop_assert_eq!(set(&fields).to_json(), fields.clone());
        prop_assert_eq!(set(&set(&fields).to_json()), set(&fields));
    }

    #[test]
    fn sets_do_what_their_operations_say(one in any_fields(), other in any_fields()) {
        let (one, other) = (without_root(one), without_root(other));
        let (mut plain, mut fields) = (one.clone(), set(&one));
        plain::unite(&mut plain, &other);
        fields.unite(&set(&other));
        prop_assert_eq!(fields.to_json(), plain);

        let (mut plain, mut fields) = (one.clone(), set(&one));
        let taken = plain::split_off(&mut plain, &other);
        prop_assert_eq!(fields.split_off(&set(&other)).to_json(), taken);
        prop_assert_eq!(fields.to_json(), plain);
        prop_assert_eq!(set(&one).overlaps(&set(&other)), plain::overlap(&one, &other));
    }

    #[test]
    fn what_was_split_off_makes_the_set_whole_again(one in any_fields(), other in any_fields()) {
        let mut left = set(&one);
        let taken = left.split_off(&set(&other));
        left.unite(&taken);
        prop_assert_eq!(left, set(&one));
    }

    #[test]
    fn a_path_of_a_set_is_in_it_and_can_be_taken(fields in any_fields()) {
        let all = set(&fields);
        for path in all.paths() {
            prop_assert!(all.contains_within(&path), "{}", path);
            let mut left = all.clone();
            let taken = left.take(&path);
            prop_assert!(taken.is_some_and(|taken| taken.count() >= 1), "{}", path);
            prop_assert!(left.count() <= all.count());
        }
        let alone = FieldSet::of(&all.paths());
        prop_assert!(alone.paths().iter().all(|path| all.contains_within(path)));
    }
}
