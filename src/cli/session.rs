//! What most commands need: the configuration, the cluster, a place for clones, and printing.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tempfile::TempDir;
use thiserror::Error;

use super::Common;
use crate::agent::{Apart, BootstrapError, DaemonError, GitLoginError, RenderingError, VerifyError, namespace};
use crate::cluster::{ApiError, Cluster, Connect, RequestHook};
use crate::config::{Config, ConfigError, SyncConfig, SyncName, load};
use crate::inventory::{InventoryError, Parent, read_parent};
use crate::plan::{Neighbour, Others, Reserved, Stake, Unsettled};
use crate::source::SourceError;

/// Why a command failed.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error(transparent)]
    GitLogin(#[from] GitLoginError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Render(Box<RenderingError>),
    #[error("cannot use commit {commit}: {error}")]
    Unverified {
        commit: String,
        #[source]
        error: Box<VerifyError>,
    },
    #[error("cannot make a temporary directory for clones: {0}")]
    Temporary(#[source] io::Error),
    #[error("{0}")]
    Text(String),
}

impl From<RenderingError> for CliError {
    fn from(error: RenderingError) -> Self {
        Self::Render(Box::new(error))
    }
}

/// The configuration of this call.
pub(crate) struct Session {
    pub config: Config,
    /// Where parents and key are.
    pub namespace: Arc<str>,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    file: PathBuf,
}

impl Session {
    pub fn open(common: &Common) -> Result<Self, CliError> {
        let loaded = load(&common.config)?;
        let namespace = namespace(loaded.config.namespace.as_ref());
        Ok(Self {
            config: loaded.config,
            namespace,
            kubeconfig: common.kubeconfig.clone(),
            context: common.context.clone(),
            file: common.config.clone(),
        })
    }

    pub async fn connect(&self, hook: Option<RequestHook>) -> Result<Cluster, CliError> {
        // A person who waits for an answer would rather learn soon that there is no server.
        let tries = hook.is_none().then_some(2);
        self.connect_with(Connect { hook, tries, ..Connect::default() }).await
    }

    /// The cluster of this call, reached in a way of its own.
    pub async fn connect_with(&self, connect: Connect) -> Result<Cluster, CliError> {
        let (kubeconfig, context) = (self.kubeconfig.clone(), self.context.clone());
        Ok(Cluster::connect(&Connect { kubeconfig, context, ..connect }).await?)
    }

    /// The same, with a connection that lives on a thread of its own.
    pub async fn connect_apart(&self, thread: &Apart, connect: Connect) -> Result<Cluster, CliError> {
        let (kubeconfig, context) = (self.kubeconfig.clone(), self.context.clone());
        let connected =
            thread.spawn(async move { Cluster::connect(&Connect { kubeconfig, context, ..connect }).await });
        Ok(connected.await.map_err(|error| CliError::Text(format!("cannot connect to the API server: {error}")))??)
    }

    /// The syncs that are meant: the named one, or all.
    pub fn syncs(&self, only: Option<&str>) -> Result<Vec<Arc<SyncConfig>>, CliError> {
        let Some(name) = only else { return Ok(self.config.syncs.clone()) };
        let found: Vec<_> = self.config.syncs.iter().filter(|sync| sync.name.as_str() == name).cloned().collect();
        if found.is_empty() {
            let known: Vec<&str> = self.config.syncs.iter().map(|sync| sync.name.as_str()).collect();
            return Err(CliError::Text(format!(
                "there is no sync {name:?} in {}; it has: {}",
                self.file.display(),
                if known.is_empty() { "none".into() } else { known.join(", ") }
            )));
        }
        Ok(found)
    }

    /// The same; with a checkout in place of the repository the one sync that it is of.
    pub fn syncs_for(&self, only: Option<&str>, local: Option<&Path>) -> Result<Vec<Arc<SyncConfig>>, CliError> {
        let syncs = self.syncs(only)?;
        if local.is_none() || syncs.len() == 1 {
            return Ok(syncs);
        }
        let known: Vec<&str> = syncs.iter().map(|sync| sync.name.as_str()).collect();
        Err(CliError::Text(format!(
            "--local stands for the repository of one sync, and {} has {}; name one by --sync",
            self.file.display(),
            if known.is_empty() { "none".into() } else { known.join(", ") }
        )))
    }

    /// The agent's own objects. `more` are syncs that left the configuration.
    pub fn reserved(&self, more: impl IntoIterator<Item = Arc<str>>) -> Reserved {
        let configured = self.config.syncs.iter().map(|sync| sync.name.as_str().into());
        Reserved::new(Arc::clone(&self.namespace), configured.chain(more))
    }

    /// Where clones go: the configured directory, or a temporary one where that cannot be written,
    /// as on the machine of a person who tries the configuration of a cluster.
    pub fn data_dir(&self) -> Result<DataDir, CliError> {
        let configured = &self.config.data_dir;
        if std::fs::create_dir_all(configured).is_ok() && tempfile::tempfile_in(configured).is_ok() {
            return Ok(DataDir { path: configured.clone(), _temporary: None });
        }
        let temporary = tempfile::Builder::new().prefix("driftless-").tempdir().map_err(CliError::Temporary)?;
        Ok(DataDir { path: temporary.path().to_path_buf(), _temporary: Some(temporary) })
    }
}

/// A directory for clones; a temporary one is removed at the end.
pub(crate) struct DataDir {
    pub path: PathBuf,
    _temporary: Option<TempDir>,
}

/// The name of a sync, which need not be in the configuration any more.
pub(super) fn sync_name(text: &str) -> Result<SyncName, CliError> {
    SyncName::parse(text).ok_or_else(|| CliError::Text(format!("{text:?} cannot be the name of a sync")))
}

/// The other syncs of a configuration, by what they have applied; their inventories are all that is
/// known here of what they declare. The syncs with a parent that it does not have are unconfigured.
pub(super) fn others<'a>(config: &Config, parents: impl IntoIterator<Item = &'a Parent>, sync: &SyncName) -> Others {
    let mut others = Others { me: sync.as_str().into(), ..Others::default() };
    for parent in parents.into_iter().filter(|parent| parent.sync != *sync) {
        let name: Arc<str> = parent.sync.as_str().into();
        let Some(configured) = config.syncs.iter().find(|sync| sync.name == parent.sync) else {
            others.unconfigured.insert(parent.set_id(), name);
            continue;
        };
        let stake = Stake { declares: true, holds: true, ..Stake::default() };
        let suspended = configured.suspend || parent.suspended;
        let neighbour = Neighbour {
            set_id: parent.set_id(),
            unsettled: suspended.then_some(Unsettled::Suspended),
            acts: !suspended,
            objects: parent.inventory.keys().map(|id| (id.clone(), stake)).collect(),
            namespaces: parent.inventory.keys().filter_map(|id| id.namespace.clone()).collect(),
            kinds: parent.inventory.keys().map(|id| id.gk.clone()).collect(),
            ..Neighbour::default()
        };
        others.syncs.insert(name, neighbour);
    }
    others
}

/// Since when something is being deleted that holds back others no longer than this.
pub(super) fn overdue_since(held_back: std::time::Duration) -> jiff::Timestamp {
    let held_back = jiff::SignedDuration::try_from(held_back).unwrap_or(jiff::SignedDuration::MAX);
    jiff::Timestamp::now().checked_sub(held_back).unwrap_or(jiff::Timestamp::MIN)
}

/// Finds the parent of a sync, which need not be in the configuration any more.
pub(super) async fn parent_of(cluster: &Cluster, namespace: &str, sync: &str) -> Result<Parent, CliError> {
    let name = sync_name(sync)?;
    let parent = read_parent(cluster, namespace, &name).await?;
    parent.ok_or_else(|| {
        CliError::Text(format!(
            "sync {sync} has no inventory in namespace {namespace}: the agent has not synced it yet, or keeps its state in another namespace"
        ))
    })
}

/// Prints to standard output. A reader that closed the pipe (`| head`) is no error.
pub(super) fn print(text: &str) -> Result<u8, CliError> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::Text(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(0),
    }
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, CliError> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|error| CliError::Text(format!("cannot write JSON: {error}")))
}

pub(super) fn yaml<T: Serialize>(value: &T) -> Result<String, CliError> {
    serde_saphyr::to_string(value).map_err(|error| CliError::Text(format!("cannot write YAML: {error}")))
}
