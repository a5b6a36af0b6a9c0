//! Progress on a terminal: one line a sync while `run --once` works.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::event::{Event, SyncEvent};
use crate::object::Displayed;

/// The lines of all syncs. Cheap to clone.
#[derive(Clone)]
pub(super) struct ProgressLines {
    all: MultiProgress,
    bars: Arc<Mutex<BTreeMap<Arc<str>, ProgressBar>>>,
}

impl ProgressLines {
    /// `None` where standard error is no terminal.
    pub fn on_terminal() -> Option<Self> {
        std::io::stderr().is_terminal().then(|| Self { all: MultiProgress::new(), bars: Arc::default() })
    }

    /// Shows an event, with `log` writing between the lines rather than into them.
    pub fn around(&self, event: &Event, log: impl FnOnce()) {
        self.all.suspend(log);
        let Event::Sync(sync, event) = event else { return };
        match event {
            SyncEvent::Started { commit } => {
                self.say(sync, &format!("commit {} {}", commit.short(), commit.subject));
            }
            SyncEvent::Planned { create, configure, prune, .. } => {
                let bar = self.bar(sync);
                bar.set_length(u64::try_from(create + configure + prune).unwrap_or(u64::MAX));
                bar.set_position(0);
            }
            SyncEvent::Applied { object, .. } | SyncEvent::Pruned { object, .. } => {
                self.bar(sync).inc(1);
                self.say(sync, &object.to_string());
            }
            SyncEvent::Status(status) => self.say(sync, &format!("{} {}", status.phase, status.message)),
            _ => {}
        }
    }

    fn say(&self, sync: &Arc<str>, message: &str) {
        self.bar(sync).set_message(Displayed(message).to_string());
    }

    fn bar(&self, sync: &Arc<str>) -> ProgressBar {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let bar = self.all.add(ProgressBar::new(0));
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:<16} {pos}/{len} {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(sync.to_string());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        };
        bars.entry(Arc::clone(sync)).or_insert_with(new).clone()
    }

    /// Removes the lines; what came of it is printed after.
    pub fn end(&self) {
        let bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        for bar in bars.values() {
            bar.finish_and_clear();
        }
    }
}
