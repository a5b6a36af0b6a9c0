//! YAML with places: values that know their line and column, and YAML errors in words for people.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Error, MessageFormatter, Spanned, UserMessageFormatter};

use super::error::ConfigProblem;
use crate::object::Readable;

const EXPECTED_LIST: &str = "expected a list; an empty one is written []";

/// A value and where it stands (where it is referred to, if by an alias). Not `Debug`: it may be a
/// URL with a password.
pub(super) struct At<T> {
    pub value: T,
    pub line: u32,
    pub column: u32,
}

impl<T> At<T> {
    pub fn problem(&self, message: String) -> ConfigProblem {
        ConfigProblem { line: self.line, column: self.column, message }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::deserialize(deserializer)?;
        let place = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Self { value, line: place(referenced.line()), column: place(referenced.column()) })
    }
}

/// The schema of the value: an editor knows the place by itself.
impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A list that must be written: serde-saphyr reads a key without a value as an empty one.
pub(super) fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)?.ok_or_else(|| D::Error::custom(EXPECTED_LIST))
}

/// Reads one document. Booleans are `true` and `false` alone, as in YAML 1.2, so that an editor
/// and driftless read the same file alike; a key given twice is an error.
pub(super) fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, ConfigProblem> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        reject_unsupported_tags: true,
        // A snippet would show the line, and with it a credential.
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let place = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).max(1);
        let (line, column) = error.location().map_or((1, 1), |at| (place(at.line()), place(at.column())));
        ConfigProblem { line, column, message: explain(&error) }
    })
}

fn explain(error: &Error) -> String {
    match error {
        Error::WithSnippet { error, .. } | Error::AliasError { error, .. } => explain(error),
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown key{}; the keys here are {}", key(field), expected.join(", "))
        }
        Error::SerdeMissingField { field, .. } => format!("the key `{field}` is missing"),
        Error::DuplicateMappingKey { key: name, .. } => {
            format!("the key{} is given twice", name.as_deref().map(key).unwrap_or_default())
        }
        Error::SerdeInvalidType { unexpected, expected, .. } => {
            format!("expected {expected}, found {}", kind(unexpected))
        }
        Error::Unexpected { expected, .. } => match *expected {
            "mapping start" => "expected a mapping of keys to values".to_owned(),
            "sequence start" => EXPECTED_LIST.to_owned(),
            "string scalar" => "expected a single value".to_owned(),
            other => format!("expected {other}"),
        },
        Error::InvalidScalar { ty, .. } if ty.starts_with('i') => "expected a whole number".to_owned(),
        Error::InvalidBooleanStrict { .. } | Error::InvalidScalar { ty: "bool" | "boolean", .. } => {
            "expected true or false".to_owned()
        }
        Error::NullIntoString { .. } => "the value is missing".to_owned(),
        Error::Eof { .. } => "the file ends too early; a configuration has at least `syncs: []`".to_owned(),
        Error::MultipleDocuments { .. } => {
            "a second document begins; a configuration is one document, so remove the `---` above".to_owned()
        }
        other => {
            let text = UserMessageFormatter.format_message(other).into_owned();
            // The parser quotes tags, and in them any character.
            if text.contains("://") || text.contains('@') {
                "this is no valid YAML".to_owned()
            } else {
                Readable(&text).to_string()
            }
        }
    }
}

/// A key in backticks with a space before it, where it resembles a key; a URL that came to stand
/// before a colon does not, and is left out.
fn key(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.';
    if !text.is_empty() && text.len() <= 40 && text.chars().all(plain) { format!(" `{text}`") } else { String::new() }
}

/// serde says `string "text"`: the kind alone, for the text may be a URL with a password.
fn kind(unexpected: &str) -> &str {
    match unexpected.split([' ', '"', '`']).next().unwrap_or_default() {
        "map" => "a mapping",
        "sequence" => "a list",
        "string" => "a text",
        "integer" | "floating" => "a number",
        "boolean" => "true or false",
        "unit" | "null" | "Option" => "nothing",
        _ => "something else",
    }
}
