//! What a hostile program tries in the sandbox, and what each of its parts prevents.

use std::fs;
use std::process::Command;

use driftless::sandbox::{HelperAccess, LaunchError, Mode, Network, support};

use super::fixture::{LIMITS, confined, launcher, run_with};
use crate::support::escape::{Targets, attempts, escape, on_a_kernel_without, succeeded};
use crate::support::process::run;
use crate::support::wait::DEADLINE;

/// Which attempts fail here without the sandbox as well, in containers, for users other than root, or where the kernel is built
/// otherwise. Calls ("… call") are counted instead.
const DEPEND_ON_THE_SYSTEM: &[&str] = &[
    "read the environment of process 1",
    "open the memory of another process",
    "read memory of the parent",
    "trace another process",
    "have a namespace of its own",
    "mount",
    "open a netlink socket",
];

#[test]
fn nothing_that_a_hostile_helper_tries_succeeds() {
    let mut targets = Targets::new();
    let inside = attempts(&confined(&["attempts", targets.argument()], LIMITS).expect("an answer"));
    assert_eq!(succeeded(&inside), Vec::<&str>::new());
    assert!(targets.victim_lives());
    let left: Vec<_> =
        fs::read_dir(targets.directory.path()).expect("files").map(|file| file.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name == "escaped" || name == "link"), "{left:?}");
    assert_eq!(fs::read(targets.directory.path().join("cut")).expect("a file"), b"a text");

    let mut outside = Command::new(escape());
    outside.args(["attempts", targets.argument()]);
    let outside = attempts(&run(&mut outside, None, DEADLINE).expect_code(0).stdout);
    assert!(inside.keys().eq(outside.keys()));
    let (calls, others): (Vec<_>, Vec<_>) = outside.iter().partition(|(name, _)| name.ends_with(" call"));
    let failed: Vec<_> = others.iter().filter(|(_, failure)| failure.is_some()).collect();
    println!("{} of {} attempts are possible here without the sandbox", others.len() - failed.len(), others.len());
    assert!(failed.iter().all(|(name, _)| DEPEND_ON_THE_SYSTEM.contains(&name.as_str())), "{failed:#?}");
    let missing: Vec<_> = calls.iter().filter(|(_, failure)| failure.is_some()).map(|(name, _)| name).collect();
    println!("{} of {} calls are there; not: {missing:?}", calls.len() - missing.len(), calls.len());
    assert!(calls.len() > 60 && missing.len() < 10, "{missing:?}");
    assert!(!targets.victim_lives(), "the last attempt");
}

#[test]
fn a_helper_can_execute_nothing_but_itself() {
    let targets = Targets::new();
    for mode in ["exec-shell", "exec-copy", "exec-memory"] {
        let error = confined(&[mode, targets.argument()], LIMITS).expect_err(mode);
        let LaunchError::Exited { code: 3, stderr, .. } = &error else { panic!("{mode}: {error}") };
        let expected = if mode == "exec-memory" { "function not implemented" } else { "permission denied" };
        assert!(stderr.contains(expected), "{mode}: {error}");
        let outside = run(Command::new(escape()).args([mode, targets.argument()]), None, DEADLINE);
        assert_eq!(outside.expect_code(0).stdout, "escaped\n", "{mode}, without the sandbox");
    }
}

/// The filter of system calls is enough for all of that, but for the execution of other programs, which are no freer.
#[test]
fn without_landlock_a_helper_is_started_only_where_that_is_accepted_and_reaches_nothing_then() {
    let mut targets = Targets::new();
    let driftless = on_a_kernel_without("landlock", targets.directory.path());
    let on_it = |mode| launcher(escape(), mode).started_by(driftless.clone());

    let error = run_with(&on_it(Mode::Required), &["escaped"], LIMITS).expect_err("no Landlock");
    assert!(matches!(&error, LaunchError::SandboxUnsupported { missing, .. } if missing == "Landlock"), "{error}");
    assert!(error.to_string().contains("render.sandbox: best-effort"), "{error}");

    let accepted = on_it(Mode::BestEffort);
    let inside = attempts(&run_with(&accepted, &["attempts", targets.argument()], LIMITS).expect("an answer"));
    assert_eq!(succeeded(&inside), Vec::<&str>::new());
    assert!(targets.victim_lives());
    let other = run_with(&accepted, &["exec-copy", targets.argument()], LIMITS);
    assert_eq!(other.expect("Landlock alone prevents it"), "escaped\n");

    // It can read whatever the agent can then, and write nothing still.
    let connected = accepted.with_access(HelperAccess { network: Network::Allowed, ..HelperAccess::default() });
    let inside = attempts(&run_with(&connected, &["attempts", targets.argument()], LIMITS).expect("an answer"));
    assert!(inside["read the token"].is_none(), "Landlock alone prevents it");
    for name in ["create a file in /tmp", "cut a file", "change the mode of a file", "kill another process"] {
        assert!(inside[name].is_some(), "{name}");
    }
}

#[test]
fn without_seccomp_a_helper_is_started_only_where_that_is_accepted_and_reaches_no_file_then() {
    let targets = Targets::new();
    let driftless = on_a_kernel_without("seccomp", targets.directory.path());
    let on_it = |mode| launcher(escape(), mode).started_by(driftless.clone());

    let error = run_with(&on_it(Mode::Required), &["escaped"], LIMITS).expect_err("no seccomp");
    assert!(matches!(&error, LaunchError::SandboxUnsupported { missing, .. } if missing == "seccomp"), "{error}");

    let text = run_with(&on_it(Mode::BestEffort), &["attempts", targets.argument()], LIMITS).expect("an answer");
    let inside = attempts(&text);
    // What Landlock has no right for, such as sockets that are not TCP and metadata, needs seccomp.
    for name in ["read /etc/passwd", "read the token", "create a file in /tmp", "cut a file", "start a program"] {
        assert!(inside[name].is_some(), "{name}");
    }
    assert!(inside["see whether a file is there"].is_none(), "so that it is known to make a difference");
    for name in ["read an environment variable", "read a file of the parent", "mount", "trace another process"] {
        assert!(inside[name].is_some(), "{name}");
    }
    // Linux 6.7 and 6.12.
    let abi = support().landlock.expect("Landlock");
    assert!(abi < 4 || inside["connect by TCP"].is_some());
    for name in ["connect to an abstract socket", "see whether the parent is there", "kill another process"] {
        assert!(abi < 6 || inside[name].is_some(), "{name}");
    }
}

#[test]
fn calls_of_another_architecture_end_the_helper() {
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    let error = confined(&["other-architecture"], LIMITS).expect_err("it is killed");
    let sigsys = 31;
    assert!(matches!(error, LaunchError::Killed { signal, .. } if signal == sigsys), "{error}");
}

/// The decrypter, where keys are in a cloud.
#[test]
fn a_helper_that_may_use_the_network_reaches_that_and_the_named_files_alone() {
    let mut targets = Targets::new();
    let access = HelperAccess {
        network: Network::Allowed,
        files: vec![targets.token(), "/does/not/exist".into()],
        variables: vec![("AWS_REGION".to_owned(), "eu-north-1".to_owned())],
    };
    let helper = launcher(escape(), Mode::Required).with_access(access);
    let inside = attempts(&run_with(&helper, &["attempts", targets.argument()], LIMITS).expect("an answer"));
    // Landlock does not cover what is asked of a file without opening it.
    let expected = [
        "connect by TCP",
        "read an environment variable",
        "read the token",
        "see whether a file is there",
        "send by UDP",
    ];
    assert_eq!(succeeded(&inside), expected);
    assert!(targets.victim_lives());
    let variables = run_with(&helper, &["variables"], LIMITS).expect("an answer");
    assert!(variables.lines().any(|line| line == "AWS_REGION=eu-north-1"), "{variables}");
    assert_eq!(variables.lines().count(), 3, "{variables}");
}

#[test]
fn it_is_known_what_the_kernel_offers() {
    let support = support();
    println!("{support}");
    assert_eq!(support.missing(), None, "the other tests need both");
}
