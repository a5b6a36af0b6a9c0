//! The documents of one answer, and how they are read: by one thread or by several.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread;

use super::Rendered;
use super::collect::Collector;
use super::file::Reader;
use super::inputs::Variable;
use super::response::RenderedDocument;
use super::split::Position;
use crate::object::{Manifest, fields_of_chance};

/// Threads that read documents of one answer. Renders of several syncs run side by side already.
const MOST_THREADS: usize = 4;
/// Bytes of documents from which on several threads read them.
const WORTH_THREADS: usize = 512 << 10;

/// How many threads read.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS)
}

/// Values of variables by their names.
pub(super) type Variables = BTreeMap<String, Variable>;

/// How documents are read.
pub(super) struct Reading<'a> {
    /// Named where a document has no better place.
    pub path: &'a Arc<str>,
    /// `None`: references to variables are text.
    pub variables: Option<&'a Variables>,
}

/// Texts of a second render by the index of their document, where those differ.
pub(super) type Second<'a> = HashMap<usize, &'a str>;

impl Reading<'_> {
    /// Reads documents. Megabytes of them, as charts with many definitions have, are read by several threads.
    pub fn read_all(&self, documents: &[RenderedDocument], again: &Second<'_>) -> Collector {
        let bytes: usize = documents.iter().map(|document| document.yaml.len()).sum();
        let threads = threads();
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
    pub fn read_some<'d>(
        &self,
        documents: impl IntoIterator<Item = &'d RenderedDocument>,
        again: &Second<'_>,
        first: usize,
    ) -> Collector {
        let mut collector = Collector::default();
        for (index, document) in documents.into_iter().enumerate() {
            self.read(document, again.get(&(first + index)).copied(), &mut collector);
            if collector.is_full() {
                break;
            }
        }
        collector
    }

    /// Reads a document. Where a second render has made another text of it, what differs is set at its creation alone.
    pub fn read(&self, document: &RenderedDocument, again: Option<&str>, into: &mut Collector) {
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
