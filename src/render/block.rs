//! The part of YAML that nearly all manifests keep to, read in a quarter of the time of the whole of it: mappings and lists
//! by indentation, texts with few escapes, small numbers. What is in any way unusual is left to the parser (`yaml`), and so is
//! everything that is wrong or ambiguous: here is no error. Without recursion, in time with the text.

mod scalars;

use std::mem;

use serde_json::{Map, Value};

use super::value::{MAX_BYTES, NODE_BYTES, Node};
use scalars::{end_of_quote, fold, is_plain, is_word, key_of, negative, numeric, unescape};

/// Levels of nesting; beyond them the parser decides.
const DEEPEST: usize = 50;

/// Reads a document. `None`: it is for the parser.
pub fn read(text: &str) -> Option<Node> {
    if has_unusual_signs(text) {
        return None;
    }
    let lines = Lines { rest: text, peeked: None, ends: text.ends_with('\n') };
    let mut reader = Reader { lines, open: Vec::new(), bytes: 0 };
    let value = reader.document()?;
    (reader.bytes <= MAX_BYTES).then_some(Node { value, bytes: reader.bytes, wide: false })
}

/// Control signs, tabs, and what ends a line in some version of YAML, or is near to it.
fn has_unusual_signs(text: &str) -> bool {
    let unusual = |byte| matches!(byte, 0..=0x09 | 0x0b..=0x1f | 0x7f | 0xc2 | 0xef);
    // To the end in any case: a loop without a way out takes many bytes at once.
    let any = text.bytes().fold(false, |found, byte| found | unusual(byte));
    any || text.contains('\u{2028}') || text.contains('\u{2029}')
}

/// A line with content, without its indentation and the blanks at its end.
#[derive(Clone, Copy)]
struct Line<'t> {
    indent: usize,
    content: &'t str,
}

impl Line<'_> {
    fn is_item(&self) -> bool {
        self.content == "-" || self.content.starts_with("- ")
    }
}

struct Lines<'t> {
    rest: &'t str,
    peeked: Option<Line<'t>>,
    /// The last one has a line break.
    ends: bool,
}

impl<'t> Lines<'t> {
    /// The next line as it is.
    fn raw(&mut self) -> Option<&'t str> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        Some(line)
    }

    /// The next line that is not blank, and how many are before it: a text may go on with it.
    fn going_on(&mut self) -> Option<(usize, Line<'t>)> {
        let mut blank = 0;
        loop {
            let line = self.raw()?;
            let content = line.trim_start_matches(' ');
            if !content.is_empty() {
                let indent = line.len() - content.len();
                return Some((blank, Line { indent, content: content.trim_end_matches(' ') }));
            }
            blank += 1;
        }
    }

    /// The next line that is neither blank nor a comment; it stays the next one.
    fn peek(&mut self) -> Option<Line<'t>> {
        while self.peeked.is_none() {
            let line = self.raw()?;
            let content = line.trim_start_matches(' ');
            if !content.is_empty() && !content.starts_with('#') {
                let indent = line.len() - content.len();
                self.peeked = Some(Line { indent, content: content.trim_end_matches(' ') });
            }
        }
        self.peeked
    }
}

/// A mapping or list that is being read.
enum Open {
    Mapping { indent: usize, fields: Map<String, Value>, key: String },
    List { indent: usize, items: Vec<Value> },
}

impl Open {
    fn indent(&self) -> usize {
        match self {
            Self::Mapping { indent, .. } | Self::List { indent, .. } => *indent,
        }
    }
}

struct Reader<'t> {
    lines: Lines<'t>,
    /// From the outermost in.
    open: Vec<Open>,
    /// What it counts for, as in `value`.
    bytes: usize,
}

impl<'t> Reader<'t> {
    fn document(&mut self) -> Option<Value> {
        let mut first = self.lines.peek()?;
        if first.content == "---" && first.indent == 0 {
            self.lines.peeked = None;
            first = self.lines.peek()?;
        }
        // A single value is no manifest.
        if first.is_item() || first.indent > 0 {
            return None;
        }
        self.begin_mapping(0);
        loop {
            let Some(line) = self.lines.peek() else { return self.end() };
            // Whatever is further to the right than the innermost goes on with what the line before has begun, which was
            // complete.
            while self.open.last()?.indent() > line.indent {
                let value = self.close()?;
                self.put(value)?;
            }
            let dash = line.is_item();
            let in_list = matches!(self.open.last()?, Open::List { .. });
            if in_list && !dash && self.open.last()?.indent() == line.indent {
                // A list may stand under its key, at the same column.
                let value = self.close()?;
                self.put(value)?;
            }
            if self.open.last()?.indent() != line.indent {
                return None;
            }
            self.lines.peeked = None;
            match (self.open.last()?, dash) {
                (Open::List { .. }, true) => self.item(line)?,
                (Open::Mapping { .. }, false) => self.field(line)?,
                _ => return None,
            }
        }
    }

    /// The line is an item of the innermost list.
    fn item(&mut self, line: Line<'t>) -> Option<()> {
        let content = line.content[1..].trim_start_matches(' ');
        let indent = line.indent + line.content.len() - content.len();
        if content.is_empty() || content.starts_with('#') || content == "-" || content.starts_with("- ") {
            return None;
        }
        // What ends as an unusual key does is no text that is read here.
        if key_of(content).is_some() {
            self.begin_mapping(indent);
            return self.field(Line { indent, content });
        }
        let value = self.scalar(content, line.indent)?;
        self.put(value)
    }

    /// The line is a key of the innermost mapping, with its value or without.
    fn field(&mut self, line: Line<'t>) -> Option<()> {
        let (name, rest) = key_of(line.content)?;
        let Some(Open::Mapping { fields, key, .. }) = self.open.last_mut() else { return None };
        if fields.contains_key(name) {
            return None;
        }
        name.clone_into(key);
        self.bytes += name.len() + NODE_BYTES;
        if !rest.is_empty() {
            let value = self.scalar(rest, line.indent)?;
            return self.put(value);
        }
        match self.lines.peek() {
            Some(next) if next.is_item() && next.indent >= line.indent => {
                self.begin(Open::List { indent: next.indent, items: Vec::new() });
            }
            Some(next) if next.indent > line.indent && matches!(next.content, "{}" | "[]") => {
                self.lines.peeked = None;
                let value = self.scalar(next.content, line.indent)?;
                return self.put(value);
            }
            Some(next) if next.indent > line.indent => self.begin_mapping(next.indent),
            _ => {
                self.bytes += NODE_BYTES;
                return self.put(Value::Null);
            }
        }
        (self.open.len() <= DEEPEST).then_some(())
    }

    fn begin_mapping(&mut self, indent: usize) {
        self.begin(Open::Mapping { indent, fields: Map::new(), key: String::new() });
    }

    fn begin(&mut self, open: Open) {
        self.bytes += NODE_BYTES;
        self.open.push(open);
    }

    /// Ends the innermost.
    fn close(&mut self) -> Option<Value> {
        Some(match self.open.pop()? {
            Open::Mapping { fields, .. } if fields.is_empty() => return None,
            Open::Mapping { fields, .. } => Value::Object(fields),
            Open::List { items, .. } if items.is_empty() => return None,
            Open::List { items, .. } => Value::Array(items),
        })
    }

    /// Ends all of them.
    fn end(&mut self) -> Option<Value> {
        while self.open.len() > 1 {
            let value = self.close()?;
            self.put(value)?;
        }
        self.close()
    }

    /// Puts a value into the innermost.
    fn put(&mut self, value: Value) -> Option<()> {
        match self.open.last_mut()? {
            Open::Mapping { fields, key, .. } => _ = fields.insert(mem::take(key), value),
            Open::List { items, .. } => items.push(value),
        }
        Some(())
    }

    /// A value on the line of its key or dash, which stands at `indent`.
    fn scalar(&mut self, text: &'t str, indent: usize) -> Option<Value> {
        let value = match text {
            "|" | "|-" => Value::String(self.literal(indent, text == "|")?),
            "{}" => Value::Object(Map::new()),
            "[]" => Value::Array(Vec::new()),
            "true" | "false" => Value::Bool(text == "true"),
            "null" => Value::Null,
            _ => match text.as_bytes()[0] {
                quote @ (b'"' | b'\'') => Value::String(self.quoted(text, char::from(quote), indent)?),
                b'0'..=b'9' => numeric(text)?,
                b'-' if !text.starts_with("--") => negative(text)?,
                b'-' if !text[2..].starts_with(|sign: char| sign.is_ascii_alphabetic()) => return None,
                b'.' if !text[1..].starts_with(|sign: char| sign.is_ascii_alphabetic()) => return None,
                b'a'..=b'z' | b'A'..=b'Z' | b'/' | b'^' | b'(' | b'$' | b'.' | b'-' | b'=' | 0x80.. => {
                    Value::String(self.plain(text, indent)?)
                }
                _ => return None,
            },
        };
        self.bytes += NODE_BYTES + value.as_str().map_or(0, str::len);
        // Where anything else goes on in a further line, that is further to the right, which the caller finds.
        Some(value)
    }

    /// A text without quotes, which goes on in lines that are further to the right than `parent`.
    fn plain(&mut self, first: &str, parent: usize) -> Option<String> {
        let mut text = is_plain(first).then(|| first.to_owned())?;
        loop {
            let before = self.lines.rest;
            let Some((blank, line)) = self.lines.going_on().filter(|(_, line)| line.indent > parent) else {
                self.lines.rest = before;
                return (!is_word(&text)).then_some(text);
            };
            if line.content.starts_with(['#', '-', '?', ':', '%']) || !is_plain(line.content) {
                return None;
            }
            fold(&mut text, blank);
            text.push_str(line.content);
        }
    }

    /// A text in quotes, which goes on in lines that are further to the right than `parent`.
    fn quoted(&mut self, first: &str, quote: char, parent: usize) -> Option<String> {
        let mut text = String::new();
        let mut content = &first[1..];
        loop {
            let end = end_of_quote(content, quote);
            let part = &content[..end.unwrap_or(content.len())];
            if quote == '"' {
                unescape(part, &mut text)?;
            } else if part.contains('\'') {
                text.push_str(&part.replace("''", "'"));
            } else {
                text.push_str(part);
            }
            if let Some(end) = end {
                return (end + 1 == content.len()).then_some(text);
            }
            let (blank, line) = self.lines.going_on().filter(|(_, line)| line.indent > parent)?;
            if text.is_empty() {
                return None;
            }
            fold(&mut text, blank);
            content = line.content;
        }
    }

    /// A text in lines of its own, of which the first one says where all of them begin.
    fn literal(&mut self, parent: usize, with_break: bool) -> Option<String> {
        let first = self.lines.rest;
        let column = first.len() - first.trim_start_matches(' ').len();
        // A blank line at the beginning would leave it open where the text begins.
        if column <= parent || first[column..].starts_with('\n') || first.len() == column {
            return None;
        }
        let (mut text, mut blank) = (String::new(), 0);
        loop {
            let before = self.lines.rest;
            let Some(line) = self.lines.raw() else { break };
            let indent = line.len() - line.trim_start_matches(' ').len();
            if indent == line.len() {
                // With more blanks they are content.
                if indent > column {
                    return None;
                }
                blank += 1;
            } else if indent < column {
                self.lines.rest = before;
                break;
            } else {
                if !text.is_empty() {
                    blank += 1;
                }
                text.extend(std::iter::repeat_n('\n', blank));
                text.push_str(&line[column..]);
                blank = 0;
            }
        }
        if with_break {
            // Readers of YAML do not agree on a text that ends in the middle of a line.
            if self.lines.rest.is_empty() && !self.lines.ends {
                return None;
            }
            text.push('\n');
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests;
