//! Why a helper gave no answer.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::helper::Helper;

/// How `driftless sandbox-exec` exits when the helper does not come to run. Helpers do not use it.
pub(super) const NOT_STARTED: u8 = 125;

/// Longer output on stderr is not read by anybody.
pub(super) const STDERR_BYTES: usize = 2048;

/// Why a helper gave no answer. `stderr` is its first 2 KiB of output there, on one line and without control
/// characters; text of the repository may be in it.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// There is no file at the helper's path.
    #[error(
        "cannot start {helper}: there is no program {path}; `make build` builds it, and {variable} names it elsewhere",
        path = .path.display(), variable = .helper.variable()
    )]
    NotFound {
        /// The helper that was to be started.
        helper: Helper,
        /// Where it was sought, as an absolute path.
        path: PathBuf,
    },
    /// The kernel cannot confine the helper, and the mode is [`Mode::Required`](super::Mode::Required).
    #[error(
        "{helper} is not started, since this system cannot confine it: {missing} is not available; run driftless \
         where it is (Linux 5.13 or later, lsm=landlock), or set `render.sandbox: best-effort` where the repository \
         is trusted"
    )]
    SandboxUnsupported {
        /// The helper that was not started.
        helper: Helper,
        /// What the kernel lacks: `Landlock`, `seccomp` or `Linux`.
        missing: String,
    },
    /// The child failed before it became the helper, for another reason than what the kernel lacks.
    #[error("cannot set up the sandbox of {helper}: {reason}")]
    SetupFailed {
        /// The helper that was not started.
        helper: Helper,
        /// The step that failed, and its error.
        reason: String,
    },
    /// The process cannot be started.
    #[error("cannot start {helper}")]
    Start {
        /// The helper that was to be started.
        helper: Helper,
        /// Why it cannot be started.
        source: io::Error,
    },
    /// stdout or stderr of the helper cannot be read.
    #[error("cannot read what {helper} answers")]
    Answer {
        /// The helper that was running.
        helper: Helper,
        /// Why reading failed.
        source: io::Error,
    },
    /// Its input could not be made or written, or its end could not be awaited.
    #[error("cannot exchange data with {helper}")]
    Input {
        /// The helper that was running.
        helper: Helper,
        /// Error of what makes the input, of writing it, or of waiting for the helper.
        source: io::Error,
    },
    /// The helper did not end within [`HelperLimits::time`](super::HelperLimits::time).
    #[error("{helper} did not end within {} s and was killed", .time.as_secs_f64())]
    TimedOut {
        /// The helper that was killed.
        helper: Helper,
        /// The time that it had.
        time: Duration,
    },
    /// The helper wrote more to stdout than [`HelperLimits::output_bytes`](super::HelperLimits::output_bytes).
    #[error("{helper} was killed when its output was larger than {limit} bytes")]
    OutputTooLarge {
        /// The helper that was killed.
        helper: Helper,
        /// The longest answer, in bytes.
        limit: usize,
    },
    /// The helper ended as a Go program does that the kernel gives no more memory.
    #[error("{helper} needs more than the {limit} bytes of memory that it may use: {stderr}")]
    OutOfMemory {
        /// The helper that ended.
        helper: Helper,
        /// Memory that it may write to (`RLIMIT_DATA`), in bytes.
        limit: u64,
        /// The beginning of its stderr.
        stderr: String,
    },
    /// Also when the pod has no memory left (SIGKILL), or the processor time is used up (both SIGKILL).
    #[error("{helper} was killed by signal {signal}{}", hint(*.signal, .stderr))]
    Killed {
        /// The helper that ended.
        helper: Helper,
        /// Number of the signal (signal(7)); 9 is SIGKILL.
        signal: i32,
        /// The beginning of its stderr; empty where it wrote nothing there.
        stderr: String,
    },
    /// The helper exited with another code than 0.
    #[error("{helper} exited with {code}: {stderr}")]
    Exited {
        /// The helper that ended.
        helper: Helper,
        /// Exit code.
        code: i32,
        /// The beginning of its stderr.
        stderr: String,
    },
}

fn hint(signal: i32, stderr: &str) -> String {
    match (signal, stderr) {
        // SIGKILL
        (9, "") => "; is the memory limit of the pod large enough?".to_owned(),
        (_, "") => String::new(),
        (_, stderr) => format!(": {stderr}"),
    }
}

/// Why a helper could not be started: one line on stderr, by which the parent knows that it was not the helper's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotStarted {
    Unsupported(String),
    Failed(String),
}

const UNSUPPORTED: &str = "driftless sandbox: not available: ";
const FAILED: &str = "driftless sandbox: ";

impl NotStarted {
    /// A step towards the helper has failed. Only its words reach the parent.
    pub fn because(error: impl std::error::Error) -> Self {
        Self::Failed(error.to_string())
    }

    pub fn to_line(&self) -> String {
        match self {
            Self::Unsupported(missing) => format!("{UNSUPPORTED}{missing}"),
            Self::Failed(reason) => format!("{FAILED}{reason}"),
        }
    }

    /// `None`: the line is the helper's own.
    pub fn from_line(line: &str) -> Option<Self> {
        if let Some(missing) = line.strip_prefix(UNSUPPORTED) {
            return Some(Self::Unsupported(missing.to_owned()));
        }
        line.strip_prefix(FAILED).map(|reason| Self::Failed(reason.to_owned()))
    }
}

/// Foreign text on one line. What moves a cursor, hides text or reverses the direction of reading is left out.
pub(super) fn legible(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let hides = |character: char| matches!(character, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}');
    let words: String = text.chars().map(|one| if one.is_control() || hides(one) { ' ' } else { one }).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_child_is_read_as_it_was_meant() {
        for line in [NotStarted::Unsupported("Landlock".to_owned()), NotStarted::Failed("exec: no".to_owned())] {
            assert_eq!(NotStarted::from_line(&line.to_line()), Some(line));
        }
        assert_eq!(NotStarted::from_line("panic: no"), None);
    }

    #[test]
    fn the_output_of_a_helper_cannot_move_the_cursor() {
        assert_eq!(legible(b"a\x1b[31m\n\t b\r\nc\xff"), "a [31m b c\u{FFFD}");
        assert_eq!(legible("x\u{202E}y größe".as_bytes()), "x y größe");
    }

    #[test]
    fn errors_say_what_to_do() {
        let helper = Helper::Renderer;
        let text = LaunchError::NotFound { helper, path: "/usr/bin/driftless-renderer".into() }.to_string();
        assert!(text.contains("make build") && text.contains("DRIFTLESS_RENDERER"), "{text}");
        let text = LaunchError::SandboxUnsupported { helper, missing: "Landlock".to_owned() }.to_string();
        assert!(text.contains("render.sandbox: best-effort"), "{text}");
        let text = LaunchError::Killed { helper, signal: 9, stderr: String::new() }.to_string();
        assert!(text.ends_with("memory limit of the pod large enough?"), "{text}");
    }
}
