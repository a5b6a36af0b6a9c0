//! Helm's hooks as objects in an order: what runs before an install or upgrade is applied, and has to end well, before
//! everything else of the chart; what runs after it is applied when everything else is healthy. Within each, lower
//! weights come first. `docs/rendering.md` says what becomes of each event.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::response::Hook;
use super::{RenderError, Rendered};
use crate::object::{Manifest, ObjectId};

/// Pairs of an object and another that it waits for. Large public charts have some thousand.
const MOST_WAITS: usize = 200_000;

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Before,
    After,
    /// At no time that there is here: deletion, rollback, tests.
    Never,
}

fn when(events: &[String]) -> When {
    let any = |wanted: [&str; 2]| events.iter().any(|event| wanted.contains(&event.as_str()));
    match (any(["pre-install", "pre-upgrade"]), any(["post-install", "post-upgrade"])) {
        (true, _) => When::Before,
        (false, true) => When::After,
        (false, false) => When::Never,
    }
}

/// Whether it runs at an install and at no upgrade.
fn is_install_only(events: &[String]) -> bool {
    let has = |wanted: &str| events.iter().any(|event| event == wanted);
    (has("pre-install") || has("post-install")) && !has("pre-upgrade") && !has("post-upgrade")
}

/// Adds the hooks of a chart to its other objects, in their order.
///
/// # Errors
/// A hook cannot be read: what comes after it must not be applied without it. Or there are too many.
pub(super) fn order<'a>(
    mut main: Rendered,
    hooks: impl Iterator<Item = (&'a Hook, Rendered)>,
) -> Result<Rendered, RenderError> {
    let mut before: BTreeMap<i64, Vec<Arc<Manifest>>> = BTreeMap::new();
    let mut after: BTreeMap<i64, Vec<Arc<Manifest>>> = BTreeMap::new();
    for (hook, rendered) in hooks {
        let into = match when(&hook.events) {
            When::Before => before.entry(hook.weight).or_default(),
            When::After => after.entry(hook.weight).or_default(),
            When::Never => {
                if !hook.events.iter().all(|event| event.starts_with("test")) {
                    main.warnings.push(format!(
                        "{} {} of {} is a hook for {} alone, which driftless does not run; it is not applied",
                        hook.kind,
                        hook.name,
                        hook.document.source,
                        hook.events.join(", ")
                    ));
                }
                continue;
            }
        };
        if let Some(error) = rendered.errors.into_iter().next() {
            let message = format!("{} (a hook, without which nothing of the chart is applied)", error.message);
            return Err(RenderError { message, ..error });
        }
        into.extend(rendered.manifests.iter().map(|manifest| Arc::new(as_object(manifest, &hook.events))));
    }
    let hooks = before.values().chain(after.values()).map(Vec::len).sum::<usize>();
    if hooks.saturating_mul(main.manifests.len() + hooks) > MOST_WAITS {
        let message = format!(
            "{hooks} hooks and {} other objects are more than can be put in an order; make fewer of them hooks",
            main.manifests.len()
        );
        let file = main.manifests.first().map_or_else(|| "Chart.yaml".into(), |first| Arc::clone(&first.origin.file));
        return Err(RenderError::of_file(&file, message));
    }
    let earlier = chained(before.into_values(), &[]);
    let first: Vec<ObjectId> = earlier.last.clone();
    // A definition, or the namespace that a hook lives in, is there before anything else.
    let is_foundation = |manifest: &Manifest| {
        manifest.id.gk.is("apiextensions.k8s.io", "CustomResourceDefinition") || manifest.id.gk.is("", "Namespace")
    };
    let middle: Vec<Arc<Manifest>> = main
        .manifests
        .into_iter()
        .map(|manifest| if is_foundation(&manifest) { manifest } else { depending(&manifest, &first) })
        .collect();
    let ids: Vec<ObjectId> = middle.iter().map(|manifest| manifest.id.clone()).collect();
    let later = chained(after.into_values(), if ids.is_empty() { &first } else { &ids });
    main.manifests = earlier.manifests.into_iter().chain(middle).chain(later.manifests).collect();
    Ok(main)
}

/// Groups of hooks one after the other.
#[derive(Default)]
struct Chained {
    manifests: Vec<Arc<Manifest>>,
    /// Of the last group.
    last: Vec<ObjectId>,
}

fn chained(groups: impl Iterator<Item = Vec<Arc<Manifest>>>, first: &[ObjectId]) -> Chained {
    let mut chained = Chained { manifests: Vec::new(), last: first.to_vec() };
    for group in groups.filter(|group| !group.is_empty()) {
        let ids: Vec<ObjectId> = group.iter().map(|manifest| manifest.id.clone()).collect();
        chained.manifests.extend(group.iter().map(|manifest| depending(manifest, &chained.last)));
        chained.last = ids;
    }
    chained
}

fn depending(manifest: &Arc<Manifest>, on: &[ObjectId]) -> Arc<Manifest> {
    if on.is_empty() {
        return Arc::clone(manifest);
    }
    let mut manifest = Manifest::clone(manifest);
    let new = on.iter().filter(|id| **id != manifest.id && !manifest.directives.depends_on.contains(id));
    let new: Vec<ObjectId> = new.cloned().collect();
    manifest.directives.depends_on.extend(new);
    Arc::new(manifest)
}

/// The object of a hook. A Job runs again when what git declares of it has changed, for which it is replaced; a hook of
/// the install alone is created once.
fn as_object(manifest: &Manifest, events: &[String]) -> Manifest {
    let mut manifest = manifest.clone();
    let job = manifest.id.gk.is("batch", "Job");
    manifest.directives.replace |= job;
    manifest.directives.run_to_end = job;
    let install_only = is_install_only(events);
    manifest.directives.create_only |= install_only;
    manifest.directives.once = install_only;
    manifest
}

#[cfg(test)]
mod tests {
    use super::super::response::RenderedDocument;
    use super::*;
    use crate::object::Origin;

    fn manifest(kind: &str, name: &str) -> Arc<Manifest> {
        let version = if kind == "Job" { "batch/v1" } else { "v1" };
        let object = serde_json::json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}});
        Arc::new(Manifest::from_value(object, Origin { file: "t.yaml".into(), line: 0 }).unwrap())
    }

    fn hook(name: &str, events: &[&str], weight: i64) -> (Hook, Rendered) {
        let document =
            RenderedDocument { yaml: String::new(), source: "c/templates/h.yaml".into(), file: String::new(), line: 0 };
        let events = events.iter().map(ToString::to_string).collect();
        let hook = Hook { document, kind: "Job".into(), name: name.into(), events, weight };
        (hook, Rendered { manifests: vec![manifest("Job", name)], ..Rendered::default() })
    }

    fn ordered(hooks: &[(Hook, Rendered)]) -> Rendered {
        let main = Rendered {
            manifests: vec![manifest("Namespace", "shop"), manifest("ConfigMap", "web")],
            ..Rendered::default()
        };
        order(main, hooks.iter().map(|(hook, rendered)| (hook, rendered.clone()))).unwrap()
    }

    fn needs(rendered: &Rendered, name: &str) -> Vec<String> {
        let found = rendered.manifests.iter().find(|manifest| &*manifest.id.name == name).unwrap();
        found.directives.depends_on.iter().map(|id| id.name.to_string()).collect()
    }

    #[test]
    fn hooks_before_come_by_weight_and_everything_else_waits_for_the_last() {
        let rendered = ordered(&[
            hook("migrate", &["pre-install", "pre-upgrade"], 5),
            hook("backup", &["pre-upgrade"], -5),
            hook("notify", &["post-install", "post-upgrade"], 0),
            hook("seed", &["post-install"], -1),
        ]);
        assert_eq!(needs(&rendered, "backup"), Vec::<String>::new());
        assert_eq!(needs(&rendered, "migrate"), ["backup"]);
        assert_eq!(needs(&rendered, "web"), ["migrate"]);
        assert_eq!(needs(&rendered, "shop"), Vec::<String>::new());
        assert_eq!(needs(&rendered, "seed"), ["shop", "web"]);
        assert_eq!(needs(&rendered, "notify"), ["seed"]);
    }

    #[test]
    fn a_hook_of_the_install_alone_is_created_once_and_a_job_is_replaced_to_run_again() {
        let rendered = ordered(&[hook("once", &["pre-install"], 0), hook("each", &["pre-install", "pre-upgrade"], 0)]);
        let find = |name: &str| rendered.manifests.iter().find(|manifest| &*manifest.id.name == name).unwrap();
        assert!(find("once").directives.create_only && !find("each").directives.create_only);
        assert!(find("each").directives.replace);
    }

    #[test]
    fn without_a_hook_that_cannot_be_read_nothing_is_applied() {
        let (hook, mut rendered) = hook("migrate", &["pre-upgrade"], 0);
        let message = "the variable TAG has no value".to_owned();
        rendered.errors.push(RenderError { file: "c/h.yaml".into(), line: 3, column: 0, message, object: None });
        let error = order(Rendered::default(), [(&hook, rendered)].into_iter()).unwrap_err();
        assert!(error.to_string().starts_with("c/h.yaml:3: the variable TAG has no value (a hook"), "{error}");
    }

    #[test]
    fn a_weight_without_objects_holds_nothing_up_and_lets_nothing_pass() {
        let (empty, _) = hook("nothing", &["pre-install"], 5);
        let rendered = ordered(&[hook("first", &["pre-install"], 0), (empty, Rendered::default())]);
        assert_eq!(needs(&rendered, "web"), ["first"]);
    }

    #[test]
    fn more_hooks_than_can_be_ordered_are_refused() {
        let many: Vec<_> = (0..500).map(|index| hook(&format!("h{index}"), &["pre-install"], 0)).collect();
        let main = Rendered {
            manifests: (0..500).map(|i| manifest("ConfigMap", &format!("c{i}"))).collect(),
            ..Rendered::default()
        };
        let error = order(main, many.iter().map(|(hook, rendered)| (hook, rendered.clone()))).unwrap_err();
        assert!(error.message.starts_with("500 hooks and 500 other objects"), "{error}");
    }

    #[test]
    fn hooks_of_tests_are_left_out_and_those_of_deletions_are_reported() {
        let rendered = ordered(&[hook("check", &["test"], 0), hook("cleanup", &["pre-delete", "post-rollback"], 0)]);
        assert_eq!(rendered.manifests.len(), 2);
        assert_eq!(rendered.warnings.len(), 1);
        assert!(rendered.warnings[0].contains("Job cleanup") && rendered.warnings[0].contains("pre-delete"));
    }
}
