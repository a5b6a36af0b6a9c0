//! The sandbox of helpers: what a hostile program tries in it, and what ends it.
//!
//! The hostile program (`tests/escape`) runs without the sandbox as well, so that each attempt is one that can succeed.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use driftless::sandbox::{Helper, HelperAccess, HelperLimits, LaunchError, Launcher, Mode, Network, support};

use crate::support::escape::{
    Targets, attempts, escape, is_there, on_a_kernel_without, processes_of, renderer, succeeded,
};
use crate::support::process::{run, wait};
use crate::support::wait::{DEADLINE, check, eventually};

const LIMITS: HelperLimits = HelperLimits { time: DEADLINE, memory_bytes: 1 << 30, output_bytes: 1 << 20 };

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

fn launcher(program: &Path, mode: Mode) -> Launcher {
    Launcher::new(Helper::Renderer, program.into(), mode).started_by(env!("CARGO_BIN_EXE_driftless").into())
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(work)
}

#[allow(clippy::unnecessary_wraps)] // the form of an input
fn nothing(_: &mut dyn Write) -> io::Result<()> {
    Ok(())
}

fn run_with(launcher: &Launcher, arguments: &[&str], limits: HelperLimits) -> Result<String, LaunchError> {
    let answer = block_on(launcher.run(arguments, limits, nothing))?;
    Ok(String::from_utf8(answer).expect("text"))
}

/// Runs the hostile program confined by default.
fn confined(arguments: &[&str], limits: HelperLimits) -> Result<String, LaunchError> {
    run_with(&launcher(escape(), Mode::Required), arguments, limits)
}

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
    // Its messages are thrown away as fast as they come; some machines take all 10 GB in that time.
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

#[test]
fn an_honest_program_works() {
    assert_eq!(confined(&["work"], LIMITS).expect("an answer"), "6553600\n");
    let outside = run(Command::new(escape()).arg("work"), None, DEADLINE).expect_code(0);
    assert_eq!(outside.stdout, "6553600\n");
}

#[test]
fn the_renderer_renders_the_same_with_and_without_the_sandbox() {
    let request =
        serde_json::json!({"version": 1, "renderer": "helm", "path": "chart", "helm": {"releaseName": "shop"}});
    let mut tar = Vec::new();
    for (path, text) in [
        ("request.json", request.to_string().as_str()),
        ("tree/chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 1.0.0\n"),
        ("tree/chart/values.yaml", "count: 300\n"),
        (
            "tree/chart/templates/maps.yaml",
            "{{- range $i := until (int .Values.count) }}\n---\napiVersion: v1\nkind: ConfigMap\n\
             metadata:\n  name: {{ $.Release.Name }}-{{ $i }}\ndata:\n  hash: {{ printf \"%d\" $i | sha256sum }}\n{{- end }}\n",
        ),
    ] {
        add_to_tar(&mut tar, path, text.as_bytes());
    }
    tar.extend([0; 1024]);

    let input = tar.clone();
    let helper = launcher(renderer(), Mode::Required);
    let inside = block_on(helper.run(&[], LIMITS, move |out| out.write_all(&input))).expect("an answer");
    let mut outside = Command::new(renderer()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    outside.stdin.take().expect("a pipe").write_all(&tar).expect("it reads");
    let outside = outside.wait_with_output().expect("it ends").stdout;
    assert_eq!(String::from_utf8(inside).unwrap(), String::from_utf8(outside.clone()).unwrap());
    let answer: serde_json::Value = serde_json::from_slice(&outside).expect("JSON");
    assert_eq!(answer["error"], serde_json::Value::Null);
    assert_eq!(answer["documents"].as_array().map(Vec::len), Some(300));
}

/// A regular file, as POSIX has it (ustar).
fn add_to_tar(tar: &mut Vec<u8>, path: &str, content: &[u8]) {
    let mut header = [0; 512];
    header[..path.len()].copy_from_slice(path.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[124..136].copy_from_slice(format!("{:011o} ", content.len()).as_bytes());
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    tar.extend(header);
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

fn quarter_of_a_gibibyte(out: &mut dyn Write) -> io::Result<()> {
    (0..16_384).try_for_each(|_| out.write_all(&[1; 16_384]))
}

#[test]
fn a_quarter_of_a_gibibyte_is_streamed_to_a_helper() {
    let helper = launcher(escape(), Mode::Required);
    let limits = HelperLimits { memory_bytes: 128 << 20, ..LIMITS };
    let answer = block_on(helper.run(&["count"], limits, quarter_of_a_gibibyte)).expect("an answer");
    assert_eq!(answer, b"268435456\n");
}

#[test]
fn a_helper_may_answer_without_reading_all_of_its_input() {
    let answer = block_on(launcher(escape(), Mode::Required).run(&["answer"], LIMITS, quarter_of_a_gibibyte))
        .expect("an answer");
    assert_eq!(answer, b"answered\n");
}

#[test]
fn an_input_that_cannot_be_made_is_no_answer() {
    let input = |out: &mut dyn Write| {
        out.write_all(b"the first part")?;
        Err(io::Error::other("the commit is gone"))
    };
    let error = block_on(launcher(escape(), Mode::Required).run(&["count"], LIMITS, input)).expect_err("half of it");
    assert!(
        matches!(&error, LaunchError::Input { source, .. } if source.to_string() == "the commit is gone"),
        "{error}"
    );
}

#[test]
fn a_helper_is_killed_when_nobody_waits_for_it_any_more() {
    let marker = marker("nobody waits");
    block_on(async {
        let (task, process) = waiting(marker).await;
        task.abort();
        let gone = move || eventually("the helper is gone", || check(!is_there(process), process));
        tokio::task::spawn_blocking(gone).await.expect("it is gone");
    });
}

/// An argument by which the helper of a test is found.
fn marker(test: &str) -> String {
    format!(r#"{{"Directory": "{test} {}"}}"#, std::process::id())
}

/// A helper that waits, and the task that waits for it.
async fn waiting(marker: String) -> (tokio::task::JoinHandle<Result<Vec<u8>, LaunchError>>, u32) {
    let argument = marker.clone();
    let task =
        tokio::spawn(
            async move { launcher(escape(), Mode::Required).run(&["wait", &argument], LIMITS, nothing).await },
        );
    (task, tokio::task::spawn_blocking(move || running(&marker)).await.expect("a process"))
}

fn running(marker: &str) -> u32 {
    eventually("a helper runs", || processes_of(escape(), marker).first().copied().ok_or("none"))
}

#[test]
fn a_helper_dies_with_an_agent_that_is_killed() {
    let marker = &marker("with the agent");
    let mut agent = Command::new(std::env::current_exe().expect("the tests"));
    agent.args(["--exact", "sandbox::an_agent_that_waits_for_a_helper"]).env(AGENT, marker);
    let mut agent = agent.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let process = running(marker);
    agent.kill().expect("it can be killed");
    wait(&mut agent, DEADLINE).expect("it is gone");
    eventually("the helper is gone", || check(!is_there(process), process));
}

const AGENT: &str = "DRIFTLESS_TEST_SANDBOX_AGENT";

/// A process of the test above.
#[test]
fn an_agent_that_waits_for_a_helper() {
    if let Ok(marker) = std::env::var(AGENT) {
        let error = confined(&["wait", &marker], LIMITS).expect_err("it is killed");
        panic!("{error}");
    }
}

/// Seen from outside, since the helper cannot see it.
#[test]
fn a_helper_has_no_capability_no_other_descriptor_and_no_environment() {
    let targets = Targets::new();
    let seen = block_on(async {
        let (task, process) = waiting(marker("seen from outside")).await;
        let seen = tokio::task::spawn_blocking(move || {
            let process = PathBuf::from("/proc").join(process.to_string());
            let read = |name: &str| fs::read_to_string(process.join(name)).expect(name);
            let link = |name: &str| fs::read_link(process.join(name)).expect(name);
            let files: Vec<String> = fs::read_dir(process.join("fd"))
                .expect("descriptors")
                .filter_map(|file| Some(fs::read_link(file.ok()?.path()).ok()?.display().to_string()))
                .collect();
            assert_eq!(read("oom_score_adj"), "1000\n");
            (read("status"), read("environ"), read("limits"), link("cwd"), files)
        });
        let seen = seen.await.expect("a process");
        task.abort();
        seen
    });
    drop(targets);
    let (status, environment, limits, directory, files) = seen;
    let fields = ["CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000"];
    for field in fields.into_iter().chain(["CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]) {
        assert!(status.lines().any(|line| line == field), "{field}:\n{status}");
    }
    let names: Vec<&str> = environment.split_terminator('\0').filter_map(|one| one.split('=').next()).collect();
    assert_eq!(names, ["GOMAXPROCS", "GOMEMLIMIT"]);
    assert_eq!(directory, Path::new("/"));
    assert_eq!(files.iter().filter(|file| file.starts_with("pipe:")).count(), 3, "{files:?}");
    assert!(files.iter().all(|file| file.starts_with("pipe:") || file.starts_with("anon_inode:")), "{files:?}");
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.split_whitespace().take(2).map(|one| one.parse::<u64>().expect(name)).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max data size"), [1 << 30, 1 << 30]);
    assert_eq!((limit("Max file size"), limit("Max core file size")), (vec![0, 0], vec![1, 1]));
    assert_eq!(limit("Max open files"), [64, 64]);
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
fn a_helper_that_is_not_there_or_cannot_be_executed_is_an_error_that_says_what_to_do() {
    let error = run_with(&launcher(Path::new("/does/not/exist"), Mode::Required), &[], LIMITS).expect_err("no file");
    assert!(matches!(error, LaunchError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("make build") && error.to_string().contains("DRIFTLESS_RENDERER"), "{error}");
    // A program with libraries, which it may not read.
    let error = run_with(&launcher(Path::new("/bin/sh"), Mode::Required), &[], LIMITS).expect_err("no static program");
    assert!(matches!(error, LaunchError::SetupFailed { .. }), "{error}");
    assert!(error.to_string().contains("statically linked"), "{error}");
}

#[test]
fn it_is_known_what_the_kernel_offers() {
    let support = support();
    println!("{support}");
    assert_eq!(support.missing(), None, "the other tests need both");
}
