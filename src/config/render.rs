//! How a sync's files become manifests: the validated form of the key `render`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::RepoPath;
use super::remotes::{RemoteChart, RemoteHost};

/// How long a render may take where the configuration does not say.
pub(super) const RENDER_TIMEOUT: Duration = Duration::from_mins(1);
/// How often what was fetched is compared with its source where the configuration does not say.
pub(super) const REFRESH: Duration = Duration::from_mins(10);

/// The key `render` of a sync.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RenderConfig {
    /// What makes manifests of the files; `Helm` in place of `Auto` where the key `helm` names a chart.
    pub renderer: Renderer,
    /// What a renderer may read: bases, charts and values files lie below it.
    pub root: RepoPath,
    /// Whether a render fails where the kernel cannot confine it.
    pub sandbox: SandboxMode,
    /// How long one render may take.
    pub timeout: Duration,
    /// Settings of the chart; the defaults where the key `helm` is missing.
    pub helm: HelmConfig,
    /// Whether charts that kustomizations name are rendered.
    pub kustomize_helm_charts: bool,
    /// Hosts that what is rendered may name to be fetched from.
    pub remote_hosts: Vec<RemoteHost>,
    /// How often ranges of versions, branches and files elsewhere are compared with what was rendered.
    pub refresh: Duration,
    /// Variables; `None` leaves texts such as `${NAME}` as they are.
    pub substitution: Option<Substitution>,
    /// What is done to every object after any renderer.
    pub post: Post,
    /// Every workload of the sync rolls out anew when a `ConfigMap` or Secret of the sync that its pods use has changed.
    pub restart_on_change: bool,
    /// Where keys for encrypted files come from.
    pub decrypt: Option<DecryptConfig>,
}

impl Default for RenderConfig {
    fn default() -> Self {
        Self {
            renderer: Renderer::default(),
            root: RepoPath::default(),
            sandbox: SandboxMode::default(),
            timeout: RENDER_TIMEOUT,
            helm: HelmConfig::default(),
            kustomize_helm_charts: false,
            remote_hosts: Vec::new(),
            refresh: REFRESH,
            substitution: None,
            post: Post::default(),
            restart_on_change: false,
            decrypt: None,
        }
    }
}

impl RenderConfig {
    /// What a rendering reads of the agent's namespace, each once.
    #[must_use]
    pub fn read_in_cluster(&self) -> BTreeSet<DataRef> {
        let values = self.helm.values_from.iter().map(|from| from.source.clone());
        let variables = self.substitution.iter().flat_map(|substitution| substitution.from.iter().cloned());
        let keys = self.decrypt.iter().filter_map(|decrypt| decrypt.secret.clone());
        let credentials = self.helm.remote.iter().filter_map(|remote| remote.secret.clone());
        let secrets = keys.chain(credentials).map(|name| DataRef { kind: DataKind::Secret, name, optional: false });
        let all = values.chain(variables).chain(secrets);
        all.map(|source| DataRef { optional: false, ..source }).collect()
    }
}

/// What turns files into manifests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Renderer {
    /// By what the path holds: a kustomization, a chart, or else plain manifests.
    #[default]
    Auto,
    /// YAML and JSON files as they are.
    Plain,
    /// The kustomization at the path, as `kustomize build` renders it.
    Kustomize,
    /// A chart, as `helm template` renders it.
    Helm,
}

impl Renderer {
    /// As it is written in the configuration, and as the label of a metric.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Plain => "plain",
            Self::Kustomize => "kustomize",
            Self::Helm => "helm",
        }
    }
}

/// What becomes of a render where the kernel cannot confine it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SandboxMode {
    /// It fails.
    #[default]
    Required,
    /// It runs with what the kernel has.
    BestEffort,
}

/// The settings of a chart: those of `helm template`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HelmConfig {
    /// In the repository; `None`: the sync's path is the chart.
    pub chart: Option<RepoPath>,
    /// In a chart repository or registry, in place of `chart`.
    pub remote: Option<RemoteChart>,
    /// `None`: the sync's name.
    pub release_name: Option<Arc<str>>,
    /// `None`: the sync's target namespace, else `default`.
    pub namespace: Option<Arc<str>>,
    /// Values in the configuration; they win over `values_files` and `values_from`.
    pub values: Map<String, Value>,
    /// In the repository; later ones win.
    pub values_files: Vec<RepoPath>,
    /// Values in `ConfigMap`s and Secrets; later ones win, and all of them win over `values_files`.
    pub values_from: Vec<ValuesFrom>,
    /// Whether what lies in `crds/` is applied.
    pub include_crds: bool,
    /// `None`: that of the cluster.
    pub kube_version: Option<Arc<str>>,
    /// Beside those of the cluster.
    pub api_versions: Vec<Arc<str>>,
}

impl Default for HelmConfig {
    fn default() -> Self {
        Self {
            chart: None,
            remote: None,
            release_name: None,
            namespace: None,
            values: Map::new(),
            values_files: Vec::new(),
            values_from: Vec::new(),
            include_crds: true,
            kube_version: None,
            api_versions: Vec::new(),
        }
    }
}

/// A kind whose objects hold data for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DataKind {
    /// What it holds may be shown.
    ConfigMap,
    /// Whatever its values are put into is as secret.
    Secret,
}

impl DataKind {
    /// The name of the kind.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }

    /// Whether it is the kind for what is to be kept secret.
    #[must_use]
    pub fn is_secret(self) -> bool {
        self == Self::Secret
    }
}

/// A `ConfigMap` or a Secret in the agent's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DataRef {
    /// Which of the two it is.
    pub kind: DataKind,
    /// A DNS subdomain (RFC 1123); never that of the agent's own key (`driftless-digest-key`).
    pub name: Arc<str>,
    /// It may be missing.
    pub optional: bool,
}

/// Values of a chart that are in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ValuesFrom {
    /// Object that holds the values.
    pub source: DataRef,
    /// The key of its data that holds the YAML.
    pub key: Arc<str>,
}

/// The variables of a sync.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Substitution {
    /// They win over those in the cluster.
    pub variables: BTreeMap<String, String>,
    /// All keys of these; later ones win.
    pub from: Vec<DataRef>,
}

/// What is done to every object, whichever renderer made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Post {
    /// Put before the name of every object and references to it, as kustomize does; `None`: names stay.
    pub name_prefix: Option<Arc<str>>,
    /// Of metadata alone: selectors cannot be changed once they are in the cluster.
    pub labels: BTreeMap<String, String>,
    /// Set on the metadata of every object, over those that it has.
    pub annotations: BTreeMap<String, String>,
    /// Applied one after another, before the prefix, the labels and the annotations.
    pub patches: Vec<Patch>,
}

impl Post {
    /// Whether objects stay as they were rendered; then plain manifests need no helper.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A strategic-merge or JSON 6902 patch, as kustomize takes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Patch {
    /// YAML text of the patch; not empty.
    pub patch: Arc<str>,
    /// Which objects; `None`: the one that a strategic-merge patch names.
    pub target: Option<PatchTarget>,
}

/// Which objects a patch is for: all that match every part that is given. Texts are regular expressions that
/// match as a whole, selectors are those of Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PatchTarget {
    /// API group, such as `apps`; `None`: any.
    pub group: Option<Arc<str>>,
    /// API version without its group, such as `v1`; `None`: any.
    pub version: Option<Arc<str>>,
    /// Kind, such as `Deployment|StatefulSet`; `None`: any.
    pub kind: Option<Arc<str>>,
    /// `metadata.name`, such as `web.*`; `None`: any.
    pub name: Option<Arc<str>>,
    /// `metadata.namespace`; `None`: any, or none.
    pub namespace: Option<Arc<str>>,
    /// Selector of labels, such as `app=web`; `None`: any labels.
    pub label_selector: Option<Arc<str>>,
    /// Selector of annotations in the same form; `None`: any annotations.
    pub annotation_selector: Option<Arc<str>>,
}

/// Keys for files that SOPS has encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DecryptConfig {
    /// A Secret in the agent's namespace: keys that end in `.agekey` hold age identities, those that end in `.asc`
    /// armored PGP keys, and `sops.vault-token` a token of Vault, with `sops.vault-address`.
    pub secret: Option<Arc<str>>,
    /// Whether key services of clouds, by the identity of the agent's pod, and Vault may be asked.
    pub kms: bool,
}
