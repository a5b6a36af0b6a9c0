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
mod error;
mod helpers;
mod inputs;
mod remotes;
mod rounds;
mod watched;

use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::Mutex;

use super::budget::Budget;
use super::effects::rendering_problem;
use crate::config::{HelmConfig, Renderer, RepoPath};
use crate::object::{Commit, GroupKind};
use crate::plan::{LookedUp, PLAIN};
use crate::reconcile::{ClusterReads, RenderedCommit};
use crate::render::{Cache, Inputs, RecordedRender, RenderError, Rendered, Secrets, Settings, finish, render};
use crate::source::{
    Bundle, BundleContent, BundleEntry, Dependencies, Git, Layout, Limits, MOST_BUNDLE_BYTES, Snapshot,
    bundle_directory, directory_layout, read_directory,
};

pub use caches::Caches;
pub use error::RenderingError;
pub use helpers::Helpers;
pub use inputs::ClusterView;
pub use remotes::{RemoteError, Remotes};
use rounds::Answered;
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

impl Rendering<'_> {
    /// The manifests; out of the cache where nothing that they depend on has changed.
    ///
    /// # Errors
    /// Nothing could be read, or nothing rendered. What is wrong with one file or document is in [`Rendered::errors`].
    pub async fn render(&self, cache: &Mutex<Cache>) -> Result<Made, RenderingError> {
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

    /// The path of the sync as errors name it.
    fn shown_path(&self) -> Arc<str> {
        self.path.to_string().as_str().into()
    }

    async fn renderer(&self) -> Result<Renderer, RenderingError> {
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
            return Err(RenderingError::NoChart { path: self.path.to_string() });
        }
        Ok(renderer)
    }

    async fn plain(&self, inputs: Inputs, cache: &mut Cache) -> Result<(Arc<Rendered>, bool), RenderingError> {
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

    async fn snapshot(&self) -> Result<(Snapshot, super::budget::ComputePermit), RenderingError> {
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
    ) -> Result<(Arc<Rendered>, bool, bool), RenderingError> {
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
        let path = self.shown_path();
        // Of half of a chart nothing is known: neither what it declares nor what it does not.
        let failed = |error: RenderError, inputs: &Inputs| {
            let message = Secrets::new(&inputs.secrets()).hide(&error.message);
            RenderingError::Failed { renderer, error: RenderError { message, ..error } }
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
            let recorded = RecordedRender { renderer, dependencies, fingerprint, lookups, fetched, unverified };
            cache.put_recorded(recorded, self.settings.clone(), inputs, Arc::clone(&manifests));
        }
        Ok((manifests, true, unverified))
    }

    /// Whether all that a rendering depends on is as it was: files first, which costs no request.
    async fn still_holds(
        &self,
        recorded: &RecordedRender,
        unchecked: &mut Vec<String>,
    ) -> Result<bool, RenderingError> {
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
    ) -> Result<Option<String>, RenderingError> {
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
    async fn bundle(&self, renderer: Renderer) -> Result<(Bundle, Vec<RenderError>), RenderingError> {
        if renderer == Renderer::Plain {
            let (snapshot, _place) = self.snapshot().await?;
            let bytes = snapshot.files.iter().map(|file| file.bytes.len()).sum();
            let entries = snapshot.files.into_iter();
            let entries = entries.map(|file| BundleEntry { path: file.path, content: BundleContent::File(file.bytes) });
            let refused = snapshot.refused.into_iter();
            let refused = refused.map(|refused| RenderError::of_file(&refused.path, refused.refusal.to_string()));
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
