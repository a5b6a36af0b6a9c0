//! Text of a repository in messages for people: on one line, and unable to move a cursor or to
//! reverse the direction of reading.

use crate::object::is_deceptive;

/// The longest text echoed, in characters: a message is for reading.
const LONGEST: usize = 400;

/// Escapes control and formatting characters, and cuts what is too long to read.
pub fn readable(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(LONGEST));
    for (index, character) in text.chars().enumerate() {
        if index == LONGEST {
            out.push('…');
            break;
        }
        if is_deceptive(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        assert_eq!(readable("a\u{1b}[31m\n\0b"), r"a\u{1b}[31m\n\u{0}b");
        assert_eq!(readable("x\u{202E}y"), r"x\u{202e}y");
        assert_eq!(readable("größe"), "größe");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(readable(&"x".repeat(10_000)).chars().count(), LONGEST + 1);
    }
}
