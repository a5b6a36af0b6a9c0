//! What a server answers, read as it comes: a pack is never in memory as a whole.

use std::io::{self, Read};
use std::sync::Arc;

use hyper::body::Bytes;
use reqwest::Response;

use super::client::Session;
use crate::source::error::SourceError;

/// A limit on a body, and what it means that there is more.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// References: what is longer than this is an error.
    References(usize),
    Pack(usize),
}

/// What a server answers, read as it comes.
pub(super) struct Body {
    session: Arc<Session>,
    response: Response,
    chunk: Bytes,
    left: usize,
    limit: Limit,
}

impl Body {
    pub fn new(session: &Arc<Session>, response: Response, limit: Limit) -> Self {
        let (Limit::References(left) | Limit::Pack(left)) = limit;
        Self { session: Arc::clone(session), response, chunk: Bytes::new(), left, limit }
    }

    fn next(&mut self) -> Result<bool, SourceError> {
        let read = self.session.wait(self.response.chunk())?;
        let chunk = read.map_err(|error| self.session.asked_last().of_request(&error))?;
        let Some(chunk) = chunk else { return Ok(false) };
        let url = || self.session.settings.scrub.display_url().to_owned();
        self.left = self.left.checked_sub(chunk.len()).ok_or_else(|| match self.limit {
            Limit::References(limit_bytes) => SourceError::TooManyReferences { url: url(), limit_bytes },
            Limit::Pack(limit_bytes) => SourceError::TooMuchData { url: url(), limit_bytes },
        })?;
        self.chunk = chunk;
        Ok(true)
    }
}

impl Read for Body {
    /// Errors hold a [`SourceError`].
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            if !self.next().map_err(io::Error::other)? {
                return Ok(0);
            }
        }
        let taken = self.chunk.split_to(self.chunk.len().min(buffer.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}
