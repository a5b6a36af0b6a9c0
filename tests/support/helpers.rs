//! The programs beside driftless that render and decrypt, built once by whoever asks first.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::process::{Finished, run};

/// A first build fetches and compiles the official libraries.
const BUILD: Duration = Duration::from_mins(20);

/// `driftless-renderer`.
pub fn renderer() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("renderer/build"))
}

/// `driftless-decrypt`.
pub fn decrypter() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| built("decrypter/build"))
}

/// The official sops.
#[must_use = "it may have failed; `expect_code` shows that"]
pub fn sops(arguments: &[&str], input: &str, environment: &[(&str, &str)]) -> Finished {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let program = BUILT.get_or_init(|| built("decrypter/tools/build"));
    let mut command = Command::new(program);
    command.env_clear().envs(environment.iter().copied()).args(arguments);
    run(&mut command, Some(input), Duration::from_mins(1))
}

fn built(script: &str) -> PathBuf {
    let built = run(&mut Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(script)), None, BUILD);
    let program = PathBuf::from(built.stdout.lines().last().unwrap_or_default());
    assert!(built.code == Some(0) && program.is_absolute(), "{script} built nothing: {}", built.all());
    program
}
