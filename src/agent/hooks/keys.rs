//! The secrets of the senders, as they are now: read at the start, when the Secret changes, and when a request does not fit.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::agent::named_data::{Home, Named, NamedDataError, read_files};
use crate::agent::rendering::{InputWatches, Reader};
use crate::agent::{Context, EventSink};
use crate::cluster::Cluster;
use crate::config::{DataKind, DataRef, SourceAuth};
use crate::event::Event;
use crate::hook::{Secrets, Sender};

/// For requests that do not fit they are read at most once in this time: whoever sends nonsense causes no more.
const AGAIN: Duration = Duration::from_secs(5);
/// How long such a request waits for that.
const PATIENCE: Duration = Duration::from_secs(3);
/// What could not be read is tried again after this.
const RETRY: Duration = Duration::from_secs(30);
/// Requests that wait at once.
const WAITING: usize = 32;

/// What the secrets are. Cheap to clone.
#[derive(Clone)]
pub(super) struct Keys {
    current: watch::Receiver<Arc<Secrets>>,
    again: mpsc::Sender<oneshot::Sender<()>>,
}

impl Keys {
    /// None yet: the keeper reads them when it runs.
    pub fn new(place: SourceAuth, context: &Context) -> (Self, Keeper) {
        let (sender, current) = watch::channel(Arc::default());
        let (again, asked) = mpsc::channel(WAITING);
        let keeper = Keeper {
            place,
            cluster: context.cluster.clone(),
            namespace: Arc::clone(&context.namespace),
            emit: Arc::clone(&context.emit),
            current: sender,
            asked,
        };
        (Self { current, again }, keeper)
    }

    /// Those that are known.
    pub fn current(&self) -> Arc<Secrets> {
        Arc::clone(&self.current.borrow())
    }

    /// The same after they were read again, unless that was done just now.
    pub async fn again(&self) -> Arc<Secrets> {
        let (done, waits) = oneshot::channel();
        if self.again.try_send(done).is_ok() {
            // An error is the answer as well: whoever was asked has let go of it.
            let _ = timeout(PATIENCE, waits).await;
        }
        self.current()
    }
}

#[cfg(test)]
impl Keys {
    /// These, which never change.
    pub fn fixed(secrets: Secrets) -> Self {
        let (again, _) = mpsc::channel(1);
        let (sender, current) = watch::channel(Arc::new(secrets));
        drop(sender);
        Self { current, again }
    }
}

/// Keeps them.
pub(super) struct Keeper {
    place: SourceAuth,
    cluster: Cluster,
    namespace: Arc<str>,
    emit: EventSink,
    current: watch::Sender<Arc<Secrets>>,
    asked: mpsc::Receiver<oneshot::Sender<()>>,
}

impl Keeper {
    /// Runs for ever.
    pub async fn run(mut self) {
        let mut watches = self.watches();
        let mut trouble: Option<String> = None;
        // Those who wait for what is read next.
        let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
        let mut known = false;
        loop {
            let read = self.read().await;
            let read_at = Instant::now();
            let failed = match read {
                Ok(secrets) => {
                    trouble = None;
                    self.take(secrets, !std::mem::replace(&mut known, true));
                    false
                }
                Err(error) => {
                    if matches!(error, NamedDataError::Missing { .. }) {
                        self.current.send_replace(Arc::default());
                    }
                    let message = format!("webhooks cannot be verified: {error}");
                    if trouble.as_ref() != Some(&message) {
                        (self.emit)(&Event::Trouble { message: message.clone() });
                        trouble = Some(message);
                    }
                    true
                }
            };
            waiting.clear();
            loop {
                tokio::select! {
                    () = changed(&mut watches) => break,
                    () = sleep(RETRY), if failed => break,
                    asked = self.asked.recv() => match asked {
                        Some(done) if read_at.elapsed() >= AGAIN => {
                            waiting.push(done);
                            break;
                        }
                        // It was read just now.
                        Some(_) => {}
                        // The receiver is gone.
                        None => return,
                    }
                }
            }
        }
    }

    fn take(&self, secrets: Secrets, first: bool) {
        let changed = self.current.send_if_modified(|current| {
            let changed = **current != secrets;
            *current = Arc::new(secrets);
            changed
        });
        if changed || first {
            let current = self.current.borrow().clone();
            let senders: Vec<&str> = current.senders().map(Sender::key).collect();
            let event = if senders.is_empty() {
                let message = format!("webhooks: there is no secret for any sender in {}", self.place());
                Event::Warning { message }
            } else {
                Event::Note { message: format!("webhooks: secrets are there for {}", senders.join(", ")) }
            };
            (self.emit)(&event);
        }
    }

    fn place(&self) -> String {
        match &self.place {
            SourceAuth::Secret(name) => format!("the Secret {}/{name}", self.namespace),
            SourceAuth::Files(path) => path.display().to_string(),
        }
    }

    async fn read(&self) -> Result<Secrets, NamedDataError> {
        let data = match &self.place {
            SourceAuth::Files(path) => {
                read_files(path, "hooks.files", |name| Sender::ALL.iter().any(|sender| sender.key() == name))?
            }
            SourceAuth::Secret(name) => {
                let home = Home { cluster: &self.cluster, namespace: &self.namespace };
                Named::secret(name, "hooks.secret", "at once").read(Some(home)).await?.0
            }
        };
        Ok(Secrets::of(&data))
    }

    fn watches(&self) -> Option<InputWatches> {
        let SourceAuth::Secret(name) = &self.place else { return None };
        let names = [DataRef { kind: DataKind::Secret, name: Arc::clone(name), optional: false }].into();
        let reader = Reader {
            reads: "the secrets of webhooks come",
            until: "a change of it is used once a request does not fit what it held before",
        };
        let emit = Arc::clone(&self.emit);
        let report: Arc<dyn Fn(String) + Send + Sync> = Arc::new(move |message| emit(&Event::Trouble { message }));
        InputWatches::start(names, reader, &self.cluster.client(), &self.namespace, &report)
    }
}

async fn changed(watches: &mut Option<InputWatches>) {
    match watches {
        Some(watches) => watches.changed().await,
        None => std::future::pending().await,
    }
}
