//! Child processes that cannot outlive a test nor keep it waiting.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// `None`: ended by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// The most memory that it had at once, in bytes; 0 where the system does not report it.
    pub peak_memory: u64,
    /// The time that processors spent on it, however long it waited for one.
    pub computed: Duration,
    pub took: Duration,
}

impl Finished {
    /// The output, if the exit code is the expected one; all that was printed is shown otherwise.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "the exit code; stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Everything that was printed.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs a command to its end, with `input` on its stdin; kills it after the deadline and fails.
#[must_use = "it may have failed; `expect_code` shows that"]
pub fn run(command: &mut Command, input: Option<&str>, deadline: Duration) -> Finished {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child =
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let writer = child.stdin.take().zip(input.map(ToOwned::to_owned)).map(|(mut pipe, text)| {
        thread::spawn(move || {
            // A command that does not read all of it has its reasons.
            let _ = pipe.write_all(text.as_bytes());
        })
    });
    let stdout = gather(child.stdout.take().expect("a pipe"));
    let stderr = gather(child.stderr.take().expect("a pipe"));
    let began = Instant::now();
    let (mut peak_memory, mut computed) = (0, Duration::ZERO);
    let ended = wait_watching(&mut child, deadline, |process| {
        peak_memory = peak_memory.max(self::peak_memory(process));
        computed = computed.max(self::computed(process));
    });
    let took = began.elapsed();
    if ended.is_none() {
        child.kill().expect("the command can be killed");
        child.wait().expect("the command ends");
    }
    if let Some(writer) = writer {
        writer.join().expect("the writer ends");
    }
    let (stdout, stderr) = (stdout.join().expect("stdout is read"), stderr.join().expect("stderr is read"));
    let ended = ended.unwrap_or_else(|| {
        panic!("{command:?} did not end within {} s; stdout:\n{stdout}\nstderr:\n{stderr}", deadline.as_secs())
    });
    Finished { code: ended.code(), stdout, stderr, peak_memory, computed, took }
}

/// Waits for the end of a process; `None` when the deadline comes first.
pub fn wait(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    wait_watching(child, deadline, |_| {})
}

fn wait_watching(child: &mut Child, deadline: Duration, mut watch: impl FnMut(u32)) -> Option<ExitStatus> {
    let until = Instant::now() + deadline;
    loop {
        watch(child.id());
        if let Some(status) = child.try_wait().expect("the process can be waited for") {
            return Some(status);
        }
        if Instant::now() >= until {
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The most memory that a process has had in RAM so far, in bytes (`VmHWM`, proc(5)).
pub fn peak_memory(process: u32) -> u64 {
    memory(process, "VmHWM:")
}

/// The memory that a process has in RAM now, in bytes (`VmRSS`, proc(5)).
pub fn resident_memory(process: u32) -> u64 {
    memory(process, "VmRSS:")
}

fn memory(process: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// The time that processors have spent on a process so far (`utime` and `stime`, proc(5)).
fn computed(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name before may have spaces in it. The 14th and the 15th field, in hundredths of a second.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

fn gather(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("the pipe can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The lines that a process has written so far.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Reads lines until the pipe is closed.
    pub fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let into = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                into.lock().push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        lines
    }

    pub fn all(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Kills a process when this one ends without having said otherwise, as by SIGKILL.
pub struct Leash(Child);

impl Leash {
    pub fn of(process: &Child) -> Self {
        let guard = Command::new("sh")
            .args(["-c", "read -r word || kill -9 \"$1\"", "guard", &process.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        Self(guard.expect("sh starts"))
    }
}

/// Lets go: the process is ended by whoever holds it, and its number may be another's afterwards.
impl Drop for Leash {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.0.stdin.take() {
            let _ = stdin.write_all(b"over\n");
        }
        let _ = self.0.wait();
    }
}
