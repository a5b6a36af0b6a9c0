//! What stands in the way of a field that git declares: fields of others beside it, of which the server
//! admits but one (`value` and `valueFrom`), and list items that clash with ours by name.

use std::sync::Arc;

use serde_json::Value;

use super::additions::beyond;
use super::{Addition, FieldSet, ManagedFieldsEntry, entries};
use crate::object::path::{FieldPath, PathStep};
use crate::object::{GroupKind, lists};

/// A field to which the server objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// As the server writes it: `spec.template.spec.containers[0].env[0].valueFrom`.
    pub field: String,
    /// It may be one of several that exclude each other, and the field a declared one.
    pub exclusive: bool,
}

/// The fields of others that `declared` does not hold, and that the server objects to beside what it holds.
/// Each as a whole, once for each manager.
#[must_use]
pub fn owned_siblings(live: &Value, declared: &Value, objections: &[Objection]) -> Vec<Addition> {
    let all = entries(live);
    let ours = all.iter().find(|entry| entry.is_ours()).and_then(ManagedFieldsEntry::fields);
    let objections: Vec<(Vec<&str>, bool)> = objections.iter().map(|one| (names(&one.field), one.exclusive)).collect();
    let any = GroupKind::new("", "");
    let mut found: Vec<Addition> = Vec::new();
    for entry in all.iter().filter(|entry| !entry.is_ours() && entry.subresource.is_empty()) {
        let Some(fields) = entry.fields() else { continue };
        for path in beyond(&any, fields, ours, &[]).paths() {
            let Some(sibling) = sibling(&path, live, declared, &objections, entry) else { continue };
            if !found.iter().any(|known| *known.manager == *entry.manager && known.path == sibling) {
                found.push(Addition { path: sibling, manager: Arc::from(entry.manager), at: entry.time });
            }
        }
    }
    found
}

/// The field or item in which `path` leaves what is declared, where the server objects to it.
fn sibling(
    path: &FieldPath,
    live: &Value,
    declared: &Value,
    objections: &[(Vec<&str>, bool)],
    entry: &ManagedFieldsEntry<'_>,
) -> Option<FieldPath> {
    let steps = path.steps();
    let (mut above, mut depth) = (declared, 0);
    while let Some(below) = steps.get(depth)?.get(above).filter(|below| !below.is_null()) {
        above = below;
        depth += 1;
    }
    let sibling = FieldPath::new(steps.get(..=depth)?.to_vec())?;
    let here: Vec<&str> = fields(steps.get(..=depth)?).collect();
    let above_it: Vec<&str> = fields(steps.get(..depth)?).collect();
    let objected = match steps.get(depth)? {
        PathStep::Field(_) => {
            let is_object = || sibling.get(live).is_some_and(Value::is_object);
            objections.iter().any(|(field, exclusive)| {
                let declared = || {
                    let (last, before) = field.split_last()?;
                    (before == above_it).then(|| above.get(*last).filter(|value| !value.is_null()))?
                };
                field.starts_with(&here) || *exclusive && is_object() && (*field == above_it || declared().is_some())
            })
        }
        // What another manager applies is declared somewhere, too, and stays its own.
        PathStep::Item(_) if entry.operation == "Update" => objections.iter().any(|(field, _)| {
            matches!(field.split_last(), Some((name, list)) if *name == "name" && list == above_it)
                && above_it.last() == Some(&"ports")
        }),
        _ => false,
    };
    objected.then_some(sibling)
}

/// The fields that nobody owns, such as defaults of the server, that `declared` does not hold, and that the server
/// objects to beside what it holds.
#[must_use]
pub fn unowned_siblings(live: &Value, declared: &Value, objections: &[Objection]) -> Vec<FieldPath> {
    let all = entries(live);
    let mut found = Vec::new();
    for objection in objections {
        let names = names(&objection.field);
        let Some((last, above)) = names.split_last() else { continue };
        let mut places = vec![(live, declared, Vec::new())];
        for name in above {
            places =
                places.into_iter().flat_map(|(live, declared, steps)| below(live, declared, &steps, name)).collect();
        }
        for (live, declared, steps) in places {
            let (Some(fields), true) = (live.as_object(), declared.is_object()) else { continue };
            let is_declared = |name: &str| declared.get(name).is_some_and(|value| !value.is_null());
            let excluded = objection.exclusive && is_declared(last);
            for (name, value) in fields.iter().filter(|(name, _)| !is_declared(name)) {
                let mut steps = steps.clone();
                steps.push(PathStep::Field(name.clone()));
                let Some(path) = FieldPath::new(steps) else { continue };
                let objected = name == last || excluded && value.is_object();
                if objected && !found.contains(&path) && !all.iter().any(|entry| entry.owns_within(&path)) {
                    found.push(path);
                }
            }
        }
    }
    found
}

/// Places in a live and in a declared object that stand for the same, and the way to them.
type Pair<'a> = (&'a Value, &'a Value, Vec<PathStep>);

/// The field of this name on both sides; of a list, its items that are on both.
fn below<'a>(live: &'a Value, declared: &'a Value, steps: &[PathStep], name: &str) -> Vec<Pair<'a>> {
    let (Some(live), Some(declared)) = (live.get(name), declared.get(name)) else { return Vec::new() };
    let mut steps = steps.to_vec();
    steps.push(PathStep::Field(name.to_owned()));
    let (Some(items), Some(wanted)) = (live.as_array(), declared.as_array()) else {
        return vec![(live, declared, steps)];
    };
    let Some(key) = lists::merge_key(items, wanted) else { return Vec::new() };
    let places = lists::places(items, key);
    let pair = |wanted: &'a Value| {
        let identity = lists::identity(wanted, key)?;
        let item = &items[*places.get(&identity)?];
        let mut steps = steps.clone();
        steps.push(PathStep::Item(lists::keys(key, &identity)));
        Some((item, wanted, steps))
    };
    wanted.iter().filter_map(pair).collect()
}

fn fields(steps: &[PathStep]) -> impl Iterator<Item = &str> {
    steps.iter().filter_map(|step| match step {
        PathStep::Field(name) => Some(name.as_str()),
        _ => None,
    })
}

/// The names of the fields in a path of the server's (`field.Path` of apimachinery), without places and keys.
fn names(field: &str) -> Vec<&str> {
    let (mut names, mut depth, mut from) = (Vec::new(), 0_usize, 0);
    for (at, byte) in field.bytes().enumerate() {
        match byte {
            b'[' => {
                if depth == 0 {
                    names.push(&field[from..at]);
                }
                depth += 1;
            }
            b']' => {
                depth = depth.saturating_sub(1);
                from = at + 1;
            }
            b'.' if depth == 0 => {
                names.push(&field[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    names.push(field.get(from..).unwrap_or_default());
    names.retain(|name| !name.is_empty());
    names
}

/// Takes these fields, with all that is in them, out of what an entry that is not ours owns.
pub(crate) fn take_paths(entry: &Value, fields: &mut FieldSet, wanted: &[&FieldPath]) -> FieldSet {
    let theirs = ManagedFieldsEntry::of(entry);
    let mut taken = FieldSet::default();
    if !theirs.is_ours() && theirs.subresource.is_empty() {
        for part in wanted.iter().filter_map(|path| fields.take(path)) {
            taken.unite(&part);
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields})
    }

    fn live(object: Value, entries: &[Value]) -> Value {
        let mut live = object;
        live["metadata"] = json!({"managedFields": entries});
        live
    }

    fn objection(field: &str, exclusive: bool) -> Objection {
        Objection { field: field.into(), exclusive }
    }

    fn found(live: &Value, declared: &Value, objection: Objection) -> Vec<String> {
        owned_siblings(live, declared, &[objection])
            .iter()
            .map(|one| format!("{}: {}", one.manager, one.path))
            .collect()
    }

    #[test]
    fn what_nobody_owns_goes_where_the_server_objects_and_nothing_else_does() {
        let strategy = json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}});
        let recreate = json!({"strategy": {"type": "Recreate"}});
        let texts = |live: &Value, declared: &Value, one: Objection| -> Vec<String> {
            unowned_siblings(live, declared, &[one]).iter().map(ToString::to_string).collect()
        };
        let refused = || objection("strategy.rollingUpdate", true);
        assert_eq!(texts(&live(strategy.clone(), &[]), &recreate, refused()), ["strategy.rollingUpdate"]);
        // Whoever owns it, it is not this that removes it.
        let owned = live(
            strategy.clone(),
            &[entry("x", "Update", &json!({"f:strategy": {"f:rollingUpdate": {"f:maxSurge": {}}}}))],
        );
        assert_eq!(texts(&owned, &recreate, refused()), [""; 0]);
        // A field that git declares stays, and one to which nobody objects.
        assert_eq!(texts(&live(strategy.clone(), &[]), &strategy, refused()), [""; 0]);
        assert_eq!(
            texts(&live(strategy, &[]), &recreate, objection("strategy.type", true)),
            ["strategy.rollingUpdate"]
        );

        let volumes =
            live(json!({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "emptyDir": {}, "x": 1}]}), &[]);
        let wanted = json!({"volumes": [{"name": "b", "configMap": {}}]});
        let one = || objection("volumes[1].configMap", true);
        assert_eq!(texts(&volumes, &wanted, one()), ["volumes[name=b].emptyDir"]);
        let set = FieldSet::of(&unowned_siblings(&volumes, &wanted, &[one()]));
        assert_eq!(set.to_json(), json!({"f:volumes": {r#"k:{"name":"b"}"#: {"f:emptyDir": {}}}}));
        assert_eq!(texts(&volumes, &wanted, objection("volumes[1].configMap", false)), [""; 0]);
    }

    #[test]
    fn the_sibling_that_the_server_names_is_found_whoever_owns_it() {
        let (a, b) = (r#"k:{"name":"A"}"#, r#"k:{"name":"B"}"#);
        let from = json!({".": {}, "f:fieldRef": {}});
        let live = live(
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {}}}, {"name": "B", "valueFrom": {"fieldRef": {}}}]}),
            &[
                entry("driftless", "Apply", &json!({"f:env": {a: {".": {}, "f:name": {}}}})),
                entry(
                    "injector",
                    "Apply",
                    &json!({"f:env": {a: {"f:valueFrom": from}, b: {".": {}, "f:name": {}, "f:valueFrom": from}}}),
                ),
            ],
        );
        let declared = json!({"env": [{"name": "A", "value": "1"}]});
        assert_eq!(found(&live, &declared, objection("env[0].valueFrom", false)), ["injector: env[name=A].valueFrom"]);
        assert_eq!(found(&live, &declared, objection("env[0].name", false)), [""; 0]);
        let theirs = &live["metadata"]["managedFields"][1];
        let mut fields = FieldSet::from_json(&theirs["fieldsV1"]);
        let path = "env[name=A].valueFrom".parse().unwrap();
        let taken = take_paths(theirs, &mut fields, &[&path]);
        assert_eq!(taken.to_json(), json!({"f:env": {a: {"f:valueFrom": from}}}));
        assert_eq!(fields.to_json(), json!({"f:env": {b: {".": {}, "f:name": {}, "f:valueFrom": from}}}));
    }

    #[test]
    fn where_the_server_names_the_declared_field_its_siblings_are_found() {
        let live = live(
            json!({"probe": {"exec": {"command": ["x"]}, "periodSeconds": 3}}),
            &[
                entry("driftless", "Apply", &json!({"f:probe": {}})),
                entry(
                    "node-fetch",
                    "Update",
                    &json!({"f:probe": {"f:exec": {".": {}, "f:command": {}}, "f:periodSeconds": {}}}),
                ),
            ],
        );
        let declared = json!({"probe": {"httpGet": {"port": 80}}});
        assert_eq!(found(&live, &declared, objection("probe.httpGet", true)), ["node-fetch: probe.exec"]);
        assert_eq!(found(&live, &declared, objection("probe.httpGet", false)), [""; 0]);
        assert_eq!(found(&live, &declared, objection("probe", true)), ["node-fetch: probe.exec"]);
    }

    #[test]
    fn ports_that_clash_by_name_are_found_unless_somebody_applies_them() {
        let item = json!({".": {}, "f:port": {}});
        let port = |number: u16| format!("k:{{\"port\":{number},\"protocol\":\"TCP\"}}");
        let live = live(
            json!({"spec": {"ports": [{"port": 81, "protocol": "TCP"}, {"port": 83, "protocol": "TCP"}]}}),
            &[
                entry("driftless", "Apply", &json!({"f:spec": {"f:selector": {}}})),
                entry("only-ports", "Update", &json!({"f:spec": {"f:ports": {port(81): item}, "f:type": {}}})),
                entry("applied", "Apply", &json!({"f:spec": {"f:ports": {port(83): item}}})),
            ],
        );
        let declared = json!({"spec": {"ports": [{"port": 80}], "selector": {}}});
        let clash = objection("spec.ports[1].name", false);
        assert_eq!(found(&live, &declared, clash), ["only-ports: spec.ports[port=81,protocol=TCP]"]);
    }

    #[test]
    fn the_names_in_a_path_of_the_server_are_distinguished_from_its_keys() {
        assert_eq!(names("spec.a[0].b[x.y/z].c"), ["spec", "a", "b", "c"]);
        assert_eq!(names("metadata.annotations[a.b/c]"), ["metadata", "annotations"]);
        assert_eq!(names(""), [""; 0]);
    }
}
