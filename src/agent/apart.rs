//! Threads apart from those of the syncs: a runtime of one thread each, for what has to go on whatever the
//! syncs compute. The renewals of the Lease have one, and so has each HTTP server.

use std::io;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Threads for calls that block: reading a kubeconfig, writing a page.
const BLOCKING: usize = 2;

/// A thread with a runtime, which ends with this, and its tasks with it.
pub struct Apart {
    handle: Handle,
    _alive: oneshot::Sender<()>,
}

impl Apart {
    /// # Errors
    /// The system has no thread, or no file descriptors, for it.
    pub fn start(name: &str) -> io::Result<Self> {
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(BLOCKING).thread_name(name).build()?;
        let handle = runtime.handle().clone();
        let (alive, ended) = oneshot::channel::<()>();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Nothing is ever sent: the error is the end.
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, _alive: alive })
    }

    /// Runs a future there. What it opens (sockets, timers) is served by that thread, so what is to be
    /// apart has to be opened there, too.
    pub fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.handle.spawn(future)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// One thread for all tasks, and all of it taken.
    #[tokio::test]
    async fn it_goes_on_while_the_threads_of_the_caller_compute() {
        let apart = Apart::start("apart").unwrap();
        let (ticked, ticks) = mpsc::channel();
        apart.spawn(async move {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_millis(1)).await;
                ticked.send(thread::current().name().map(ToOwned::to_owned)).unwrap();
            }
        });
        // Blocks the only thread of this runtime.
        for _ in 0..3 {
            let thread = ticks.recv_timeout(Duration::from_secs(10)).unwrap();
            assert_eq!(thread.as_deref(), Some("apart"));
        }
    }

    #[tokio::test]
    async fn its_tasks_end_with_it() {
        let apart = Apart::start("apart").unwrap();
        let task = apart.spawn(std::future::pending::<()>());
        drop(apart);
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
    }
}
