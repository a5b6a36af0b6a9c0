//! Noticing that the file changed. The directory is watched, not the file: editors write a new
//! file and rename it, and a mounted `ConfigMap` swaps a `..data` link. Whatever the system reports
//! is only a hint to read again; the hash of the content decides, and a slow poll finds what no
//! hint reported (network file systems, a directory that was replaced).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;

use crate::object::Digest;

use super::error::ConfigError;
use super::load::{FileContent, Loaded};

/// Writes that follow each other within this time are one change.
const SETTLE: Duration = Duration::from_millis(400);
const FASTEST_POLL: Duration = Duration::from_millis(10);

/// Reports every change of a configuration file; dropping it ends the watching.
#[derive(Debug)]
pub struct Watch {
    changes: mpsc::Receiver<Result<Loaded, ConfigError>>,
}

impl Watch {
    /// Waits for the next change of the content, and gives the newest, read and parsed. An error is
    /// a change too: a broken file and a missing one are reported once each, and so is the recovery,
    /// even to the content that was there before. `None`: the watching ended with its runtime.
    ///
    /// Cancel safe: a change that was not received is received by the next call.
    pub async fn changed(&mut self) -> Option<Result<Loaded, ConfigError>> {
        self.changes.recv().await
    }
}

/// Watches a file, which need not exist yet, and reads it at least once every `poll` (60 seconds
/// is meant) whatever the system reports. Where the directory cannot be watched, a warning is
/// logged and polling remains.
///
/// What the file holds at this call counts as known. So watch first and load after: then a change
/// between the two is reported, at worst once too often.
///
/// # Errors
/// [`ConfigError::Watch`] when the path names no file, or outside of a tokio runtime.
pub fn watch(path: PathBuf, poll: Duration) -> Result<Watch, ConfigError> {
    let refuse = |reason| ConfigError::Watch { file: path.display().to_string(), reason };
    if path.file_name().is_none() {
        return Err(refuse("the path names no file"));
    }
    let runtime = Handle::try_current().map_err(|_| refuse("it needs a tokio runtime"))?;
    let hint = Arc::new(Notify::new());
    let mut directory = WatchedDirectory::new(&path, &hint);
    directory.renew();
    let known = LastReported::of(&FileContent::read(&path));
    let (sender, changes) = mpsc::channel(1);
    runtime.spawn(follow(Follow { path, poll: poll.max(FASTEST_POLL), known, sender, hint, directory }));
    Ok(Watch { changes })
}

/// What was reported last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastReported {
    FileContent(Digest),
    Unreadable(io::ErrorKind),
}

impl LastReported {
    fn of(read: &Result<FileContent, ConfigError>) -> Self {
        match read {
            Ok(content) => Self::FileContent(content.digest),
            Err(ConfigError::Read { source, .. }) => Self::Unreadable(source.kind()),
            Err(_) => Self::Unreadable(io::ErrorKind::Other),
        }
    }
}

struct Follow {
    path: PathBuf,
    poll: Duration,
    known: LastReported,
    sender: mpsc::Sender<Result<Loaded, ConfigError>>,
    hint: Arc<Notify>,
    directory: WatchedDirectory,
}

async fn follow(mut follow: Follow) {
    let mut ticks = tokio::time::interval(follow.poll);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = follow.sender.closed() => return,
            () = follow.hint.notified() => {}
            // A directory that was replaced is not the one that is watched any more.
            _ = ticks.tick() => follow.directory.renew(),
        }
        // Reserved before reading, so that an owner who is late gets the newest content.
        let Ok(permit) = follow.sender.reserve().await else { return };
        let path = follow.path.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let read = FileContent::read(&path);
            (LastReported::of(&read), read.and_then(|content| content.parse(&path)))
        });
        // Fails only when the runtime ends.
        let Ok((seen, loaded)) = reading.await else { return };
        if seen != follow.known {
            follow.known = seen;
            permit.send(loaded);
        }
    }
}

/// The subscription to the system's events of a directory, as good as it can be had.
struct WatchedDirectory {
    directory: PathBuf,
    debouncer: Option<Debouncer<RecommendedWatcher, RecommendedCache>>,
    /// Whether a warning is out, so that it is reported once and not with every poll.
    warned: bool,
}

impl WatchedDirectory {
    fn new(file: &Path, hint: &Arc<Notify>) -> Self {
        // The parent of a bare file name is the empty path.
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = parent.unwrap_or(Path::new(".")).to_path_buf();
        let hint = Arc::clone(hint);
        let on_events = move |events: DebounceEventResult| {
            // An error may mean lost events, so it is a reason to read as well.
            if events.map_or(true, |events| events.iter().any(|event| is_write(event.kind))) {
                hint.notify_one();
            }
        };
        let mut this = Self { directory, debouncer: None, warned: false };
        match new_debouncer(SETTLE, Some(SETTLE / 2), on_events) {
            Ok(debouncer) => this.debouncer = Some(debouncer),
            Err(error) => this.warn(&error),
        }
        this
    }

    /// Subscribes again, to whatever directory has the path now.
    fn renew(&mut self) {
        let Some(debouncer) = &mut self.debouncer else { return };
        // Fails when nothing was watched, which is what it is for.
        let _ = debouncer.unwatch(&self.directory);
        match debouncer.watch(&self.directory, RecursiveMode::NonRecursive) {
            Ok(()) => self.warned = false,
            Err(error) => self.warn(&error),
        }
    }

    fn warn(&mut self, error: &notify::Error) {
        if !self.warned {
            let directory = self.directory.display();
            tracing::warn!(%directory, %error, "cannot watch the configuration's directory; polling it instead");
        }
        self.warned = true;
    }
}

/// Reading the file is an event as well (it is opened and closed), and must not cause the next reading.
fn is_write(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
