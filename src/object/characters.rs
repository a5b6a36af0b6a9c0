//! Which characters of foreign text must not reach a terminal or a log as they are.

/// Control characters, zero-width and bidirectional formatting, and the line breaks that are no
/// control characters: what moves a cursor, hides text, or reverses the direction of reading.
#[must_use]
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_pass_and_what_deceives_does_not() {
        assert!("größe 日本 -_.%".chars().all(|character| !is_deceptive(character)));
        assert!("\u{1b}\n\0\u{202E}\u{200B}\u{2028}".chars().all(is_deceptive));
    }
}
