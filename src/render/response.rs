//! What the helper `driftless-renderer` answers, and the manifests in it. `renderer/README.md` holds the protocol.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread;

use serde::Deserialize;
use thiserror::Error;

use super::collect::Collector;
use super::file::Reader;
use super::hooks;
use super::inputs::{Inputs, LookupQuestion};
use super::split::Position;
use super::{RenderError, Rendered, Settings, Want};
use crate::object::{Manifest, Readable, fields_of_chance};
use crate::source::Dependencies;

/// Threads that read documents of one answer. Renders of several syncs run side by side already.
const MOST_THREADS: usize = 4;
/// Bytes of documents from which on several threads read them.
const WORTH_THREADS: usize = 512 << 10;

/// The answer is not one of the protocol: the helper is of another version, or was ended in the middle.
#[derive(Debug, Error)]
#[error("the answer of driftless-renderer cannot be read: {0}; it is of another version than driftless, or damaged")]
pub struct ResponseError(#[from] serde_json::Error);

/// The whole answer.
#[derive(Debug, Deserialize)]
pub struct Response {
    documents: Vec<RenderedDocument>,
    hooks: Vec<Hook>,
    lookups: Vec<Lookup>,
    /// Without it nothing was rendered.
    #[serde(default)]
    wants: Vec<Want>,
    read: Vec<String>,
    absent: Vec<String>,
    listed: Vec<String>,
    warnings: Vec<String>,
    error: Option<Failure>,
    /// Documents that a second render has made otherwise.
    #[serde(default)]
    again: Vec<Again>,
    /// The second render has other documents, not only other content.
    #[serde(default)]
    again_error: String,
}

/// One document.
#[derive(Debug, Deserialize)]
pub(super) struct RenderedDocument {
    pub yaml: String,
    pub source: String,
    #[serde(default)]
    pub file: String,
    #[serde(default)]
    pub line: u32,
}

/// A manifest that Helm applies at certain events.
#[derive(Debug, Deserialize)]
pub(super) struct Hook {
    #[serde(flatten)]
    pub document: RenderedDocument,
    pub kind: String,
    pub name: String,
    pub events: Vec<String>,
    pub weight: i64,
}

#[derive(Debug, Deserialize)]
struct Lookup {
    #[serde(flatten)]
    question: LookupQuestion,
    answered: bool,
}

#[derive(Debug, Deserialize)]
struct Again {
    index: usize,
    #[serde(default)]
    hook: bool,
    yaml: String,
}

#[derive(Debug, Deserialize)]
struct Failure {
    message: String,
    #[serde(default)]
    file: String,
    #[serde(default)]
    line: u32,
    #[serde(default)]
    column: u32,
    #[serde(default)]
    template: String,
    #[serde(default)]
    chart: String,
    #[serde(default)]
    values_key: String,
}

impl Response {
    /// # Errors
    /// It is no answer.
    pub fn parse(bytes: &[u8]) -> Result<Self, ResponseError> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// What templates asked of the cluster and was not answered. They saw nothing there.
    pub fn unanswered(&self) -> impl Iterator<Item = &LookupQuestion> {
        self.lookups.iter().filter(|lookup| !lookup.answered).map(|lookup| &lookup.question)
    }

    /// What the helper needs of other hosts before it renders.
    #[must_use]
    pub fn wants(&self) -> &[Want] {
        &self.wants
    }

    /// The paths on which the answer depends.
    #[must_use]
    pub fn dependencies(&self) -> Dependencies {
        let mut paths: Vec<String> = [&self.read, &self.absent, &self.listed].into_iter().flatten().cloned().collect();
        paths.sort_unstable();
        paths.dedup();
        Dependencies { paths }
    }

    /// The files whose content is part of the answer.
    #[must_use]
    pub fn read_files(&self) -> &[String] {
        &self.read
    }

    /// Why there are no manifests, where the render failed as a whole. `path` is named where it has no better place.
    #[must_use]
    pub fn failure(&self, path: &Arc<str>) -> Option<RenderError> {
        if let Some(failure) = &self.error {
            return Some(failure.error(path));
        }
        let message = || {
            format!(
                "the chart renders to other objects each time, so they would be made and deleted without end: {}",
                Readable(&one_line(&self.again_error))
            )
        };
        (!self.again_error.is_empty()).then(|| RenderError::of_file(path, message()))
    }

    /// The manifests of a render that did not fail. `path` is named where an error has no better place.
    ///
    /// # Errors
    /// One of its hooks cannot be read.
    pub fn rendered(&self, path: &Arc<str>, settings: &Settings, inputs: &Inputs) -> Result<Rendered, RenderError> {
        let warnings = self.warnings.iter().map(|warning| Readable(&one_line(warning)).to_string()).collect();
        let reading = Reading { path, variables: settings.config.substitution.as_ref().map(|_| &inputs.variables) };
        let second = |hook: bool| -> HashMap<usize, &str> {
            let again = self.again.iter().filter(|again| again.hook == hook);
            again.map(|again| (again.index, again.yaml.as_str())).collect()
        };
        let mut rendered = reading.read_all(&self.documents, &second(false)).finish();
        rendered.warnings = warnings;
        let again = second(true);
        let hooks = self.hooks.iter().enumerate().map(|(index, hook)| {
            let mut collector = Collector::default();
            reading.read(&hook.document, again.get(&index).copied(), &mut collector);
            (hook, collector.finish())
        });
        hooks::order(rendered, hooks)
    }
}

impl Failure {
    fn error(&self, path: &Arc<str>) -> RenderError {
        let mut message = Readable(&one_line(&self.message)).to_string();
        // Helm begins with the place, which is said beside the message.
        let place = format!("{}:{}:{}", self.template, self.line, self.column);
        if let Some(rest) = message.strip_prefix(&place).filter(|_| !self.template.is_empty()) {
            message = rest.trim_start_matches([':', ';', ' ']).into();
        }
        // The name of a patch stands for a file.
        if let Some(rest) = message.strip_prefix(&self.file).filter(|_| self.file.starts_with("render.")) {
            message = rest.trim_start_matches([':', ' ']).into();
        }
        let parts = [("template", &self.template), ("chart", &self.chart), ("value", &self.values_key)];
        for (what, name) in parts {
            if !name.is_empty() && !message.contains(name.as_str()) && *name != self.file {
                message.push_str(&format!(" ({what} {})", Readable(name)));
            }
        }
        let file = if self.file.is_empty() { Arc::clone(path) } else { self.file.as_str().into() };
        RenderError { file, line: self.line, column: self.column, message, object: None }
    }
}

/// A message of several lines as one, its parts separated by semicolons where no other sign does it.
fn one_line(message: &str) -> String {
    let mut joined = String::with_capacity(message.len());
    for line in message.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match joined.chars().last() {
            None => {}
            Some(':' | ';' | ',') => joined.push(' '),
            Some(_) => joined.push_str("; "),
        }
        joined.push_str(line.trim_start_matches("- "));
    }
    joined
}

/// Consecutive documents of so many bytes or a document more, each part with the index of its first one.
fn split_by_bytes(documents: &[RenderedDocument], each: usize) -> Vec<(usize, &[RenderedDocument])> {
    let (mut parts, mut first, mut bytes) = (Vec::new(), 0, 0);
    for (index, document) in documents.iter().enumerate() {
        bytes += document.yaml.len();
        if bytes >= each {
            parts.push((first, &documents[first..=index]));
            (first, bytes) = (index + 1, 0);
        }
    }
    if first < documents.len() {
        parts.push((first, &documents[first..]));
    }
    parts
}

/// How documents are read.
struct Reading<'a> {
    path: &'a Arc<str>,
    variables: Option<&'a BTreeMap<String, super::inputs::Variable>>,
}

impl Reading<'_> {
    /// Reads documents, `again` being the texts of a second render by their index, where those differ. Megabytes of them,
    /// as charts with many definitions have, are read by several threads.
    fn read_all(&self, documents: &[RenderedDocument], again: &HashMap<usize, &str>) -> Collector {
        let bytes: usize = documents.iter().map(|document| document.yaml.len()).sum();
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        if bytes < WORTH_THREADS || threads == 1 {
            return self.read_some(documents, again, 0);
        }
        let parts = split_by_bytes(documents, bytes.div_ceil(threads));
        thread::scope(|scope| {
            let read = |(first, part)| scope.spawn(move || self.read_some(part, again, first));
            let running: Vec<_> = parts.into_iter().map(read).collect();
            let mut all = Collector::default();
            for part in running {
                let part = part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                all.append(part, self.path);
            }
            // Where the bounds cut it off is the same however many threads there are.
            if all.is_full() { self.read_some(documents, again, 0) } else { all }
        })
    }

    /// Reads documents of which the first one has the index `first`.
    fn read_some(&self, documents: &[RenderedDocument], again: &HashMap<usize, &str>, first: usize) -> Collector {
        let mut collector = Collector::default();
        for (index, document) in documents.iter().enumerate() {
            self.read(document, again.get(&(first + index)).copied(), &mut collector);
            if collector.is_full() {
                break;
            }
        }
        collector
    }

    /// Reads a document. Where a second render has made another text of it, what differs is set at its creation alone.
    fn read(&self, document: &RenderedDocument, again: Option<&str>, into: &mut Collector) {
        let Some(again) = again else { return self.parse(document, &document.yaml, into) };
        let [first, second] = [document.yaml.as_str(), again].map(|text| {
            let mut collector = Collector::default();
            self.parse(document, text, &mut collector);
            collector.finish()
        });
        let same = |(one, other): (&Arc<Manifest>, &Arc<Manifest>)| one.id == other.id;
        let file = self.file(document);
        if first.manifests.len() != second.manifests.len() || !first.manifests.iter().zip(&second.manifests).all(same) {
            let message = "the chart gives this object another name or kind at each render, so it would be made and \
                           deleted without end; set the name by a value, or by a patch in render.patches";
            let object = first.manifests.first().map(|manifest| manifest.id.clone());
            return into.refuse(&file, Position::FILE, message, object);
        }
        let manifests = first.manifests.iter().zip(&second.manifests).filter_map(|(one, other)| {
            let paths = fields_of_chance(&one.to_value(), &other.to_value());
            match one.with_fields_of_chance(&paths) {
                Ok(marked) => Some(Arc::new(marked)),
                Err(error) => {
                    into.refuse(&file, Position::FILE, &error.to_string(), Some(one.id.clone()));
                    None
                }
            }
        });
        let manifests = manifests.collect();
        into.absorb(Rendered { manifests, ..first });
    }

    fn parse(&self, document: &RenderedDocument, text: &str, into: &mut Collector) {
        let file = self.file(document);
        let whole = Position { line: document.line, column: 0 };
        // Lines of what is rendered are those of no file.
        let mut reader = Reader::new(&file, self.variables, into);
        reader.rendered = true;
        reader.read_document(text, whole, |_| whole);
    }

    fn file(&self, document: &RenderedDocument) -> Arc<str> {
        match (document.file.as_str(), document.source.as_str()) {
            ("", "") => Arc::clone(self.path),
            ("", source) => source.into(),
            (file, _) => file.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(name: &str, bytes: usize) -> RenderedDocument {
        let text = "x".repeat(bytes);
        let yaml = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{text: {text}}}\n");
        RenderedDocument { yaml, source: format!("templates/{name}.yaml"), file: String::new(), line: 0 }
    }

    fn read(documents: &[RenderedDocument], again: &HashMap<usize, &str>) -> [Rendered; 2] {
        let path = Arc::from("chart");
        let reading = Reading { path: &path, variables: None };
        [reading.read_all(documents, again), reading.read_some(documents, again, 0)].map(Collector::finish)
    }

    #[test]
    fn documents_that_several_threads_read_are_those_that_one_reads() {
        let mut documents: Vec<RenderedDocument> = (0..100).map(|at| document(&format!("c-{at}"), 20 << 10)).collect();
        documents[30].yaml = "kind: [".into();
        documents[77].yaml.push_str("more: tRue\n");
        let changed = document("c-60", 20 << 10).yaml.replace("x\n", "y\n").replace("x}", "y}");
        let again = HashMap::from([(60, changed.as_str())]);
        let [by_many, by_one] = read(&documents, &again);
        let shown = |rendered: &Rendered| {
            let manifests = rendered.manifests.iter().map(|manifest| format!("{:?}", manifest.to_value()));
            (manifests.collect::<Vec<_>>(), format!("{:?}", rendered.errors))
        };
        assert_eq!(shown(&by_many), shown(&by_one));
        assert_eq!((by_many.manifests.len(), by_many.errors.len()), (98, 2));
        assert_eq!(by_many.errors[0].file.as_ref(), "templates/c-30.yaml");
    }

    #[test]
    fn the_bounds_are_on_what_all_threads_read() {
        let documents: Vec<RenderedDocument> = (0..60_000).map(|at| document(&format!("c-{at}"), 1)).collect();
        let [by_many, by_one] = read(&documents, &HashMap::new());
        for rendered in [by_many, by_one] {
            assert_eq!(rendered.manifests.len(), 50_000);
            let last = rendered.errors.last().unwrap();
            assert!(last.message.contains("more than 50000 objects"), "{}", last.message);
        }
    }

    #[test]
    fn parts_hold_every_document_once_in_their_order() {
        let documents: Vec<RenderedDocument> = [10, 5_000, 10, 10, 3_000, 10].map(|bytes| document("c", bytes)).into();
        for each in [1, 100, 4_000, 1_000_000] {
            let parts = split_by_bytes(&documents, each);
            let mut next = 0;
            for (first, part) in parts {
                assert_eq!(first, next);
                assert!(!part.is_empty());
                next += part.len();
            }
            assert_eq!(next, documents.len(), "{each}");
        }
        assert!(split_by_bytes(&[], 10).is_empty());
    }
}
