//! Keys and values that stand on one line, and what is a text for all readers of YAML.

use serde_json::Value;

/// Bytes of a key. YAML itself has a bound on them.
const LONGEST_KEY: usize = 200;
/// Digits of a number that fits 64 bits.
const MOST_DIGITS: usize = 18;
/// Words that are no texts to some readers of YAML, or to the parser. All others that begin with a letter are.
const WORDS: [&str; 14] =
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity", ".nan", ".inf"];

/// The key that a line begins with, and what stands behind its colon.
pub(super) fn key_of(content: &str) -> Option<(&str, &str)> {
    let (key, rest) = if let Some(quote @ ('"' | '\'')) = content.chars().next() {
        let (key, rest) = content[1..].split_once(quote)?;
        if key.is_empty() || key == "<<" || key.contains('\\') {
            return None;
        }
        (key, rest)
    } else {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
        let end = content.as_bytes().iter().position(|byte| !is_part(byte))?;
        let (key, rest) = content.split_at(end);
        if !key.starts_with(|sign: char| sign.is_ascii_alphabetic()) || is_word(key) {
            return None;
        }
        (key, rest)
    };
    let rest = rest.strip_prefix(':')?;
    let value = rest.trim_start_matches(' ');
    let separated = rest.is_empty() || value.len() < rest.len();
    (separated && key.len() <= LONGEST_KEY).then_some((key, value))
}

/// Where the text in quotes ends that begins before this.
pub(super) fn end_of_quote(text: &str, quote: char) -> Option<usize> {
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let at = from + if quote == '"' { rest.find(['"', '\\'])? } else { rest.find(quote)? };
        let escapes = if quote == '"' { text[at..].starts_with('\\') } else { text[at + 1..].starts_with(quote) };
        if !escapes {
            return Some(at);
        }
        from = at + 2;
    }
}

/// Adds a part of a text in double quotes. `None`: it has an unusual escape, or one of the end of a line.
pub(super) fn unescape(part: &str, into: &mut String) -> Option<()> {
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('\\') {
        into.push_str(before);
        into.push(match after.as_bytes().first()? {
            b'n' => '\n',
            b't' => '\t',
            sign @ (b'"' | b'\\' | b' ') => char::from(*sign),
            _ => return None,
        });
        rest = &after[1..];
    }
    into.push_str(rest);
    Some(())
}

/// Adds what stands for the end of a line and so many blank ones, where a text goes on.
pub(super) fn fold(text: &mut String, blank: usize) {
    if blank == 0 { text.push(' ') } else { text.extend(std::iter::repeat_n('\n', blank)) }
}

/// Whether a line of a text without quotes holds neither the end of a key nor a comment.
pub(super) fn is_plain(line: &str) -> bool {
    !line.ends_with(':') && !line.contains(": ") && !line.contains(" #")
}

/// A small whole number, or a text that begins with a digit and has a letter that no number has.
pub(super) fn numeric(text: &str) -> Option<Value> {
    let bytes = text.as_bytes();
    if bytes.iter().all(u8::is_ascii_digit) {
        let canonical = bytes.len() == 1 || bytes[0] != b'0';
        let number = text.parse::<i64>().ok()?;
        return (canonical && bytes.len() <= MOST_DIGITS).then(|| number.into());
    }
    let is_version = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    if bytes.iter().all(is_version) {
        return (text.matches('.').count() > 1 && !text.ends_with('.')).then(|| text.into());
    }
    // Digits of all bases and their marks, exponents, and what ends the time of a day.
    let is_of_text = |byte: &u8| match byte.to_ascii_lowercase() {
        b'g'..=b'n' | b'p'..=b's' | b'u'..=b'w' | b'y' => true,
        b'a'..=b'd' | b'f' => bytes[0] != b'0',
        _ => false,
    };
    (bytes.iter().any(is_of_text) && is_plain(text)).then(|| text.into())
}

pub(super) fn negative(text: &str) -> Option<Value> {
    let digits = &text[1..];
    let canonical = digits.starts_with(|sign: char| matches!(sign, '1'..='9'));
    let small = digits.len() <= MOST_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if canonical && small { Some(text.parse::<i64>().ok()?.into()) } else { None }
}

pub(super) fn is_word(text: &str) -> bool {
    text.len() <= 8 && WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}
