//! Durations as Kubernetes writes them: Go's syntax (`time.ParseDuration`), without a sign.

use std::time::Duration;

use thiserror::Error;

/// What the JSON Schema says of a duration; bounds cannot be said there.
pub(super) const PATTERN: &str = r"^(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$";

/// The longest first, which is the order of writing.
const UNITS: [(&str, u64); 8] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000), // U+00B5, micro sign
    ("μs", 1_000), // U+03BC, Greek letter mu
    ("ns", 1),
];

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DurationError {
    /// The text is empty, or a number is missing where one has to begin, as in `h` or `+5m`.
    #[error("a duration is written like 90s, 5m or 1h30m")]
    Malformed,
    /// A number has no unit after it, as in `60` and `1h30`; `0` is refused, too.
    #[error("a duration needs a unit after every number, as in 90s, 5m or 1h30m")]
    NoUnit,
    /// The text after a number is not a unit. Holds its first 20 characters, without control characters.
    #[error("`{0}` is no unit of time; the units are h, m, s, ms, us and ns")]
    UnknownUnit(String),
    /// The text begins with `-`.
    #[error("a duration cannot be negative")]
    Negative,
    /// The duration exceeds 2^63 - 1 nanoseconds, about 292 years: the range of Go's `time.Duration`.
    #[error("that is longer than 292 years, the most a duration can hold")]
    TooLong,
}

/// Parses `90s`, `5m`, `1h30m`, `1.5h`, `300ms`. A bare number is refused, even `0`: nobody can
/// see whether it means seconds or minutes.
///
/// # Errors
/// Says what is wrong, without repeating the text.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    if text.starts_with('-') {
        return Err(DurationError::Negative);
    }
    if text.is_empty() {
        return Err(DurationError::Malformed);
    }
    let mut nanos: u128 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), split_digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(DurationError::Malformed);
        }
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Err(DurationError::NoUnit);
        }
        let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit(unit.chars().filter(|c| !c.is_control()).take(20).collect()));
        };
        nanos += amount(whole, fraction, *size).ok_or(DurationError::TooLong)?;
        if nanos > i64::MAX as u128 {
            return Err(DurationError::TooLong);
        }
        rest = after;
    }
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| DurationError::TooLong)
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `whole.fraction` times `size`, in nanoseconds, rounded down; `None` when it is beyond 64 bits.
fn amount(whole: &str, fraction: &str, size: u64) -> Option<u128> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // 18 digits of an hour are far below a nanosecond; more would overflow and add nothing.
    let digits = &fraction[..fraction.len().min(18)];
    let mut part: u128 = 0;
    let mut scale: u128 = 1;
    for digit in digits.bytes() {
        part = part * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    Some(u128::from(whole) * u128::from(size) + part * u128::from(size) / scale)
}

/// The shortest text that [`parse_duration`] reads as the same duration: `1h30m`, `1.5s`, `0s`.
/// Longer than 292 years it is written, though not read.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let (secs, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if secs == 0 {
        return match nanos {
            0 => "0s".to_owned(),
            1..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => decimal(u64::from(nanos / 1_000), nanos % 1_000, 3, "us"),
            _ => decimal(u64::from(nanos / 1_000_000), nanos % 1_000_000, 6, "ms"),
        };
    }
    let (hours, minutes, seconds) = (secs / 3600, secs / 60 % 60, secs % 60);
    let part = |number: u64, unit: &str| if number == 0 { String::new() } else { format!("{number}{unit}") };
    let seconds = if seconds == 0 && nanos == 0 { String::new() } else { decimal(seconds, nanos, 9, "s") };
    part(hours, "h") + &part(minutes, "m") + &seconds
}

fn decimal(whole: u64, fraction: u32, digits: usize, unit: &str) -> String {
    if fraction == 0 {
        return format!("{whole}{unit}");
    }
    let fraction = format!("{fraction:0digits$}");
    format!("{whole}.{}{unit}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_read_as_in_kubernetes() {
        for (text, nanos) in [
            ("90s", 90_000_000_000),
            ("5m", 300_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("30m1h", 5_400_000_000_000),
            ("300ms", 300_000_000),
            ("7us", 7_000),
            ("7µs", 7_000),
            ("7μs", 7_000),
            ("3ns", 3),
            ("0s", 0),
            ("0.1000000000000000000000000000001s", 100_000_000),
            ("9223372036854775807ns", 9_223_372_036_854_775_807),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_reason() {
        use DurationError::{Malformed, Negative, NoUnit, TooLong};
        let unknown = |unit: &str| DurationError::UnknownUnit(unit.to_owned());
        for (text, why) in [
            ("", Malformed),
            ("60", NoUnit),
            ("0", NoUnit),
            ("1h30", NoUnit),
            ("1.5", NoUnit),
            ("h", Malformed),
            (".s", Malformed),
            ("+5m", Malformed),
            (" 5m", Malformed),
            ("five minutes", Malformed),
            ("-5m", Negative),
            ("1d", unknown("d")),
            ("5 m", unknown(" m")),
            ("5M", unknown("M")),
            ("5m ", unknown("m ")),
            ("9223372036854775808ns", TooLong),
            ("99999999999999999999h", TooLong),
        ] {
            assert_eq!(parse_duration(text), Err(why), "{text}");
        }
    }

    #[test]
    fn durations_are_written_short() {
        for (millis, text) in
            [(0, "0s"), (250, "250ms"), (1_500, "1.5s"), (90_000, "1m30s"), (3_600_000, "1h"), (5_400_000, "1h30m")]
        {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(format_duration(Duration::from_nanos(1_500)), "1.5us");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(nanos in 0..=i64::MAX.unsigned_abs()) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_is_too_odd_to_be_refused(text in "[0-9.hmsnuµ -]{0,24}|\\PC{0,24}") {
            let _ = parse_duration(&text);
        }
    }
}
