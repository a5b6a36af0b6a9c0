//! A tree of values out of any notation, built within bounds. Unlike the ready-made one of
//! `serde_json` it refuses keys given twice, and its errors show no value: a document may be a Secret.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use crate::object::Readable;

/// Levels of nesting. The deepest field that Kubernetes' own types can have is below 30.
pub const MAX_DEPTH: usize = 64;
/// Bytes of one document with its aliases written out: ten times what etcd takes for an object,
/// since a document may be a list.
pub const MAX_BYTES: usize = 16 << 20;
/// Bytes that a value counts for beside its text.
pub const NODE_BYTES: usize = 16;
/// 2^64: from here on a whole number has lost digits.
const BEYOND_INTEGERS: f64 = 18_446_744_073_709_551_616.0;

/// One document.
pub struct Node {
    pub value: Value,
    /// What it counts for of [`MAX_BYTES`].
    pub bytes: usize,
    /// It holds a number that may be a whole one of more than 64 bits, rounded.
    pub wide: bool,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut tally = Tally { bytes: 0, wide: false };
        let value = Tree { tally: &mut tally, depth: 0 }.deserialize(deserializer)?;
        Ok(Self { value, bytes: tally.bytes, wide: tally.wide })
    }
}

struct Tally {
    bytes: usize,
    wide: bool,
}

impl Tally {
    fn count<E: Error>(&mut self, text: usize) -> Result<(), E> {
        self.bytes = self.bytes.saturating_add(text).saturating_add(NODE_BYTES);
        if self.bytes <= MAX_BYTES {
            return Ok(());
        }
        Err(E::custom(format_args!(
            "the document is too large: more than {} MiB, aliases written out; split it into several documents",
            MAX_BYTES >> 20
        )))
    }
}

struct Tree<'a> {
    tally: &'a mut Tally,
    depth: usize,
}

impl Tree<'_> {
    fn leaf<E: Error>(self, value: impl Into<Value>) -> Result<Value, E> {
        self.tally.count(0)?;
        Ok(value.into())
    }

    fn inner(&mut self) -> Tree<'_> {
        Tree { tally: self.tally, depth: self.depth + 1 }
    }

    fn enter<E: Error>(&mut self) -> Result<(), E> {
        self.tally.count(0)?;
        if self.depth < MAX_DEPTH { Ok(()) } else { Err(E::custom(too_deep())) }
    }
}

/// What is said of a document that nests too deeply, by whichever parser notices.
pub fn too_deep() -> String {
    format!("nested more than {MAX_DEPTH} levels deep")
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.leaf(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.leaf(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.leaf(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.leaf(value)
    }

    /// The API server has signed integers of 64 bits, and takes larger numbers for floating-point ones.
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        #[expect(clippy::cast_precision_loss, reason = "the API server loses the same digits")]
        let floating = value as f64;
        if let Ok(whole) = i64::try_from(value) { self.leaf(whole) } else { self.leaf(floating) }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number that is not finite"))?;
        self.tally.wide |= value.abs() >= BEYOND_INTEGERS / 2.0;
        self.leaf(number)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.tally.count(value.len())?;
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.tally.count(value.len())?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.inner())? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut fields = Map::new();
        while let Some(key) = entries.next_key_seed(Key)? {
            self.tally.count(key.len())?;
            match fields.entry(key) {
                Entry::Occupied(entry) => return Err(A::Error::custom(twice(entry.key()))),
                Entry::Vacant(entry) => _ = entry.insert(entries.next_value_seed(self.inner())?),
            }
        }
        Ok(Value::Object(fields))
    }
}

/// What is said of a key that a mapping has twice, by whichever parser notices.
pub fn twice(key: &str) -> String {
    format!("the key \"{}\" is given twice in one mapping", Readable(key))
}

const AMBIGUOUS_NUMBER: &str = "a key is a number that readers of YAML write in different ways; put it in quotes";

/// A key as text. Numbers and booleans become the text that sigs.k8s.io/yaml makes of them,
/// so that `1: x` and `on: x` mean what they mean to kubectl.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = String;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("text as a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        Ok(key.into())
    }

    fn visit_string<E: Error>(self, key: String) -> Result<String, E> {
        Ok(key)
    }

    fn visit_bool<E: Error>(self, key: bool) -> Result<String, E> {
        Ok(key.to_string())
    }

    fn visit_i64<E: Error>(self, key: i64) -> Result<String, E> {
        Ok(key.to_string())
    }

    fn visit_u64<E: Error>(self, key: u64) -> Result<String, E> {
        if i64::try_from(key).is_ok() { Ok(key.to_string()) } else { Err(E::custom(AMBIGUOUS_NUMBER)) }
    }

    /// sigs.k8s.io/yaml writes it with the digits of a 32-bit number, and with an exponent where Go's `%g` has one.
    fn visit_f64<E: Error>(self, key: f64) -> Result<String, E> {
        #[expect(clippy::cast_possible_truncation, reason = "this is what is compared")]
        let short = (key as f32).to_string();
        let plain = key == 0.0 || (1e-4..1e6).contains(&key.abs());
        if plain && short == key.to_string() { Ok(short) } else { Err(E::custom(AMBIGUOUS_NUMBER)) }
    }

    fn visit_unit<E: Error>(self) -> Result<String, E> {
        Err(E::custom("a key is empty; put text in quotes"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        Err(A::Error::custom("a key is a list; keys must be text"))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<String, A::Error> {
        Err(A::Error::custom("a key is a mapping; keys must be text (text with braces belongs in quotes)"))
    }
}
