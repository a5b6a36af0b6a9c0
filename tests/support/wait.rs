//! Waiting for what must come true: a condition, asked again and again until a deadline.

use std::fmt::Display;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a busy machine; a test that waits this long fails.
pub const DEADLINE: Duration = Duration::from_mins(1);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Asks until the answer is `Ok`. The error is what was seen instead: the last one is shown when
/// the deadline has passed.
pub fn eventually<T, E: Display>(what: &str, ask: impl FnMut() -> Result<T, E>) -> T {
    within(DEADLINE, what, ask)
}

/// Like [`eventually`], with a deadline of its own.
pub fn within<T, E: Display>(deadline: Duration, what: &str, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let until = Instant::now() + deadline;
    let mut pause = FIRST_PAUSE;
    loop {
        match ask() {
            Ok(value) => return value,
            Err(seen) if Instant::now() >= until => {
                panic!("after {} s still not: {what}; the last that was seen: {seen}", deadline.as_secs())
            }
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// For conditions that are true or not: an error that shows what was seen.
pub fn check(holds: bool, seen: impl Display) -> Result<(), String> {
    if holds { Ok(()) } else { Err(seen.to_string()) }
}
