//! The loop of a sync task: whatever happens is an input of the machine, whose effects run beside each other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};

use super::{Ending, SyncTask};
use crate::agent::annotations::{AllAnnotations, Annotated, LastHint, read_annotated};
use crate::agent::effects::EffectRunner;
use crate::agent::hooks::Hinted;
use crate::agent::rendering::{InputWatches, refresh_due};
use crate::cluster::Live;
use crate::event::{Outcome, SyncEvent};
use crate::hook::{Of, locations};
use crate::inventory::{config_maps, parent_id};
use crate::object::{Change, ObjectId};
use crate::reconcile::{Effect, Input, Machine, Moment};

type RunningEffects<'a> = FuturesUnordered<BoxFuture<'a, Option<Input>>>;

/// Watches of what the sync reads in the agent's namespace.
pub(super) struct Watched {
    pub inputs: Option<InputWatches>,
    pub login: Option<InputWatches>,
    pub signers: Option<InputWatches>,
}

impl SyncTask {
    /// Runs the machine to the end of the sync task: what happens goes in, and what it asks for is carried out.
    pub(super) async fn turn(
        &self,
        mut machine: Machine,
        runner: &EffectRunner,
        mut all_annotations: Option<watch::Receiver<Option<AllAnnotations>>>,
        mut applied: mpsc::UnboundedReceiver<Input>,
        mut watched: Watched,
    ) -> Option<Ending> {
        let mut phases = self.context.registry.phases();
        let mut running: RunningEffects<'_> = FuturesUnordered::new();
        let mut ending = None;
        let mut promotion = Box::pin(self.promoted(Arc::clone(&runner.name)));
        let mut endangered = Box::pin(self.endangered(false));
        let mut saw_stop = false;
        let known = all_annotations.as_ref().and_then(|all| all.borrow().clone());
        let mut last_hint = LastHint::of(&self.config.name, known.as_ref());
        let mut refresh = Box::pin(refresh_due(self.config.render.refresh, &runner.cache));
        let mut inputs = vec![Input::WaitingFor(self.waiting_for()), Input::Tick];
        loop {
            let over = self.stop.is_cancelled() || (self.once && ending.is_some());
            if over && !std::mem::replace(&mut saw_stop, true) {
                // First of all: what was interrupted by the stop is not to be taken for done.
                inputs.insert(0, Input::Stop);
            }
            for input in inputs.drain(..) {
                for effect in step(&mut machine, input, self.context.now()) {
                    // Noted always: the other syncs want every phase, not only those up to the first end.
                    let noted = self.note(&effect);
                    ending = ending.or(noted);
                    running.extend(runner.execute(effect));
                }
            }
            if over && running.is_empty() {
                return ending;
            }
            if !over && self.once && ending.is_some() {
                continue;
            }
            let wake = machine.wake_at().filter(|_| !over);
            let sleep = wake.map(|due| due.saturating_sub(self.context.started.elapsed()));
            tokio::select! {
                Some(one) = applied.recv() => inputs.push(one),
                changes = next_changes(runner.live.as_ref()), if !over => inputs.push(Input::Changed(changes)),
                Some(done) = running.next(), if !running.is_empty() => inputs.extend(done),
                () = tokio::time::sleep(sleep.unwrap_or(Duration::MAX)), if sleep.is_some() => inputs.push(Input::Tick),
                () = next_input_change(&mut watched.inputs), if !over => inputs.push(Input::RenderInputsChanged),
                () = next_input_change(&mut watched.login), if !over => {
                    runner.git_login.forget();
                    inputs.push(Input::CredentialsChanged);
                }
                () = next_input_change(&mut watched.signers), if !over => inputs.push(Input::RenderInputsChanged),
                of = next_hint(self.hinted.as_deref()), if !over => inputs.extend(self.hint(of)),
                () = &mut refresh, if !over => {
                    inputs.push(Input::RenderInputsChanged);
                    refresh = Box::pin(refresh_due(self.config.render.refresh, &runner.cache));
                }
                Ok(()) = phases.changed() => inputs.push(Input::WaitingFor(self.waiting_for())),
                annotations = next_annotations(&mut all_annotations, last_hint.parent()) => {
                    inputs.extend(last_hint.newer(annotations.as_ref()).into_iter().flat_map(|of| self.hint(of)));
                    match annotations {
                        Some(annotated) => inputs.extend(self.user_requests(annotated)),
                        None => running.push(Box::pin(self.parent_missing())),
                    }
                }
                leads = &mut promotion, if !over && !machine.leads() => {
                    runner.took_over.store(true, Ordering::Release);
                    inputs.push(leads);
                }
                () = &mut endangered, if !over => {
                    inputs.push(Input::StoreNow);
                    endangered = Box::pin(self.endangered(true));
                }
                () = self.stop.cancelled(), if !over => {}
            }
        }
    }

    /// Takes note of what other tasks want to know.
    fn note(&self, effect: &Effect) -> Option<Ending> {
        let Effect::Emit(event) = effect else { return None };
        match event {
            SyncEvent::Status(status) => self.context.registry.set_phase(&self.config.name, status.phase),
            SyncEvent::Ended(ended) => {
                return Some(Ending { result: ended.outcome, message: ended.message.clone() });
            }
            // A suspended sync is one that a person wants to be left alone: that is no error.
            SyncEvent::Suspended { .. } => {
                return Some(Ending { result: Outcome::Synced, message: "suspended".into() });
            }
            _ => {}
        }
        None
    }

    /// What a webhook means. Where a chart has changed, it is compared with its registry again by the next rendering.
    fn hint(&self, of: Of) -> Vec<Input> {
        if of == Of::Git {
            return vec![Input::Hinted];
        }
        for (of, location) in locations(&self.config) {
            if of == Of::Chart {
                self.context.remotes.outdated(location.path());
            }
        }
        vec![Input::Hinted, Input::RenderInputsChanged]
    }

    /// What annotations of the parent mean; nothing if it was newer already: a LIST may come from a cache that
    /// lags, and must not end a suspension. What is newer comes by the watch.
    fn user_requests(&self, annotated: Annotated) -> Option<Input> {
        let history = self.context.cluster.history();
        history
            .shown(&self.parent_id(), &config_maps(), &annotated.version)
            .then_some(Input::UserRequests(annotated.requests))
    }

    /// What it means that a LIST of the parents does not show this sync's. One that is known to have existed
    /// is asked for by its name.
    async fn parent_missing(&self) -> Option<Input> {
        if !self.context.cluster.history().knows(&self.parent_id()) {
            return Some(Input::ParentMissing);
        }
        let read = tokio::select! {
            read = read_annotated(&self.context.cluster, &self.context.namespace, &self.config.name) => read,
            () = self.stop.cancelled() => return None,
        };
        match read {
            Ok(Some(annotated)) => self.user_requests(annotated),
            Ok(None) => Some(Input::ParentMissing),
            // Nothing is known of it. The next write of it finds out.
            Err(_) => None,
        }
    }

    fn parent_id(&self) -> ObjectId {
        parent_id(&self.context.namespace, &self.config.name)
    }

    fn waiting_for(&self) -> Vec<String> {
        self.context.registry.with(|fleet| fleet.waiting_for(&self.config))
    }
}

/// A step of the machine. One that plans takes time with the number of objects: the other tasks of the thread
/// go on meanwhile.
fn step(machine: &mut Machine, input: Input, now: Moment) -> Vec<Effect> {
    let plans = matches!(
        input,
        Input::Rendered { .. }
            | Input::Observed { .. }
            | Input::ParentWritten { .. }
            | Input::Applied { .. }
            | Input::Pruned { .. }
            | Input::Leads { .. }
    );
    if plans { tokio::task::block_in_place(|| machine.step(input, now)) } else { machine.step(input, now) }
}

/// What the watches see next; never, without any.
async fn next_changes(live: Option<&Live>) -> Vec<Change> {
    match live {
        Some(live) => live.changed().await,
        None => std::future::pending().await,
    }
}

/// The next change of what is read there; never, where nothing is.
async fn next_input_change(watches: &mut Option<InputWatches>) {
    match watches {
        Some(watches) => watches.changed().await,
        None => std::future::pending().await,
    }
}

/// The next webhook that is about this sync; never, where none are received.
async fn next_hint(hinted: Option<&Hinted>) -> Of {
    match hinted {
        Some(hinted) => hinted.next().await,
        None => std::future::pending().await,
    }
}

/// The next annotations of this sync's parent, or that there is no parent; never, without a watch.
async fn next_annotations(
    all: &mut Option<watch::Receiver<Option<AllAnnotations>>>,
    parent: &str,
) -> Option<Annotated> {
    let Some(receiver) = all else { return std::future::pending().await };
    if receiver.changed().await.is_err() {
        *all = None;
        return std::future::pending().await;
    }
    let known = receiver.borrow_and_update().clone().unwrap_or_default();
    known.get(parent).cloned()
}
