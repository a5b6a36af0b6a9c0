//! The key `render`.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use super::super::error::shown;
use super::super::file::{RawDecrypt, RawHelm, RawPatch, RawPatchTarget, RawRender, RawSubstituteFrom, RawValuesFrom};
use super::super::names::{is_dns_subdomain, is_variable};
use super::super::remotes::{RemoteChart, chart_name, chart_repository, chart_version, remote_host};
use super::super::render::{
    DataKind, DataRef, DecryptConfig, HelmConfig, Patch, PatchTarget, Post, REFRESH, RENDER_TIMEOUT, RenderConfig,
    Renderer, SandboxMode, Substitution, ValuesFrom,
};
use super::super::yaml::At;
use super::error::ValueError;
use super::{Problems, duration, namespace, repo_path};

/// Helm's own bound on the name of a release.
const RELEASE_MAX: usize = 53;
/// The key of values in a `ConfigMap` or Secret, as Flux has it.
const VALUES_KEY: &str = "values.yaml";

/// Why a value under `render` is not taken. `shown` is the value as errors show it.
#[derive(Debug, Error)]
pub(super) enum RenderValueError {
    #[error("{shown} is no renderer; write auto, plain, kustomize or helm")]
    Renderer { shown: String },
    #[error("{shown} is no mode of the sandbox; write required or best-effort")]
    Sandbox { shown: String },
    #[error("an entry of apiVersions is empty")]
    NoApiVersion,
    #[error(
        "without repository, a chart is a directory or a .tgz file in the git repository; write {shown} as chart, what is \
         before it as repository, and a version"
    )]
    ChartByUrl { shown: String },
    #[error(transparent)]
    ChartPath(#[from] ValueError),
    #[error(
        "{shown} is no name of a release; it has lower-case letters, digits, dashes and dots inside, at most {RELEASE_MAX} \
         in all"
    )]
    ReleaseName { shown: String },
    #[error("{shown} is no version of Kubernetes; write one such as 1.33 or v1.33.2")]
    KubeVersion { shown: String },
    #[error("the key is empty; leave it out or name one")]
    NoKey,
    #[error("{shown} is neither ConfigMap nor Secret")]
    DataKind { shown: String },
    #[error("{shown} is the agent's own, and no rendering may read it")]
    OwnSecret { shown: String },
    #[error("{shown} is no name of an object")]
    ObjectName { shown: String },
    #[error("{shown} cannot begin a name; it has lower-case letters, digits, dashes and dots")]
    NamePrefix { shown: String },
    #[error("the patch is empty")]
    NoPatch,
}

pub(super) fn render(raw: &RawRender, problems: &mut Problems) -> Option<RenderConfig> {
    let renderer = problems.text(raw.renderer.as_ref(), Renderer::default(), renderer);
    let root = problems.text(raw.root.as_ref(), super::RepoPath::default(), repo_path);
    let sandbox = problems.text(raw.sandbox.as_ref(), SandboxMode::default(), sandbox);
    let timeout = problems.text(raw.timeout.as_ref(), RENDER_TIMEOUT, duration);
    let helm = match &raw.helm {
        Some(raw) => helm(raw, problems),
        None => Some(HelmConfig::default()),
    };
    let is_helm = renderer.is_none_or(|renderer| matches!(renderer, Renderer::Auto | Renderer::Helm));
    if let (Some(at), false) = (raw.renderer.as_ref().filter(|_| raw.helm.is_some()), is_helm) {
        problems.0.push(at.problem(format!("helm is set, and the renderer is {}; leave one of them out", at.value)));
    }
    // Where no variables are given, texts stay as they are.
    let given = raw.substitute.is_some() || raw.substitute_from.is_some();
    let substitution = given.then(|| substitution(raw, problems));
    let post = post(raw, problems);
    let decrypt = raw.decrypt.as_ref().map(|raw| decrypt(raw, problems));
    let remote_hosts = problems.list(raw.remote_hosts.as_ref(), remote_host);
    let refresh = problems.text(raw.refresh.as_ref(), REFRESH, duration);
    // A chart that is named is meant.
    let chart = helm.as_ref().is_some_and(|helm| helm.chart.is_some() || helm.remote.is_some());
    let renderer = renderer.map(|renderer| if chart && renderer == Renderer::Auto { Renderer::Helm } else { renderer });
    Some(RenderConfig {
        renderer: renderer?,
        root: root?,
        sandbox: sandbox?,
        timeout: timeout?,
        helm: helm?,
        kustomize_helm_charts: raw.kustomize.as_ref().and_then(|raw| raw.helm_charts).unwrap_or(false),
        remote_hosts: remote_hosts?,
        refresh: refresh?,
        substitution: optional(substitution)?,
        post: post?,
        restart_on_change: raw.restart_on_change.unwrap_or(false),
        decrypt: optional(decrypt)?,
    })
}

fn renderer(text: &str) -> Result<Renderer, RenderValueError> {
    [Renderer::Auto, Renderer::Plain, Renderer::Kustomize, Renderer::Helm]
        .into_iter()
        .find(|renderer| renderer.name() == text)
        .ok_or_else(|| RenderValueError::Renderer { shown: shown(text) })
}

fn sandbox(text: &str) -> Result<SandboxMode, RenderValueError> {
    match text {
        "required" => Ok(SandboxMode::Required),
        "best-effort" => Ok(SandboxMode::BestEffort),
        _ => Err(RenderValueError::Sandbox { shown: shown(text) }),
    }
}

fn helm(raw: &RawHelm, problems: &mut Problems) -> Option<HelmConfig> {
    let (chart, remote) = match &raw.repository {
        Some(at) => (Some(None), remote_chart(at, raw, problems).map(Some)),
        None => (chart_in_git(raw, problems), Some(None)),
    };
    let release_name = problems.text(raw.release_name.as_ref(), None, |text| release_name(text).map(Some));
    let namespace = problems.text(raw.namespace.as_ref(), None, |text| namespace(text).map(Some));
    let values_files = problems.list(raw.values_files.as_ref(), repo_path);
    let values_from = all(raw.values_from.as_deref().unwrap_or_default(), |at| values_from(&at.value, problems));
    let kube_version = problems.text(raw.kube_version.as_ref(), None, |text| kube_version(text).map(Some));
    let api_versions = problems.list(raw.api_versions.as_ref(), |text| match text {
        "" => Err(RenderValueError::NoApiVersion),
        text => Ok(text.into()),
    });
    if let Some(at) = raw.skip_tests.as_ref().filter(|at| !at.value) {
        let message = "test hooks are never applied, so skipTests can only be true; run them with `helm test`";
        problems.0.push(at.problem(message.to_owned()));
    }
    Some(HelmConfig {
        chart: chart?,
        remote: remote?,
        release_name: release_name?,
        namespace: namespace?,
        values: raw.values.clone().unwrap_or_default(),
        values_files: values_files?,
        values_from: values_from?,
        include_crds: raw.include_crds.unwrap_or(true),
        kube_version: kube_version?,
        api_versions: api_versions?,
    })
}

/// The path of a chart in the git repository, where it is given.
#[allow(clippy::option_option, reason = "the outer one is the check, the inner one the value")]
fn chart_in_git(raw: &RawHelm, problems: &mut Problems) -> Option<Option<super::RepoPath>> {
    if let Some(at) = &raw.version {
        let message = "version is for a chart out of repository; one in git has the version of its Chart.yaml";
        problems.0.push(at.problem(message.to_owned()));
    }
    if let Some(raw) = &raw.auth {
        let message = "auth is for a chart out of repository; set repository, or take auth out";
        problems.0.push(raw.secret.problem(message.to_owned()));
    }
    problems.text(raw.chart.as_ref(), None, |text| match text.rsplit_once('/') {
        Some((_, name)) if text.contains("://") => Err(RenderValueError::ChartByUrl { shown: shown(name) }),
        _ => Ok(Some(repo_path(text)?)),
    })
}

fn remote_chart(repository: &At<String>, raw: &RawHelm, problems: &mut Problems) -> Option<RemoteChart> {
    let mut missing = |key: &str, such: &str| {
        problems.0.push(repository.problem(format!("repository is set, and {key} is not; write one, such as {such}")));
    };
    if raw.chart.is_none() {
        missing("chart", "podinfo");
    }
    if raw.version.is_none() {
        missing("version", "1.2.3 or 1.x");
    }
    let url = problems.check(repository, |text| chart_repository(text));
    let chart = raw.chart.as_ref().map(|at| problems.check(at, |text| chart_name(text)));
    let version = raw.version.as_ref().map(|at| problems.check(at, |text| chart_version(text)));
    let secret = raw.auth.as_ref().map(|raw| problems.check(&raw.secret, |text| object_name(text)));
    let secret = optional(secret)?;
    Some(RemoteChart { repository: url?, chart: chart??, version: version??, secret })
}

fn release_name(text: &str) -> Result<Arc<str>, RenderValueError> {
    if text.len() <= RELEASE_MAX && is_dns_subdomain(text) {
        return Ok(text.into());
    }
    Err(RenderValueError::ReleaseName { shown: shown(text) })
}

fn kube_version(text: &str) -> Result<Arc<str>, RenderValueError> {
    let number = text.strip_prefix('v').unwrap_or(text);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = number.splitn(3, '.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let minor = if parts.next().is_some() { minor } else { minor.split(['-', '+']).next().unwrap_or_default() };
    if digits(major) && digits(minor) {
        return Ok(text.into());
    }
    Err(RenderValueError::KubeVersion { shown: shown(text) })
}

fn values_from(raw: &RawValuesFrom, problems: &mut Problems) -> Option<ValuesFrom> {
    let source = data_ref(&raw.kind, &raw.name, raw.optional, problems);
    let key = problems.text(raw.key.as_ref(), VALUES_KEY.into(), |text| match text {
        "" => Err(RenderValueError::NoKey),
        text => Ok(text.into()),
    });
    Some(ValuesFrom { source: source?, key: key? })
}

fn data_ref(kind: &At<String>, name: &At<String>, optional: Option<bool>, problems: &mut Problems) -> Option<DataRef> {
    let kind = problems.check(kind, |text| match text.as_str() {
        "ConfigMap" => Ok(DataKind::ConfigMap),
        "Secret" => Ok(DataKind::Secret),
        other => Err(RenderValueError::DataKind { shown: shown(other) }),
    });
    let name = problems.check(name, |text| object_name(text));
    Some(DataRef { kind: kind?, name: name?, optional: optional.unwrap_or(false) })
}

pub(super) fn object_name(text: &str) -> Result<Arc<str>, RenderValueError> {
    // With it, the digests of Secrets say what is in them.
    if text == crate::object::names::DIGEST_KEY {
        return Err(RenderValueError::OwnSecret { shown: shown(text) });
    }
    if is_dns_subdomain(text) { Ok(text.into()) } else { Err(RenderValueError::ObjectName { shown: shown(text) }) }
}

fn substitution(raw: &RawRender, problems: &mut Problems) -> Option<Substitution> {
    let from = raw.substitute_from.as_deref().unwrap_or_default();
    let from = all(from, |at| {
        let RawSubstituteFrom { kind, name, optional } = &at.value;
        data_ref(kind, name, *optional, problems)
    });
    let mut variables = BTreeMap::new();
    let mut valid = true;
    for (name, at) in raw.substitute.iter().flatten() {
        if is_variable(name) {
            variables.insert(name.clone(), at.value.clone());
        } else {
            valid = false;
            problems.0.push(at.problem(format!(
                "{} is no name of a variable; it has letters, digits and underscores, and no digit at its start",
                shown(name)
            )));
        }
    }
    let from = from?;
    valid.then_some(Substitution { variables, from })
}

fn post(raw: &RawRender, problems: &mut Problems) -> Option<Post> {
    let name_prefix = problems.text(raw.name_prefix.as_ref(), None, |text| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if text.bytes().all(plain) && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.len() <= 200 {
            Ok(Some(text.into()))
        } else {
            Err(RenderValueError::NamePrefix { shown: shown(text) })
        }
    });
    let texts = |map: &Option<BTreeMap<String, At<String>>>| {
        map.iter().flatten().map(|(key, at)| (key.clone(), at.value.clone())).collect::<BTreeMap<_, _>>()
    };
    let patches = all(raw.patches.as_deref().unwrap_or_default(), |at| patch(&at.value, problems));
    Some(Post {
        name_prefix: name_prefix?,
        labels: texts(&raw.common_labels),
        annotations: texts(&raw.common_annotations),
        patches: patches?,
    })
}

fn patch(raw: &RawPatch, problems: &mut Problems) -> Option<Patch> {
    let patch = problems.check(&raw.patch, |text| {
        if text.trim().is_empty() { Err(RenderValueError::NoPatch) } else { Ok(text.as_str().into()) }
    });
    let text = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Arc::from);
    let target = raw.target.as_ref().map(
        |RawPatchTarget { group, version, kind, name, namespace, label_selector, annotation_selector }| PatchTarget {
            group: text(group),
            version: text(version),
            kind: text(kind),
            name: text(name),
            namespace: text(namespace),
            label_selector: text(label_selector),
            annotation_selector: text(annotation_selector),
        },
    );
    Some(Patch { patch: patch?, target })
}

fn decrypt(raw: &RawDecrypt, problems: &mut Problems) -> Option<DecryptConfig> {
    let secret = problems.text(raw.secret.as_ref(), None, |text| object_name(text).map(Some));
    Some(DecryptConfig { secret: secret?, kms: raw.kms.unwrap_or(false) })
}

/// What may be left out, and was checked where it was not; `None` where the check failed.
#[allow(clippy::option_option, reason = "the outer one is the check, the inner one the value")]
fn optional<T>(checked: Option<Option<T>>) -> Option<Option<T>> {
    checked.map_or(Some(None), |checked| checked.map(Some))
}

/// All of a list, or `None` where one of them is wrong; each is checked, so that every problem is found.
fn all<T, R>(list: &[T], check: impl FnMut(&T) -> Option<R>) -> Option<Vec<R>> {
    let checked: Vec<Option<R>> = list.iter().map(check).collect();
    checked.into_iter().collect()
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
