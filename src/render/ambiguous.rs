//! Scalars that two readers of YAML take for two things. kubectl reads with go-yaml 2, and so does whoever copies a manifest
//! from here to there: what that would read otherwise is refused, with its place, instead of guessed.

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};

use super::split::Position;

/// Words that YAML 1.1 takes for booleans and nulls in three spellings: `true`, `True`, `TRUE`.
const WORDS: [&str; 7] = ["true", "false", "yes", "no", "on", "off", "null"];
/// Bytes of the longest of them.
const LONGEST_WORD: usize = 5;

/// The first scalar of a document that is ambiguous, relative to its text, and why. Time in proportion to the text; most
/// documents are not even parsed for it.
pub fn find(text: &str) -> Option<(Position, String)> {
    if !is_suspicious(text) {
        return None;
    }
    let (place, why) = first_plain(text, why)?;
    Some((place, format!("{why}; put it in quotes if it is text, and write it plainly if it is not")))
}

/// The first plain scalar of a text of which `what` says something, with its place. In time with the text.
fn first_plain<T>(text: &str, what: impl Fn(&str) -> Option<T>) -> Option<(Position, T)> {
    Parser::new_from_str(text).find_map(|event| {
        let Ok((Event::Scalar(scalar, ScalarStyle::Plain, ..), span)) = event else { return None };
        what(&scalar).map(|found| (Position::of(&span), found))
    })
}

/// The first plain scalar that is a whole number of more than 64 bits.
pub fn integer_beyond_64_bits(text: &str) -> Option<Position> {
    let beyond = |scalar: &str| {
        let digits = scalar.trim_start_matches(['+', '-']).replace('_', "");
        let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let fits = if scalar.starts_with('-') {
            format!("-{digits}").parse::<i64>().is_ok()
        } else {
            digits.parse::<u64>().is_ok()
        };
        (whole && !fits).then_some(())
    };
    first_plain(text, beyond).map(|(place, ())| place)
}

/// Whether one may be in it. Every word of every manifest comes by here, so that most are dismissed by their first byte;
/// what has other signs than ASCII in it is no ambiguous scalar, and divides words.
fn is_suspicious(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'+');
    text.as_bytes().split(|byte| !is_word(*byte)).any(|word| {
        let possible = match word {
            [b't' | b'T' | b'f' | b'F' | b'y' | b'Y' | b'n' | b'N' | b'o' | b'O', ..] => word.len() <= LONGEST_WORD,
            [b'-' | b'+' | b'0'..=b'9', ..] => word.contains(&b'_'),
            _ => false,
        };
        possible && std::str::from_utf8(word).is_ok_and(|word| why(word).is_some())
    })
}

fn why(scalar: &str) -> Option<&'static str> {
    if scalar.len() > 64 {
        return None;
    }
    if WORDS.iter().any(|word| scalar.eq_ignore_ascii_case(word)) {
        let mut rest = scalar.chars().skip(1);
        let same = scalar.chars().all(char::is_uppercase) || scalar.chars().all(char::is_lowercase);
        return (!same && !rest.all(char::is_lowercase))
            .then_some("this is a boolean or a null to some readers of YAML, and text to others");
    }
    let digits = scalar.trim_start_matches(['-', '+']);
    let is_number = digits.starts_with(|sign: char| sign.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'_' | b'.'))
        && digits.bytes().filter(|byte| *byte == b'.').count() <= 1;
    let odd = digits.contains("__") || digits.ends_with('_') || digits.contains('_') && digits.contains('.');
    (is_number && odd).then_some("this is a number to some readers of YAML, and text to others")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_readers_take_for_two_things_is_found_with_its_place() {
        for odd in ["tRue", "yES", "oN", "nULL", "FaLSE", "1__000", "1_", "1_0.5", "-1__0"] {
            let (place, why) = find(&format!("a: 1\nb:\n  c: {odd}\n")).unwrap_or_else(|| panic!("{odd}"));
            assert_eq!((place.line, place.column), (3, 6), "{odd}");
            assert!(why.contains("in quotes"), "{why}");
            assert!(find(&format!("{odd}: 1\n")).is_some(), "as a key: {odd}");
            assert_eq!(find(&format!("a: '{odd}'\nb: \"{odd}\"\n")), None, "{odd} in quotes");
        }
    }

    #[test]
    fn no_word_is_dismissed_by_its_first_byte() {
        for word in WORDS {
            assert!(word.len() <= LONGEST_WORD, "{word}");
            let odd = format!("{}{}", &word[..1], word[1..].to_uppercase());
            assert!(is_suspicious(&format!("a: {odd}")), "{odd}");
        }
        for text in ["é1__0", "a: \u{85}tRue", "\u{a0}yES\u{a0}", "[tRue,1_]"] {
            assert!(is_suspicious(text), "{text}");
        }
    }

    #[test]
    fn what_everybody_reads_alike_is_left() {
        for plain in [
            "true",
            "True",
            "TRUE",
            "no",
            "On",
            "null",
            "Null",
            "1_000",
            "1.5",
            "1_000_000",
            "a__b",
            "_1",
            "v1_0.5",
            "1.2.3",
            "trUe-ish",
            "http://e.com/?a=1",
            "is it?",
            "# tRue\na: 1",
            "10.0.0.1",
            "x_",
        ] {
            assert_eq!(find(&format!("a: {plain}\n")), None, "{plain}");
        }
        assert_eq!(find("a: |\n  tRue\n  1__0\n"), None, "a block is text");
    }
}
