//! One helper that runs: a thread that waits for it, and a handle that kills it when it is dropped.
//!
//! The kernel kills a helper when the thread ends that started it (`PR_SET_PDEATHSIG`), and threads of tokio come and go.
//! So one thread starts the helper, writes its input and waits for its end.

use std::io::{self, BufWriter, Write};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

/// A tar has many small parts.
const BUFFER_BYTES: usize = 64 << 10;

/// Kills the helper when it is dropped. The thread sees its end, or the broken pipe, and ends as well.
pub(super) struct RunningHelper {
    slot: Arc<Mutex<Slot>>,
    /// `None` when it has ended.
    thread: Option<JoinHandle<io::Result<Ended>>>,
}

/// Either may come first: the start in one thread, or the drop in another.
#[derive(Default)]
struct Slot {
    child: Option<Child>,
    abandoned: bool,
}

/// How it went.
pub(super) struct Ended {
    pub status: ExitStatus,
    /// Whether the input was made and written. A helper that does not read all of it has its reasons: what breaks the
    /// pipe is no error.
    pub input: io::Result<()>,
}

/// What the helper writes to.
pub(super) struct HelperOutput {
    pub stdout: ChildStdout,
    pub stderr: ChildStderr,
}

impl RunningHelper {
    /// Starts it on a thread for blocking work. The output comes when it has started; if the sender is dropped, it has not.
    pub fn start(
        command: Command,
        input: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    ) -> (Self, oneshot::Receiver<HelperOutput>) {
        let slot = Arc::<Mutex<Slot>>::default();
        let (sender, output) = oneshot::channel();
        let thread = {
            let slot = Arc::clone(&slot);
            tokio::task::spawn_blocking(move || run(command, input, &slot, sender))
        };
        (Self { slot, thread: Some(thread) }, output)
    }

    /// Waits for the end of the helper and of the thread. Only the first answer says how it went.
    pub async fn ended(&mut self) -> io::Result<Ended> {
        let Some(thread) = &mut self.thread else { return Err(io::Error::other("it has ended before")) };
        // What panics is the input, which is the caller's.
        let ended = thread.await.unwrap_or_else(|error: JoinError| Err(io::Error::other(error)));
        self.thread = None;
        ended
    }

    pub fn kill(&self) {
        kill(&self.slot);
    }
}

impl Drop for RunningHelper {
    fn drop(&mut self) {
        self.kill();
    }
}

fn run(
    mut command: Command,
    input: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    slot: &Mutex<Slot>,
    sender: oneshot::Sender<HelperOutput>,
) -> io::Result<Ended> {
    let (stdin, process) = {
        let mut slot = lock(slot);
        if slot.abandoned {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        if let (Some(stdout), Some(stderr)) = (stdout, stderr) {
            // If nobody takes it, the handle is dropped, and kills.
            let _ = sender.send(HelperOutput { stdout, stderr });
        }
        let process = Pid::from_child(&child);
        slot.child = Some(child);
        (stdin, process)
    };
    let _reaped = Reaped(slot);
    let input = stdin.map_or(Ok(()), |stdin| write(stdin, input));
    if input.is_err() {
        // It must not take a part for the whole.
        kill(slot);
    }
    // Waits without taking the number back, so that it may be killed meanwhile without the risk of killing another.
    loop {
        match waitid(WaitId::Pid(process), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => break,
        }
    }
    let status = match &mut lock(slot).child {
        Some(child) => child.wait()?,
        None => return Err(io::Error::other("there is no child")),
    };
    Ok(Ended { status, input })
}

fn write(stdin: impl Write, input: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut stdin = BufWriter::with_capacity(BUFFER_BYTES, stdin);
    let written = input(&mut stdin).and_then(|()| stdin.flush());
    // Not its Drop, which would write the rest once more.
    let _ = stdin.into_parts();
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn kill(slot: &Mutex<Slot>) {
    let mut slot = lock(slot);
    slot.abandoned = true;
    if let Some(child) = &mut slot.child {
        // It fails only where the helper has ended. It cannot be another process: nobody waits without the lock.
        let _ = child.kill();
    }
}

/// Takes the process number back, also where the thread ends by an error or a panic of the input.
struct Reaped<'a>(&'a Mutex<Slot>);

impl Drop for Reaped<'_> {
    fn drop(&mut self) {
        if let Some(child) = &mut lock(self.0).child {
            // Both do nothing where it is done already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn lock(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
