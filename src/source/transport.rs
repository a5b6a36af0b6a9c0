//! Talking to a git server: listing references, fetching packs, and what libgit2's errors mean. Over HTTP it is [`http`] that
//! connects.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use git2::cert::Cert;
use git2::{
    AutotagOption, CertificateCheckStatus, Direction, Error, ErrorClass, ErrorCode, FetchOptions, Remote,
    RemoteCallbacks, Repository,
};

use super::credentials::Credentials;
use super::error::SourceError;
use super::http;
use super::known_hosts::Verdict;
use super::login::Login;
use super::reference::Head;
use super::scrub::{HIDDEN, Scrubber};

/// Milliseconds until a server must have accepted the connection.
const CONNECT_MS: i32 = 10_000;
/// Milliseconds of silence on a connection. Servers send progress every few seconds while they pack.
const SILENCE_MS: i32 = 30_000;

/// A connection's worth of settings.
pub(super) struct Transport<'a> {
    pub url: &'a str,
    pub scrub: &'a Scrubber,
    /// What the configuration names in place of what the URL has.
    pub login: Option<&'a Login>,
    pub cancel: &'a Arc<AtomicBool>,
    /// Bytes of one pack; what is longer is given up.
    pub most_bytes: usize,
}

/// Why a fetch gave nothing.
pub(super) enum TransferError {
    /// The network, the server, or we ourselves: the clone is as good as before.
    Failed(SourceError),
    /// The server, or libgit2 on its behalf, cannot send a part of the history.
    NotShallow,
    /// The server does not give this object: not at all, or only by the name of a branch or tag.
    NotByCommit,
    /// Anything else is held to be the clone's fault.
    Damaged(String),
}

/// What happened during a call that libgit2's own error does not say.
#[derive(Default)]
struct Call {
    stopped: Cell<Stopped>,
    /// Why the host key of a server was refused.
    host_key: RefCell<Option<String>>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Stopped {
    #[default]
    No,
    Cancelled,
    TooMuch,
}

impl Transport<'_> {
    /// `ls-remote`: at least the references whose names begin so.
    pub fn list(&self, wanted: &[String]) -> Result<Vec<Head>, SourceError> {
        let action = "polling";
        if http::is_http(self.url) {
            return http::list(self.settings(action), wanted);
        }
        limit_waiting();
        let call = Call::default();
        let failed = |error: Error| self.failed(&error, action, &call);
        let mut remote = Remote::create_detached(self.url).map_err(failed)?;
        let connected = remote.connect_auth(Direction::Fetch, Some(self.callbacks(&call)), None);
        let connection = connected.map_err(failed)?;
        let heads = connection.list().map_err(failed)?;
        Ok(heads.iter().map(|head| Head { name: head.name().to_owned(), id: head.oid().to_string() }).collect())
    }

    /// Fetches into a repository. `depth` 0 is all of the history.
    pub fn fetch(&self, repository: &Repository, refspecs: &[String], depth: i32) -> Result<(), TransferError> {
        limit_waiting();
        let over_http = http::is_http(self.url).then(|| http::Call::begin(self.settings("fetching from")));
        let over_http = over_http.transpose().map_err(TransferError::Failed)?;
        let call = Call::default();
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(self.callbacks(&call))
            .download_tags(AutotagOption::None)
            .update_fetchhead(false)
            .depth(depth);
        let fetched = repository
            .remote_anonymous(self.url)
            .and_then(|mut remote| remote.fetch(refspecs, Some(&mut options), Some("driftless")));
        let Err(error) = fetched else { return Ok(()) };
        Err(match call.stopped.get() {
            Stopped::Cancelled => TransferError::Failed(self.cancelled("fetching from")),
            Stopped::TooMuch => TransferError::Failed(SourceError::TooMuchData {
                url: self.scrub.display_url().to_owned(),
                limit_bytes: self.most_bytes,
            }),
            Stopped::No => match over_http.and_then(http::Call::failure) {
                Some(error) => TransferError::Failed(error),
                None => self.transfer_error(&error, depth, repository, &call),
            },
        })
    }

    fn settings(&self, action: &'static str) -> http::Settings {
        http::Settings {
            url: self.url.to_owned(),
            scrub: self.scrub.with(self.login),
            login: self.login.cloned().map(Arc::new),
            cancel: Arc::clone(self.cancel),
            action,
            most_bytes: self.most_bytes,
        }
    }

    fn transfer_error(&self, error: &Error, depth: i32, into: &Repository, call: &Call) -> TransferError {
        // libgit2 has no codes for these; the texts are those of its smart and local transports, and of git itself.
        let message = error.message();
        if depth > 0 && message.contains("shallow") {
            return TransferError::NotShallow;
        }
        let not_by_commit =
            ["cannot fetch a specific object", "not our ref", "unadvertised object", "unexpected packet type"];
        if not_by_commit.iter().any(|text| message.contains(text)) {
            return TransferError::NotByCommit;
        }
        // libgit2 puts the system's words at the end. The clone is not to blame, and another one has no more room.
        let disk = ["No space left on device", "Disk quota exceeded", "Read-only file system"];
        if disk.iter().any(|text| message.contains(text)) {
            let path = into.path().parent().unwrap_or(into.path()).to_owned();
            let url = self.scrub.display_url().to_owned();
            return TransferError::Failed(SourceError::Disk { url, path, detail: self.shown(message) });
        }
        let remote = matches!(error.code(), ErrorCode::Auth | ErrorCode::Certificate | ErrorCode::Timeout)
            || matches!(error.class(), ErrorClass::Net | ErrorClass::Http | ErrorClass::Ssl | ErrorClass::Ssh);
        if remote {
            TransferError::Failed(self.failed(error, "fetching from", call))
        } else {
            TransferError::Damaged(self.shown(message))
        }
    }

    fn callbacks<'call>(&'call self, call: &'call Call) -> RemoteCallbacks<'call> {
        let mut callbacks = RemoteCallbacks::new();
        let mut credentials = Credentials::new(self.url, self.login);
        // Over ssh alone: for HTTP libgit2 asks nobody, since [`http`] has its own credentials.
        callbacks.credentials(move |_, user, allowed| credentials.offer(user, allowed));
        callbacks.certificate_check(move |certificate, host| self.check_host_key(certificate, host, call));
        let stopped = &call.stopped;
        callbacks.sideband_progress(|_| self.goes_on(stopped));
        callbacks.transfer_progress(|progress| {
            if progress.received_bytes() > self.most_bytes {
                stopped.set(Stopped::TooMuch);
                return false;
            }
            self.goes_on(stopped)
        });
        callbacks
    }

    /// Over ssh alone. Where the login has known hosts, they alone count;
    /// else libgit2 has searched for the key in `$HOME/.ssh/known_hosts`, and a miss is an error.
    fn check_host_key(&self, certificate: &Cert<'_>, host: &str, call: &Call) -> Result<CertificateCheckStatus, Error> {
        let known = self.login.and_then(|login| login.known_hosts.as_ref());
        let (Some(known), Some(shown)) = (known, certificate.as_hostkey()) else {
            return Ok(CertificateCheckStatus::CertificatePassthrough);
        };
        let verdict = match shown.hostkey() {
            Some(key) => known.verdict(host, ssh_port(self.url), key),
            None => Verdict::Refused(format!("{host} shows no key that can be compared")),
        };
        match verdict {
            Verdict::Known => Ok(CertificateCheckStatus::CertificateOk),
            Verdict::Refused(why) => {
                *call.host_key.borrow_mut() = Some(why);
                Err(Error::new(ErrorCode::Certificate, ErrorClass::Ssh, "the host key is not known"))
            }
        }
    }

    fn goes_on(&self, stopped: &Cell<Stopped>) -> bool {
        let cancelled = self.cancel.load(Ordering::Relaxed);
        if cancelled {
            stopped.set(Stopped::Cancelled);
        }
        !cancelled
    }

    /// A text of libgit2 without what is secret.
    fn shown(&self, text: &str) -> String {
        let secrets = self.login.into_iter().flat_map(Login::secrets);
        secrets.fold(self.scrub.scrub(text), |text, secret| text.replace(secret, HIDDEN))
    }

    fn cancelled(&self, action: &'static str) -> SourceError {
        SourceError::Cancelled { url: self.scrub.display_url().to_owned(), action }
    }

    fn failed(&self, error: &Error, action: &'static str, call: &Call) -> SourceError {
        if self.cancel.load(Ordering::Relaxed) {
            return self.cancelled(action);
        }
        let url = self.scrub.display_url().to_owned();
        if let Some(detail) = call.host_key.borrow().clone() {
            return SourceError::UnknownHostKey { url, detail };
        }
        let detail = self.shown(error.message());
        let denied = detail.contains("authenticat");
        let check = match self.login {
            Some(_) => "the private key and the passphrase that source.auth names, and whether the host knows the key",
            None => "the keys in the ssh agent, or give the sync a key by source.auth",
        };
        match (error.code(), error.class()) {
            (ErrorCode::Certificate, _) => SourceError::HostKey { url },
            (ErrorCode::Auth, _) => SourceError::Credentials { url, detail, check },
            (_, ErrorClass::Ssh) if denied => SourceError::Credentials { url, detail, check },
            _ => SourceError::Unreachable { url, detail },
        }
    }
}

/// Port of an ssh URL: 22 where it names none.
fn ssh_port(url: &str) -> u16 {
    url::Url::parse(url).ok().and_then(|url| url.port()).unwrap_or(22)
}

/// Whether libgit2 reads the repository from disk by itself, all of the history at once.
pub(super) fn is_local(url: &str) -> bool {
    url.starts_with("file://") || Path::new(url).is_absolute()
}

/// Gives up on silent servers, and has libgit2 connect over HTTP by [`http`]. These settings are libgit2's own and hold for the
/// whole process.
fn limit_waiting() {
    static ONCE: Once = Once::new();
    http::install();
    // SAFETY: each call writes one integer inside of libgit2 that connections read when they are opened. `Once` lets
    // a single thread write, and every thread that is about to open a connection comes through here first and waits.
    #[allow(unsafe_code)]
    ONCE.call_once(|| unsafe {
        // They fail only for negative values.
        let _ = git2::opts::set_server_connect_timeout_in_milliseconds(CONNECT_MS);
        let _ = git2::opts::set_server_timeout_in_milliseconds(SILENCE_MS);
    });
}
