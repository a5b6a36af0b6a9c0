//! What a helper may take: memory, time, processor time and output.

use std::io::{self, Write};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use driftless::sandbox::{HelperLimits, LaunchError, Mode};

use super::fixture::{LIMITS, block_on, confined, launcher, marker};
use crate::support::escape::{escape, processes_of};
use crate::support::process::run;
use crate::support::wait::DEADLINE;

#[test]
fn a_helper_that_takes_too_much_memory_ends_with_an_error_that_says_so() {
    let limits = HelperLimits { memory_bytes: 256 << 20, ..LIMITS };
    let error = confined(&["allocate"], limits).expect_err("1 GiB");
    assert!(matches!(error, LaunchError::OutOfMemory { limit, .. } if limit == 256 << 20), "{error}");
    assert!(error.to_string().contains("more than the 268435456 bytes of memory"), "{error}");
    // Too little for it to begin.
    let limits = HelperLimits { memory_bytes: 1 << 20, ..LIMITS };
    let error = confined(&["answer"], limits).expect_err("1 MiB");
    assert!(matches!(error, LaunchError::OutOfMemory { .. }), "{error}");
    let limits = HelperLimits { memory_bytes: 3 << 30, ..LIMITS };
    assert_eq!(confined(&["allocate"], limits).expect("enough"), "allocated 16\n");
}

#[test]
fn a_helper_that_takes_too_long_is_killed() {
    let marker = &marker("too long");
    let began = Instant::now();
    let limits = HelperLimits { time: Duration::from_secs(1), ..LIMITS };
    // It reads nothing either; what writes to it must not go on for ever.
    let (sender, ended) = mpsc::channel();
    let endless = move |out: &mut dyn Write| loop {
        if let Err(error) = out.write_all(&[0; 4096]) {
            sender.send(error.kind()).expect("a receiver");
            return Err(error);
        }
    };
    let helper = launcher(escape(), Mode::Required);
    let error = block_on(helper.run(&["loop", marker], limits, endless)).expect_err("an endless loop");
    assert!(matches!(error, LaunchError::TimedOut { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(ended.recv().expect("the input has ended"), io::ErrorKind::BrokenPipe);
    assert_eq!(processes_of(escape(), marker), Vec::<u32>::new());
}

/// As when the agent is stopped and cannot kill it.
#[test]
fn processor_time_is_limited_by_the_kernel_as_well() {
    let confinement = serde_json::json!({
        "mode": "required", "parent": std::process::id(), "cpu_seconds": 1, "memory_bytes": 1 << 30, "processors": 1,
        "network": "denied", "files": [], "variables": [],
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftless"));
    command.arg("sandbox-exec").arg(confinement.to_string()).arg(escape()).arg("loop");
    let ended = run(&mut command, None, DEADLINE);
    assert_eq!(ended.code, None, "{}", ended.all());
    assert!(ended.computed < Duration::from_secs(5), "{:?}", ended.computed);
}

#[test]
fn a_helper_that_writes_without_an_end_is_killed() {
    let error = confined(&["output"], LIMITS).expect_err("10 GB");
    assert!(matches!(error, LaunchError::OutputTooLarge { limit, .. } if limit == 1 << 20), "{error}");
    let began = Instant::now();
    let limits = HelperLimits { time: Duration::from_secs(2), ..LIMITS };
    // Its messages are discarded as fast as they come; some machines take all 10 GB in that time.
    match confined(&["stderr"], limits) {
        Ok(answer) => assert_eq!(answer, ""),
        Err(error) => assert!(matches!(error, LaunchError::TimedOut { .. }), "{error}"),
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn what_a_helper_says_of_its_failure_is_short_and_cannot_move_the_cursor() {
    let error = confined(&["report"], LIMITS).expect_err("it exits with 7");
    let LaunchError::Exited { code, stderr, .. } = &error else { panic!("{error}") };
    assert_eq!(*code, 7);
    assert!(stderr.starts_with("one [2J two xxx") && stderr.len() <= 2048, "{stderr}");
}
