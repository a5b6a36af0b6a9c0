//! An answer of the API server in the form in which it may be shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::cluster::ApiError;
use crate::object::HIDDEN;
use crate::plan::Desired;

/// The shortest value of a Secret that is searched for in the whole message. A shorter one would be found in the
/// server's own words, where a hole shows what it is.
const SHORTEST: usize = 6;
/// Ends what the API server says of a denial by admission (webhook/errors, validating/policy).
const DENIED: &str = "denied the request";
/// Bytes of a message that nobody reads to its end.
const LONG: usize = 600;
/// Bytes of a cause that may be shown with its value.
const SHORT: usize = 160;
/// How Go prints a value where another type was wanted (structured-merge-diff, `valueUnstructured`).
const OF_ANOTHER_TYPE: &str = ", got &value.valueUnstructured{Value:";

/// The error without the name of the object, which is reported anyway, with advice where the server has none, and, of a
/// Secret, without any value: the server repeats those that it does not like.
pub(super) fn shown(error: ApiError, desired: &Desired) -> ApiError {
    let name = &*desired.manifest.id.name;
    let secrets = desired.manifest.is_secret().then(|| values(&desired.manifest.to_value()));
    // Values are hidden first: of a message that was cut, a part of one might be left.
    shortened(error.map_messages(|message| {
        let message = without_name(message, name);
        match &secrets {
            Some(secrets) => advised(&hidden(message, name, secrets)),
            None => advised(message),
        }
    }))
}

/// A long message put together anew from its causes, without the values that the server repeats: of a Job's template it
/// prints all that it knows.
fn shortened(error: ApiError) -> ApiError {
    match error {
        ApiError::Refused { code, reason, message, causes } if message.len() > LONG && !causes.is_empty() => {
            let short = |message: &str| match message.split_once(": ").zip(message.rsplit_once(": ")) {
                Some(((what, _), (_, words))) if message.len() > SHORT && what != words => {
                    format!("{what}: …: {words}")
                }
                _ => message.to_owned(),
            };
            let listed = causes.iter().map(|cause| match cause.field.as_str() {
                "" => short(&cause.message),
                field => format!("{field}: {}", short(&cause.message)),
            });
            let message = listed.collect::<Vec<_>>().join(", ");
            ApiError::Refused { code, reason, message, causes }
        }
        other => other,
    }
}

/// The message without its beginning `ConfigMap "name" is invalid: ` (apimachinery, `NewInvalid`).
fn without_name<'a>(message: &'a str, name: &str) -> &'a str {
    let rest = message.split_once(' ').and_then(|(_, rest)| rest.strip_prefix(&format!("\"{name}\" is invalid: ")));
    rest.unwrap_or(message)
}

/// The message with the advice to quote what is to be text, in place of how Go prints the value.
fn advised(message: &str) -> String {
    let advice = |line: &str| {
        if line.starts_with("namespaces \"") && line.ends_with("\" not found") {
            return format!("{line}; declare the Namespace in git, or create it");
        }
        let line = match line.split_once("failed to create typed patch object (") {
            Some((_, rest)) => rest.split_once("): ").map_or(line, |(_, rest)| rest),
            None => line,
        };
        let Some((place, rest)) = line.split_once(OF_ANOTHER_TYPE) else { return line.to_owned() };
        match place.strip_suffix(": expected string") {
            Some(field) => {
                format!("{} must be text; put numbers and booleans in quotes", field.trim_start_matches('.'))
            }
            None => format!("{place}, got {}", rest.strip_suffix('}').unwrap_or(rest)),
        }
    };
    message.split('\n').map(advice).collect::<Vec<_>>().join("\n")
}

/// A message about a Secret without values. They stand in quotes, or where Go prints one; all that stands
/// there is hidden, whatever it is, apart from the object's name, so that a hole shows nothing.
fn hidden(message: &str, name: &str, secrets: &[String]) -> String {
    // A webhook or policy words its denial as it likes.
    if let Some((by, _)) = message.split_once(DENIED) {
        return format!("{by}{DENIED} (its words are not shown, since they may hold values of the Secret)");
    }
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(at) = rest.find(['"', '{']) {
        let (before, found) = rest.split_at(at);
        text.push_str(before);
        let (open, inner) = found.split_at(1);
        let end = if open == "\"" { end_of_quoted(inner) } else { inner.find('}') };
        let (inside, after) = inner.split_at(end.unwrap_or(inner.len()));
        let is_name = open == "\"" && inside == name;
        text.push_str(open);
        text.push_str(if is_name || inside.is_empty() { inside } else { HIDDEN });
        let closed = after.chars().next().map_or(0, char::len_utf8);
        text.push_str(&after[..closed]);
        rest = &after[closed..];
    }
    text.push_str(rest);
    secrets.iter().fold(text, |text, secret| text.replace(secret.as_str(), HIDDEN))
}

/// Where a text in quotes ends, as Go quotes it (`%q`).
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, sign)| {
        let ends = sign == '"' && !escaped;
        escaped = sign == '\\' && !escaped;
        ends.then_some(at)
    })
}

/// Every text in a Secret's data that no sentence holds by chance, as it stands there and decoded, the longest first. Of
/// another sensitive object it may be any.
fn values(secret: &Value) -> Vec<String> {
    let mut values = Vec::new();
    let mut pending: Vec<&Value> = Vec::new();
    if secret.get("kind").is_some_and(|kind| kind == "Secret") {
        pending.extend(secret.get("data"));
    } else if let Some(fields) = secret.as_object() {
        pending.extend(
            fields.iter().filter(|(name, _)| !["apiVersion", "kind"].contains(&name.as_str())).map(|(_, it)| it),
        );
    }
    while let Some(value) = pending.pop() {
        match value {
            Value::Object(fields) => {
                pending.extend(fields.values());
                continue;
            }
            Value::Array(items) => {
                pending.extend(items);
                continue;
            }
            _ => {}
        }
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        if let Some(plain) = STANDARD.decode(&text).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
            values.push(plain);
        }
        values.push(text);
    }
    // Of a text of several lines one alone may be repeated, and white space around it left out.
    let parts: Vec<String> = values.iter().flat_map(|value| value.lines()).map(|line| line.trim().to_owned()).collect();
    values.extend(parts);
    let is_word = |value: &str| value.chars().all(|sign| sign.is_ascii_alphabetic() || sign == ' ');
    values.retain(|value| value.len() >= SHORTEST && !is_word(value));
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::object::{Digest, Manifest, Origin};

    fn of(object: Value, message: &str) -> String {
        let manifest = Manifest::from_value(object, Origin { file: "a.yaml".into(), line: 1 }).unwrap();
        let desired = Desired { digest: Digest::of(&manifest.canonical), manifest: Arc::new(manifest) };
        let answer =
            ApiError::Refused { code: 422, reason: "Invalid".into(), message: message.into(), causes: Vec::new() };
        shown(answer, &desired).to_string()
    }

    fn secret(data: &Value, message: &str) -> String {
        of(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data}), message)
    }

    #[test]
    fn a_refused_secret_shows_no_value() {
        let data = json!({"password": "aHVudGVyMg==", "port": "5432"});
        let text = secret(&data, "Secret \"s\" is invalid: got aHVudGVyMg== and hunter2 and Value{Value:5432}");
        assert_eq!(text, "got <hidden> and <hidden> and Value{<hidden>}");
    }

    #[test]
    fn advice_stays_whatever_the_values_are() {
        let data = json!({"a": "dQ==", "b": "dmFsdWU=", "c": "Ig=="});
        let message =
            r#"Secret "s" is invalid: type: Invalid value: "va\"lue u": field is immutable when `immutable` is set"#;
        let wanted = r#"type: Invalid value: "<hidden>": field is immutable when `immutable` is set"#;
        assert_eq!(secret(&data, message), wanted);
        let none = secret(&json!({}), message);
        assert_eq!(none, wanted, "a hole shows nothing of the values");
    }

    #[test]
    fn neither_a_denial_nor_a_part_of_a_value_shows() {
        let data = json!({"a": "czNjcjN0OQo=", "b": "aHVudGVy"});
        let denied = "admission webhook \"w\" denied the request: password hunter is on the list";
        let text = secret(&data, denied);
        assert!(text.contains("denied the request") && !text.contains("hunter"), "{text}");
        assert_eq!(secret(&data, "got s3cr3t9 there"), "got <hidden> there", "the value ends with a line break");
    }

    #[test]
    fn what_is_open_ends_nowhere_and_is_hidden() {
        assert_eq!(secret(&json!({}), "got \"hunter"), "got \"<hidden>");
        assert_eq!(secret(&json!({}), "got {hunter"), "got {<hidden>");
        assert_eq!(secret(&json!({}), "Secret \"s\": got \"\""), "Secret \"s\": got \"\"");
    }

    #[test]
    fn a_long_refusal_keeps_its_fields_and_words_and_loses_the_values() {
        let value = format!("{{\"ObjectMeta\": \"{}\"}}", "x: y, ".repeat(300));
        let message = format!("Invalid value: {value}: field is immutable");
        let answer = serde_json::json!({"kind": "Status", "reason": "Invalid",
            "message": format!("Job.batch \"j\" is invalid: spec.template: {message}"),
            "details": {"causes": [{"reason": "FieldValueInvalid", "message": message, "field": "spec.template"},
                {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.x"}]}});
        let error = ApiError::from_answer(422, answer.to_string().as_bytes());
        assert_eq!(
            shortened(error).to_string(),
            "spec.template: Invalid value: …: field is immutable, spec.x: Required value"
        );
    }

    #[test]
    fn what_must_be_text_is_said_to_need_quotes() {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
        let go = |value: &str| {
            format!(
                "failed to create typed patch object (shop/c; /v1, Kind=ConfigMap): .data.debug: expected string, got \
                 &value.valueUnstructured{{Value:{value}}}"
            )
        };
        assert_eq!(of(map.clone(), &go("true")), "data.debug must be text; put numbers and booleans in quotes");
        let two = of(map.clone(), &format!("{}\n{}", go("1"), go("map[a:1]")));
        assert_eq!(two.matches("data.debug must be text").count(), 2, "{two}");
        let number = go("x").replace("expected string", "expected numeric");
        assert_eq!(of(map.clone(), &number), ".data.debug: expected numeric, got x");
        assert_eq!(of(map, "ConfigMap \"c\" is invalid: data[a b]: Invalid value"), "data[a b]: Invalid value");
    }
}
