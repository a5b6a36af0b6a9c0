//! From text to a `Config` that cannot be wrong. Whatever is wrong with values is collected, so
//! that a person sees all of it at once; what is wrong with the shape (YAML, keys, types) ends
//! the reading, and is reported alone.

mod auth;
mod error;
mod hooks;
mod render;
mod verify;

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::object::{GroupKind, ManagerPattern, Managers};

use super::dependencies::{self, Declared};
use super::duration::parse_duration;
use super::error::{ConfigError, ConfigProblem, shown};
use super::file::{RawAudit, RawConfig, RawDrift, RawPrune, RawSource, RawSync};
use super::render::RenderConfig;
use super::types::{
    AuditPolicy, Config, DriftPolicy, PrunePolicy, Reference, RepoPath, ServiceAccount, Source, SyncConfig, SyncName,
    defaults,
};
use super::yaml::{self, At};
use super::{address, names};
use error::ValueError;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_hours(24);

/// Parses a configuration; `file` is its name in errors.
///
/// # Errors
/// [`ConfigError::Invalid`], with every wrong value, its line and its column.
pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
    let invalid = |problems| ConfigError::Invalid { file: file.to_owned(), problems };
    let raw: RawConfig = yaml::read(text).map_err(|problem| invalid(vec![problem]))?;
    let mut problems = Problems::default();
    let parsed = config(&raw, &mut problems);
    let declared: Vec<Declared<'_>> = raw.syncs.iter().map(|sync| declared(&sync.value)).collect();
    problems.0.extend(dependencies::check(&declared));
    problems.0.sort();
    parsed.filter(|_| problems.0.is_empty()).ok_or_else(|| invalid(problems.0))
}

/// What is wrong so far. A check that fails leaves its problem here and gives `None`.
#[derive(Default)]
struct Problems(Vec<ConfigProblem>);

impl Problems {
    fn check<T, R, E: Display>(&mut self, at: &At<T>, check: impl FnOnce(&T) -> Result<R, E>) -> Option<R> {
        check(&at.value).map_err(|error| self.0.push(at.problem(error.to_string()))).ok()
    }

    /// A text that may be left out, in which case `default` it is.
    fn text<R, E: Display>(
        &mut self,
        at: Option<&At<String>>,
        default: R,
        check: impl FnOnce(&str) -> Result<R, E>,
    ) -> Option<R> {
        at.map_or(Some(default), |at| self.check(at, |text| check(text)))
    }

    /// The only one of these keys that is given. `none` says what to do where none is.
    fn only<'a, T>(
        &mut self,
        at: &At<T>,
        keys: &[(&'static str, Option<&'a At<String>>)],
        none: impl FnOnce() -> String,
    ) -> Option<(&'static str, &'a At<String>)> {
        let mut given: Vec<_> = keys.iter().filter_map(|(key, at)| Some((*key, (*at)?))).collect();
        given.sort_by_key(|(_, at)| (at.line, at.column));
        match given.as_slice() {
            [] => self.0.push(at.problem(none())),
            [only] => return Some(*only),
            [(first, _), (second, at), ..] => {
                self.0.push(at.problem(format!("{first} and {second} are both set; keep one of them")));
            }
        }
        None
    }

    /// A list of texts, none of them twice.
    fn list<R, E: Display>(
        &mut self,
        list: Option<&Vec<At<String>>>,
        check: impl Fn(&str) -> Result<R, E>,
    ) -> Option<Vec<R>> {
        let list = list.map(Vec::as_slice).unwrap_or_default();
        let checked: Vec<Option<R>> = list
            .iter()
            .enumerate()
            .map(|(index, at)| {
                if list[..index].iter().any(|earlier| earlier.value == at.value) {
                    self.0.push(at.problem(format!("{} is listed twice", shown(&at.value))));
                    return None;
                }
                self.check(at, |text| check(text))
            })
            .collect();
        checked.into_iter().collect()
    }
}

fn declared(sync: &RawSync) -> Declared<'_> {
    Declared { name: &sync.name, depends_on: sync.depends_on.as_deref().unwrap_or_default() }
}

fn config(raw: &RawConfig, problems: &mut Problems) -> Option<Config> {
    let listen = match &raw.listen {
        Some(at) => problems.check(at, |text| address::listen(text)),
        None => address::listen(defaults::LISTEN).ok(),
    };
    let namespace = problems.text(raw.namespace.as_ref(), None, |text| namespace(text).map(Some));
    let data_dir = problems.text(raw.data_dir.as_ref(), PathBuf::from(defaults::DATA_DIR), data_dir);
    let audit = match &raw.audit {
        Some(raw) => audit(raw, problems),
        None => Some(AuditPolicy::default()),
    };
    let hooks = match &raw.hooks {
        Some(at) => hooks::parse(at, listen, problems).map(Some),
        None => Some(None),
    };
    let syncs = raw.syncs.iter().map(|raw| sync(&raw.value, problems).zip(audit));
    let syncs: Vec<_> = syncs.map(|sync| sync.map(|(sync, audit)| Arc::new(SyncConfig { audit, ..sync }))).collect();
    Some(Config {
        listen: listen?,
        namespace: namespace?,
        data_dir: data_dir?,
        hooks: hooks?,
        leader_election: raw.leader_election.as_ref().and_then(|raw| raw.enabled).unwrap_or(true),
        syncs: syncs.into_iter().collect::<Option<_>>()?,
    })
}

fn audit(raw: &RawAudit, problems: &mut Problems) -> Option<AuditPolicy> {
    let period = problems.text(raw.period.as_ref(), defaults::PERIOD, duration);
    let max_per_second = match &raw.max_per_second {
        Some(at) => {
            problems.check(at, |rate| if (1..=1000).contains(rate) { Ok(*rate) } else { Err(ValueError::MaxPerSecond) })
        }
        None => Some(defaults::MAX_PER_SECOND),
    };
    let period = if raw.enabled == Some(false) { Duration::ZERO } else { period? };
    Some(AuditPolicy { period, max_per_second: max_per_second? })
}

fn sync(raw: &RawSync, problems: &mut Problems) -> Option<SyncConfig> {
    let name = problems.check(&raw.name, |text| sync_name(text));
    let source = source(&raw.source, problems);
    let path = problems.text(raw.path.as_ref(), RepoPath::default(), repo_path);
    let interval = problems.text(raw.interval.as_ref(), defaults::INTERVAL, duration);
    let prune = match &raw.prune {
        Some(raw) => prune(raw, problems),
        None => Some(PrunePolicy::default()),
    };
    let drift = match &raw.drift {
        Some(raw) => drift(raw, problems),
        None => Some((DriftPolicy::default(), Managers::default())),
    };
    let timeout = problems.text(raw.timeout.as_ref(), defaults::TIMEOUT, duration);
    let depends_on = problems.list(raw.depends_on.as_ref(), sync_name);
    let service_account = problems.text(raw.service_account.as_ref(), None, |text| service_account(text).map(Some));
    let target_namespace = problems.text(raw.target_namespace.as_ref(), None, |text| namespace(text).map(Some));
    let render = match &raw.render {
        Some(raw) => render::render(raw, problems),
        None => Some(RenderConfig::default()),
    };
    let (drift, managers) = drift?;
    // What a chart's templates leave open goes to the namespace of its release.
    let release = render.as_ref().and_then(|render| render.helm.namespace.clone());
    if let (Some(Some(target)), Some(at)) =
        (&target_namespace, raw.render.as_ref().and_then(|raw| raw.helm.as_ref()?.namespace.as_ref()))
        && **target != *at.value
    {
        let message =
            format!("targetNamespace is {target}, and the release is in {}; set one of them", shown(&at.value));
        problems.0.push(at.problem(message));
    }
    let target_namespace = target_namespace.map(|target| target.or(release));
    Some(SyncConfig {
        name: name?,
        source: source?,
        path: path?,
        interval: interval?,
        prune: prune?,
        drift,
        managers: managers.into(),
        atomic: raw.atomic.unwrap_or(false),
        wait: raw.wait.unwrap_or(true),
        timeout: timeout?,
        depends_on: depends_on?,
        suspend: raw.suspend.unwrap_or(false),
        service_account: service_account?,
        target_namespace: target_namespace?,
        render: render?.into(),
        audit: AuditPolicy::default(),
    })
}

fn source(at: &At<RawSource>, problems: &mut Problems) -> Option<Source> {
    let raw = &at.value;
    let url = problems.check(&raw.url, |text| address::repository_url(text));
    let given = [
        ("branch", raw.branch.as_ref()),
        ("tag", raw.tag.as_ref()),
        ("semver", raw.semver.as_ref()),
        ("commit", raw.commit.as_ref()),
    ];
    let none = "set one of branch, tag, semver and commit; nothing is followed by default";
    let given = problems.only(at, &given, || none.to_owned());
    let reference = given.and_then(|(key, at)| problems.check(at, |text| reference(key, text)));
    let auth = raw.auth.as_ref().map(|at| auth::parse(at, &raw.url.value, problems));
    let auth = if let Some(auth) = auth { Some(auth?) } else { None };
    let verify = raw.verify.as_ref().map(|at| verify::parse(at, reference.as_ref(), problems));
    let verify = if let Some(verify) = verify { Some(verify?) } else { None };
    Some(Source { url: url?, reference: reference?, auth, verify })
}

fn reference(key: &'static str, text: &str) -> Result<Reference, ValueError> {
    match key {
        "semver" => Ok(Reference::Semver(address::version_range(text)?)),
        "commit" => Ok(Reference::Commit(address::commit_id(text)?)),
        _ if text.starts_with("refs/") => Err(ValueError::FullRef { key }),
        _ if !names::is_ref_name(text) => Err(ValueError::RefName { key, shown: shown(text) }),
        "tag" => Ok(Reference::Tag(text.into())),
        _ => Ok(Reference::Branch(text.into())),
    }
}

fn prune(raw: &RawPrune, problems: &mut Problems) -> Option<PrunePolicy> {
    let percent = |number: &i64| {
        u8::try_from(*number).ok().filter(|number| *number <= 100).ok_or(ValueError::MaxPercent(*number))
    };
    let max_percent = match &raw.max_percent {
        Some(at) => problems.check(at, percent),
        None => Some(defaults::MAX_PERCENT),
    };
    let include = problems.list(raw.include.as_ref(), kind);
    Some(PrunePolicy { enabled: raw.enabled.unwrap_or(true), max_percent: max_percent?, include: include? })
}

fn sync_name(text: &str) -> Result<SyncName, ValueError> {
    SyncName::parse(text).ok_or_else(|| ValueError::SyncName { shown: shown(text) })
}

fn namespace(text: &str) -> Result<Arc<str>, ValueError> {
    if names::is_dns_label(text, names::NAMESPACE_MAX) {
        return Ok(text.into());
    }
    Err(ValueError::Namespace { shown: shown(text) })
}

fn service_account(text: &str) -> Result<ServiceAccount, ValueError> {
    match text.split_once('/') {
        Some((namespace, name))
            if names::is_dns_label(namespace, names::NAMESPACE_MAX) && names::is_dns_subdomain(name) =>
        {
            Ok(ServiceAccount { namespace: namespace.into(), name: name.into() })
        }
        _ => Err(ValueError::ServiceAccount { shown: shown(text) }),
    }
}

fn data_dir(text: &str) -> Result<PathBuf, ValueError> {
    if text.is_empty() { Err(ValueError::NoDataDir) } else { Ok(text.into()) }
}

fn repo_path(text: &str) -> Result<RepoPath, ValueError> {
    RepoPath::parse(text).ok_or_else(|| ValueError::RepoPath { shown: shown(text) })
}

fn duration(text: &str) -> Result<Duration, ValueError> {
    let parsed = parse_duration(text).map_err(|source| ValueError::Duration { shown: shown(text), source })?;
    if (SHORTEST..=LONGEST).contains(&parsed) {
        return Ok(parsed);
    }
    Err(ValueError::OutOfBounds { shown: shown(text) })
}

fn drift(at: &At<RawDrift>, problems: &mut Problems) -> Option<(DriftPolicy, Managers)> {
    match &at.value {
        RawDrift::Policy(text) => {
            let policy = drift_policy(text).map_err(|error| problems.0.push(at.problem(error.to_string()))).ok();
            policy.map(|policy| (policy, Managers::default()))
        }
        RawDrift::Full(raw) => {
            let policy = problems.text(raw.policy.as_ref(), DriftPolicy::default(), drift_policy);
            let people = problems.list(raw.people.as_ref(), manager_pattern);
            let controllers = problems.list(raw.controllers.as_ref(), manager_pattern);
            Some((policy?, Managers { people: people?, controllers: controllers? }))
        }
    }
}

fn drift_policy(text: &str) -> Result<DriftPolicy, ValueError> {
    match text {
        "heal" => Ok(DriftPolicy::Heal),
        "report" => Ok(DriftPolicy::Report),
        "off" => Ok(DriftPolicy::Off),
        "false" => Err(ValueError::Unquoted),
        _ => Err(ValueError::DriftPolicy { shown: shown(text) }),
    }
}

fn manager_pattern(text: &str) -> Result<ManagerPattern, ValueError> {
    ManagerPattern::parse(text).ok_or_else(|| ValueError::ManagerPattern { shown: shown(text) })
}

/// `Kind.group`, or one of the three kinds that are kept by default, whose group is known.
fn kind(text: &str) -> Result<GroupKind, ValueError> {
    let parsed = match text {
        "CustomResourceDefinition" => return Ok(GroupKind::new("apiextensions.k8s.io", text)),
        "Namespace" | "PersistentVolumeClaim" => return Ok(GroupKind::new("", text)),
        _ => GroupKind::parse(text),
    };
    let is_kind = parsed.kind.starts_with(|c: char| c.is_ascii_uppercase())
        && parsed.kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_kind && names::is_dns_subdomain(&parsed.group) {
        return Ok(parsed);
    }
    Err(ValueError::Kind { shown: shown(text) })
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
