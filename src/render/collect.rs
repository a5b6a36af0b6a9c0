//! What has been read so far, and the bounds on all of it together.

use std::sync::Arc;

use serde_json::Value;

use super::split::Position;
use super::{RenderError, Rendered, naming};
use crate::object::{Manifest, ObjectId, Origin, Readable};

/// Objects, refused ones included.
const MAX_OBJECTS: usize = 50_000;
/// Bytes of all documents with their aliases written out, by the measure of `node`.
const MAX_BYTES: usize = 256 << 20;
/// Errors that are kept; the rest is counted.
const MAX_ERRORS: usize = 1_000;

const TOO_LARGE: &str = "the repository declares more than driftless accepts; split it into several syncs";

fn too_many() -> String {
    format!("more than {MAX_OBJECTS} objects; split the repository into several syncs")
}

/// Manifests and errors in the order in which they were read.
#[derive(Default)]
pub struct Collector {
    manifests: Vec<Arc<Manifest>>,
    errors: Vec<RenderError>,
    unlisted: usize,
    objects: usize,
    bytes: usize,
    full: bool,
}

/// What several collectors hold together.
#[derive(Default)]
pub struct Load {
    objects: usize,
    bytes: usize,
}

impl Load {
    /// Counts what a collector has read.
    pub fn add(&mut self, collector: &Collector) {
        self.objects = self.objects.saturating_add(collector.objects);
        self.bytes = self.bytes.saturating_add(collector.bytes);
    }

    /// Whether it is beyond the bounds on all documents.
    pub fn is_too_much(&self) -> bool {
        self.objects > MAX_OBJECTS || self.bytes > MAX_BYTES
    }
}

impl Collector {
    /// Whether a bound was passed: nothing more is to be read.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Counts a document against the bound on all of them.
    pub fn count_bytes(&mut self, bytes: usize, file: &Arc<str>, place: Position) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_BYTES {
            self.stop(file, place, TOO_LARGE);
        }
    }

    /// Takes one object.
    pub fn take(&mut self, object: Value, file: &Arc<str>, place: Position) {
        if !self.count_object(file, place) {
            return;
        }
        if !object.is_object() && naming::of_another_tool(file, &object).is_none() {
            let found = if object.is_array() { "a list" } else { "a single value" };
            let message = format!(
                "not a Kubernetes manifest: the document is {found}; if this file is something else, name it in .driftlessignore"
            );
            return self.push(file, place.document(), &message, None);
        }
        let id = naming::identity(&object);
        if let Some(message) = naming::of_another_tool(file, &object) {
            return self.push(file, Position::FILE, message, None);
        }
        let place = place.document();
        match Manifest::from_value(object, Origin { file: file.clone(), line: place.line }) {
            Err(error) => self.push(file, place, &error.to_string(), id),
            Ok(manifest) => match naming::check(&manifest) {
                Err(error) => self.push(file, place, &error.to_string(), None),
                Ok(()) => self.manifests.push(Arc::new(manifest)),
            },
        }
    }

    /// Takes what another collector has read.
    pub fn absorb(&mut self, rendered: Rendered) {
        self.objects = self.objects.saturating_add(rendered.manifests.len() + rendered.errors.len());
        self.manifests.extend(rendered.manifests);
        self.errors.extend(rendered.errors);
    }

    /// Takes what another collector has read of the documents that follow, `file` being where they are. The bounds are on
    /// both together: beyond them nothing of the other is taken.
    pub fn append(&mut self, other: Self, file: &Arc<str>) {
        if self.full {
            return;
        }
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.objects = self.objects.saturating_add(other.objects);
        if self.bytes > MAX_BYTES {
            return self.stop(file, Position::FILE, TOO_LARGE);
        }
        if self.objects > MAX_OBJECTS {
            return self.stop(file, Position::FILE, &too_many());
        }
        self.full = other.full;
        self.manifests.extend(other.manifests);
        let room = MAX_ERRORS.saturating_sub(self.errors.len());
        self.unlisted += other.unlisted + other.errors.len().saturating_sub(room);
        self.errors.extend(other.errors.into_iter().take(room));
    }

    /// Counts one that is no object: to read millions of them takes time, too.
    pub fn skip(&mut self, file: &Arc<str>, place: Position) {
        self.count_object(file, place);
    }

    /// Notes a document that cannot be read.
    pub fn refuse(&mut self, file: &Arc<str>, place: Position, message: &str, object: Option<ObjectId>) {
        if self.count_object(file, place) {
            self.push(file, place, message, object);
        }
    }

    /// What was read; errors beyond the first thousand as one that gives their number.
    pub fn finish(mut self) -> Rendered {
        if let (1.., Some(last)) = (self.unlisted, self.errors.last().cloned()) {
            let message = format!("{} more errors after this one are not listed", self.unlisted);
            self.errors.push(RenderError { message, object: None, ..last });
        }
        Rendered { manifests: self.manifests, errors: self.errors, ..Rendered::default() }
    }

    fn count_object(&mut self, file: &Arc<str>, place: Position) -> bool {
        self.objects += 1;
        if self.objects > MAX_OBJECTS && !self.full {
            self.stop(file, place, &too_many());
        }
        !self.full
    }

    fn stop(&mut self, file: &Arc<str>, place: Position, message: &str) {
        self.full = true;
        // Above all other errors, or it would drown in them.
        self.errors.truncate(MAX_ERRORS - 1);
        self.push(file, place, &format!("{message}; from here on nothing was read"), None);
    }

    fn push(&mut self, file: &Arc<str>, place: Position, message: &str, object: Option<ObjectId>) {
        if self.errors.len() == MAX_ERRORS {
            self.unlisted += 1;
            return;
        }
        let Position { line, column } = place;
        self.errors.push(RenderError {
            file: file.clone(),
            line,
            column,
            message: Readable(message).to_string(),
            object,
        });
    }
}
