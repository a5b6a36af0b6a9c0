//! The hostile program, started in the sandbox.

use std::io::{self, Write};
use std::path::Path;

use driftless::sandbox::{Helper, HelperLimits, LaunchError, Launcher, Mode};

use crate::support::escape::escape;
use crate::support::wait::DEADLINE;

pub(super) const LIMITS: HelperLimits = HelperLimits { time: DEADLINE, memory_bytes: 1 << 30, output_bytes: 1 << 20 };

pub(super) fn launcher(program: &Path, mode: Mode) -> Launcher {
    Launcher::new(Helper::Renderer, program.into(), mode).started_by(env!("CARGO_BIN_EXE_driftless").into())
}

pub(super) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(work)
}

#[allow(clippy::unnecessary_wraps)] // the form of an input
pub(super) fn nothing(_: &mut dyn Write) -> io::Result<()> {
    Ok(())
}

pub(super) fn run_with(launcher: &Launcher, arguments: &[&str], limits: HelperLimits) -> Result<String, LaunchError> {
    let answer = block_on(launcher.run(arguments, limits, nothing))?;
    Ok(String::from_utf8(answer).expect("text"))
}

/// Runs the hostile program confined by default.
pub(super) fn confined(arguments: &[&str], limits: HelperLimits) -> Result<String, LaunchError> {
    run_with(&launcher(escape(), Mode::Required), arguments, limits)
}

/// An argument by which the helper of a test is found.
pub(super) fn marker(test: &str) -> String {
    format!(r#"{{"Directory": "{test} {}"}}"#, std::process::id())
}
