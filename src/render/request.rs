//! What the helper `driftless-renderer` is asked: `request.json` and the tree of files, as one tar stream.
//! `renderer/README.md` holds the protocol.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value};

use super::Settings;
use super::inputs::{Inputs, LookupAnswer};
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
    lookups: &'a [LookupAnswer],
    /// Render a chart a second time, to find what differs by itself.
    twice: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    post: Option<PostRequest<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Helm<'a> {
    chart: &'a str,
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
        lookups: &inputs.lookups,
        twice: renderer == Renderer::Helm,
        post: (!config.post.is_empty()).then(|| post(&config.post)),
    })
}

fn helm<'a>(path: &'a str, settings: &'a Settings, config: &'a RenderConfig, inputs: &'a Inputs) -> Helm<'a> {
    let helm = &config.helm;
    let chart = helm.chart.as_ref().map_or(path, |chart| chart.as_str());
    let capabilities = inputs.capabilities.as_ref();
    let of_cluster = capabilities.map(|known| known.api_versions.iter().map(String::as_str)).into_iter().flatten();
    let kube_version = helm.kube_version.as_deref().or(capabilities.map(|known| known.kube_version.as_str()));
    Helm {
        chart: if chart.is_empty() { "." } else { chart },
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
pub fn write_input(out: impl Write, request: &[u8], bundle: &Bundle) -> io::Result<()> {
    let mut archive = tar::Builder::new(out);
    append(&mut archive, "request.json", tar::EntryType::Regular, request, None)?;
    for entry in &bundle.entries {
        let path = format!("tree/{}", entry.path);
        match &entry.content {
            BundleContent::File(bytes) => append(&mut archive, &path, tar::EntryType::Regular, bytes, None)?,
            BundleContent::Directory => append(&mut archive, &path, tar::EntryType::Directory, &[], None)?,
            BundleContent::Link(target) => {
                append(&mut archive, &path, tar::EntryType::Symlink, &[], Some(target))?;
            }
        }
    }
    archive.finish()
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
