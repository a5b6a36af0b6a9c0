//! What the helper `driftless-renderer` answers, and the manifests in it. `renderer/README.md` holds the protocol.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::Error as _;
use thiserror::Error;

use super::collect::Collector;
use super::early::Early;
use super::hooks;
use super::inputs::{Inputs, LookupQuestion};
use super::reading::{Reading, Second};
use super::{RenderError, Rendered, Settings, Want};
use crate::object::Readable;
use crate::source::Dependencies;

/// The answer is not one of the protocol: the helper is of another version, or was ended in the middle.
#[derive(Debug, Error)]
#[error("the answer of driftless-renderer cannot be read: {0}; it is of another version than driftless, or damaged")]
pub struct ResponseError(#[from] serde_json::Error);

/// The whole answer.
#[derive(Debug, Deserialize)]
pub struct Response {
    documents: Vec<RenderedDocument>,
    /// How many documents came before it; its own follow them.
    #[serde(default)]
    sent: usize,
    /// Those that did.
    #[serde(skip)]
    early: Option<Early>,
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
#[derive(Clone, Debug, Deserialize)]
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
    /// An answer to which nothing came early.
    ///
    /// # Errors
    /// It is no answer.
    pub fn parse(bytes: &[u8]) -> Result<Self, ResponseError> {
        Self::with_early(bytes, None)
    }

    /// An answer with the documents that came before it.
    pub(super) fn with_early(bytes: &[u8], early: Option<Early>) -> Result<Self, ResponseError> {
        let mut response: Self = serde_json::from_slice(bytes)?;
        // Beside an error or a want, what came is half a render.
        if response.error.is_none() && response.wants.is_empty() {
            let came = early.as_ref().map_or(0, Early::count);
            if came != response.sent {
                let message = format!("{came} documents came before it, and it counts {}", response.sent);
                return Err(ResponseError(serde_json::Error::custom(message)));
            }
            response.early = early;
        }
        Ok(response)
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
        let second = |hook: bool| -> Second<'_> {
            let again = self.again.iter().filter(|again| again.hook == hook);
            again.map(|again| (again.index, again.yaml.as_str())).collect()
        };
        let mut rendered = match &self.early {
            Some(early) => early.read(&reading, &self.documents, &second(false)),
            None => reading.read_all(&self.documents, &second(false)),
        }
        .finish();
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
