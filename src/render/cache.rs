//! The last rendering of a sync: most looks at a repository find nothing new.

use std::sync::Arc;

use super::{Rendered, Settings, render};
use crate::source::Snapshot;

/// One rendering, known by the tree it was made of and the settings. One for each sync and path,
/// since the same tree under another path has other origins. It holds one entry only: a manifest
/// is the largest thing that the agent remembers.
#[derive(Debug, Default)]
pub struct Cache {
    last: Option<(String, Settings, Arc<Rendered>)>,
}

impl Cache {
    /// The rendering of a tree; `read` is called for its files only when it is not at hand.
    ///
    /// # Errors
    /// Those of `read`; what was cached stays.
    pub fn get_or_render<E>(
        &mut self,
        snapshot_tree: &str,
        settings: &Settings,
        read: impl FnOnce() -> Result<Snapshot, E>,
    ) -> Result<Arc<Rendered>, E> {
        if let Some((tree, made_with, rendered)) = &self.last
            && tree == snapshot_tree
            && made_with == settings
        {
            return Ok(rendered.clone());
        }
        let snapshot = read()?;
        let rendered = Arc::new(render(&snapshot, settings));
        self.last = Some((snapshot_tree.into(), settings.clone(), rendered.clone()));
        Ok(rendered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_once() {
        let mut cache = Cache::default();
        let snapshot = || Snapshot { tree: "t1".into(), files: Vec::new() };
        let settings = Settings::default();
        let first = cache.get_or_render("t1", &settings, || Ok::<_, ()>(snapshot())).unwrap();
        let second = cache.get_or_render("t1", &settings, || Err(())).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn other_settings_or_another_tree_are_read_again_and_a_failure_forgets_nothing() {
        let mut cache = Cache::default();
        let snapshot = || Snapshot { tree: "t1".into(), files: Vec::new() };
        let other = Settings { target_namespace: Some("shop".into()) };
        cache.get_or_render("t1", &Settings::default(), || Ok::<_, ()>(snapshot())).unwrap();
        assert_eq!(cache.get_or_render("t1", &other, || Err("read")), Err("read"));
        assert_eq!(cache.get_or_render("t2", &Settings::default(), || Err("read")), Err("read"));
        assert!(cache.get_or_render("t1", &Settings::default(), || Err("read")).is_ok());
    }
}
