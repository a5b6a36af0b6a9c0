//! Files that SOPS has encrypted: which ones they are, and which texts in them were secret.

use serde_json::{Map, Value};

use super::{RenderError, Rendered, split, yaml};
use crate::object::Manifest;

/// How SOPS reads a file, by its name (getsops/sops, `cmd/sops/formats`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `.yaml` and `.yml`.
    Yaml,
    /// `.json`.
    Json,
    /// `.env`.
    Dotenv,
    /// `.ini`.
    Ini,
    /// Any other name: the content is encrypted as a whole.
    Binary,
}

impl Format {
    /// Returns the format of a file by its extension, case-sensitively.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match path.rsplit_once('.').map(|(_, extension)| extension) {
            Some("yaml" | "yml") => Self::Yaml,
            Some("json") => Self::Json,
            Some("env") => Self::Dotenv,
            Some("ini") => Self::Ini,
            _ => Self::Binary,
        }
    }

    /// As the decrypter has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Json => "json",
            Self::Dotenv => "dotenv",
            Self::Ini => "ini",
            Self::Binary => "binary",
        }
    }
}

/// Whether SOPS has encrypted the file: it holds what SOPS adds to it, with a message authentication code and the time
/// of the last change. `decrypter/testdata/detect` has examples, which the helper holds itself to as well.
#[must_use]
pub fn is_encrypted(path: &str, bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    // Nearly every file ends here. Texts are searched much faster than bytes.
    if !text.contains("sops") || !text.contains("lastmodified") {
        return false;
    }
    let is_metadata = |value: &Value| {
        let metadata = value.get("sops").and_then(Value::as_object);
        metadata.is_some_and(|metadata| metadata.contains_key("mac") && metadata.contains_key("lastmodified"))
    };
    let json = || serde_json::from_str::<Value>(text).ok();
    match Format::of(path) {
        Format::Yaml => is_encrypted_yaml(text),
        Format::Json => json().as_ref().is_some_and(is_metadata),
        Format::Binary => json().is_some_and(|value| is_metadata(&value) && value["data"].is_string()),
        Format::Dotenv => {
            let begins = |name: &str| text.lines().any(|line| line.starts_with(name));
            let assigns = |line: &str| line.is_empty() || line.starts_with('#') || line.contains('=');
            text.lines().all(assigns) && begins("sops_mac=") && begins("sops_lastmodified=")
        }
        Format::Ini => is_encrypted_ini(text),
    }
}

/// Only keys that stand in the text count. A merge key would give `sops` keys that SOPS has not written, and the helper
/// refuses such a file.
fn is_encrypted_yaml(text: &str) -> bool {
    split::documents(text).any(|document| {
        let written = |value: &Value| {
            let metadata = value.get("sops").and_then(Value::as_object);
            metadata.is_some_and(|metadata| metadata.contains_key("mac") && metadata.contains_key("lastmodified"))
        };
        let inside = |line: &str| line.starts_with([' ', '\t']) || line.is_empty();
        let metadata = || {
            document.text.lines().skip_while(|line| !line.starts_with("sops:")).skip(1).take_while(|line| inside(line))
        };
        let merged = || metadata().any(|line| line.trim_start().starts_with("<<:"));
        yaml::parse(document.text).is_ok_and(|node| written(&node.value)) && !merged()
    })
}

fn is_encrypted_ini(text: &str) -> bool {
    let (mut inside, mut mac, mut time) = (false, false, false);
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[sops]";
        } else if inside && !line.starts_with([';', '#']) {
            let key = line.split(['=', ':']).next().unwrap_or_default().trim();
            mac |= key == "mac";
            time |= key == "lastmodified";
        }
    }
    mac && time
}

/// How an encrypted value begins. In a file without the metadata of SOPS it is one that was cut off, or edited.
const VALUE: &str = "ENC[AES256_GCM,data:";

/// Takes out every object that still has an encrypted value, with one error for each: nothing encrypted is applied.
pub fn refuse(rendered: Rendered) -> Rendered {
    let Rendered { manifests, mut errors, warnings, .. } = rendered;
    let (left, manifests): (Vec<_>, Vec<_>) = manifests.into_iter().partition(|manifest| {
        std::str::from_utf8(&manifest.canonical).is_ok_and(|text| text.contains(VALUE)) && has_value(manifest)
    });
    let message = "a value is encrypted by SOPS, and the file has no metadata to decrypt it by: it was cut off, or edited by \
                   hand; encrypt it again";
    errors.extend(left.iter().map(|manifest| RenderError::of(manifest, message.to_owned())));
    Rendered { manifests, errors, warnings, ..Rendered::default() }
}

fn has_value(manifest: &Manifest) -> bool {
    let object = manifest.to_value();
    let mut pending = vec![&object];
    while let Some(value) = pending.pop() {
        match value {
            Value::Object(fields) => pending.extend(fields.values()),
            Value::Array(items) => pending.extend(items),
            Value::String(text) if text.starts_with(VALUE) => return true,
            _ => {}
        }
    }
    false
}

/// The texts that were secret. Of YAML and JSON these are the values that were encrypted, and not those beside them that
/// could always be read; of the other formats, all.
#[must_use]
pub fn secrets(path: &str, encrypted: &[u8], decrypted: &[u8]) -> Vec<String> {
    let (Ok(before), Ok(after)) = (std::str::from_utf8(encrypted), std::str::from_utf8(decrypted)) else {
        return vec![String::from_utf8_lossy(decrypted).into_owned()];
    };
    let mut found = Vec::new();
    match Format::of(path) {
        Format::Yaml => {
            for (before, after) in documents(before).iter().zip(documents(after)) {
                compare(before, after, &mut found);
            }
        }
        Format::Json => {
            let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
            compare(&parse(before), parse(after), &mut found);
        }
        Format::Dotenv | Format::Ini => {
            let values = after.lines().filter_map(|line| line.split_once('='));
            found.extend(values.map(|(_, value)| value.trim().to_owned()));
        }
        Format::Binary => found.push(after.to_owned()),
    }
    found
}

fn documents(text: &str) -> Vec<Value> {
    split::documents(text).filter_map(|document| yaml::parse(document.text).ok()).map(|node| node.value).collect()
}

/// Collects the values of `after` where `before` has an encrypted one.
fn compare(before: &Value, after: Value, found: &mut Vec<String>) {
    let nothing = Value::Null;
    let mut pending = vec![(before, after)];
    while let Some((before, after)) = pending.pop() {
        match (before, after) {
            (Value::Object(before), Value::Object(after)) => {
                pending.extend(paired(before, after).map(|(before, after)| (before.unwrap_or(&nothing), after)));
            }
            (Value::Array(before), Value::Array(after)) => pending.extend(before.iter().zip(after)),
            (Value::String(before), after) if before.starts_with("ENC[") => match after {
                Value::String(text) => found.push(text),
                Value::Number(number) => found.push(number.to_string()),
                _ => {}
            },
            _ => {}
        }
    }
}

fn paired(before: &Map<String, Value>, after: Map<String, Value>) -> impl Iterator<Item = (Option<&Value>, Value)> {
    after.into_iter().map(|(key, value)| (before.get(&key), value))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const YAML: &str =
        "kind: Secret\ndata:\n  a: ENC[AES256_GCM,data:x]\n  b: open\nsops:\n  mac: ENC[y]\n  lastmodified: z\n";

    #[test]
    fn files_are_known_as_the_helper_knows_them() {
        for (format, path) in
            [("yaml", "a.yaml"), ("json", "a.json"), ("dotenv", "a.env"), ("ini", "a.ini"), ("binary", "a")]
        {
            let file = format!("{}/decrypter/testdata/detect/{format}.json", env!("CARGO_MANIFEST_DIR"));
            let examples: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
            assert!(examples.len() > 8);
            for example in examples {
                let found = is_encrypted(path, example["data"].as_str().unwrap().as_bytes());
                assert_eq!(found, example["encrypted"].as_bool().unwrap(), "{format}: {}", example["name"]);
            }
        }
    }

    #[test]
    fn an_object_that_still_has_an_encrypted_value_is_not_applied() {
        let object = |value: &str| {
            let object = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": value}});
            let origin = crate::object::Origin { file: "a.yaml".into(), line: 1 };
            refuse(Rendered {
                manifests: vec![Arc::new(Manifest::from_value(object, origin).unwrap())],
                ..Rendered::default()
            })
        };
        assert!(object("ENC[AES256_GCM,data:x]").manifests.is_empty());
        assert_eq!(object("say ENC[AES256_GCM,data:x]").errors, []);
    }

    #[test]
    fn what_could_always_be_read_is_no_secret() {
        let after = "kind: Secret\ndata:\n  a: hunter2\n  b: open\n";
        assert_eq!(secrets("a.yaml", YAML.as_bytes(), after.as_bytes()), ["hunter2"]);
        let (before, after) = (r#"{"n": "ENC[x]", "l": ["ENC[y]", "z"]}"#, r#"{"n": 4711, "l": ["one", "z"]}"#);
        let mut found = secrets("a.json", before.as_bytes(), after.as_bytes());
        found.sort();
        assert_eq!(found, ["4711", "one"]);
        assert_eq!(secrets("a.env", b"A=ENC[x]\nsops_mac=y\n", b"A=hunter2\n"), ["hunter2"]);
        let key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\n";
        assert_eq!(secrets("key", b"{}", key.as_bytes()), [key]);
    }
}
