//! The key `render` as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::address;
use super::super::duration::{self, format_duration};
use super::super::names::{LABEL_PATTERN, NAMESPACE_MAX, SUBDOMAIN_PATTERN, VARIABLE_PATTERN};
use super::super::remotes::{HOST_PATTERN, REPOSITORY_PATTERN};
use super::super::render::{REFRESH, RENDER_TIMEOUT};
use super::super::yaml::At;

/// How the files under the path become manifests.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Render")]
pub(in super::super) struct RawRender {
    /// What turns the files into manifests. By default what the path holds decides: kustomization.yaml means kustomize,
    /// Chart.yaml means helm, anything else plain manifests.
    #[schemars(extend("default" = "auto", "enum" = ["auto", "plain", "kustomize", "helm", null]))]
    pub renderer: Option<At<String>>,

    /// Directory that holds everything a renderer may read: bases, charts, values files. Default: the whole repository.
    #[schemars(extend("default" = "."), regex(pattern = address::PATH_PATTERN))]
    pub root: Option<At<String>>,

    /// What to do where the kernel cannot confine the renderer: fail (required), or render with what the kernel has
    /// (best-effort).
    #[schemars(extend("default" = "required", "enum" = ["required", "best-effort", null]))]
    pub sandbox: Option<At<String>>,

    /// How long one render may take: 1s to 24h, written like 90s, 5m or 1h30m.
    #[schemars(extend("default" = format_duration(RENDER_TIMEOUT)), regex(pattern = duration::PATTERN))]
    pub timeout: Option<At<String>>,

    pub helm: Option<RawHelm>,

    pub kustomize: Option<RawKustomize>,

    /// Hosts from which a render may fetch what files in the repository name: dependencies of charts, remote bases and
    /// files, charts of kustomizations. Written like github.com or git.example.com:8443; with http:// before it where
    /// there is no encryption. By default nothing is fetched that only the repository names.
    #[schemars(extend("default" = [], "uniqueItems" = true), inner(regex(pattern = HOST_PATTERN)))]
    pub remote_hosts: Option<Vec<At<String>>>,

    /// How often ranges of versions of charts, and branches and files on other hosts, are compared with what was rendered,
    /// beside at every new commit: 1s to 24h.
    #[schemars(extend("default" = format_duration(REFRESH)), regex(pattern = duration::PATTERN))]
    pub refresh: Option<At<String>>,

    /// Variables. Where this or substituteFrom is given, `${NAME}`, `${NAME:=default}` and `${NAME:-default}` are
    /// replaced in every manifest, `$$` stands for `$`, and a variable without a value is an error.
    #[schemars(extend("propertyNames" = {"pattern": VARIABLE_PATTERN}))]
    pub substitute: Option<BTreeMap<String, At<String>>>,

    /// ConfigMaps and Secrets in the agent's namespace whose keys are variables. Later ones win over earlier ones, and
    /// substitute wins over all.
    #[schemars(extend("default" = []))]
    pub substitute_from: Option<Vec<At<RawSubstituteFrom>>>,

    /// Labels for the metadata of every object. Selectors and pod templates stay as they are.
    pub common_labels: Option<BTreeMap<String, At<String>>>,

    /// Annotations for the metadata of every object.
    pub common_annotations: Option<BTreeMap<String, At<String>>>,

    /// Put before the name of every object, and of what refers to it, as kustomize does it.
    #[schemars(length(min = 1, max = 200), regex(pattern = "^[a-z0-9][-.a-z0-9]*$"))]
    pub name_prefix: Option<At<String>>,

    /// Patches for the rendered objects, as kustomize takes them.
    #[schemars(extend("default" = []))]
    pub patches: Option<Vec<At<RawPatch>>>,

    /// Whether workloads roll out anew when a ConfigMap or Secret of this sync that their pods use has changed. For one
    /// workload, the annotation `driftless.dev/restart-on-change: "true"` says the same.
    #[schemars(extend("default" = false))]
    pub restart_on_change: Option<bool>,

    pub decrypt: Option<RawDecrypt>,
}

/// Settings of a chart, as `helm template` has them.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Helm")]
pub(in super::super) struct RawHelm {
    /// Directory or .tgz file of the chart in the git repository; with repository the name of the chart there. Default: the
    /// path of the sync.
    #[schemars(regex(pattern = address::PATH_PATTERN))]
    pub chart: Option<At<String>>,

    /// Chart repository (https://charts.example.com) or registry (oci://registry.example.com/charts) that holds the chart.
    #[schemars(regex(pattern = REPOSITORY_PATTERN))]
    pub repository: Option<At<String>>,

    /// Version of the chart in repository, such as 1.2.3, or a range, such as 1.x or >=1.2 <2.
    #[schemars(length(min = 1, max = 100))]
    pub version: Option<At<String>>,

    pub auth: Option<RawChartAuth>,

    /// Default: the name of the sync.
    #[schemars(length(min = 1, max = 53), regex(pattern = SUBDOMAIN_PATTERN))]
    pub release_name: Option<At<String>>,

    /// Namespace of the release. Default: targetNamespace, else `default`.
    #[schemars(length(max = NAMESPACE_MAX), regex(pattern = LABEL_PATTERN))]
    pub namespace: Option<At<String>>,

    /// Values. They win over values files and over what comes out of the cluster.
    pub values: Option<Map<String, Value>>,

    /// Values files in the repository; later ones win.
    #[schemars(extend("default" = []), inner(regex(pattern = address::PATH_PATTERN)))]
    pub values_files: Option<Vec<At<String>>>,

    /// Values in ConfigMaps and Secrets of the agent's namespace; later ones win, over values files too.
    #[schemars(extend("default" = []))]
    pub values_from: Option<Vec<At<RawValuesFrom>>>,

    /// Whether the definitions in the chart's directory crds/ are applied.
    #[serde(rename = "includeCRDs")]
    #[schemars(extend("default" = true))]
    pub include_crds: Option<bool>,

    /// Test hooks are never applied, so this can only be true.
    #[schemars(extend("default" = true, "enum" = [true, null]))]
    pub skip_tests: Option<At<bool>>,

    /// Version of Kubernetes for the chart, such as 1.33. Default: that of the cluster.
    #[schemars(regex(pattern = "^v?[0-9]+\\.[0-9]+(\\.[0-9]+)?([-+][-+.0-9A-Za-z]+)?$"))]
    pub kube_version: Option<At<String>>,

    /// Versions of APIs that the chart finds in .Capabilities beside those of the cluster, such as
    /// monitoring.coreos.com/v1.
    #[schemars(extend("default" = [], "uniqueItems" = true), inner(length(min = 1, max = 253)))]
    pub api_versions: Option<Vec<At<String>>>,
}

/// Credentials for the chart repository or registry, and for nobody else.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ChartAuth")]
pub(in super::super) struct RawChartAuth {
    /// Secret in the agent's namespace with username and password, or .dockerconfigjson, and ca.crt where the server's
    /// certificate is of an authority of your own.
    #[schemars(length(min = 1, max = 253), regex(pattern = SUBDOMAIN_PATTERN))]
    pub secret: At<String>,
}

/// Settings of kustomize.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Kustomize")]
pub(in super::super) struct RawKustomize {
    /// Whether helmCharts in kustomizations are rendered, as with `kustomize build --enable-helm`.
    #[schemars(extend("default" = false))]
    pub helm_charts: Option<bool>,
}

/// A ConfigMap or a Secret in the agent's namespace, and which key of it holds the values.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ValuesFrom")]
pub(in super::super) struct RawValuesFrom {
    /// ConfigMap or Secret.
    #[schemars(extend("enum" = ["ConfigMap", "Secret"]))]
    pub kind: At<String>,
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = SUBDOMAIN_PATTERN))]
    pub name: At<String>,
    /// Whether it may be missing.
    #[schemars(extend("default" = false))]
    pub optional: Option<bool>,
    /// The key of its data.
    #[schemars(extend("default" = "values.yaml"), length(min = 1, max = 253))]
    pub key: Option<At<String>>,
}

/// A ConfigMap or a Secret in the agent's namespace, all of whose keys are variables.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "SubstituteFrom")]
pub(in super::super) struct RawSubstituteFrom {
    /// ConfigMap or Secret.
    #[schemars(extend("enum" = ["ConfigMap", "Secret"]))]
    pub kind: At<String>,
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = SUBDOMAIN_PATTERN))]
    pub name: At<String>,
    /// Whether it may be missing.
    #[schemars(extend("default" = false))]
    pub optional: Option<bool>,
}

/// A strategic-merge or JSON 6902 patch.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Patch")]
pub(in super::super) struct RawPatch {
    /// The patch as YAML text.
    #[schemars(length(min = 1))]
    pub patch: At<String>,
    pub target: Option<RawPatchTarget>,
}

/// Which objects a patch is for. Default: the one that a strategic-merge patch names.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "PatchTarget")]
pub(in super::super) struct RawPatchTarget {
    /// API group as a regular expression, such as `apps`.
    pub group: Option<String>,
    /// API version as a regular expression, such as `v1`.
    pub version: Option<String>,
    /// Kind as a regular expression, such as `Deployment|StatefulSet`.
    pub kind: Option<String>,
    /// Name as a regular expression that matches it as a whole, such as `web.*`.
    pub name: Option<String>,
    /// Namespace as a regular expression.
    pub namespace: Option<String>,
    /// Label selector, such as `app=web`.
    pub label_selector: Option<String>,
    /// Selector of annotations in the same form.
    pub annotation_selector: Option<String>,
}

/// Keys for files that SOPS has encrypted.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Decrypt")]
pub(in super::super) struct RawDecrypt {
    /// Secret in the agent's namespace: its keys that end in .agekey hold age identities, those that end in .asc
    /// armored PGP keys, and sops.vault-token a token of Vault, with sops.vault-address.
    #[schemars(length(min = 1, max = 253), regex(pattern = SUBDOMAIN_PATTERN))]
    pub secret: Option<At<String>>,
    /// Whether AWS KMS, GCP KMS and Azure Key Vault, by the identity of the agent's pod, and Vault may be asked.
    #[schemars(extend("default" = false))]
    pub kms: Option<bool>,
}
