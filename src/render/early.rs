//! Documents that came before the end of an answer, and the threads that read them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::{fmt, mem};

use super::collect::{Collector, Load};
use super::reading::{Reading, Second, Variables, threads};
use super::response::RenderedDocument;

/// Documents that came early, and a thread that reads them. It ends soon after this is dropped.
pub(super) struct Early {
    work: Arc<Work>,
    /// `None`: there is no such thread, or its result was taken.
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Early {
    /// Without any document yet. Errors name `path` where a document has no better place.
    pub fn start(path: Arc<str>, variables: Option<Variables>) -> Self {
        let work = Arc::<Work>::default();
        let shared = Arc::clone(&work);
        let read = move || shared.read(&Reading { path: &path, variables: variables.as_ref() }, true);
        // Without a thread all of them are read at the end.
        let thread = thread::Builder::new().spawn(read).ok();
        Self { work, thread: Mutex::new(thread) }
    }

    /// Adds documents, which follow those that came before.
    pub fn add(&self, documents: Vec<RenderedDocument>) {
        let mut state = lock(&self.work.state);
        for document in documents {
            let index = state.documents.len();
            state.todo.push_back(index);
            state.documents.push(Arc::new(document));
            state.read.push(None);
        }
        self.work.changed.notify_all();
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        lock(&self.work.state).documents.len()
    }

    /// Reads what is not read yet, by several threads, and the documents that follow. The result is that of one thread
    /// which reads all of them one after the other.
    pub fn read(&self, reading: &Reading<'_>, following: &[RenderedDocument], again: &Second<'_>) -> Collector {
        let (documents, collectors) = match lock(&self.thread).take() {
            Some(thread) => self.finish(thread, reading, again),
            None => (lock(&self.work.state).documents.clone(), Vec::new()),
        };
        let mut all = Collector::default();
        // Those that are missing were left out, beyond the bounds on all of them.
        let complete = collectors.len() == documents.len();
        for collector in collectors {
            all.append(collector, reading.path);
        }
        if complete {
            all.append(reading.read_some(following, again, documents.len()), reading.path);
        }
        if complete && !all.is_full() {
            return all;
        }
        // Where the bounds cut it off is the same however many threads there are.
        reading.read_some(documents.iter().map(AsRef::as_ref).chain(following), again, 0)
    }

    fn finish(
        &self,
        thread: JoinHandle<()>,
        reading: &Reading<'_>,
        again: &Second<'_>,
    ) -> (Vec<Arc<RenderedDocument>>, Vec<Collector>) {
        self.work.close(again);
        thread::scope(|scope| {
            for _ in 2..threads() {
                scope.spawn(|| self.work.read(reading, false));
            }
            self.work.read(reading, false);
        });
        // With nothing left to do it ends by itself.
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let mut state = lock(&self.work.state);
        (state.documents.clone(), mem::take(&mut state.read).into_iter().flatten().collect())
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        lock(&self.work.state).over = true;
        self.work.changed.notify_all();
    }
}

impl fmt::Debug for Early {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Early({})", self.count())
    }
}

/// What several threads read, a document at a time.
#[derive(Default)]
struct Work {
    state: Mutex<State>,
    /// There is more to do, or there will be no more.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    documents: Vec<Arc<RenderedDocument>>,
    /// By their index; what is being read is not among them.
    todo: VecDeque<usize>,
    /// What was made of each document.
    read: Vec<Option<Collector>>,
    /// Texts of a second render by the index of their document.
    again: HashMap<usize, Arc<str>>,
    load: Load,
    /// No more documents come.
    closed: bool,
    /// Nothing more is to be read: a bound was passed, or nobody waits for it.
    over: bool,
}

impl Work {
    /// Reads until there is nothing left; with `wait`, until no more comes.
    fn read(&self, reading: &Reading<'_>, wait: bool) {
        while let Some((index, document, again)) = self.next(wait) {
            let mut collector = Collector::default();
            reading.read(&document, again.as_deref(), &mut collector);
            let mut state = lock(&self.state);
            // What was begun before the second text came is read anew with it.
            if again.is_some() || !state.again.contains_key(&index) {
                state.load.add(&collector);
                state.over |= state.load.is_too_much();
                state.read[index] = Some(collector);
            }
        }
    }

    fn next(&self, wait: bool) -> Option<(usize, Arc<RenderedDocument>, Option<Arc<str>>)> {
        let mut state = lock(&self.state);
        loop {
            if state.over {
                return None;
            }
            if let Some(index) = state.todo.pop_front() {
                return Some((index, Arc::clone(&state.documents[index]), state.again.get(&index).cloned()));
            }
            if state.closed || !wait {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// No more documents come, and of some this is the second text.
    fn close(&self, again: &Second<'_>) {
        let mut state = lock(&self.state);
        state.closed = true;
        self.changed.notify_all();
        if state.over {
            // Whatever was read does not count.
            return;
        }
        let early = again.iter().filter(|(index, _)| **index < state.documents.len());
        state.again = early.map(|(index, text)| (*index, Arc::from(*text))).collect();
        let todo: HashSet<usize> = state.todo.iter().copied().collect();
        let mut anew: Vec<usize> = state.again.keys().filter(|index| !todo.contains(index)).copied().collect();
        anew.sort_unstable();
        for index in &anew {
            state.read[*index] = None;
        }
        state.todo.extend(anew);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
