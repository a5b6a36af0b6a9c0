//! The last rendering of a sync: most polls of a repository find nothing new.

use std::sync::Arc;

use super::{Inputs, LookupAnswer, LookupQuestion, Rendered, Settings, Want};
use crate::config::Renderer;
use crate::source::Dependencies;

/// One rendering, known by what it was made of. One for each sync and path, since the same tree under another path has
/// other origins. It holds one entry only: a manifest is the largest thing that the agent remembers.
#[derive(Default)]
pub struct Cache {
    last: Option<Last>,
}

struct Last {
    source: Source,
    settings: Settings,
    /// Without answers to lookups, which only the render itself shows to be needed.
    inputs: Inputs,
    rendered: Arc<Rendered>,
}

/// Which files it was made of.
enum Source {
    /// Of plain manifests: the key of the tree under the path.
    Tree(String),
    Read(Arc<RecordedRender>),
}

/// What a renderer has read.
#[derive(Clone)]
pub struct RecordedRender {
    /// Renderer that was used; never `Auto`.
    pub renderer: Renderer,
    /// Paths that were read, were not there, or whose names were listed.
    pub dependencies: Arc<Dependencies>,
    /// Over the content of the dependencies.
    pub fingerprint: String,
    /// What templates looked up; a rendering holds while the cluster answers the same.
    pub lookups: Vec<LookupAnswer>,
    /// What came from other hosts, each with the digest of its content.
    pub fetched: Vec<(Want, Arc<str>)>,
    /// Some of that could not be compared with its source when it was rendered, nor since.
    pub unverified: bool,
}

impl RecordedRender {
    /// What was asked of the cluster.
    pub fn questions(&self) -> impl Iterator<Item = &LookupQuestion> {
        self.lookups.iter().map(|answer| &answer.question)
    }
}

impl Cache {
    /// The rendering of a tree of plain manifests, if it is the current one.
    #[must_use]
    pub fn of_tree(&self, tree: &str, settings: &Settings, inputs: &Inputs) -> Option<Arc<Rendered>> {
        let last = self.with(settings, inputs)?;
        matches!(&last.source, Source::Tree(known) if known == tree).then(|| Arc::clone(&last.rendered))
    }

    /// The current rendering by a renderer with these settings and inputs, and what it has read: the same rendering
    /// still holds where that has the same content.
    #[must_use]
    pub fn recorded(
        &self,
        renderer: Renderer,
        settings: &Settings,
        inputs: &Inputs,
    ) -> Option<(Arc<RecordedRender>, Arc<Rendered>)> {
        let last = self.with(settings, inputs)?;
        match &last.source {
            Source::Read(recorded) if recorded.renderer == renderer => {
                Some((Arc::clone(recorded), Arc::clone(&last.rendered)))
            }
            _ => None,
        }
    }

    /// Whether the current rendering is made of something on another host that may change there.
    #[must_use]
    pub fn has_unpinned(&self) -> bool {
        let source = self.last.as_ref().map(|last| &last.source);
        matches!(source, Some(Source::Read(recorded)) if recorded.fetched.iter().any(|(want, _)| !want.pinned))
    }

    /// Has what may change on other hosts count as not compared: another replica may have applied something newer.
    pub fn forget_verification(&mut self) {
        if !self.has_unpinned() {
            return;
        }
        if let Some(Last { source: Source::Read(recorded), .. }) = &mut self.last {
            Arc::make_mut(recorded).unverified = true;
        }
    }

    /// Notes that all of the current rendering was compared with its source.
    pub fn verified(&mut self) {
        if let Some(Last { source: Source::Read(recorded), .. }) = &mut self.last {
            Arc::make_mut(recorded).unverified = false;
        }
    }

    /// Keeps a rendering of plain manifests in place of the last one.
    pub fn put_tree(&mut self, tree: &str, settings: Settings, inputs: Inputs, rendered: Arc<Rendered>) {
        self.last = Some(Last { source: Source::Tree(tree.into()), settings, inputs, rendered });
    }

    /// Keeps a rendering by a renderer in place of the last one.
    pub fn put_recorded(
        &mut self,
        recorded: RecordedRender,
        settings: Settings,
        inputs: Inputs,
        rendered: Arc<Rendered>,
    ) {
        self.last = Some(Last { source: Source::Read(Arc::new(recorded)), settings, inputs, rendered });
    }

    fn with(&self, settings: &Settings, inputs: &Inputs) -> Option<&Last> {
        self.last.as_ref().filter(|last| last.settings == *settings && last.inputs == *inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Variable;

    #[test]
    fn what_may_change_on_other_hosts_is_not_verified_any_more_when_another_replica_may_know_better() {
        let (settings, inputs) = (Settings::default(), Inputs::default());
        let want =
            |pinned| serde_json::from_str(&format!(r#"{{"kind": "index", "url": "https://h/x", "pinned": {pinned}}}"#));
        for (pinned, unverified) in [(true, false), (false, true)] {
            let mut cache = Cache::default();
            let recorded = RecordedRender {
                renderer: Renderer::Helm,
                dependencies: Arc::default(),
                fingerprint: "f".into(),
                lookups: Vec::new(),
                fetched: vec![(want(pinned).unwrap(), "d".into())],
                unverified: false,
            };
            cache.put_recorded(recorded, settings.clone(), inputs.clone(), Arc::default());
            cache.forget_verification();
            let is_unverified =
                |cache: &Cache| cache.recorded(Renderer::Helm, &settings, &inputs).unwrap().0.unverified;
            assert_eq!(is_unverified(&cache), unverified);
            cache.verified();
            assert!(!is_unverified(&cache));
        }
    }

    #[test]
    fn a_rendering_is_found_by_its_tree_its_settings_and_its_inputs_alone() {
        let mut cache = Cache::default();
        let settings = Settings::default();
        let other = Settings { target_namespace: Some("shop".into()), ..Settings::default() };
        let inputs = Inputs::default();
        let more = Inputs { variables: [("A".into(), Variable::default())].into(), ..Inputs::default() };
        let rendered = Arc::new(Rendered::default());
        assert!(cache.of_tree("t1", &settings, &inputs).is_none());
        cache.put_tree("t1", settings.clone(), inputs.clone(), Arc::clone(&rendered));
        assert!(cache.of_tree("t1", &settings, &inputs).is_some_and(|found| Arc::ptr_eq(&found, &rendered)));
        assert!(cache.of_tree("t1", &other, &inputs).is_none() && cache.of_tree("t2", &settings, &inputs).is_none());
        assert!(cache.of_tree("t1", &settings, &more).is_none());
        assert!(cache.recorded(Renderer::Helm, &settings, &inputs).is_none());
    }

    #[test]
    fn what_a_renderer_has_read_is_known_for_that_renderer_alone() {
        let mut cache = Cache::default();
        let (settings, inputs) = (Settings::default(), Inputs::default());
        let recorded = RecordedRender {
            renderer: Renderer::Kustomize,
            dependencies: Arc::default(),
            fingerprint: "f".into(),
            lookups: Vec::new(),
            fetched: Vec::new(),
            unverified: false,
        };
        cache.put_recorded(recorded, settings.clone(), inputs.clone(), Arc::default());
        let (found, _) = cache.recorded(Renderer::Kustomize, &settings, &inputs).unwrap();
        assert_eq!(found.fingerprint, "f");
        assert!(cache.recorded(Renderer::Helm, &settings, &inputs).is_none());
        assert!(cache.of_tree("f", &settings, &inputs).is_none());
    }
}
