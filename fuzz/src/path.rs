//! What people write in annotations: paths to fields, references to objects; and durations. Parts
//! are divided by a zero byte.

use driftless::config::{format_duration, parse_duration};
use driftless::object::{Digest, FieldPath, names, project};
use serde_json::json;

use super::{assert_readable, cut, render_files};

pub fn target(data: &[u8]) {
    let (first, second) = cut(data, 0);
    let (Ok(text), Ok(other)) = (std::str::from_utf8(first), std::str::from_utf8(second)) else { return };
    match text.parse::<FieldPath>() {
        Ok(path) => {
            let shown = path.to_string();
            assert_readable(&shown, 40_000);
            if shown.len() <= 4096 {
                assert_eq!(shown.parse::<FieldPath>(), Ok(path), "{shown}");
            }
        }
        Err(error) => assert_readable(&error.to_string(), 4_000),
    }
    match parse_duration(text) {
        Ok(duration) => assert_eq!(parse_duration(&format_duration(duration)), Ok(duration)),
        Err(error) => assert_readable(&error.to_string(), 400),
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
    }
    let amount = |text: &str| json!({"limits": {"cpu": text}});
    assert_eq!(project(&amount(text), &amount(text)), amount(text));
    assert_eq!(
        project(&amount(text), &amount(other)) == amount(other),
        project(&amount(other), &amount(text)) == amount(text),
        "to be the same amount goes both ways"
    );

    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "annotations": {
        names::IGNORE_FIELDS: text, names::DEPENDS_ON: other,
    }}});
    let rendered = render_files(&[("a.json", object.to_string().as_bytes())]);
    assert_eq!(rendered.manifests.len() + rendered.errors.len(), 1);
    for error in &rendered.errors {
        assert_readable(&error.to_string(), 4_000);
    }
    for manifest in &rendered.manifests {
        for path in &manifest.directives.ignore_fields {
            let mut live =
                json!({"spec": {"replicas": 1, "list": [{"name": "a", "v": 1}, "b"]}, "metadata": {"name": "a"}});
            let before = live.clone();
            let found = path.get(&live).is_some();
            assert_eq!(path.remove(&mut live), found, "{path}");
            assert_eq!(live["metadata"]["name"], "a", "what identifies an object is never ignored: {path}");
            assert!(found || live == before);
        }
    }
}
