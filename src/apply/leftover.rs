//! What a takeover removes of an object, for a dry-run: the server reports what an apply would change,
//! but not what would go if the fields of others were ours first.

use serde_json::{Map, Value, json};

use crate::cluster::{Takes, Taking};
use crate::object::{Element, FieldNode, FieldSet, GroupKind, Managers};

/// Takes out of the answer to a dry-run apply what only those managers own whose fields are taken over
/// before a real one. Gives the JSON patch that makes the live object so, whose dry-run then shows what
/// the server puts in place of it (defaults); `None` when there is nothing of that kind.
#[must_use]
pub fn leftovers(
    gk: &GroupKind,
    before: &Value,
    after: &mut Value,
    managers: &Managers,
    taking: Taking,
) -> Option<Value> {
    let (mut goes, mut kept) = (FieldSet::default(), FieldSet::default());
    let takes = Takes::new(gk, &after["metadata"], managers, taking);
    for entry in after.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten() {
        let mut fields = FieldSet::from_json(&entry["fieldsV1"]);
        goes.unite(&takes.take(entry, &mut fields));
        kept.unite(&fields);
    }
    let whole = after.clone();
    prune(after, &goes, &kept);
    (whole != *after).then(|| change(before, after))
}

/// The patch sets every part of the object that a manifest may have. `metadata` has parts that
/// nobody may set.
fn change(before: &Value, after: &Value) -> Value {
    let mut patch = Vec::new();
    let mut set = |path: String, before: Option<&Value>, after: Option<&Value>| match (before, after) {
        (before, Some(after)) if before != Some(after) => {
            patch.push(json!({"op": "add", "path": path, "value": after}));
        }
        (Some(_), None) => patch.push(json!({"op": "remove", "path": path})),
        _ => {}
    };
    for key in ["labels", "annotations"] {
        let part = |object: &'_ Value| object.pointer(&format!("/metadata/{key}")).cloned();
        set(format!("/metadata/{key}"), part(before).as_ref(), part(after).as_ref());
    }
    let keys = before.as_object().into_iter().chain(after.as_object()).flat_map(Map::keys);
    let mut keys: Vec<&String> = keys.filter(|key| !["metadata", "status"].contains(&key.as_str())).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        set(format!("/{}", key.replace('~', "~0").replace('/', "~1")), before.get(key), after.get(key));
    }
    Value::Array(patch)
}

/// A part of the object under way: what may go of it, and who keeps what of it.
struct Open<'s, I> {
    goes: I,
    kept: Option<FieldNode<'s>>,
}

/// Removes from an object what is in the set `taken` and not in `kept`. Time by the size of `taken`, times its depth and
/// the length of the lists in it.
fn prune(object: &mut Value, taken: &FieldSet, kept: &FieldSet) {
    let mut way: Vec<Target> = Vec::new();
    let mut open = vec![Open { goes: taken.root().children(), kept: Some(kept.root()) }];
    while let Some(part) = open.last_mut() {
        let Some((element, below)) = part.goes.next() else {
            let unkept = part.kept.is_none();
            open.pop();
            let Some(place) = way.pop() else { break };
            if let Some(value) = reach(object, &way).filter(|_| unkept)
                && place.get_mut(value).is_some_and(|child| is_bare(child))
            {
                place.remove(value);
            }
            continue;
        };
        let others = part.kept.and_then(|kept| kept.child(element));
        // Something atomic, which whoever keeps it keeps whole.
        if others.is_some_and(FieldNode::is_leaf) && element.field().is_some() {
            continue;
        }
        let Some(value) = reach(object, &way) else { continue };
        let Some(place) = Target::of(value, element) else { continue };
        let whole = below.is_leaf() || element.keys().is_some() && below.has_itself();
        if others.is_none() && whole {
            place.remove(value);
        } else {
            way.push(place);
            open.push(Open { goes: below.children(), kept: others });
        }
    }
}

/// The part of an object to which a way leads.
fn reach<'a>(object: &'a mut Value, way: &[Target]) -> Option<&'a mut Value> {
    way.iter().try_fold(object, |value, place| place.get_mut(value))
}

fn is_bare(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// Where an element of a set leads.
enum Target {
    Field(String),
    Item(usize),
}

impl Target {
    fn of(value: &Value, element: &Element) -> Option<Self> {
        if let Some(name) = element.field() {
            return value.get(name).map(|_| Self::Field(name.to_owned()));
        }
        let has = |item: &Value| match (element.keys(), element.member()) {
            // A key that is left out has its default, which is not known here.
            (Some(keys), _) => keys.iter().all(|(key, part)| item.get(key).is_none_or(|own| own == part)),
            (None, member) => member == Some(item),
        };
        value.as_array()?.iter().position(has).map(Self::Item)
    }

    fn get_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
        match self {
            Self::Field(name) => value.get_mut(name),
            Self::Item(index) => value.get_mut(index),
        }
    }

    fn remove(&self, value: &mut Value) {
        match (self, value) {
            (Self::Field(name), Value::Object(fields)) => drop(fields.remove(name)),
            (Self::Item(index), Value::Array(items)) => drop(items.remove(*index)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::names;

    fn leftovers(gk: &GroupKind, before: &Value, after: &mut Value) -> Option<Value> {
        let ours = before.pointer("/metadata/labels").is_some_and(|labels| labels.get(names::PART_OF).is_some());
        let taking = if ours { Taking::Additions } else { Taking::Adopt };
        super::leftovers(gk, before, after, &Managers::default(), taking)
    }

    fn any() -> GroupKind {
        GroupKind { group: "example.com".into(), kind: "Thing".into() }
    }

    fn entry(manager: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields})
    }

    #[test]
    fn what_only_a_manager_owns_that_is_taken_over_goes_and_the_rest_stays() {
        let data = json!({"mine": "1", "both": "2", "theirs": "3", "foreign": "4"});
        let labels = json!({"kustomize.toolkit.fluxcd.io/name": "shop"});
        let list = json!([{"name": "a", "x": 1, "y": 2}, {"name": "b"}]);
        let before = json!({"metadata": {"labels": labels}, "data": data, "spec": {"list": list, "set": ["p", "q"]}});
        let mut after = before.clone();
        after["metadata"]["managedFields"] = json!([
            entry(
                "kustomize-controller",
                &json!({
                "f:metadata": {"f:labels": {"f:kustomize.toolkit.fluxcd.io/name": {}}},
                "f:data": {"f:both": {}, "f:theirs": {}},
                "f:spec": {
                    "f:list": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {}, "f:y": {}}, "k:{\"name\":\"b\"}": {".": {}, "f:name": {}}},
                    "f:set": {"v:\"p\"": {}, "v:\"q\"": {}}}})
            ),
            entry(
                "driftless",
                &json!({
                "f:data": {"f:mine": {}, "f:both": {}},
                "f:spec": {"f:list": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {}, "f:x": {}}}, "f:set": {"v:\"q\"": {}}}})
            ),
            entry("somebody", &json!({"f:data": {"f:foreign": {}}})),
        ]);
        let patch = leftovers(&any(), &before, &mut after).unwrap();
        assert_eq!(after["data"], json!({"mine": "1", "both": "2", "foreign": "4"}));
        assert_eq!(after["spec"], json!({"list": [{"name": "a", "x": 1}], "set": ["q"]}));
        let paths: Vec<_> = patch.as_array().unwrap().iter().map(|op| (&op["op"], &op["path"])).collect();
        let wanted = [("remove", "/metadata/labels"), ("add", "/data"), ("add", "/spec")];
        assert_eq!(json!(paths), json!(wanted));
    }

    #[test]
    fn of_an_object_that_is_ours_another_agent_keeps_its_fields() {
        let before = json!({"metadata": {"labels": {names::PART_OF: "set"}}, "data": {"a": "1"}});
        let mut after = before.clone();
        after["metadata"]["managedFields"] = json!([entry("kustomize-controller", &json!({"f:data": {"f:a": {}}}))]);
        assert_eq!(leftovers(&any(), &before, &mut after), None);
        after["metadata"]["managedFields"] = json!([entry("kubectl-edit", &json!({"f:data": {"f:a": {}}}))]);
        assert!(leftovers(&any(), &before, &mut after).is_some());
    }

    #[test]
    fn what_is_kept_whole_stays_whole() {
        let before = json!({"spec": {"selector": {"a": "1", "b": "2"}}});
        let mut after = before.clone();
        after["metadata"]["managedFields"] = json!([
            entry("helm", &json!({"f:spec": {"f:selector": {"f:a": {}}}})),
            entry("driftless", &json!({"f:spec": {"f:selector": {}}})),
        ]);
        assert_eq!(leftovers(&any(), &before, &mut after), None);
    }

    #[test]
    fn what_controllers_wrote_before_anybody_recorded_it_stays() {
        let job = GroupKind { group: "batch".into(), kind: "Job".into() };
        let before = json!({"spec": {"selector": {"matchLabels": {"uid": "1"}}, "suspend": false}});
        let mut after = before.clone();
        after["metadata"]["managedFields"] =
            json!([entry("before-first-apply", &json!({"f:spec": {"f:selector": {}, "f:suspend": {}}}))]);
        assert!(leftovers(&job, &before, &mut after).is_some());
        assert_eq!(after["spec"], json!({"selector": {"matchLabels": {"uid": "1"}}}));
    }
}
