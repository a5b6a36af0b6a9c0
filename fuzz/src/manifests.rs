//! YAML and JSON to manifests. The first byte says which, the rest is the file.

use driftless::object::{DigestKey, Manifest, canonical_json};

use super::{assert_readable, render_files};

/// Of these many the first are read again; others would only repeat that.
const READ_AGAIN: usize = 3;

pub fn target(data: &[u8]) {
    let Some((first, content)) = data.split_first() else { return };
    let name = if first & 1 == 0 { "a.yaml" } else { "a.json" };
    let rendered = render_files(&[(name, content)]);
    assert_eq!(rendered, render_files(&[(name, content)]));
    for error in &rendered.errors {
        assert_readable(&error.to_string(), 4_000);
        // 0 where what is wrong is not in one line, or not at one place of it.
        assert!((error.line >= 1 || error.column == 0) && error.line as usize <= content.len() + 1, "{error}");
        if let Some(id) = &error.object {
            assert_readable(&id.to_string(), 1_000);
        }
    }
    let key = DigestKey::new([7; 32]);
    for manifest in rendered.manifests.iter().take(READ_AGAIN) {
        assert_readable(&manifest.id.to_string(), 1_000);
        let value = manifest.to_value();
        assert_eq!(canonical_json(&value), *manifest.canonical);
        let same = |again: &Manifest, how: &str| {
            assert_eq!(again.id, manifest.id, "{how}");
            assert_eq!(text(&again.canonical), text(&manifest.canonical), "{how}");
            assert_eq!(again.directives, manifest.directives, "{how}");
            assert_eq!(again.digest(&key), manifest.digest(&key), "{how}");
        };
        same(&Manifest::from_value(value.clone(), manifest.origin.clone()).unwrap(), "normalised again");
        let yaml = serde_saphyr::to_string(&value).unwrap();
        for (name, content) in [("b.json", &*manifest.canonical), ("b.yaml", yaml.as_bytes())] {
            let again = render_files(&[(name, content)]);
            assert_eq!((again.manifests.len(), again.errors.len()), (1, 0), "{again:?} of {}", text(content));
            same(&again.manifests[0], name);
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
