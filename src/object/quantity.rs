//! Quantities of Kubernetes (`resource.Quantity`): whether two notations say the same amount.

use serde_json::Value;

/// More digits than any quantity has, and few enough for exact arithmetic in 128 bits.
const MAX_DIGITS: usize = 24;

/// Whether two values, as text or as number, are the same quantity: `1000m` and `1`, `100Mi` and
/// `104857600`. `false` where one of them is none.
pub fn same(left: &Value, right: &Value) -> bool {
    match (parse(left), parse(right)) {
        (Some(left), Some(right)) => left == right,
        _ => false,
    }
}

/// Sign, digits and a power of ten, without trailing zeros: one form for one amount.
type Amount = (bool, u128, i32);

fn parse(value: &Value) -> Option<Amount> {
    match value {
        Value::String(text) => parse_text(text),
        Value::Number(number) => parse_text(&number.to_string()),
        _ => None,
    }
}

fn parse_text(text: &str) -> Option<Amount> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end =
        unsigned.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > MAX_DIGITS || fraction.contains('.') {
        return None;
    }
    let (twos, tens) = scale(suffix)?;
    // 2^60 times 24 digits needs 140 bits, so that this may overflow: then it is no quantity
    // that any machine has.
    let mut amount = digits.parse::<u128>().ok()?.checked_mul(1 << twos)?;
    let mut power = tens - i32::try_from(fraction.len()).ok()?;
    if amount == 0 {
        return Some((false, 0, 0));
    }
    while amount.is_multiple_of(10) {
        amount /= 10;
        power += 1;
    }
    Some((negative, amount, power))
}

/// The powers of two and of ten that a suffix stands for.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        exponent => (0, exponent.strip_prefix(['e', 'E'])?.parse::<i32>().ok().filter(|power| power.abs() < 100)?),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn notations_of_one_amount_are_the_same() {
        for (left, right) in [
            (json!("1000m"), json!(1)),
            (json!("1"), json!(1.0)),
            (json!("100Mi"), json!(104_857_600)),
            (json!("0.5Gi"), json!("512Mi")),
            (json!("1.5"), json!("1500m")),
            (json!("1e3"), json!("1k")),
            (json!("2E"), json!("2e18")),
            (json!("0"), json!("-0Ki")),
            (json!("+5"), json!("5.")),
            (json!(".5"), json!("500m")),
        ] {
            assert!(same(&left, &right), "{left} {right}");
        }
    }

    #[test]
    fn other_amounts_and_other_text_are_not() {
        for (left, right) in [
            (json!("1000m"), json!("1001m")),
            (json!("1M"), json!("1Mi")),
            (json!("-1"), json!("1")),
            (json!("web"), json!("web")),
            (json!("1x"), json!("1x")),
            (json!(""), json!("")),
            (json!("1.2.3"), json!("1.2.3")),
            (json!(true), json!(true)),
        ] {
            assert!(!same(&left, &right), "{left} {right}");
        }
    }
}
