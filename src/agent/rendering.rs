//! From a commit, or from a checkout on disk, to manifests: which renderer it takes, what is read for it beside the files,
//! and whether the last rendering still holds.
//!
//! ```text
//!  layout ──> renderer ──> inputs ──> plain: the snapshot ────────────────────> manifests
//!                            │   └──> helper: the bundle ──> request ──> answer ──┘
//!                            └─ values, variables, versions and lookups out of the cluster, and what comes from other hosts
//! ```

mod caches;
mod decrypt;
mod helpers;
mod inputs;
mod remotes;
mod rounds;
mod watched;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use thiserror::Error;
use tokio::sync::Mutex;

use super::budget::{Budget, Panicked};
use super::effects::rendering_problem;
use crate::cluster::ApiError;
use crate::config::{HelmConfig, Renderer, RepoPath};
use crate::fetch::LoginError;
use crate::object::{Commit, GroupKind};
use crate::plan::{LookedUp, PLAIN};
use crate::reconcile::{ClusterReads, RenderedCommit};
use crate::render::{Cache, Inputs, Recorded, RenderError, Rendered, ResponseError, Secrets, Settings, finish, render};
use crate::sandbox::LaunchError;
use crate::source::{
    Bundle, BundleContent, BundleEntry, Dependencies, Git, Layout, Limits, MOST_BUNDLE_BYTES, Snapshot, SourceError,
    bundle_directory, directory_layout, read_directory,
};

pub use caches::Caches;
pub use helpers::Helpers;
pub use inputs::ClusterView;
pub(super) use inputs::decoded;
pub use remotes::{RemoteError, Remotes};
use rounds::{Answered, MOST_ANSWERED, MOST_FETCHED, MOST_FETCHES, MOST_QUESTIONS, MOST_ROUNDS, MOST_WANTS};
pub use watched::{InputWatches, Reader, refresh_due};

/// Where files come from.
#[derive(Clone, Copy)]
pub enum Files<'a> {
    /// The files of a commit in a clone, as the agent renders them.
    Commit {
        /// Clone that the commit was fetched into.
        git: &'a Git,
        /// Id of the commit: 40 hexadecimal digits.
        commit: &'a str,
    },
    /// The root of a checkout on disk, as with `driftless render --local`.
    Directory(&'a Path),
}

/// One rendering of one sync.
pub struct Rendering<'a> {
    /// Where the files of the repository are read.
    pub files: Files<'a>,
    /// Path of the sync below the repository's root.
    pub path: &'a RepoPath,
    /// What the rendering depends on beside the files, `render` of the configuration included.
    pub settings: &'a Settings,
    /// Bounds what all syncs compute, render and fetch at once.
    pub budget: &'a Budget,
    /// Where the programs that render and decrypt are.
    pub helpers: &'a Helpers,
    /// Fetches charts, bases and files of other hosts, and keeps them for all syncs.
    pub remotes: &'a Remotes,
    /// `None` where there is no cluster to ask, as with `driftless render`.
    pub cluster: Option<&'a ClusterView>,
}

/// What a rendering gave.
pub struct Made {
    /// Manifests, errors and warnings; the cache may hold the same.
    pub rendered: Arc<Rendered>,
    /// Renderer that was used, never [`Renderer::Auto`].
    pub renderer: Renderer,
    /// What made it, with the names that the configuration gives it, for the provenance.
    pub description: Arc<str>,
    /// It was made now; else the last one still holds.
    pub rendered_now: bool,
    /// What of other hosts could not be compared with its source.
    pub unchecked: Vec<String>,
    /// It is made of something that could not be compared since it was rendered, so that it may be older than what another
    /// replica has applied.
    pub unverified: bool,
}

impl Made {
    /// What somebody should know: what could not be compared with its source, and what the renderer says where it was at
    /// work; else it has said so before.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        let of_renderer = self.rendered.warnings.iter().filter(|_| self.rendered_now);
        self.unchecked.iter().chain(of_renderer).map(String::as_str)
    }

    /// It as what a commit declares.
    #[must_use]
    pub fn of(&self, commit: Commit) -> RenderedCommit {
        let rendered = &self.rendered;
        let mut looked_up = LookedUp::default();
        for question in &rendered.looked_up {
            let group = question.api_version.split_once('/').map_or("", |(group, _)| group);
            looked_up.note(GroupKind::new(group, &question.kind), &question.namespace, &question.name);
        }
        let incomplete = rendered.incomplete.clone().or_else(|| self.unverified.then(|| UNVERIFIED.to_owned()));
        let reads = ClusterReads { any: rendered.reads_outside_git, looked_up, incomplete };
        RenderedCommit {
            commit,
            manifests: rendered.manifests.clone(),
            problems: rendered.errors.iter().map(rendering_problem).collect(),
            rendering: Arc::clone(&self.description),
            reads,
        }
    }
}

/// Why nothing is pruned by a rendering of what may be outdated.
const UNVERIFIED: &str = "something that was fetched from another host could not be compared with its source and may be \
                          outdated";

/// What makes the manifests, and what gives them their names: with another one, all objects may be others.
fn description(renderer: Renderer, path: &RepoPath, settings: &Settings) -> String {
    let config = &settings.config;
    let mut text = if renderer == Renderer::Plain { PLAIN.to_owned() } else { renderer.name().to_owned() };
    if renderer == Renderer::Helm {
        let chart = match &config.helm.remote {
            // Its version is none of it: another one has mostly the same objects.
            Some(remote) => format!("{}/{}", remote.repository, remote.chart),
            None => config.helm.chart.as_ref().unwrap_or(path).to_string(),
        };
        let release = config.helm.release_name.as_deref().unwrap_or(&settings.sync);
        text.push_str(&format!(" (chart {chart}, release {release})"));
    }
    if let Some(prefix) = &config.post.name_prefix {
        text.push_str(&format!(" with namePrefix {prefix}"));
    }
    text
}

/// A rendering gave nothing.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The files of the commit or directory cannot be read, or are refused.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A computation of this rendering panicked.
    #[error(transparent)]
    Panicked(#[from] Panicked),
    /// A helper cannot be started, or ended without an answer.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A rendering has more than `MOST_QUESTIONS` lookups.
    #[error("the chart looks up more than {MOST_QUESTIONS} things in the cluster; see its use of lookup")]
    Questions,
    /// The answers to all lookups of a rendering have more than `MOST_ANSWERED` bytes.
    #[error("what the chart looks up has more than {MOST_ANSWERED} bytes; look up objects by their names")]
    Answers,
    /// One round of lookups was not answered within this time, which is `render.timeout`.
    #[error(
        "the API server did not answer what the chart looks up within {} s (render.timeout); it is tried again", .0.as_secs()
    )]
    LookupTime(Duration),
    /// The answer of `driftless-renderer` is not one of the protocol.
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// The request to `driftless-renderer` cannot be written as JSON.
    #[error("the values in render.helm cannot be written as JSON: {0}")]
    Request(serde_json::Error),
    /// A `ConfigMap` or Secret that the configuration names cannot be read.
    #[error("cannot read {what}, which {key} names: {error}")]
    Input {
        /// Kind, namespace and name: `the Secret NAMESPACE/NAME`.
        what: String,
        /// Key of the configuration that names it, such as `render.helm.valuesFrom`.
        key: &'static str,
        /// Why the read failed.
        error: ApiError,
    },
    /// A `ConfigMap` or Secret that the configuration names does not exist, and is not optional.
    #[error("{what}, which {key} names, is not there; create it")]
    Missing {
        /// Kind, namespace and name: `the Secret NAMESPACE/NAME`.
        what: String,
        /// Key of the configuration that names it.
        key: &'static str,
    },
    /// A `ConfigMap` or Secret of `render.helm.valuesFrom` lacks the key that is named there, and is not optional.
    #[error("{what}, which {key} names, has no key {name}; its keys are: {keys}")]
    NoKey {
        /// Kind and name: `the Secret NAME`.
        what: String,
        /// Key of the configuration that names it.
        key: &'static str,
        /// The missing key of its data.
        name: String,
        /// The keys that its data has, separated by commas; may be empty.
        keys: String,
    },
    /// A variable or a file of values that is taken from a `ConfigMap` or Secret is not valid UTF-8.
    #[error(
        "the key {name} of {what}, which {key} names, is no text in UTF-8; take it out of there, or name another object"
    )]
    NotText {
        /// Kind and name: `the Secret NAME`.
        what: String,
        /// Key of the configuration that names it.
        key: &'static str,
        /// Key of its data whose value is not text.
        name: String,
    },
    /// The configuration names an object that is not optional, and the rendering has no cluster to read it from.
    #[error("{key} names objects in the cluster, and there is none to ask; pass --cluster, --kubeconfig or --context")]
    NoCluster {
        /// Key of the configuration that names it.
        key: &'static str,
    },
    /// Another sync's service account cannot be impersonated.
    #[error("cannot render as the service account of the sync {sync}: {error}")]
    Account {
        /// Sync whose objects are rendered.
        sync: String,
        /// Why a client for its account cannot be made.
        error: ApiError,
    },
    /// The server's version or discovery cannot be read.
    #[error("cannot ask the API server for its version and kinds: {0}")]
    Capabilities(ApiError),
    /// What is needed of other hosts took longer than this in all.
    #[error("what is needed of other hosts was not there within {} minutes; see whether they hang", .0.as_secs() / 60)]
    FetchTime(Duration),
    /// A chart still had new lookups after `MOST_ROUNDS` rounds of answers.
    #[error(
        "the chart looks up other objects each time that it has the answers to what it asked before, and was given up \
         after {MOST_ROUNDS} rounds; see its use of lookup"
    )]
    Lookups,
    /// The renderer reports an error, or its output cannot be used as a whole; nothing of it is applied.
    #[error("{error}")]
    Failed {
        /// Renderer that failed.
        renderer: Renderer,
        /// What is wrong, and where; secret inputs are hidden in its message.
        error: RenderError,
    },
    /// `render.helm` is set and no renderer is configured, but the path holds no chart.
    #[error(
        "render.helm is set, and {path} holds no chart (no Chart.yaml, or a kustomization beside it); name the chart in \
         render.helm.chart, or correct the path"
    )]
    NoChart {
        /// Path of the sync.
        path: String,
    },
    /// A file encrypted by SOPS cannot be decrypted, or the keys for it cannot be used; the text says which and why.
    #[error("cannot decrypt: {0}")]
    Decrypt(String),
    /// Something of another host is needed that this sync may not fetch.
    #[error("{place}{message}")]
    NotPermitted {
        /// Renderer that needs it.
        renderer: Renderer,
        /// Where the repository names it, with `: ` at its end; empty where the configuration does.
        place: String,
        /// Why it may not be fetched, and what to do.
        message: String,
    },
    /// Something of another host cannot be fetched or stored, and is not in the store.
    #[error("{place}{error}")]
    Remote {
        /// Renderer that needs it.
        renderer: Renderer,
        /// Where the repository names it, with `: ` at its end; empty where the configuration does.
        place: String,
        /// Why it was not fetched.
        error: Box<RemoteError>,
    },
    /// The Secret for the chart's repository holds no credentials that can be used.
    #[error("the Secret {name}, which {key} names, cannot be used: {error}")]
    Login {
        /// Name of the Secret, which is in the agent's namespace.
        name: String,
        /// Key of the configuration that names it: `render.helm.auth.secret`.
        key: &'static str,
        /// What is wrong with its data.
        error: LoginError,
    },
    /// A rendering needs more than `MOST_WANTS` charts, indexes, bases and files of other hosts.
    #[error("more than {MOST_WANTS} charts, bases and files of other hosts are needed; keep copies in the repository")]
    TooManyWants,
    /// What a rendering needs of other hosts has more than `MOST_FETCHED` bytes.
    #[error("what is needed of other hosts has more than {} MiB; keep copies of what is used in the repository", MOST_FETCHED >> 20)]
    TooMuchFetched,
    /// Something new was still wanted of other hosts after `MOST_FETCHES` rounds of fetches.
    #[error(
        "what comes from other hosts names something else to fetch each time, and was given up after {MOST_FETCHES} rounds; see \
         whether bases name each other"
    )]
    TooManyFetches,
}

impl ReadError {
    /// Which renderer has failed, where one came to work.
    #[must_use]
    pub fn renderer(&self) -> Option<Renderer> {
        match self {
            Self::Failed { renderer, .. } | Self::NotPermitted { renderer, .. } | Self::Remote { renderer, .. } => {
                Some(*renderer)
            }
            _ => None,
        }
    }
}

impl Rendering<'_> {
    /// The manifests; out of the cache where nothing that they depend on has changed.
    ///
    /// # Errors
    /// Nothing could be read, or nothing rendered. What is wrong with one file or document is in [`Rendered::errors`].
    pub async fn render(&self, cache: &Mutex<Cache>) -> Result<Made, ReadError> {
        let renderer = self.renderer().await?;
        let inputs = self.inputs(renderer).await?;
        let mut cache = cache.lock().await;
        let mut unchecked = Vec::new();
        let (manifests, rendered_now, unverified) =
            if renderer == Renderer::Plain && self.settings.config.post.is_empty() {
                let (manifests, rendered_now) = self.plain(inputs, &mut cache).await?;
                (manifests, rendered_now, false)
            } else {
                self.by_helper(renderer, inputs, &mut cache, &mut unchecked).await?
            };
        let description = description(renderer, self.path, self.settings).into();
        Ok(Made { rendered: manifests, renderer, description, rendered_now, unchecked, unverified })
    }

    async fn renderer(&self) -> Result<Renderer, ReadError> {
        let configured = self.settings.config.renderer;
        if configured != Renderer::Auto {
            return Ok(configured);
        }
        let layout = match self.files {
            Files::Commit { git, commit } => git.layout(commit, self.path).await?,
            Files::Directory(root) => directory_layout(root, self.path)?,
        };
        let renderer = match layout {
            Layout::Kustomization => Renderer::Kustomize,
            Layout::Chart => Renderer::Helm,
            Layout::Plain => Renderer::Plain,
        };
        // Values of a chart that is not there must not be left out in silence.
        if renderer != Renderer::Helm && self.settings.config.helm != HelmConfig::default() {
            return Err(ReadError::NoChart { path: self.path.to_string() });
        }
        Ok(renderer)
    }

    async fn plain(&self, inputs: Inputs, cache: &mut Cache) -> Result<(Arc<Rendered>, bool), ReadError> {
        let tree = match self.files {
            Files::Commit { git, commit } => Some(git.tree(commit, self.path).await?),
            Files::Directory(_) => None,
        };
        if let Some(rendered) = tree.as_ref().and_then(|tree| cache.of_tree(tree, self.settings, &inputs)) {
            return Ok((rendered, false));
        }
        let (snapshot, place) = self.snapshot().await?;
        let (snapshot, decrypted) = self.decrypted_snapshot(snapshot).await?;
        let (settings, mut all) = (self.settings.clone(), inputs.clone());
        all.decrypted = decrypted;
        let rendered = Arc::new(place.run(move || render(&snapshot, &settings, &all)).await?);
        if let Some(tree) = tree {
            cache.put_tree(&tree, self.settings.clone(), inputs, Arc::clone(&rendered));
        }
        Ok((rendered, true))
    }

    async fn snapshot(&self) -> Result<(Snapshot, super::budget::Place), ReadError> {
        Ok(match self.files {
            Files::Commit { git, commit } => self.budget.snapshot(git, commit, self.path).await?,
            Files::Directory(root) => (read_directory(root, self.path, &Limits::default())?, self.budget.place().await),
        })
    }

    /// By the helper: the rendering, whether it was made now, and whether it may be outdated. `inputs` have no answers to
    /// lookups yet.
    async fn by_helper(
        &self,
        renderer: Renderer,
        inputs: Inputs,
        cache: &mut Cache,
        unchecked: &mut Vec<String>,
    ) -> Result<(Arc<Rendered>, bool, bool), ReadError> {
        if let Some((recorded, rendered)) = cache.recorded(renderer, self.settings, &inputs)
            && self.still_holds(&recorded, unchecked).await?
        {
            if unchecked.is_empty() {
                cache.verified();
            }
            return Ok((rendered, false, recorded.unverified && !unchecked.is_empty()));
        }
        let answered = self.answered(renderer, inputs.clone()).await?;
        let Answered { response, inputs: all, refused, warnings, _permit } = answered;
        let path: Arc<str> = self.path.to_string().as_str().into();
        // Of half of a chart nothing is known: neither what it declares nor what it does not.
        let failed = |error: RenderError, inputs: &Inputs| {
            let message = Secrets::new(&inputs.secrets()).hide(&error.message);
            ReadError::Failed { renderer, error: RenderError { message, ..error } }
        };
        if let Some(failure) = response.failure(&path) {
            return Err(failed(failure, &all));
        }
        let dependencies = Arc::new(response.dependencies());
        let (settings, lookups) = (self.settings.clone(), all.lookups.clone());
        let fetched = all.fetched.iter().map(|fetched| (fetched.want.clone(), Arc::clone(&fetched.digest))).collect();
        let place = self.budget.place().await;
        let (inputs_of_all, hidden) = (all.clone(), all);
        let made = place.run(move || {
            let mut answer = response.rendered(&path, &settings, &inputs_of_all)?;
            answer.errors.extend(refused);
            Ok(finish(answer, &settings, &inputs_of_all))
        });
        let manifests = Arc::new(made.await?.map_err(|error| failed(error, &hidden))?);
        let unverified = !warnings.is_empty();
        // The comparison before has said some of it already.
        let new: Vec<String> = warnings.into_iter().filter(|warning| !unchecked.contains(warning)).collect();
        unchecked.extend(new);
        if let Some(fingerprint) = self.fingerprint(renderer, &dependencies).await? {
            let recorded = Recorded { renderer, dependencies, fingerprint, lookups, fetched, unverified };
            cache.put_recorded(recorded, self.settings.clone(), inputs, Arc::clone(&manifests));
        }
        Ok((manifests, true, unverified))
    }

    /// Whether all that a rendering depends on is as it was: files first, which costs no request.
    async fn still_holds(&self, recorded: &Recorded, unchecked: &mut Vec<String>) -> Result<bool, ReadError> {
        if self.fingerprint(recorded.renderer, &recorded.dependencies).await?.as_ref() != Some(&recorded.fingerprint) {
            return Ok(false);
        }
        for answer in &recorded.lookups {
            let now = match self.cluster {
                Some(cluster) => cluster.look_up(answer.question.clone()).await,
                None => return Ok(false),
            };
            if now != *answer {
                return Ok(false);
            }
        }
        let checks = recorded.fetched.iter().map(|(want, digest)| self.is_unchanged(want, digest));
        let mut holds = true;
        for checked in join_all(checks).await {
            let (unchanged, warning) = checked?;
            holds &= unchanged;
            unchecked.extend(warning);
        }
        Ok(holds)
    }

    /// `None` where there is no commit, so that nothing is compared with another one.
    async fn fingerprint(
        &self,
        renderer: Renderer,
        dependencies: &Arc<Dependencies>,
    ) -> Result<Option<String>, ReadError> {
        match self.files {
            // Which files are plain manifests is said by rules above the path as well.
            Files::Commit { git, commit } if renderer == Renderer::Plain => {
                Ok(Some(git.tree(commit, self.path).await?))
            }
            Files::Commit { git, commit } => Ok(Some(git.fingerprint(commit, Arc::clone(dependencies)).await?)),
            Files::Directory(_) => Ok(None),
        }
    }

    /// What the helper may see: what the sync's own rules leave of plain manifests, else everything below the root.
    async fn bundle(&self, renderer: Renderer) -> Result<(Bundle, Vec<RenderError>), ReadError> {
        if renderer == Renderer::Plain {
            let (snapshot, _place) = self.snapshot().await?;
            let bytes = snapshot.files.iter().map(|file| file.bytes.len()).sum();
            let entries = snapshot.files.into_iter();
            let entries = entries.map(|file| BundleEntry { path: file.path, content: BundleContent::File(file.bytes) });
            let refused = snapshot.refused.into_iter().map(|refused| RenderError {
                file: refused.path,
                line: 0,
                column: 0,
                message: refused.refusal.to_string(),
                object: None,
            });
            return Ok((Bundle { entries: entries.collect(), bytes }, refused.collect()));
        }
        let root = &self.settings.config.root;
        let bundle = match self.files {
            Files::Commit { git, commit } => self.budget.bundle(git, commit, root).await?.0,
            Files::Directory(directory) => bundle_directory(directory, root, MOST_BUNDLE_BYTES)?,
        };
        Ok((bundle, Vec::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_compared_is_always_a_warning_and_what_the_renderer_says_where_it_was_at_work() {
        let warnings = |rendered_now| {
            let rendered = Arc::new(Rendered { warnings: vec!["deprecated".into()], ..Rendered::default() });
            let unchecked = vec!["no answer".into()];
            let made = Made {
                rendered,
                renderer: Renderer::Helm,
                description: "".into(),
                rendered_now,
                unchecked,
                unverified: false,
            };
            made.warnings().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(warnings(true), ["no answer", "deprecated"]);
        assert_eq!(warnings(false), ["no answer"]);
    }
}
