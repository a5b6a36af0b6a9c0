//! Why a rendering gave nothing.

use std::time::Duration;

use thiserror::Error;

use super::super::budget::Panicked;
use super::super::verification::VerifyError;
use super::remotes::RemoteError;
use super::rounds::{MOST_ANSWERED, MOST_FETCHED, MOST_FETCHES, MOST_QUESTIONS, MOST_ROUNDS, MOST_WANTS};
use crate::cluster::ApiError;
use crate::config::Renderer;
use crate::fetch::LoginError;
use crate::render::{NotPermitted, RenderError, ResponseError};
use crate::sandbox::LaunchError;
use crate::source::SourceError;

/// Why a rendering gave nothing. Displayed whole, its cause included.
#[derive(Debug, Error)]
pub enum RenderingError {
    /// The files of the commit or directory cannot be read, or are refused.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The commit is not signed as the sync demands, or that cannot be found out.
    #[error(transparent)]
    Unverified(Box<VerifyError>),
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
    Request(#[source] serde_json::Error),
    /// A `ConfigMap` or Secret that the configuration names cannot be read.
    #[error("cannot read {what}, which {key} names: {error}")]
    Input {
        /// Kind, namespace and name: `the Secret NAMESPACE/NAME`.
        what: String,
        /// Key of the configuration that names it, such as `render.helm.valuesFrom`.
        key: &'static str,
        /// Why the read failed.
        #[source]
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
        #[source]
        error: ApiError,
    },
    /// The server's version or discovery cannot be read.
    #[error("cannot ask the API server for its version and kinds: {0}")]
    Capabilities(#[source] ApiError),
    /// What is needed of other hosts took too long in all.
    #[error(
        "cannot fetch what the rendering needs of {hosts}: it was not there within {} minutes, the limit for all fetches of \
         one rendering; see whether a host hangs, or keep copies in the repository",
        limit.as_secs() / 60
    )]
    FetchTime {
        /// Those that were waited for when the time was over, and their ports where they are not the usual ones.
        hosts: String,
        /// How long all fetches of one rendering may take together.
        limit: Duration,
    },
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
        #[source]
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
    #[error("{place}{error}")]
    NotPermitted {
        /// Renderer that needs it.
        renderer: Renderer,
        /// Where the repository names it, with `: ` at its end; empty where the configuration does.
        place: String,
        /// Why it may not be fetched, and what to do.
        #[source]
        error: NotPermitted,
    },
    /// Something of another host cannot be fetched or stored, and is not in the store.
    #[error("{place}{error}")]
    Remote {
        /// Renderer that needs it.
        renderer: Renderer,
        /// Where the repository names it, with `: ` at its end; empty where the configuration does.
        place: String,
        /// Why it was not fetched.
        #[source]
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
        #[source]
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

impl From<VerifyError> for RenderingError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Source(error) => Self::Source(error),
            error => Self::Unverified(Box::new(error)),
        }
    }
}

impl RenderingError {
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
