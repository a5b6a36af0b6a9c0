//! The order of resource versions: decimal integers that grow (KEP-5504). An aggregated API server
//! may still have others; of those nothing is known but that the next answer is the newer one.

use std::cmp::Ordering;

/// Whether what has the version `incoming` is surely older than what has the version `known`.
#[must_use]
pub fn is_older(incoming: &str, known: &str) -> bool {
    compare(incoming, known) == Some(Ordering::Less)
}

/// Whether what has the version `incoming` is surely not newer than what has the version `known`.
#[must_use]
pub fn is_no_newer(incoming: &str, known: &str) -> bool {
    matches!(compare(incoming, known), Some(Ordering::Less | Ordering::Equal))
}

/// Whether what has the version `incoming` came after what has the version `known`: where the
/// versions do not show it, the incoming did.
#[must_use]
pub fn is_newer(incoming: &str, known: &str) -> bool {
    match compare(incoming, known) {
        Some(order) => order == Ordering::Greater,
        None => incoming != known,
    }
}

/// Whether the versions do not show which is newer.
#[must_use]
pub fn is_unordered(incoming: &str, known: &str) -> bool {
    compare(incoming, known).is_none()
}

fn compare(left: &str, right: &str) -> Option<Ordering> {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !number(left) || !number(right) {
        return None;
    }
    // Not as integers: nobody promises that they fit in 64 bits.
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    Some(left.len().cmp(&right.len()).then_with(|| left.cmp(right)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_numbers_of_any_length() {
        for (older, newer) in
            [("9", "10"), ("099", "100"), ("0", "1"), ("18446744073709551615", "18446744073709551616")]
        {
            assert!(is_older(older, newer) && !is_older(newer, older), "{older} {newer}");
            assert!(is_no_newer(older, newer) && !is_no_newer(newer, older), "{older} {newer}");
            assert!(is_newer(newer, older) && !is_newer(older, newer), "{older} {newer}");
        }
        assert!(!is_older("007", "7") && is_no_newer("007", "7"));
    }

    #[test]
    fn with_a_version_that_is_no_number_the_incoming_counts_as_newer() {
        for (incoming, known) in [("", "5"), ("5", ""), ("a1", "5"), ("5", "5a"), ("-1", "5"), ("٣", "5")] {
            assert!(!is_older(incoming, known) && !is_no_newer(incoming, known), "{incoming} {known}");
            assert!(is_unordered(incoming, known) && is_newer(incoming, known));
        }
    }
}
