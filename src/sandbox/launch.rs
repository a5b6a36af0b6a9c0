//! The side of the agent: starts a helper, gives it its input, takes its answer, and sees to it that it ends.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::child::COMMAND;
use super::confinement::{Confinement, HelperAccess, HelperLimits, Mode};
use super::error::{LaunchError, NOT_STARTED, NotStarted, STDERR_BYTES, legible};
use super::helper::Helper;
use super::running::{HelperOutput, RunningHelper};

/// How long a killed helper is waited for. The kernel needs milliseconds to take its memory back; what makes the input
/// may need longer, and is left to end by itself.
const END: Duration = Duration::from_secs(1);

/// Starts one helper, as often as it is asked to. It knows no bound of how many run at once.
#[derive(Clone, Debug)]
pub struct Launcher {
    helper: Helper,
    program: PathBuf,
    mode: Mode,
    access: HelperAccess,
    itself: Option<PathBuf>,
}

impl Launcher {
    /// For the program at this path, which has to be there at each start.
    #[must_use]
    pub fn new(helper: Helper, program: PathBuf, mode: Mode) -> Self {
        Self { helper, program, mode, access: HelperAccess::default(), itself: None }
    }

    /// Lets the helper reach more than its stdin, stdout and stderr.
    #[must_use]
    pub fn with_access(self, access: HelperAccess) -> Self {
        Self { access, ..self }
    }

    /// The driftless that sets up the sandbox, where the running program is another one: in tests.
    #[must_use]
    pub fn started_by(self, driftless: PathBuf) -> Self {
        Self { itself: Some(driftless), ..self }
    }

    /// Runs the helper once and returns what it wrote to stdout when it has exited with 0.
    ///
    /// `input` runs on a thread for blocking work and writes to a buffered pipe. When it fails, the helper is killed. When the
    /// helper closes the pipe, its next write fails with `BrokenPipe`, which is no error of the run. The helper is killed
    /// when the time is up, when its output is too large, and when the future is dropped.
    ///
    /// # Errors
    /// Says what the helper needed or did, and never what it wrote to stdout.
    pub async fn run(
        &self,
        arguments: &[&str],
        limits: HelperLimits,
        input: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    ) -> Result<Vec<u8>, LaunchError> {
        let mut answer = Vec::new();
        self.start(arguments, limits)?.run(input, |bytes| answer.extend_from_slice(bytes)).await?;
        Ok(answer)
    }

    /// Starts the helper, which then waits for its input. It has to be called within a runtime of tokio.
    ///
    /// # Errors
    /// There is no such helper, or it must not be started here. Others come when it runs.
    pub fn start(&self, arguments: &[&str], limits: HelperLimits) -> Result<Started, LaunchError> {
        let command = self.command(arguments, limits)?;
        let (sender, input) = mpsc::channel::<Input>();
        let (running, output) = RunningHelper::start(command, move |out| {
            let input = input.recv().map_err(|_| io::Error::other("the helper was given up"))?;
            input(out)
        });
        Ok(Started { helper: self.helper, limits, running, output, input: sender })
    }

    fn command(&self, arguments: &[&str], limits: HelperLimits) -> Result<Command, LaunchError> {
        let helper = self.helper;
        // The child changes its directory.
        let program = std::path::absolute(&self.program).map_err(|source| LaunchError::Start { helper, source })?;
        if !program.is_file() {
            return Err(LaunchError::NotFound { helper, path: program });
        }
        if cfg!(not(target_os = "linux")) && self.mode == Mode::Required {
            return Err(LaunchError::SandboxUnsupported { helper, missing: "Linux".to_owned() });
        }
        let itself = match &self.itself {
            Some(itself) => itself.clone(),
            None => running_program().map_err(|source| LaunchError::Start { helper, source })?,
        };
        let confinement = serde_json::to_string(&Confinement::new(self.mode, &self.access, limits))
            .map_err(|error| LaunchError::Start { helper, source: error.into() })?;
        let mut command = Command::new(itself);
        command.arg0("driftless").arg(COMMAND).arg(confinement).arg(program).args(arguments);
        command.env_clear().envs(self.access.variables.iter().map(|(name, value)| (OsStr::new(name), value)));
        // Ctrl-C in a terminal is for driftless, which then ends the helper as it sees fit.
        command.process_group(0);
        Ok(command)
    }
}

/// What makes the input of a helper.
type Input = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// A helper that has started and waits for its input. It is killed when this is dropped.
pub struct Started {
    helper: Helper,
    limits: HelperLimits,
    running: RunningHelper,
    output: oneshot::Receiver<HelperOutput>,
    input: mpsc::Sender<Input>,
}

impl Started {
    /// Gives it its input, as [`Launcher::run`] does, and what it writes to stdout to `take`, as it comes. It is an answer
    /// only when the helper has exited with 0. The time begins now.
    ///
    /// # Errors
    /// Those of [`Launcher::run`].
    pub async fn run(
        mut self,
        input: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
        take: impl FnMut(&[u8]) + Send,
    ) -> Result<(), LaunchError> {
        // Where nobody receives it, the helper has not started, which the answer says.
        let _ = self.input.send(Box::new(input));
        let (helper, time) = (self.helper, self.limits.time);
        let answer = timeout(time, self.answer(take)).await;
        let answer = answer.unwrap_or(Err(LaunchError::TimedOut { helper, time }));
        if answer.is_err() {
            self.running.kill();
            // So that its memory and its place are free when this returns.
            let _ = timeout(END, self.running.ended()).await;
        }
        answer
    }

    async fn answer(&mut self, take: impl FnMut(&[u8]) + Send) -> Result<(), LaunchError> {
        let (helper, limits) = (self.helper, self.limits);
        let Ok(HelperOutput { stdout, stderr }) = (&mut self.output).await else {
            let source = self.running.ended().await.err().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
            return Err(LaunchError::Start { helper, source });
        };
        let reading = |source| LaunchError::Answer { helper, source };
        let ((), stderr) = futures::try_join!(
            async {
                let all = read_up_to(stdout.into(), limits.output_bytes, take).await.map_err(reading)?;
                if all { Ok(()) } else { Err(LaunchError::OutputTooLarge { helper, limit: limits.output_bytes }) }
            },
            async { read_beginning(stderr.into(), STDERR_BYTES).await.map_err(reading) },
        )?;
        let ended = self.running.ended().await.map_err(|source| LaunchError::Input { helper, source })?;
        ended.input.map_err(|source| LaunchError::Input { helper, source })?;
        if ended.status.success() { Ok(()) } else { Err(self.why(ended.status, &stderr)) }
    }

    /// What an end other than by 0 means.
    fn why(&self, status: ExitStatus, stderr: &[u8]) -> LaunchError {
        let (helper, stderr) = (self.helper, legible(stderr));
        if status.code() == Some(NOT_STARTED.into())
            && let Some(not_started) = NotStarted::from_line(&stderr)
        {
            return match not_started {
                NotStarted::Unsupported(missing) => LaunchError::SandboxUnsupported { helper, missing },
                NotStarted::Failed(reason) => LaunchError::SetupFailed { helper, reason },
            };
        }
        if ran_out_of_memory(status, &stderr) {
            return LaunchError::OutOfMemory { helper, limit: self.limits.memory_bytes, stderr };
        }
        match status.code() {
            Some(code) => LaunchError::Exited { helper, code, stderr },
            None => LaunchError::Killed { helper, signal: status.signal().unwrap_or_default(), stderr },
        }
    }
}

/// The program that runs. On Linux also when its file was replaced or removed since: in the new process, before it
/// executes, the link still leads to the file of this one.
fn running_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

/// How a Go program ends when the kernel gives it no more memory (Go 1.26): its runtime says so, or crashes where its garbage
/// collector does not ask whether it got any, or is killed before it has begun. In Go code itself a bad pointer is a panic.
fn ran_out_of_memory(status: ExitStatus, stderr: &str) -> bool {
    ["out of memory", "cannot allocate memory"].iter().any(|words| stderr.contains(words))
        || stderr.starts_with("SIGSEGV: segmentation violation")
        || status.signal() == Some(Signal::SEGV.as_raw())
}

/// Reads to the end, or until there is more than that. Returns whether that was all.
async fn read_up_to(from: OwnedFd, most: usize, mut take: impl FnMut(&[u8])) -> io::Result<bool> {
    let mut left = Some(most);
    read(from, |bytes| {
        left = left.and_then(|left| left.checked_sub(bytes.len()));
        if left.is_none() {
            return ControlFlow::Break(());
        }
        take(bytes);
        ControlFlow::Continue(())
    })
    .await?;
    Ok(left.is_some())
}

/// Reads to the end, so that the helper never waits, and keeps the beginning.
async fn read_beginning(from: OwnedFd, kept: usize) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    read(from, |bytes| {
        beginning.extend_from_slice(&bytes[..bytes.len().min(kept - beginning.len())]);
        ControlFlow::Continue(())
    })
    .await?;
    Ok(beginning)
}

async fn read(from: OwnedFd, mut take: impl FnMut(&[u8]) -> ControlFlow<()>) -> io::Result<()> {
    let pipe = pipe::Receiver::from_owned_fd(from)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        pipe.readable().await?;
        match pipe.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) if take(&buffer[..count]).is_break() => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_how_a_go_program_runs_out_of_memory() {
        let (exited, killed) = (ExitStatus::from_raw(2 << 8), ExitStatus::from_raw(11));
        for text in [
            "runtime: out of memory: cannot allocate 4194304-byte block",
            "fatal error: out of memory allocating heap arena metadata",
            "SIGSEGV: segmentation violation PC=0x4326bd m=0 sigcode=1 addr=0x0 goroutine 0",
        ] {
            assert!(ran_out_of_memory(exited, text), "{text}");
        }
        assert!(ran_out_of_memory(killed, ""));
        let bug =
            "panic: runtime error: invalid memory address or nil pointer dereference [signal SIGSEGV: segmentation";
        assert!(!ran_out_of_memory(exited, bug));
    }
}
