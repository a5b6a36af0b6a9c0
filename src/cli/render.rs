//! `driftless render`: the manifests of a commit; and reading a commit for other commands.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clap::Args;
use serde_json::Value;
use tokio::sync::{Mutex, RwLock};

use super::session::{json, print, yaml};
use super::{CliError, Common, OutputFormat, Session};
use crate::agent::{
    Budget, ClusterView, Files, GitLogin, Helpers, Home, Remotes, Rendering, VerifyError, find_digest_key, verify,
};
use crate::cluster::{Cluster, Discovery, with_causes};
use crate::config::SyncConfig;
use crate::object::{Commit, Displayed, Manifest, masked};
use crate::reconcile::RenderedCommit;
use crate::render::{Cache, Settings};
use crate::source::{Git, Signer};

/// Threads that write YAML.
const MOST_THREADS: usize = 4;
/// Bytes of manifests from which on several threads write them.
const WORTH_THREADS: usize = 512 << 10;

#[derive(Debug, Args)]
pub(super) struct RenderArguments {
    /// Only this sync
    #[arg(long, value_name = "NAME")]
    sync: Option<String>,
    /// A checkout on disk in place of the repository. Needs --sync where there are several
    #[arg(long, value_name = "DIR")]
    local: Option<PathBuf>,
    /// Ask the cluster for its version and kinds, and for values, variables and lookups, as the agent does; so do
    /// --kubeconfig and --context
    #[arg(long)]
    cluster: bool,
    /// Print the values of Secrets, which are hidden otherwise
    #[arg(long)]
    show_secrets: bool,
}

/// Reads and renders what a sync's reference points at now, or a checkout on disk. Without a cluster, charts see what
/// `helm template` shows them, and what is in the cluster cannot be named.
pub(super) async fn read(
    session: &Session,
    sync: &Arc<SyncConfig>,
    local: Option<&Path>,
    cluster: Option<&ClusterView>,
) -> Result<RenderedCommit, CliError> {
    read_signed(session, sync, local, cluster).await.map(|(rendered, _)| rendered)
}

/// The same, with who signed the commit where the sync demands that. A checkout is taken as it is.
pub(super) async fn read_signed(
    session: &Session,
    sync: &Arc<SyncConfig>,
    local: Option<&Path>,
    cluster: Option<&ClusterView>,
) -> Result<(RenderedCommit, Option<Signer>), CliError> {
    let settings = Settings::of(sync, &session.namespace);
    let (budget, helpers) = (Budget::default(), Helpers::of_this_program());
    let data = session.data_dir()?;
    let remotes = Remotes::new(&data.path);
    let cache = Mutex::new(Cache::default());
    let made = |files| Rendering {
        files,
        path: &sync.path,
        settings: &settings,
        budget: &budget,
        helpers: &helpers,
        remotes: &remotes,
        cluster,
    };
    let (commit, rendered, signer) = if let Some(directory) = local {
        let subject = directory.display().to_string();
        let commit = Commit { id: "local".into(), time: jiff::Timestamp::now(), subject };
        (commit, made(Files::Directory(directory)).render(&cache).await?, None)
    } else {
        let git = Git::open(sync, &data.path);
        let home = cluster.map(|view| Home { cluster: &view.home, namespace: &view.namespace });
        git.use_login(GitLogin::default().current(&sync.source, home).await?);
        let revision = git.poll().await?;
        let commit = git.fetch(&revision).await?;
        let verified = verify(&git, &revision, sync.source.verify.as_ref(), home).await;
        let signer = verified.map_err(|error| match error {
            VerifyError::Source(error) => CliError::Source(error),
            error => CliError::Unverified { commit: commit.short().to_owned(), error: Box::new(error) },
        })?;
        let rendered = made(Files::Commit { git: &git, commit: &commit.id }).render(&cache).await?;
        (commit, rendered, signer)
    };
    for warning in rendered.warnings() {
        eprintln!("warning: sync {}: {}", sync.name, Displayed(warning));
    }
    Ok((rendered.of(commit), signer))
}

/// The cluster for renderings with the rights of a sync.
pub(super) async fn view(
    session: &Session,
    cluster: &Cluster,
    sync: &SyncConfig,
    discovery: &Discovery,
) -> Result<ClusterView, CliError> {
    // Who may not read it sees no digest of what pods use.
    let key = find_digest_key(cluster, &session.namespace).await.ok().flatten();
    Ok(ClusterView {
        home: cluster.clone(),
        cluster: cluster.impersonating(sync.service_account.as_ref())?,
        namespace: Arc::clone(&session.namespace),
        // One with an account of its own may know of other kinds.
        discovery: if sync.service_account.is_some() {
            Arc::default()
        } else {
            Arc::new(RwLock::new(Arc::new(discovery.clone())))
        },
        key,
    })
}

pub(super) async fn render(common: &Common, options: &RenderArguments) -> Result<u8, CliError> {
    let session = Session::open(common)?;
    let mut code = 0;
    let mut text = String::new();
    let mut objects = Vec::new();
    let cluster = if options.cluster || common.kubeconfig.is_some() || common.context.is_some() {
        let cluster = session.connect(None).await?;
        let discovery = cluster.discover().await?;
        Some((cluster, discovery))
    } else {
        None
    };
    for sync in session.syncs_for(options.sync.as_deref(), options.local.as_deref())? {
        let view = match &cluster {
            Some((cluster, discovery)) => Some(view(&session, cluster, &sync, discovery).await?),
            None => None,
        };
        let rendered = match read(&session, &sync, options.local.as_deref(), view.as_ref()).await {
            Ok(rendered) => rendered,
            // The others are none the worse for it.
            Err(error) => {
                eprintln!("error: sync {}: {}", sync.name, Displayed(&with_causes(&error)));
                code = 1;
                continue;
            }
        };
        for problem in &rendered.problems {
            eprintln!("error: sync {}: {problem}", sync.name);
            code = 1;
        }
        let manifests = &rendered.manifests;
        if common.output == OutputFormat::Json {
            objects.extend(manifests.iter().map(|manifest| shown(manifest, options.show_secrets)));
        } else {
            text.push_str(&as_yaml(manifests, sync.name.as_str(), options.show_secrets)?);
        }
    }
    match common.output {
        OutputFormat::Json => print(&json(&objects)?)?,
        OutputFormat::Markdown => print(&format!("```yaml\n{text}```\n"))?,
        OutputFormat::Text | OutputFormat::Yaml => print(&text)?,
    };
    Ok(code)
}

/// The manifests of a sync as YAML, each with where it stands. Megabytes of them are written by several threads.
fn as_yaml(manifests: &[Arc<Manifest>], sync: &str, secrets: bool) -> Result<String, CliError> {
    let next = AtomicUsize::new(0);
    let write = || {
        let mut texts = Vec::new();
        while let Some((index, manifest)) = at(manifests, next.fetch_add(1, Ordering::Relaxed)) {
            let object = yaml(&shown(manifest, secrets))?;
            texts.push((index, format!("---\n# {sync} {}\n{object}", manifest.origin)));
        }
        Ok::<_, CliError>(texts)
    };
    let bytes: usize = manifests.iter().map(|manifest| manifest.canonical.len()).sum();
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let others = if bytes < WORTH_THREADS { 0 } else { threads - 1 };
    let mut texts = thread::scope(|scope| {
        let others: Vec<_> = (0..others).map(|_| scope.spawn(write)).collect();
        let mut texts = write()?;
        for other in others {
            texts.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok::<_, CliError>(texts)
    })?;
    texts.sort_unstable_by_key(|(index, _)| *index);
    Ok(texts.into_iter().map(|(_, text)| text).collect())
}

/// An item of a list, with its index.
fn at<T>(list: &[T], index: usize) -> Option<(usize, &T)> {
    list.get(index).map(|item| (index, item))
}

/// The manifest with the values of a Secret hidden, unless they are asked for.
fn shown(manifest: &Manifest, secrets: bool) -> Value {
    let object = manifest.to_value();
    if manifest.is_secret() && !secrets { masked(&object) } else { object }
}
