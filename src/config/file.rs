//! The file as it is written: which keys there are and of what shape, for serde and for the JSON
//! Schema, whose descriptions are the comments here. What the values may be is checked in `parse`.

#![expect(clippy::doc_markdown, reason = "editors show these comments as plain text")]

mod render;

use std::borrow::Cow;
use std::fmt;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::duration::{self, format_duration};
use super::names::{
    KIND_PATTERN, LABEL_PATTERN, NAMESPACE_MAX, REF_PATTERN, SERVICE_ACCOUNT_PATTERN, SUBDOMAIN_PATTERN,
};
use super::types::SyncName;
use super::types::defaults::{DATA_DIR, HOOKS_LISTEN, INTERVAL, LISTEN, MAX_PER_SECOND, MAX_PERCENT, PERIOD, TIMEOUT};
use super::{address, yaml::At};
pub(super) use render::{RawDecrypt, RawHelm, RawPatch, RawPatchTarget, RawRender, RawSubstituteFrom, RawValuesFrom};

/// The configuration of a driftless agent. Read again whenever the file changes.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "driftless configuration")]
pub(super) struct RawConfig {
    /// Address and port of /metrics, /healthz, /readyz and /status. `:8080` listens on every IPv4 address,
    /// `[::]:8080` on every address.
    #[schemars(extend("default" = LISTEN), regex(pattern = address::LISTEN_PATTERN))]
    pub listen: Option<At<String>>,

    /// Namespace of driftless' own objects: one ConfigMap per sync, and the key. Created when missing.
    /// Default: the pod's own namespace, else `driftless`.
    #[schemars(length(max = NAMESPACE_MAX), regex(pattern = LABEL_PATTERN))]
    pub namespace: Option<At<String>>,

    /// Directory of clones and caches. It may be empty at every start.
    #[schemars(extend("default" = DATA_DIR), length(min = 1))]
    pub data_dir: Option<At<String>>,

    pub leader_election: Option<RawLeaderElection>,

    pub audit: Option<RawAudit>,

    pub hooks: Option<At<RawHooks>>,

    /// What to keep the cluster equal to. May be empty: `[]`.
    // Without a value is not empty: a file cut off there would leave nothing configured.
    #[serde(deserialize_with = "super::yaml::list")]
    pub syncs: Vec<At<RawSync>>,
}

/// For the daemon, which then may have more than one replica.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "LeaderElection")]
pub(super) struct RawLeaderElection {
    /// Whether only the replica writes that holds the Lease `driftless` in the agent's namespace; the others stand by.
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,
}

/// A server-side dry-run of every object, now and then: it finds the few ways of drifting that a watch cannot show
/// (objects restored behind the API server, webhooks).
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Audit")]
pub(super) struct RawAudit {
    /// Whether to audit at all. Healing by watches goes on without.
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,

    /// Each object is asked about once in this time, the first time that long after the start: 1s to 24h.
    #[schemars(extend("default" = format_duration(PERIOD)), regex(pattern = duration::PATTERN))]
    pub period: Option<At<String>>,

    /// Objects a second at most, for each sync, whatever the period.
    #[schemars(extend("default" = MAX_PER_SECOND), range(min = 1, max = 1000))]
    pub max_per_second: Option<At<u16>>,
}

/// A receiver of webhooks, on a port of its own: a push polls the syncs of that repository at once. Without this key there is
/// none. The shared secrets are in a Secret or in files, one of them. Keys: github, gitlab, gitea, bitbucket, azure, registry,
/// hmac; a further line of a value is a further secret.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Hooks")]
pub(super) struct RawHooks {
    /// Address and port of /hooks/github, /hooks/gitlab and so on. Another one than that of metrics and probes.
    #[schemars(extend("default" = HOOKS_LISTEN), regex(pattern = address::LISTEN_PATTERN))]
    pub listen: Option<At<String>>,

    /// Name of a Secret in the agent's namespace. A change of it is used at once.
    #[schemars(length(min = 1, max = 253), regex(pattern = SUBDOMAIN_PATTERN))]
    pub secret: Option<At<String>>,

    /// Absolute path of a directory with a file for each key, such as a mounted Secret.
    #[schemars(regex(pattern = "^/"))]
    pub files: Option<At<String>>,
}

/// One sync: a source, a path in it, and how to keep the cluster equal to it.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Sync")]
pub(super) struct RawSync {
    /// Unique name, a DNS label of at most 53 characters. The sync's state is the ConfigMap `driftless-<name>`.
    #[schemars(length(max = SyncName::MAX), regex(pattern = LABEL_PATTERN))]
    pub name: At<String>,

    pub source: At<RawSource>,

    /// Directory in the repository whose manifests are applied.
    #[schemars(extend("default" = "."), regex(pattern = address::PATH_PATTERN))]
    pub path: Option<At<String>>,

    /// How often to poll the repository: 1s to 24h, written like 90s, 5m or 1h30m.
    #[schemars(extend("default" = format_duration(INTERVAL)), regex(pattern = duration::PATTERN))]
    pub interval: Option<At<String>>,

    pub prune: Option<RawPrune>,

    /// What to do about changes that somebody else made in the cluster: put back (heal), only report (report), ignore
    /// (off).
    #[schemars(extend("default" = "heal"))]
    pub drift: Option<At<RawDrift>>,

    /// Dry-run the whole changed part of a commit first, and write nothing if any object is refused.
    #[schemars(extend("default" = false))]
    pub atomic: Option<bool>,

    /// A revision counts as synced only when its objects are healthy.
    #[schemars(extend("default" = true))]
    pub wait: Option<bool>,

    /// How long to wait for health: 1s to 24h, written like 90s, 5m or 1h30m.
    #[schemars(extend("default" = format_duration(TIMEOUT)), regex(pattern = duration::PATTERN))]
    pub timeout: Option<At<String>>,

    /// Names of syncs that must be synced before this one begins. Circles are an error.
    #[schemars(extend("default" = [], "uniqueItems" = true))]
    pub depends_on: Option<Vec<At<String>>>,

    /// Poll, apply, heal and prune nothing until this is false again.
    #[schemars(extend("default" = false))]
    pub suspend: Option<bool>,

    /// ServiceAccount to impersonate for this sync's objects, as namespace/name. Default: the agent's own permissions.
    #[schemars(regex(pattern = SERVICE_ACCOUNT_PATTERN))]
    pub service_account: Option<At<String>>,

    /// Namespace of namespaced objects that name none. Default: `default`.
    #[schemars(length(max = NAMESPACE_MAX), regex(pattern = LABEL_PATTERN))]
    pub target_namespace: Option<At<String>>,

    pub render: Option<RawRender>,
}

/// Which repository, and what of it: exactly one of branch, tag, semver and commit.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Source", extend("oneOf" = [
    {"title": "a branch", "required": ["branch"], "properties": {"branch": {"type": "string"}}},
    {"title": "a tag", "required": ["tag"], "properties": {"tag": {"type": "string"}}},
    {"title": "a version range", "required": ["semver"], "properties": {"semver": {"type": "string"}}},
    {"title": "a commit", "required": ["commit"], "properties": {"commit": {"type": "string"}}},
]))]
pub(super) struct RawSource {
    /// URL of the repository: https://, http://, ssh://, file:/// or git@host:path. Never shown with its credentials.
    #[schemars(regex(pattern = address::URL_PATTERN))]
    pub url: At<String>,

    /// Follow this branch.
    #[schemars(regex(pattern = REF_PATTERN))]
    pub branch: Option<At<String>>,

    /// Follow this tag.
    #[schemars(regex(pattern = REF_PATTERN))]
    pub tag: Option<At<String>>,

    /// Follow the highest tag in this range, such as `>=1.0, <2.0`, `~1.2` or `1.x`. As Cargo reads it: `1.2` means
    /// `^1.2`; exactly one version is `=1.2.3`.
    #[schemars(length(min = 1))]
    pub semver: Option<At<String>>,

    /// Stay at this commit: 40 hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-fA-F]{40}$"))]
    pub commit: Option<At<String>>,

    pub auth: Option<At<RawSourceAuth>>,

    pub verify: Option<At<RawVerify>>,
}

/// Where the credentials for the git server are: in a Secret or in files, one of them. Keys: username and password, or
/// bearerToken, for https; identity (or ssh-privatekey), password as its passphrase, and known_hosts for ssh; ca.crt for an
/// authority of your own; tls.crt and tls.key for a client certificate.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "SourceAuth")]
pub(super) struct RawSourceAuth {
    /// Name of a Secret in the agent's namespace. A change of it is used by the next poll.
    #[schemars(length(min = 1, max = 253), regex(pattern = SUBDOMAIN_PATTERN))]
    pub secret: Option<At<String>>,

    /// Absolute path of a directory with a file for each key, such as a mounted Secret. Read for every poll.
    #[schemars(regex(pattern = "^/"))]
    pub files: Option<At<String>>,
}

/// Apply only what is signed by a known key, and keep the last good commit enforced otherwise. Where the keys are: in a
/// Secret, a ConfigMap or files, one of them. Keys: allowed_signers for SSH, in the form of ssh-keygen(1), and OpenPGP public
/// keys under any name that ends in .asc, .gpg or .pub.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Verify")]
pub(super) struct RawVerify {
    /// Name of a Secret in the agent's namespace. After a change of it the commit is verified again.
    #[schemars(length(min = 1, max = 253), regex(pattern = SUBDOMAIN_PATTERN))]
    pub secret: Option<At<String>>,

    /// Name of a ConfigMap in the agent's namespace, likewise.
    #[schemars(length(min = 1, max = 253), regex(pattern = SUBDOMAIN_PATTERN))]
    pub config_map: Option<At<String>>,

    /// Absolute path of a directory with a file for each key, such as a mounted Secret. Read whenever a commit is verified.
    #[schemars(regex(pattern = "^/"))]
    pub files: Option<At<String>>,

    /// What has to be signed: the commit, or, where the source follows tag or semver, the annotated tag.
    #[schemars(extend("default" = "commit", "enum" = ["commit", "tag", null]))]
    pub mode: Option<At<String>>,
}

/// When objects that are no longer in the repository are deleted.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Prune")]
pub(super) struct RawPrune {
    /// Whether to delete at all.
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,

    /// A commit that would delete more than this share of the sync's objects (and more than 5) deletes nothing until
    /// it is approved. In percent.
    #[schemars(extend("default" = MAX_PERCENT), range(min = 0, max = 100))]
    pub max_percent: Option<At<i64>>,

    /// Kinds to delete although they are kept by default: Namespace, PersistentVolumeClaim,
    /// CustomResourceDefinition. Others are written Kind.group.
    #[schemars(extend("default" = [], "uniqueItems" = true), inner(regex(pattern = KIND_PATTERN)))]
    pub include: Option<Vec<At<String>>>,
}

/// A policy alone, or with whose additions are drift.
pub(super) enum RawDrift {
    Policy(String),
    Full(RawDriftOptions),
}

impl<'de> Deserialize<'de> for RawDrift {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DriftVisitor)
    }
}

struct DriftVisitor;

impl<'de> Visitor<'de> for DriftVisitor {
    type Value = RawDrift;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("heal, report or off, or a mapping of policy, people and controllers")
    }

    fn visit_str<E>(self, text: &str) -> Result<RawDrift, E> {
        Ok(RawDrift::Policy(text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawDrift, E> {
        Ok(RawDrift::Policy(value.to_string()))
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<RawDrift, M::Error> {
        RawDriftOptions::deserialize(MapAccessDeserializer::new(map)).map(RawDrift::Full)
    }
}

impl JsonSchema for RawDrift {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "DriftOrPolicy".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let full = generator.subschema_for::<RawDriftOptions>();
        json_schema!({"anyOf": [{"type": "string", "enum": ["heal", "report", "off"]}, full]})
    }
}

/// What to do about drift, and whose additions are drift: fields that somebody else set and that the repository does
/// not declare. Those of people's clients (kubectl, k9s, Lens, browsers, curl, …) are, those of controllers are not.
/// Field managers that are on neither list are named in the status, and left alone.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Drift")]
pub(super) struct RawDriftOptions {
    /// Put back (heal), only report (report), ignore (off).
    #[schemars(extend("default" = "heal", "enum" = ["heal", "report", "off", null]))]
    pub policy: Option<At<String>>,

    /// Field managers that are people's clients beside those that are known as such. `*` stands for any number of
    /// characters, `?` for one.
    #[schemars(extend("default" = [], "uniqueItems" = true), inner(length(min = 1, max = 128)))]
    pub people: Option<Vec<At<String>>>,

    /// Field managers whose additions are left alone, whatever the other lists say of them. Patterns likewise.
    #[schemars(extend("default" = [], "uniqueItems" = true), inner(length(min = 1, max = 128)))]
    pub controllers: Option<Vec<At<String>>>,
}

/// The JSON Schema (draft 2020-12) of the configuration file, as `driftless config schema` prints it
/// (with `{:#}` and a line break at the end).
#[must_use]
pub fn schema() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<RawConfig>().to_value()
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
