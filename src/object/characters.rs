//! Which characters of foreign text must not reach a terminal or a log as they are.

use std::fmt::{self, Write as _};

/// More characters of one foreign text are not read by anybody.
const LONGEST: usize = 400;

/// Control characters, zero-width and bidirectional formatting, and the line breaks that are no
/// control characters: what moves a cursor, hides text, or reverses the direction of reading.
#[must_use]
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Foreign text for people: on one line, unable to move a cursor, to hide text or to reverse the
/// direction of reading, and cut where nobody reads on.
#[derive(Clone, Copy, Debug)]
pub struct Readable<'a>(pub &'a str);

/// The same without an end: for messages that say more than a few names.
#[derive(Clone, Copy, Debug)]
pub struct Displayed<'a>(pub &'a str);

impl fmt::Display for Displayed<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| write_harmless(character, out))
    }
}

fn write_harmless(character: char, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    if is_deceptive(character) { write!(out, "{}", character.escape_default()) } else { out.write_char(character) }
}

impl fmt::Display for Readable<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, character) in self.0.chars().enumerate() {
            if index == LONGEST {
                return out.write_char('…');
            }
            write_harmless(character, out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        assert_eq!(Readable("a\u{1b}[31m\n\0b").to_string(), r"a\u{1b}[31m\n\u{0}b");
        assert_eq!(Readable("x\u{202E}y").to_string(), r"x\u{202e}y");
        assert_eq!(Readable("größe").to_string(), "größe");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(Readable(&"x".repeat(10_000)).to_string().chars().count(), LONGEST + 1);
    }

    #[test]
    fn letters_pass_and_what_deceives_does_not() {
        assert!("größe 日本 -_.%".chars().all(|character| !is_deceptive(character)));
        assert!("\u{1b}\n\0\u{202E}\u{200B}\u{2028}".chars().all(is_deceptive));
    }
}
