//! The last rendering of a sync: most polls of a repository find nothing new.

use std::sync::Arc;

use super::{Rendered, Settings};

/// One rendering, known by the tree it was made of and the settings. One for each sync and path,
/// since the same tree under another path has other origins. It holds one entry only: a manifest
/// is the largest thing that the agent remembers.
#[derive(Debug, Default)]
pub struct Cache {
    last: Option<(String, Settings, Arc<Rendered>)>,
}

impl Cache {
    /// The rendering of a tree, if it is the current one.
    #[must_use]
    pub fn get(&self, tree: &str, settings: &Settings) -> Option<Arc<Rendered>> {
        let (known, made_with, rendered) = self.last.as_ref()?;
        (known == tree && made_with == settings).then(|| Arc::clone(rendered))
    }

    /// Keeps a rendering in place of the last one.
    pub fn put(&mut self, tree: &str, settings: Settings, rendered: Arc<Rendered>) {
        self.last = Some((tree.into(), settings, rendered));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rendering_is_found_by_its_tree_and_settings_alone() {
        let mut cache = Cache::default();
        let settings = Settings::default();
        let other = Settings { target_namespace: Some("shop".into()), ..Settings::default() };
        let rendered = Arc::new(Rendered::default());
        assert!(cache.get("t1", &settings).is_none());
        cache.put("t1", settings.clone(), Arc::clone(&rendered));
        assert!(cache.get("t1", &settings).is_some_and(|found| Arc::ptr_eq(&found, &rendered)));
        assert!(cache.get("t1", &other).is_none() && cache.get("t2", &settings).is_none());
    }
}
