//! A wall clock that is set while a program runs; the monotonic clock goes on as it is.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::run;

pub struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// Right at first. `None` where there is no C compiler to make it with.
    pub fn new(directory: &Path) -> Option<Self> {
        let library = directory.join("clock.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/clock.c");
        if !Command::new("cc").arg("--version").output().is_ok_and(|output| output.status.success()) {
            println!("there is no C compiler, so clocks that jump are not tried");
            return None;
        }
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source);
        run(&mut compiler, None, Duration::from_mins(1)).expect_code(0);
        let clock = Self { library, file: directory.join("clock") };
        fs::write(&clock.file, 0_i64.to_ne_bytes()).expect("a file");
        Some(clock)
    }

    /// Has a program live by this clock.
    pub fn give_to(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("DRIFTLESS_TEST_CLOCK", &self.file);
    }

    /// Sets it to so many seconds after the right time.
    pub fn set(&self, seconds: i64) {
        // In place, and in one piece, since the program reads it all the time.
        let mut file = fs::File::options().write(true).open(&self.file).expect("a file");
        file.write_all(&seconds.to_ne_bytes()).expect("8 bytes");
    }
}
