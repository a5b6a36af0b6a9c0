//! Where secrets have gone: a renderer may put a decrypted value, or one out of a Secret, into any object. Each that
//! holds one is treated as a Secret from here on: its digest is keyed and its values are shown nowhere.

use std::collections::HashSet;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::file::mark_sensitive;
use super::{RenderError, Rendered};
use crate::object::HIDDEN;

/// Characters from which on a text is searched for inside of others. A shorter one is found where it is the whole of a
/// value: inside of others it would be found by chance.
pub const SEARCHED: usize = 6;
/// Characters from which on a line of a text counts by itself.
const LINE: usize = 12;
/// Bytes of a text by which it is known.
const BEGINNING: usize = 64;
/// Texts that are searched for; with more, every object counts as one that holds one.
const MOST: usize = 50_000;
/// Characters of the shortest text that counts: a port or a switch is no secret.
const SHORTEST: usize = 3;

/// Marks every object in which one of these texts stands, as it is or in base64.
pub fn mark(rendered: Rendered, known: &Secrets) -> Rendered {
    if known.is_empty() {
        return rendered;
    }
    let Rendered { manifests, mut errors, warnings, .. } = rendered;
    let marked = manifests.into_iter().filter_map(|manifest| {
        if manifest.is_secret() || !known.is_in(&manifest.to_value()) {
            return Some(manifest);
        }
        match manifest.edited(mark_sensitive) {
            Ok(marked) => Some(Arc::new(marked)),
            Err(error) => {
                // Without the mark its values would be shown.
                errors.push(RenderError::of(&manifest, error.to_string()));
                None
            }
        }
    });
    let manifests = marked.collect();
    Rendered { manifests, errors, warnings, ..Rendered::default() }
}

/// The forms in which a text is found: as it is, one of its lines, since a template may indent them, and in base64, with
/// and without the line break at its end.
fn forms(text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().map(str::trim).filter(|line| line.chars().count() >= LINE).map(ToOwned::to_owned);
    [text.trim().to_owned(), STANDARD.encode(text), STANDARD.encode(text.trim())].into_iter().chain(lines)
}

/// Certificates are for everybody, and stand in many objects: a webhook names the authority of its server.
fn is_certificate(text: &str) -> bool {
    text.trim_start().starts_with("-----BEGIN CERTIFICATE-----") && !text.contains("PRIVATE KEY")
}

/// The texts that are secret.
pub struct Secrets {
    /// Their beginnings, or all of them. `None`: there are too many to search for.
    inside: Option<AhoCorasick>,
    /// Short ones, which count where they are the whole of a value.
    whole: HashSet<String>,
    /// The texts themselves, the longest first, to be taken out of messages.
    texts: Vec<String>,
}

impl Secrets {
    /// Prepares the search for these texts. Certificates and texts of less than 3 characters are left out.
    #[must_use]
    pub fn new(secrets: &[String]) -> Self {
        let known = secrets.iter().filter(|text| text.trim().chars().count() >= SHORTEST && !is_certificate(text));
        let forms: HashSet<String> = known.flat_map(|text| forms(text)).collect();
        let (long, whole): (HashSet<_>, HashSet<_>) =
            forms.into_iter().partition(|text| text.chars().count() >= SEARCHED);
        // The beginning is enough to know one by, and bounds what is built of a large file.
        let begins: HashSet<&str> = long.iter().map(|text| beginning(text)).collect();
        let builder = || AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(&begins).ok();
        let inside = if begins.len() <= MOST { builder() } else { None };
        let mut texts: Vec<String> = long.into_iter().chain(whole.iter().cloned()).collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Self { inside, whole, texts }
    }

    /// Whether there is no text to search for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// A message without any of them. What stands in quotes may be a part of one, or one in a form of its own (`%q`), and
    /// is left out as well.
    #[must_use]
    pub fn hide(&self, message: &str) -> String {
        if self.is_empty() {
            return message.to_owned();
        }
        let mut text = message.to_owned();
        for secret in &self.texts {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), HIDDEN);
            }
        }
        without_quoted(&text)
    }

    fn is_in(&self, object: &Value) -> bool {
        let Some(inside) = &self.inside else { return true };
        let mut pending = vec![object];
        while let Some(value) = pending.pop() {
            match value {
                Value::Object(fields) => {
                    // A text may have become a key, too.
                    if fields.keys().any(|key| inside.is_match(key)) {
                        return true;
                    }
                    pending.extend(fields.values());
                }
                Value::Array(items) => pending.extend(items),
                Value::String(text) if inside.is_match(text) || self.whole.contains(text) => return true,
                Value::Number(number) => {
                    let text = number.to_string();
                    if inside.is_match(&text) || self.whole.contains(&text) {
                        return true;
                    }
                }
                _ => {}
            }
        }
        false
    }
}

/// The text with what stands in quotes left out, where that is no name of a key or a file.
fn without_quoted(text: &str) -> String {
    let plain = |inside: &str| {
        inside.len() <= 80 && inside.chars().all(|sign| sign.is_ascii_alphanumeric() || "-_./ <>".contains(sign))
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\'', '"', '`']) {
        let quote = rest[at..].chars().next().unwrap_or('"');
        let (before, after) = (&rest[..=at], &rest[at + 1..]);
        out.push_str(before);
        let Some(end) = after.find(quote) else {
            rest = after;
            break;
        };
        let inside = &after[..end];
        out.push_str(if plain(inside) { inside } else { HIDDEN });
        out.push(quote);
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    out
}

/// The first [`BEGINNING`] bytes, or a few less.
fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(BEGINNING)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::{Manifest, Origin};

    fn marked(data: &Value, secrets: &[&str]) -> bool {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data});
        let manifest = Manifest::from_value(object, Origin { file: "a.yaml".into(), line: 1 }).unwrap();
        let rendered = Rendered { manifests: vec![Arc::new(manifest)], ..Rendered::default() };
        let secrets: Vec<String> = secrets.iter().map(ToString::to_string).collect();
        let rendered = mark(rendered, &Secrets::new(&secrets));
        assert!(rendered.errors.is_empty());
        rendered.manifests[0].is_secret()
    }

    #[test]
    fn an_object_that_holds_a_secret_in_any_form_is_one() {
        assert!(marked(&json!({"url": "postgres://shop:hunter2!@db/shop"}), &["hunter2!"]));
        assert!(marked(&json!({"a": STANDARD.encode("hunter2!")}), &["hunter2!"]));
        assert!(marked(&json!({"a": STANDARD.encode("hunter2!\n")}), &["hunter2!\n"]));
        assert!(marked(&json!({"a": "-----\n    MIIEvQIBADANBg\n"}), &["-----BEGIN KEY-----\nMIIEvQIBADANBg\n"]));
        assert!(marked(&json!({"hunter2!": "x"}), &["hunter2!"]));
        assert!(marked(&json!({"pin": "4711"}), &["4711"]));
        let certificate = "-----BEGIN CERTIFICATE-----\nMIIEvQIBADANBg\n-----END CERTIFICATE-----\n";
        assert!(!marked(&json!({"ca": STANDARD.encode(certificate)}), &[certificate]));
        let with_key = format!("{certificate}-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n");
        assert!(marked(&json!({"ca": STANDARD.encode(&with_key)}), &[&with_key]));
        assert!(!marked(&json!({"a": "port 47110"}), &["4711"]));
        assert!(!marked(&json!({"a": "80"}), &["80"]));
        assert!(!marked(&json!({"a": "b"}), &["hunter2!"]));
        assert!(!marked(&json!({"a": "b"}), &[]));
    }

    #[test]
    fn a_message_shows_no_secret_in_whatever_form_a_library_has_given_it() {
        let secrets = Secrets::new(&["Hunter2-SECRET".to_owned(), "u:p%ZZTOP".to_owned(), "4711".to_owned()]);
        for message in [
            "at '/password': 'Hunter2-SECRET' does not match pattern '^[a-z]*$'",
            "unknown anchor 'Hunter2-SECRET' referenced",
            "parse \"postgres://u:p%ZZTOP@h/db\": invalid URL escape \"%ZZ\"",
            "the pin 4711 is too short",
            "value \"Hunter2-\\x53ECRET\" is odd",
        ] {
            let hidden = secrets.hide(message);
            assert!(!hidden.contains("unter2-S") && !hidden.contains("ZZ") && !hidden.contains("4711"), "{hidden}");
        }
        assert!(secrets.hide("at '/password': is odd").contains("/password"));
        assert_eq!(Secrets::new(&[]).hide("a 'b = c'"), "a 'b = c'");
    }

    #[test]
    fn a_large_secret_is_known_by_its_beginning() {
        let large = format!("{}{}", "x1".repeat(600), "y".repeat(1 << 20));
        assert!(marked(&json!({"a": large}), &[&large]));
    }

    #[test]
    fn what_an_object_is_to_do_stays_as_it_was() {
        let object = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
            "spec": {"template": {"spec": {"containers": [{"name": "a", "args": ["hunter2!"]}]}}}});
        let mut manifest = Manifest::from_value(object, Origin { file: "a.yaml".into(), line: 1 }).unwrap();
        manifest.directives.replace = true;
        manifest.directives.once = true;
        manifest.directives.run_to_end = true;
        manifest.warnings.push("w".into());
        let rendered = Rendered { manifests: vec![Arc::new(manifest)], ..Rendered::default() };
        let rendered = mark(rendered, &Secrets::new(&["hunter2!".to_owned()]));
        assert!(rendered.manifests[0].is_secret() && rendered.manifests[0].directives.replace);
        assert!(rendered.manifests[0].directives.once && rendered.manifests[0].directives.run_to_end);
        assert_eq!(rendered.manifests[0].warnings, ["w"]);
    }
}
