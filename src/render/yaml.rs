//! One YAML document, as kubectl reads it: sigs.k8s.io/yaml is go-yaml 2, which is YAML 1.1
//! (`yes` and `on` are booleans, `0644` is octal), with keys given twice refused as the API
//! server's strict field validation does.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{DuplicateKeyPolicy, Error, Location, Options, Spanned};

use super::split::Position;
use super::structure;
use super::value::{self, Node};
use super::{ambiguous, block};
use crate::object::Readable;

/// Why a document cannot be read. The place is relative to the document's text, and missing
/// where the parser knows none.
#[derive(Debug, PartialEq, Eq)]
pub struct YamlFault {
    pub place: Option<Position>,
    pub message: String,
}

/// Reads one document.
///
/// # Errors
/// It is no YAML, or goes beyond a bound.
pub fn parse(text: &str) -> Result<Node, YamlFault> {
    // Nothing in it is ambiguous.
    if let Some(node) = block::read(text) {
        return Ok(node);
    }
    let node = by_parser(text)?;
    match ambiguous::find(text).or_else(|| structure::find(text)) {
        Some((place, message)) => Err(YamlFault { place: Some(place), message }),
        None => exact(node, text),
    }
}

/// What the parser makes of a document.
pub(super) fn by_parser(text: &str) -> Result<Node, YamlFault> {
    serde_saphyr::from_str_with_options(text, options(text)).map_err(|error| fault(&error, text))
}

/// The document again, unless a number in it has lost digits. `text` is YAML, or JSON, which is almost YAML.
///
/// # Errors
/// A whole number beyond 64 bits.
pub fn exact(node: Node, text: &str) -> Result<Node, YamlFault> {
    match node.wide.then(|| ambiguous::integer_beyond_64_bits(text)).flatten() {
        Some(place) => {
            let message = "a whole number beyond 64 bits would lose digits; put it in quotes if it is text".into();
            Err(YamlFault { place: Some(place), message })
        }
        None => Ok(node),
    }
}

/// Where the items of a document with `items` begin, relative to its text; empty where that
/// is not known.
pub fn item_places(text: &str) -> Vec<Position> {
    #[derive(Deserialize)]
    struct List {
        items: Vec<Spanned<IgnoredAny>>,
    }
    let list: Result<List, _> = serde_saphyr::from_str_with_options(text, options(text));
    list.map(|list| list.items.iter().filter_map(|item| place(item.referenced)).collect()).unwrap_or_default()
}

/// Aliases may at most double a document's work, so that no repository, however many documents
/// it has, takes much longer than its size says. An honest document stays far below that: its
/// anchors are shorter than what surrounds them.
fn options(text: &str) -> Options {
    let replayed = 4_000 + text.len();
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: value::MAX_DEPTH + 1,
            flow_nesting_limit: value::MAX_DEPTH,
            max_documents: 1,
            max_events: 4_000_000,
            max_nodes: 2_000_000,
            max_recorded_anchor_events: 4 * replayed,
            max_recorded_anchor_bytes: value::MAX_BYTES,
            max_merge_keys: 2_000,
            // The replay limit bounds the same thing without refusing one anchor with many uses.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: replayed,
            max_replay_stack_depth: 32,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        legacy_octal_numbers: true,
        // A tag such as !vault asks for a tool that is not here; its text must not be applied.
        reject_unsupported_tags: true,
        // A snippet of the source may be a snippet of a Secret.
        with_snippet: false,
    }
}

fn place(location: Location) -> Option<Position> {
    let place = Position {
        line: u32::try_from(location.line()).unwrap_or(u32::MAX),
        column: u32::try_from(location.column()).unwrap_or(u32::MAX),
    };
    (place.line > 0).then_some(Position { column: place.column.max(1), ..place })
}

fn fault(error: &Error, text: &str) -> YamlFault {
    let mut message = message(error);
    if text.contains("{{") && matches!(error, Error::ExternalMessage { .. } | Error::Message { .. }) {
        message.push_str(" (it looks like a template; driftless reads plain YAML)");
    }
    YamlFault { place: error.location().and_then(place), message }
}

/// Written here rather than taken from the parser, whose messages advise programmers and may
/// quote values.
fn message(error: &Error) -> String {
    let text = match error {
        Error::AliasError { error, .. } | Error::WithSnippet { error, .. } => return message(error),
        Error::DuplicateMappingKey { key: Some(key), .. } => return value::twice(key),
        Error::DuplicateMappingKey { .. } => "a key is given twice in one mapping",
        // The scanner has a bound of its own on brackets, and no error of its own for it.
        Error::ExternalMessage { msg, .. } if msg.contains("recursion limit") => return value::too_deep(),
        // The scanner's own messages name characters and rules, never content; ours are in `node`.
        Error::ExternalMessage { msg, .. } => return format!("not valid YAML: {}", Readable(msg)),
        Error::Message { msg, .. } => return Readable(msg).to_string(),
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => return value::too_deep(),
        Error::Budget {
            breach:
                BudgetBreach::Aliases { .. }
                | BudgetBreach::Anchors { .. }
                | BudgetBreach::MergeKeys { .. }
                | BudgetBreach::RecordedAnchorEvents { .. }
                | BudgetBreach::RecordedAnchorBytes { .. },
            ..
        }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            "its aliases expand to more than driftless accepts; write the content out"
        }
        Error::Budget { .. } => "the document is too large: too many values",
        Error::Eof { .. } => "not valid YAML: the document ends too early",
        Error::NonFiniteFloat { .. } => {
            "a number that is not finite (.inf, .nan or too large), which JSON cannot hold; put it in quotes if it is text"
        }
        Error::UnknownAnchor { .. } => "an alias names an anchor that this document does not define before it",
        Error::RecursiveReferencesRequireWeakTypes { .. } => "an anchor contains an alias of itself",
        Error::MergeValueNotMapOrSeqOfMaps { .. } => {
            "the value of a merge key (<<) must be a mapping or a list of them"
        }
        Error::UnsupportedTag { .. } => "a YAML tag that Kubernetes does not know; remove it",
        Error::InvalidBinaryBase64 { .. } => "a value tagged !!binary is not valid base64",
        Error::BinaryNotUtf8 { .. } => "a value tagged !!binary is no text; write it as base64 text, without the tag",
        Error::InvalidScalar { .. } | Error::TaggedScalarCannotDeserializeIntoString { .. } => {
            "a value does not fit its YAML tag"
        }
        Error::FoldedBlockScalarMustIndentContent { .. } => {
            "not valid YAML: the text of a block scalar must be indented"
        }
        _ => "not valid YAML",
    };
    text.into()
}
