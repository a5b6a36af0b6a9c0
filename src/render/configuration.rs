//! Configurations of agents that are kept in git: one that an agent would refuse never reaches
//! the cluster, so that no agent has to start with it (ADR 16).

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use thiserror::Error;

use super::{RenderError, Rendered, Settings};
use crate::config::{ConfigError, parse};
use crate::object::{Manifest, ObjectId, Readable, names};

/// Takes out every manifest that says that it holds a configuration (`driftless.dev/configuration`)
/// and holds none that an agent would take, with one error for each.
pub fn refuse(rendered: Rendered, settings: &Settings) -> Rendered {
    let Rendered { mut manifests, mut errors, warnings, .. } = rendered;
    let before = errors.len();
    manifests.retain(|manifest| match check(manifest, settings) {
        Ok(()) => true,
        Err(why) => {
            let message = format!("{why}; it is not applied, and the one in the cluster stays");
            errors.push(RenderError { column: 1, ..RenderError::of(manifest, Readable(&message).to_string()) });
            false
        }
    });
    if errors.len() > before {
        errors.sort_by(|one, other| (&one.file, one.line, one.column).cmp(&(&other.file, other.line, other.column)));
    }
    Rendered { manifests, errors, warnings, ..Rendered::default() }
}

/// Why an agent must not be given what a manifest holds.
#[derive(Debug, Error)]
enum Refused {
    #[error("{id} says by {} that data[\"{key}\"] is a configuration, and has no such text", names::CONFIGURATION)]
    NoText { id: ObjectId, key: String },
    /// `problem`: the first one, and how many more there are. The rest of the error may hold what a Secret does.
    #[error("{id} holds a configuration that an agent would refuse: {problem}")]
    Invalid { id: ObjectId, problem: String },
    #[error(
        "{id} holds this agent's configuration without the sync {sync} that applies it, so nothing could be changed by git any more; put the sync back, or take the annotation {} from the object as well",
        names::CONFIGURATION
    )]
    WithoutItsSync { id: ObjectId, sync: Arc<str> },
}

fn check(manifest: &Manifest, settings: &Settings) -> Result<(), Refused> {
    let is_secret = manifest.id.gk.is("", "Secret");
    let may = manifest.id.gk.is("", "ConfigMap") || is_secret;
    // Almost no manifest has the annotation, and to parse each again would cost more than all else here.
    if !may || !holds(&manifest.canonical, names::CONFIGURATION.as_bytes()) {
        return Ok(());
    }
    let object = manifest.to_value();
    let annotation = object.get("metadata").and_then(|metadata| metadata.get("annotations"));
    let Some(key) = annotation.and_then(|all| all.get(names::CONFIGURATION)).and_then(Value::as_str) else {
        return Ok(());
    };
    let id = &manifest.id;
    let value = object.get("data").and_then(|data| data.get(key)).and_then(Value::as_str);
    let text = match value {
        Some(value) if is_secret => STANDARD.decode(value).ok().and_then(|text| String::from_utf8(text).ok()),
        value => value.map(ToOwned::to_owned),
    };
    let text = text.ok_or_else(|| Refused::NoText { id: id.clone(), key: key.to_owned() })?;
    let config = parse(&text, key).map_err(|error| {
        let problem = first_problem(&error, key, manifest.is_secret());
        Refused::Invalid { id: id.clone(), problem }
    })?;
    let namespace = id.namespace.as_ref().or(settings.target_namespace.as_ref()).map_or("default", |name| name);
    let Some(applied_by) = settings.applied_by.as_ref().filter(|by| &*by.namespace == namespace) else { return Ok(()) };
    if config.syncs.iter().any(|sync| sync.name.as_str() == &*applied_by.sync) {
        return Ok(());
    }
    Err(Refused::WithoutItsSync { id: id.clone(), sync: Arc::clone(&applied_by.sync) })
}

/// The first problem, and how many more there are. A Secret's are reported by their place alone.
fn first_problem(error: &ConfigError, key: &str, secret: bool) -> String {
    let mut text = String::new();
    if let Some(first) = error.problems().first() {
        let _ = write!(text, "{key}:{}:{}", first.line, first.column);
        if !secret {
            let _ = write!(text, ": {}", first.message);
        }
    }
    match error.problems().len() {
        0 | 1 => text,
        more => format!("{text} (and {} more)", more - 1),
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Origin;
    use crate::render::AppliedBy;

    const GOOD: &str = "syncs:\n- {name: agent, source: {url: 'https://example.com/x.git', branch: main}}\n";

    fn settings(namespace: &str, sync: &str) -> Settings {
        let applied_by = Some(AppliedBy { namespace: namespace.into(), sync: sync.into() });
        Settings { applied_by, ..Settings::default() }
    }

    fn object(kind: &str, data: &Value) -> Rendered {
        let object = serde_json::json!({"apiVersion": "v1", "kind": kind, "data": data, "metadata": {
            "name": "driftless-config", "namespace": "driftless",
            "annotations": {"driftless.dev/configuration": "driftless.yaml"}}});
        let origin = Origin { file: "agent/config.yaml".into(), line: 7 };
        Rendered { manifests: vec![Arc::new(Manifest::from_value(object, origin).unwrap())], ..Rendered::default() }
    }

    fn config_map(text: &str) -> Rendered {
        object("ConfigMap", &serde_json::json!({"driftless.yaml": text}))
    }

    fn error(rendered: Rendered, settings: &Settings) -> Option<String> {
        let had = rendered.manifests.len();
        let left = refuse(rendered, settings);
        assert_eq!(left.manifests.len() + left.errors.len(), had);
        left.errors.first().map(ToString::to_string)
    }

    #[test]
    fn a_configuration_that_an_agent_would_refuse_is_reported_with_both_places() {
        assert_eq!(error(config_map(GOOD), &Settings::default()), None);
        let bad = error(config_map(&GOOD.replace("agent", "Agent")), &Settings::default()).unwrap();
        let start = "agent/config.yaml:7:1: ConfigMap driftless/driftless-config holds a configuration that an agent would refuse: driftless.yaml:2:10: `Agent` is no name";
        assert!(bad.starts_with(start), "{bad}");
        assert!(error(config_map("syncs: [\n"), &Settings::default()).is_some());
        let missing = error(object("ConfigMap", &serde_json::json!({"other": ""})), &Settings::default()).unwrap();
        assert!(missing.contains("has no such text"), "{missing}");
    }

    #[test]
    fn the_configuration_of_this_agent_keeps_the_sync_that_applies_it() {
        assert_eq!(error(config_map(GOOD), &settings("driftless", "agent")), None);
        let lost = error(config_map("syncs: []\n"), &settings("driftless", "agent")).unwrap();
        assert!(lost.contains("without the sync agent that applies it"), "{lost}");
        assert_eq!(error(config_map("syncs: []\n"), &settings("elsewhere", "agent")), None, "another agent's");
    }

    #[test]
    fn what_is_wrong_in_a_secret_is_reported_by_its_place_alone() {
        let secret = |text: &str| object("Secret", &serde_json::json!({"driftless.yaml": STANDARD.encode(text)}));
        assert_eq!(error(secret(GOOD), &Settings::default()), None);
        let bad = error(secret(&GOOD.replace("agent", "Hidden")), &Settings::default()).unwrap();
        assert!(bad.contains("driftless.yaml:2:10;") && !bad.contains("Hidden"), "{bad}");
    }

    #[test]
    fn without_the_annotation_a_config_map_holds_what_it_likes() {
        let mut rendered = config_map("syncs: [\n");
        let mut object = rendered.manifests[0].to_value();
        object["metadata"]["annotations"] = serde_json::json!({"other": "driftless.dev/configuration"});
        let origin = rendered.manifests[0].origin.clone();
        rendered.manifests = vec![Arc::new(Manifest::from_value(object, origin).unwrap())];
        assert_eq!(error(rendered, &Settings::default()), None);
    }
}
