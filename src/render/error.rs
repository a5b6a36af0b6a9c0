//! What is wrong with a file or a document, and where it stands.

use std::fmt;
use std::sync::Arc;

use crate::object::{Manifest, ObjectId, Readable};

/// A file or a document that declares no object, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderError {
    /// Path relative to the repository's root.
    pub file: Arc<str>,
    /// Counted from 1; 0 where the error is about the whole file.
    pub line: u32,
    /// In characters, counted from 1; 0 where the error is about the whole document or file.
    pub column: u32,
    /// For people: on one line, without control characters, and without any value of a Secret.
    pub message: String,
    /// Where the document says as much.
    pub object: Option<ObjectId>,
}

impl RenderError {
    /// Returns an error about a whole object, at the place where it stands.
    #[must_use]
    pub fn of(manifest: &Manifest, message: String) -> Self {
        let (file, line) = (Arc::clone(&manifest.origin.file), manifest.origin.line);
        Self { file, line, column: 0, message, object: Some(manifest.id.clone()) }
    }

    /// Returns an error about a whole file, or about all that a path renders to.
    #[must_use]
    pub fn of_file(file: &Arc<str>, message: String) -> Self {
        Self { file: Arc::clone(file), line: 0, column: 0, message, object: None }
    }
}

/// `file:line:column: message`, without what is 0.
impl fmt::Display for RenderError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Readable(&self.file).fmt(out)?;
        for place in [self.line, self.column].into_iter().filter(|place| *place > 0) {
            write!(out, ":{place}")?;
        }
        write!(out, ": {}", self.message)
    }
}

impl std::error::Error for RenderError {}
