//! How servers say that they answer no more for now, and until when. Pure.

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// What names a limit, and when it ends: that of GitHub, of GitLab, and of the draft of the IETF.
const REMAINING: [&str; 2] = ["x-ratelimit-remaining", "ratelimit-remaining"];
const RESET: [&str; 2] = ["x-ratelimit-reset", "ratelimit-reset"];
/// A reset below this is in seconds from now, and not since 1970.
const LEAST_TIME: i64 = 1_000_000_000;

fn header<'a>(headers: &'a HeaderMap, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| headers.get(*name)).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// Whether a refusal is for now, and not for who asks.
pub(super) fn is_limited(headers: &HeaderMap) -> bool {
    headers.contains_key(RETRY_AFTER) || header(headers, &REMAINING) == Some("0")
}

/// Until when a server answers no more requests (RFC 9110, 10.2.3), where it says so.
pub(super) fn until(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let after = |seconds: i64| now.checked_add(SignedDuration::from_secs(seconds)).ok();
    let whole_seconds = |time: Timestamp| Timestamp::from_second(time.as_second()).ok();
    let retry = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim);
    let at = |text: &str| match text.parse::<i64>() {
        Ok(seconds) => after(seconds.max(0)),
        Err(_) => jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok(),
    };
    let reset = |text: &str| match text.parse::<i64>().ok()? {
        time if time >= LEAST_TIME => Timestamp::from_second(time).ok(),
        seconds => after(seconds.max(0)),
    };
    let time = retry.and_then(at).or_else(|| header(headers, &RESET).and_then(reset))?;
    whole_seconds(time)
}
