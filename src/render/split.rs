//! Cutting a YAML stream into its documents, by line, as k8s.io/apimachinery's `YAMLReader` does:
//! one document's syntax error must not take the others with it. `---` and `...` at the start of
//! a line cannot be content (YAML 1.2, rules c-forbidden and l-document-suffix).

use serde_saphyr::granit_parser::Span;

/// One document with content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// With its directives and its `---`.
    pub text: &'a str,
    /// The line on which `text` begins, counted from 1.
    pub first_line: u32,
    /// Where its content begins: comments, directives and the bare marker are none.
    pub content: Position,
}

/// Line and column, both counted from 1; 0 where an error is about more than one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl Position {
    /// The whole file.
    pub const FILE: Self = Self { line: 0, column: 0 };

    /// Where something begins that the parser has read.
    pub fn of(span: &Span) -> Self {
        Self {
            line: u32::try_from(span.start.line()).unwrap_or(u32::MAX),
            column: u32::try_from(span.start.col()).unwrap_or(u32::MAX).saturating_add(1),
        }
    }

    /// The whole document that begins here.
    pub fn document(self) -> Self {
        Self { column: 0, ..self }
    }
}

/// The documents of a stream, one after the other, since a file may hold millions; empty ones and those of
/// comments alone are none.
pub fn documents(text: &str) -> impl Iterator<Item = Document<'_>> {
    let mut open = Some(Open::at(0, 1));
    let mut line = 0;
    let mut offset = 0;
    std::iter::from_fn(move || {
        while offset < text.len() {
            let reading = open.as_mut()?;
            let mut found = None;
            line += 1;
            let (body, length) = next_line(&text[offset..]);
            if let Some(rest) = marker(body, "---") {
                if reading.content.is_some() || reading.marked || !reading.directives {
                    found = reading.close(text, offset);
                    *reading = Open::at(offset, line);
                }
                reading.marked = true;
                reading.note(rest, line, 4);
            } else if marker(body, "...").is_some() {
                found = reading.close(text, offset);
                *reading = Open::at(offset + length, line + 1);
            } else if !reading.marked && reading.content.is_none() && body.starts_with('%') {
                reading.directives = true;
            } else {
                reading.note(body, line, 1);
            }
            offset += length;
            if found.is_some() {
                return found;
            }
        }
        open.take()?.close(text, text.len())
    })
}

/// The document that is being read.
struct Open {
    start: usize,
    first_line: u32,
    marked: bool,
    directives: bool,
    content: Option<Position>,
}

impl Open {
    fn at(start: usize, first_line: u32) -> Self {
        Self { start, first_line, marked: false, directives: false, content: None }
    }

    /// Remembers where content begins; `column` is that of the text's first character.
    fn note(&mut self, text: &str, line: u32, column: u32) {
        if self.content.is_some() {
            return;
        }
        let content = text.trim_start_matches([' ', '\t']);
        if !content.is_empty() && !content.starts_with('#') {
            let indent = u32::try_from(text.len() - content.len()).unwrap_or(u32::MAX);
            self.content = Some(Position { line, column: column.saturating_add(indent) });
        }
    }

    fn close<'a>(&self, text: &'a str, end: usize) -> Option<Document<'a>> {
        let content = self.content?;
        Some(Document { text: &text[self.start..end], first_line: self.first_line, content })
    }
}

/// A line without its break, and its length with it. YAML breaks lines at LF, CRLF and CR.
fn next_line(text: &str) -> (&str, usize) {
    match text.find(['\n', '\r']) {
        None => (text, text.len()),
        Some(end) => (&text[..end], end + if text[end..].starts_with("\r\n") { 2 } else { 1 }),
    }
}

/// What follows a document marker on its line.
fn marker<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    line.strip_prefix(marker).filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(&str, u32, u32)> {
        documents(text).map(|found| (found.text, found.first_line, found.content.line)).collect()
    }

    #[test]
    fn documents_end_at_markers_and_begin_at_their_content() {
        assert_eq!(
            split("# head\n\na: 1\n---\n# note\nb: 2\n---   # empty\n--- {c: 3}\n"),
            [("# head\n\na: 1\n", 1, 3), ("---\n# note\nb: 2\n", 4, 6), ("--- {c: 3}\n", 8, 8)]
        );
    }

    #[test]
    fn comments_markers_and_blank_lines_are_no_document() {
        for nothing in ["", "\n\n", "# a\n# b", "---\n---\n...\n---\n# c\n", "%YAML 1.2\n---\n", "--- # only this"] {
            assert_eq!(split(nothing), [], "{nothing:?}");
        }
    }

    #[test]
    fn directives_stay_with_the_document_after_them() {
        assert_eq!(
            split("a: 1\n...\n%YAML 1.2\n# note\n---\nb: 2\n...\nc: 3"),
            [("a: 1\n", 1, 1), ("%YAML 1.2\n# note\n---\nb: 2\n", 3, 6), ("c: 3", 8, 8)]
        );
    }

    #[test]
    fn dashes_that_are_no_marker_stay() {
        let text = "a: |\n  ---\n  x\nb:\n- ---\n----: 1\n---x: 2\n";
        assert_eq!(split(text), [(text, 1, 1)]);
    }

    #[test]
    fn every_line_break_of_yaml_counts() {
        assert_eq!(split("a: 1\r\n---\r\nb: 2\r\n"), [("a: 1\r\n", 1, 1), ("---\r\nb: 2\r\n", 2, 3)]);
        assert_eq!(split("a: 1\r---\rb: 2"), [("a: 1\r", 1, 1), ("---\rb: 2", 2, 3)]);
    }

    #[test]
    fn the_column_of_content_is_known() {
        assert_eq!(documents("---  {}\n").next().unwrap().content, Position { line: 1, column: 6 });
        assert_eq!(documents("\n  a: 1\n").next().unwrap().content, Position { line: 2, column: 3 });
    }
}
