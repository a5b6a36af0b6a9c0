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

impl Collector {
    /// Whether a bound was passed: nothing more is to be read.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Counts a document against the bound on all of them.
    pub fn count_bytes(&mut self, bytes: usize, file: &Arc<str>, place: Position) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_BYTES {
            self.stop(file, place, "the repository declares more than driftless accepts; split it into several syncs");
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
                Err(message) => self.push(file, place, &message, None),
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
            let message = format!("more than {MAX_OBJECTS} objects; split the repository into several syncs");
            self.stop(file, place, &message);
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
