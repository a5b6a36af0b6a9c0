//! What libgit2 fetches with over HTTP. It gives whoever makes a transport the URL alone, so a call's settings reach it by
//! a variable of the thread.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport, register};
use git2::{Error, ErrorClass, ErrorCode};

use super::body::{Body, Limit};
use super::client::{Session, Settings, Version};
use super::failure::inner;
use crate::source::error::SourceError;

/// Bytes of one request: what is wanted, of a repository with a million branches and tags.
const MOST_REQUEST: usize = 64 << 20;

thread_local! {
    static CALL: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

struct Shared {
    settings: Settings,
    /// Why it failed: libgit2 carries nothing but a text.
    failure: Mutex<Option<SourceError>>,
}

impl Shared {
    fn fail(&self, error: SourceError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// A call of libgit2 over HTTP, which this thread is about to make. It ends when this is dropped.
pub(in crate::source) struct Call {
    shared: Arc<Shared>,
    before: Option<Arc<Shared>>,
    /// It stays on its thread.
    thread: PhantomData<*const ()>,
}

impl Call {
    /// # Errors
    /// libgit2 does not take our transport.
    pub fn begin(settings: Settings) -> Result<Self, SourceError> {
        if let Err(detail) = register_once() {
            let url = settings.scrub.display_url().to_owned();
            return Err(SourceError::Unreachable { url, detail: detail.clone() });
        }
        let shared = Arc::new(Shared { settings, failure: Mutex::new(None) });
        let before = CALL.replace(Some(Arc::clone(&shared)));
        Ok(Self { shared, before, thread: PhantomData })
    }

    /// Why it failed, where that was on the way to the server and back.
    pub fn failure(self) -> Option<SourceError> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        CALL.set(self.before.take());
    }
}

fn register_once() -> Result<(), &'static String> {
    static REGISTERED: OnceLock<Result<(), String>> = OnceLock::new();
    let registered = REGISTERED.get_or_init(|| {
        ["https", "http"].iter().try_for_each(|scheme| {
            let make = |remote: &git2::Remote<'_>| {
                let shared = CALL.with_borrow(Clone::clone);
                let shared = shared.ok_or_else(|| failed("a call without settings"))?;
                Transport::smart(remote, true, Subtransport { shared, session: OnceLock::new() })
            };
            // SAFETY: libgit2 adds to a list that every making of a transport reads without a lock. `OnceLock` lets a single
            // thread do so, before any transport is made: libgit2 makes one when it connects, and whoever connects comes
            // by `limit_waiting`, which calls this first and waits for it.
            #[allow(unsafe_code)]
            unsafe { register(scheme, make) }.map_err(|error| error.message().to_owned())
        })
    });
    registered.as_ref().copied()
}

/// Has libgit2 use this transport. To be called before any connection of libgit2.
pub(in crate::source) fn install() {
    // `Call::begin` reports it to whoever needs it.
    let _ = register_once();
}

struct Subtransport {
    shared: Arc<Shared>,
    session: OnceLock<Arc<Session>>,
}

impl Subtransport {
    fn session(&self) -> Result<Arc<Session>, SourceError> {
        if let Some(session) = self.session.get() {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(Session::open(self.shared.settings.clone())?);
        Ok(Arc::clone(self.session.get_or_init(|| session)))
    }
}

impl SmartSubtransport for Subtransport {
    /// Of the URL of the settings: libgit2's may have been replaced by a rule of a configuration of git, for which nobody has
    /// checked where credentials go.
    fn action(&self, _url: &str, service: Service) -> Result<Box<dyn SmartSubtransportStream>, Error> {
        let state = match service {
            Service::UploadPackLs => State::Listing,
            Service::UploadPack => State::Writing(Vec::new()),
            Service::ReceivePackLs | Service::ReceivePack => return Err(failed("nothing is pushed")),
        };
        let session = self.session().map_err(|error| {
            self.shared.fail(error);
            failed("no connection can be made")
        })?;
        Ok(Box::new(Stream { session, shared: Arc::clone(&self.shared), state }))
    }

    fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// One request and its answer. The request is complete when libgit2 reads.
struct Stream {
    session: Arc<Session>,
    shared: Arc<Shared>,
    state: State,
}

enum State {
    Listing,
    Writing(Vec<u8>),
    Reading(Box<Body>),
    /// It failed.
    Ended,
}

impl Stream {
    fn ask(&mut self) -> Result<(), SourceError> {
        let body = match std::mem::replace(&mut self.state, State::Ended) {
            State::Listing => self.session.references(Version::Zero)?,
            State::Writing(request) => {
                let limit = Limit::Pack(self.shared.settings.most_bytes);
                self.session.exchange(request, Version::Zero, limit)?
            }
            other => {
                self.state = other;
                return Ok(());
            }
        };
        self.state = State::Reading(Box::new(body));
        Ok(())
    }

    /// libgit2 takes a text without zero bytes, and what a server says may have some: the error itself goes by the call.
    fn failed(&self, error: SourceError) -> io::Error {
        self.shared.fail(error);
        io::Error::other("the request over HTTP failed")
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Err(error) = self.ask() {
            return Err(self.failed(error));
        }
        let State::Reading(body) = &mut self.state else { return Ok(0) };
        body.read(buffer).map_err(|error| match inner(error) {
            Ok(error) => self.failed(error),
            Err(_) => io::Error::other("the request over HTTP failed"),
        })
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let State::Writing(request) = &mut self.state else {
            return Err(io::Error::other("a request was written after its end"));
        };
        if request.len() + bytes.len() > MOST_REQUEST {
            let url = self.shared.settings.scrub.display_url().to_owned();
            return Err(self.failed(SourceError::TooManyReferences { url, limit_bytes: MOST_REQUEST }));
        }
        request.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed(message: &str) -> Error {
    Error::new(ErrorCode::GenericError, ErrorClass::Http, message)
}
