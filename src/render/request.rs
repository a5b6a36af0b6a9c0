//! What the helper `driftless-renderer` is asked: `request.json` and the tree of files, as one tar stream.
//! `renderer/README.md` holds the protocol.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Settings;
use super::inputs::{Inputs, LookupAnswer};
use super::wants::{Fetched, FetchedContent, FetchedHead};
use crate::config::{Post, RenderConfig, Renderer, RepoPath};
use crate::source::{Bundle, BundleContent};

/// Raised when a helper of before would misread a request.
const PROTOCOL: u32 = 1;
/// The mode of every entry; the helper has no use for it.
const MODE: u32 = 0o644;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    version: u32,
    renderer: &'static str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    helm: Option<Helm<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kustomize: Option<Kustomize>,
    lookups: &'a [LookupAnswer],
    /// In the order of what stands below `fetched/`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fetched: Vec<FetchedHead<'a>>,
    /// Render a chart a second time, to find what differs by itself.
    twice: bool,
    /// Send documents of a chart before the end of the answer.
    early: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    post: Option<PostRequest<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Kustomize {
    helm_charts: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Helm<'a> {
    chart: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    repository: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    release_name: &'a str,
    namespace: &'a str,
    values: &'a Map<String, Value>,
    values_files: Vec<&'a str>,
    extra_values: Vec<ExtraValues<'a>>,
    #[serde(rename = "includeCRDs")]
    include_crds: bool,
    skip_tests: bool,
    api_versions: Vec<&'a str>,
    api_versions_exact: bool,
    kube_version: &'a str,
}

#[derive(Serialize)]
struct ExtraValues<'a> {
    name: &'a str,
    yaml: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostRequest<'a> {
    name_prefix: &'a str,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    patches: Vec<PatchRequest<'a>>,
}

#[derive(Serialize)]
struct PatchRequest<'a> {
    name: String,
    patch: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Target<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    name: &'a str,
    namespace: &'a str,
    label_selector: &'a str,
    annotation_selector: &'a str,
}

/// The text of `request.json`. It may hold secrets: values and answers to lookups.
///
/// # Errors
/// The values have a number that JSON has not.
pub fn request(
    renderer: Renderer,
    path: &str,
    settings: &Settings,
    inputs: &Inputs,
) -> Result<Vec<u8>, serde_json::Error> {
    let config = &settings.config;
    serde_json::to_vec(&Request {
        version: PROTOCOL,
        renderer: renderer.name(),
        path: if path.is_empty() { "." } else { path },
        helm: (renderer == Renderer::Helm).then(|| helm(path, settings, config, inputs)),
        kustomize: config.kustomize_helm_charts.then_some(Kustomize { helm_charts: true }),
        lookups: &inputs.lookups,
        fetched: inputs.fetched.iter().map(FetchedHead::of).collect(),
        twice: renderer == Renderer::Helm,
        early: renderer == Renderer::Helm && config.post.is_empty(),
        post: (!config.post.is_empty()).then(|| post(&config.post)),
    })
}

fn helm<'a>(path: &'a str, settings: &'a Settings, config: &'a RenderConfig, inputs: &'a Inputs) -> Helm<'a> {
    let helm = &config.helm;
    let in_git = helm.chart.as_ref().map_or(path, |chart| chart.as_str());
    let in_git = if in_git.is_empty() { "." } else { in_git };
    let remote = helm.remote.as_ref();
    let capabilities = inputs.capabilities.as_ref();
    let of_cluster = capabilities.map(|known| known.api_versions.iter().map(String::as_str)).into_iter().flatten();
    let kube_version = helm.kube_version.as_deref().or(capabilities.map(|known| known.kube_version.as_str()));
    Helm {
        chart: remote.map_or(in_git, |remote| &remote.chart),
        repository: remote.map_or("", |remote| &remote.repository),
        version: remote.map_or("", |remote| &remote.version),
        release_name: helm.release_name.as_deref().unwrap_or(&settings.sync),
        namespace: helm.namespace.as_deref().or(settings.target_namespace.as_deref()).unwrap_or("default"),
        values: &helm.values,
        values_files: helm.values_files.iter().map(RepoPath::as_str).collect(),
        extra_values: inputs.values.iter().map(|extra| ExtraValues { name: &extra.name, yaml: &extra.yaml }).collect(),
        include_crds: helm.include_crds,
        skip_tests: true,
        api_versions: of_cluster.chain(helm.api_versions.iter().map(|version| &**version)).collect(),
        // Without a cluster it is as with `helm template`.
        api_versions_exact: capabilities.is_some(),
        kube_version: kube_version.unwrap_or_default(),
    }
}

fn post(post: &Post) -> PostRequest<'_> {
    let patches = post.patches.iter().enumerate().map(|(index, patch)| PatchRequest {
        name: format!("render.patches[{index}]"),
        patch: &patch.patch,
        target: patch.target.as_ref().map(|target| Target {
            group: target.group.as_deref().unwrap_or_default(),
            version: target.version.as_deref().unwrap_or_default(),
            kind: target.kind.as_deref().unwrap_or_default(),
            name: target.name.as_deref().unwrap_or_default(),
            namespace: target.namespace.as_deref().unwrap_or_default(),
            label_selector: target.label_selector.as_deref().unwrap_or_default(),
            annotation_selector: target.annotation_selector.as_deref().unwrap_or_default(),
        }),
    });
    PostRequest {
        name_prefix: post.name_prefix.as_deref().unwrap_or_default(),
        labels: &post.labels,
        annotations: &post.annotations,
        patches: patches.collect(),
    }
}

/// Writes the whole input of the helper.
///
/// # Errors
/// Those of `out`, such as that the helper reads no more.
pub fn write_input(out: impl Write, request: &[u8], bundle: &Bundle, fetched: &[Fetched]) -> io::Result<()> {
    let mut archive = tar::Builder::new(out);
    append(&mut archive, "request.json", tar::EntryType::Regular, request, None)?;
    append_bundle(&mut archive, "tree/", bundle)?;
    for (number, fetched) in fetched.iter().enumerate() {
        let path = format!("fetched/{number}");
        match &fetched.content {
            FetchedContent::File(bytes) => append(&mut archive, &path, tar::EntryType::Regular, bytes, None)?,
            FetchedContent::Tree(packed) => append_packed(&mut archive, &path, packed)?,
        }
    }
    archive.finish()
}

/// A bundle as a tar archive, as [`FetchedContent::Tree`] has it.
///
/// # Errors
/// None that a `Vec` has.
pub fn pack(bundle: &Bundle) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    append_bundle(&mut archive, "", bundle)?;
    archive.into_inner()
}

fn append_bundle<W: Write>(archive: &mut tar::Builder<W>, below: &str, bundle: &Bundle) -> io::Result<()> {
    for entry in &bundle.entries {
        let path = format!("{below}{}", entry.path);
        match &entry.content {
            BundleContent::File(bytes) => append(archive, &path, tar::EntryType::Regular, bytes, None)?,
            BundleContent::Directory => append(archive, &path, tar::EntryType::Directory, &[], None)?,
            BundleContent::Link(target) => append(archive, &path, tar::EntryType::Symlink, &[], Some(target))?,
        }
    }
    Ok(())
}

/// Copies what [`pack`] has made, under another path.
fn append_packed<W: Write>(archive: &mut tar::Builder<W>, below: &str, packed: &[u8]) -> io::Result<()> {
    append(archive, below, tar::EntryType::Directory, &[], None)?;
    for entry in tar::Archive::new(packed).entries()? {
        let mut entry = entry?;
        let text = |path: &Path| path.to_str().map(str::to_owned).ok_or(io::ErrorKind::InvalidData);
        let path = format!("{below}/{}", text(&entry.path()?)?);
        let target = entry.link_name()?.map(|target| text(&target)).transpose()?;
        let kind = entry.header().entry_type();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        append(archive, &path, kind, &bytes, target.as_deref())?;
    }
    Ok(())
}

/// Appends one entry under a path of any length and characters. (The crate's own ways take paths apart and refuse what
/// git allows, such as a target with `..`.)
fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    path: &str,
    kind: tar::EntryType,
    bytes: &[u8],
    target: Option<&str>,
) -> io::Result<()> {
    let records = [("path", path.as_bytes())].into_iter().chain(target.map(|target| ("linkpath", target.as_bytes())));
    archive.append_pax_extensions(records)?;
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(MODE);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    archive.append(&header, bytes)
}
