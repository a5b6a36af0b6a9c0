//! Bringing a declared object into the form in which it is compared and applied.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::manifest::ManifestError;

/// What only a server writes. Manifests exported with `kubectl get -o yaml` carry these, and
/// an apply would be refused for some of them (`managedFields`) or conflict (`resourceVersion`).
const SERVER_FIELDS: [&str; 7] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
];

/// Removes nulls, `status` and server-written metadata, and turns a Secret's `stringData` into
/// `data`: the API server does that too, but on writing only, so that an edit of `data` would
/// neither show in the ownership of `stringData` nor be undone.
///
/// # Errors
/// A Secret whose `data` or `stringData` holds something other than strings.
pub fn normalise(object: &mut Value) -> Result<(), ManifestError> {
    remove_nulls(object);
    let Some(fields) = object.as_object_mut() else { return Ok(()) };
    fields.remove("status");
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in SERVER_FIELDS.iter().chain(&["uid"]) {
            metadata.remove(*field);
        }
    }
    if fields.get("apiVersion").is_some_and(|version| version == "v1")
        && fields.get("kind").is_some_and(|kind| kind == "Secret")
    {
        fold_string_data(fields)?;
        check_data(fields)?;
    }
    Ok(())
}

/// The API server would refuse it too, with a message that shows what it does not like.
fn check_data(secret: &Map<String, Value>) -> Result<(), ManifestError> {
    match secret.get("data") {
        None => Ok(()),
        Some(Value::Object(data)) => match data.iter().find(|(_, value)| !value.is_string()) {
            Some((key, _)) => Err(ManifestError::StringData(format!("data.{key}"))),
            None => Ok(()),
        },
        Some(_) => Err(ManifestError::Type { field: "data", expected: "a map of text to text" }),
    }
}

/// A null in a manifest means the same as the absence of the field: nothing is declared.
/// Items of lists keep theirs, where a null has a place of its own.
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(remove_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

fn fold_string_data(secret: &mut Map<String, Value>) -> Result<(), ManifestError> {
    let Some(plain) = secret.remove("stringData") else { return Ok(()) };
    let Value::Object(plain) = plain else { return Err(ManifestError::StringData("stringData".into())) };
    if plain.is_empty() {
        return Ok(());
    }
    let data = secret.entry("data").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(data) = data else { return Err(ManifestError::StringData("data".into())) };
    for (key, value) in plain {
        let Value::String(text) = value else {
            return Err(ManifestError::StringData(format!("stringData.{key}")));
        };
        data.insert(key, Value::String(STANDARD.encode(text)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn normalised(mut value: Value) -> Value {
        normalise(&mut value).unwrap();
        value
    }

    #[test]
    fn string_data_becomes_data_and_wins_over_it() {
        let secret = normalised(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
            "data": {"a": "b2xk", "b": "Yg=="}, "stringData": {"a": "new"},
        }));
        assert_eq!(secret["data"], json!({"a": "bmV3", "b": "Yg=="}));
        assert!(secret.get("stringData").is_none());
    }

    #[test]
    fn string_data_of_another_type_is_an_error_that_shows_no_value() {
        let mut secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"port": 5432},
        });
        let error = normalise(&mut secret).unwrap_err().to_string();
        assert!(error.contains("stringData.port"), "{error}");
        assert!(!error.contains("5432"), "{error}");
    }

    #[test]
    fn data_of_another_type_is_an_error_that_shows_no_value() {
        for (data, place) in [
            (json!("hunter2"), "data"),
            (json!({"a": 5432}), "data.a"),
            (json!(["hunter2"]), "data"),
            (json!({"a": {"hunter2": 1}}), "data.a"),
        ] {
            let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data});
            let error = normalise(&mut secret).unwrap_err().to_string();
            assert!(error.starts_with(place) && !error.contains("hunter2") && !error.contains("5432"), "{error}");
        }
    }

    #[test]
    fn what_a_server_writes_is_left_out() {
        let object = normalised(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "uid": "u", "resourceVersion": "1", "managedFields": [{}], "labels": null},
            "data": {"a": null, "b": "1"}, "status": {"x": 1},
        }));
        assert_eq!(
            object,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"b": "1"}})
        );
    }

    #[test]
    fn another_kind_keeps_its_string_data() {
        let object = normalised(json!({"apiVersion": "x/v1", "kind": "Secret", "stringData": {"a": "b"}}));
        assert_eq!(object["stringData"]["a"], "b");
    }
}
