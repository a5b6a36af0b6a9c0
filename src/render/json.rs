//! A JSON file: one value, or several one after another, as kubectl accepts them.

use super::split::Position;
use super::value::Node;
use super::yaml::YamlFault;

/// A value, its text and where it begins in the file.
pub type FoundValue<'a> = (Position, Result<(Node, &'a str), YamlFault>);

/// Reads the values of a file one after another; after an error it is unknown where the next
/// one begins, so the error is the last. Places of faults are relative to the file.
pub fn values(text: &str) -> impl Iterator<Item = FoundValue<'_>> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Node>();
    let mut lines = Lines { text, offset: 0, place: Position { line: 1, column: 1 } };
    std::iter::from_fn(move || {
        let before = stream.byte_offset();
        let start = before + text[before..].len() - text[before..].trim_start().len();
        let place = lines.place(start);
        let found = stream.next()?;
        let end = stream.byte_offset();
        Some((place, found.map(|node| (node, &text[start..end])).map_err(|error| fault(&error, text))))
    })
}

fn fault(error: &serde_json::Error, text: &str) -> YamlFault {
    let line = u32::try_from(error.line()).unwrap_or(u32::MAX);
    // serde_json counts bytes.
    let row = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let before = row.as_bytes().get(..error.column().saturating_sub(1)).unwrap_or(row.as_bytes());
    let column = String::from_utf8_lossy(before).chars().count() + 1;
    let place = Position { line, column: u32::try_from(column).unwrap_or(u32::MAX) };
    let mut message = error.to_string();
    if let Some(end) = message.rfind(" at line ") {
        message.truncate(end);
    }
    if !error.is_data() {
        message.insert_str(0, "not valid JSON: ");
    }
    message.push_str("; what follows in this file was not read");
    YamlFault { place: (line > 0).then_some(place), message }
}

/// Counts lines and columns, only ever forward: a file may be one long line of many values.
struct Lines<'a> {
    text: &'a str,
    offset: usize,
    place: Position,
}

impl Lines<'_> {
    fn place(&mut self, offset: usize) -> Position {
        for character in self.text[self.offset..offset].chars() {
            self.place = match character {
                '\n' => Position { line: self.place.line.saturating_add(1), column: 1 },
                _ => Position { column: self.place.column.saturating_add(1), ..self.place },
            };
        }
        self.offset = offset;
        self.place
    }
}
