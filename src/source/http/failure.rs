//! What went wrong between us and a server, in words that say what to do. Pure but for the names of variables: what was asked
//! and what came back go in, a [`SourceError`] comes out.

use std::error::Error;
use std::fmt;
use std::io;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use rustls::{AlertDescription, CertificateError};

use super::client::{CONNECT, SILENCE};
use super::packets::WireError;
use super::tls::Untrusted;
use super::{rate, refs};
use crate::source::error::SourceError;
use crate::source::scrub::Scrubber;

/// The credentials that went along with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Nothing,
    OfUrl,
    OfSecret,
}

impl Sent {
    /// What a person looks at when they are refused.
    fn check(self) -> &'static str {
        match self {
            Self::Nothing | Self::OfUrl => "what source.auth names, or the user and password in the URL",
            Self::OfSecret => "what source.auth names",
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Nothing => "a request without credentials",
            Self::OfUrl => "the user and password of the URL",
            Self::OfSecret => "the credentials of source.auth",
        })
    }
}

/// What was asked.
pub(super) struct Asked<'a> {
    pub scrub: &'a Scrubber,
    /// Host and port.
    pub server: String,
    /// Another address than that of the URL, to which it redirects.
    pub elsewhere: Option<String>,
    pub sent: Sent,
    /// A certificate of ours could be shown.
    pub has_client: bool,
    /// The server has asked for one.
    pub wants_client: bool,
    /// The proxy on the way, without its credentials.
    pub proxy: Option<String>,
    pub untrusted: Option<Untrusted>,
}

/// A name that could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("the name {name} cannot be resolved: {cause}")]
pub(super) struct Unresolved {
    pub name: String,
    pub cause: io::Error,
}

impl Asked<'_> {
    fn url(&self) -> String {
        self.scrub.display_url().to_owned()
    }

    pub fn unreachable(&self, detail: &str) -> SourceError {
        let elsewhere = self.elsewhere.as_ref().map(|to| format!(" (it redirects to {to})")).unwrap_or_default();
        SourceError::Unreachable { url: self.url(), detail: self.scrub.scrub(detail) + &elsewhere }
    }

    pub fn redirected(&self, to: &str, why: &str) -> SourceError {
        SourceError::Redirected { url: self.url(), detail: self.scrub.scrub(&format!("{to}, {why}")) }
    }

    /// What a status means that is no success.
    pub fn of_status(&self, status: StatusCode, headers: &HeaderMap, now: Timestamp) -> SourceError {
        let code = status.as_u16();
        match code {
            401 | 403 if code == 401 || !rate::is_limited(headers) => SourceError::Credentials {
                url: self.url(),
                detail: format!("the answer to {} is {status}", self.sent),
                check: self.sent.check(),
            },
            403 | 429 => SourceError::RateLimited {
                url: self.url(),
                status: code,
                until: rate::until(headers, now),
                check: self.sent.check(),
            },
            404 => self.unreachable(&format!(
                "there is no such repository (404), or {} may not see it; {} would say who asks",
                self.sent,
                self.sent.check()
            )),
            407 => self.of_proxy("it asks for other credentials than those in its URL (407)"),
            _ => match &self.proxy {
                Some(proxy) => {
                    self.unreachable(&format!("unexpected http status code: {code}, through the proxy {proxy}"))
                }
                None => self.unreachable(&format!("unexpected http status code: {code}")),
            },
        }
    }

    /// What a failed request means. The error's own text has the URL, and is not used.
    pub fn of_request(&self, error: &reqwest::Error) -> SourceError {
        let kinds: Vec<io::ErrorKind> =
            causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).collect();
        // A server that refuses a certificate says so behind its part of the handshake (TLS 1.3), and hangs up at once: what
        // it says may come too late to be read.
        let is_cut = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::UnexpectedEof];
        if self.wants_client && kinds.iter().any(|kind| is_cut.contains(kind)) && find::<rustls::Error>(error).is_none()
        {
            return self.client_refused("it hangs up");
        }
        if let Some(tls) = find::<rustls::Error>(error) {
            return self.of_tls(tls);
        }
        let tunnel = causes(error)
            .map(ToString::to_string)
            .find_map(|text| text.strip_prefix("tunnel error: ").map(str::to_owned));
        let detail = if let Some(unresolved) = find::<Unresolved>(error) {
            unresolved.to_string()
        } else if error.is_timeout() && error.is_connect() {
            format!("{} does not accept a connection within {} seconds", self.peer(), CONNECT.as_secs())
        } else if error.is_timeout() {
            format!("{} has sent nothing for {} seconds", self.server, SILENCE.as_secs())
        } else if kinds.contains(&io::ErrorKind::ConnectionRefused) {
            format!("{} refuses the connection", self.peer())
        } else {
            causes(error).last().map(ToString::to_string).unwrap_or_default()
        };
        match (tunnel.as_deref(), &self.proxy) {
            (Some("proxy authorization required"), _) => {
                self.of_proxy("it asks for other credentials than those in its URL (407)")
            }
            (Some("unsuccessful"), _) => self.of_proxy(&format!("it makes no connection to {}", self.server)),
            (Some(_), _) => self.of_proxy(&detail),
            (None, Some(_)) if error.is_connect() => self.of_proxy(&detail),
            _ => self.unreachable(&detail),
        }
    }

    /// Whom a connection is made to.
    fn peer(&self) -> &str {
        self.proxy.as_deref().unwrap_or(&self.server)
    }

    fn of_proxy(&self, detail: &str) -> SourceError {
        let proxy = self.proxy.clone().unwrap_or_default();
        SourceError::Proxy { url: self.url(), proxy, detail: self.scrub.scrub(detail) }
    }

    fn of_tls(&self, error: &rustls::Error) -> SourceError {
        let host = self.server.rsplit_once(':').map_or(&*self.server, |(host, _)| host).trim_matches(['[', ']']);
        let detail = match error {
            rustls::Error::InvalidCertificate(error) => untrusted(error, self.untrusted.as_ref()),
            rustls::Error::General(detail) if self.untrusted.is_some() => format!(
                "{detail}; set SSL_CERT_FILE to a file of them, or put that of the server under `ca.crt` into the Secret \
                 of source.auth"
            ),
            rustls::Error::AlertReceived(alert) if self.is_about_us(*alert) => {
                return self.client_refused(&format!("{alert:?}"));
            }
            rustls::Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion) => {
                return self
                    .unreachable("the server speaks no version and no cipher of TLS that is secure (1.2 or 1.3)");
            }
            other => return self.unreachable(&format!("the TLS connection failed: {other}")),
        };
        match &self.untrusted {
            Some(Untrusted { server, .. }) if self.proxy.is_some() && server != host => {
                self.of_proxy(&format!("its certificate is not trusted: {detail}"))
            }
            _ => SourceError::Certificate { url: self.url(), detail: self.scrub.scrub(&detail) },
        }
    }

    /// Whether a server refuses by this who we are.
    fn is_about_us(&self, alert: AlertDescription) -> bool {
        use AlertDescription as Alert;
        match alert {
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied => true,
            // No certificate in TLS 1.2; one that an authority of the right name has not signed.
            Alert::HandshakeFailure | Alert::DecryptError => self.wants_client,
            _ => false,
        }
    }

    fn client_refused(&self, how: &str) -> SourceError {
        let detail = if self.has_client {
            format!("it refuses the client certificate of source.auth ({how})")
        } else {
            "it asks for a client certificate, and none was sent".to_owned()
        };
        let check = "`tls.crt` and `tls.key` in the Secret of source.auth";
        SourceError::Credentials { url: self.url(), detail, check }
    }

    /// What a body means that could not be read as git's protocol.
    pub fn of_wire(&self, error: WireError) -> SourceError {
        match error {
            WireError::Read(error) => inner(error).unwrap_or_else(|error| self.unreachable(&error.to_string())),
            WireError::TooLong => SourceError::TooManyReferences { url: self.url(), limit_bytes: refs::MOST_BYTES },
            WireError::Remote(_) => self.unreachable(&error.to_string()),
            WireError::Malformed(what) => self.unreachable(&format!("it does not answer as a git server does: {what}")),
        }
    }
}

/// The error that a reader of ours has put into one of input and output.
pub(super) fn inner(error: io::Error) -> Result<SourceError, io::Error> {
    error.downcast::<SourceError>()
}

fn untrusted(error: &CertificateError, untrusted: Option<&Untrusted>) -> String {
    let authority = untrusted.and_then(|untrusted| untrusted.authority.as_deref());
    let time = |time: rustls::pki_types::UnixTime| {
        i64::try_from(time.as_secs()).ok().and_then(|time| Timestamp::from_second(time).ok()).unwrap_or_default()
    };
    match error {
        CertificateError::UnknownIssuer => format!(
            "its issuer is {}, which is unknown here; `ca.crt` in the Secret of source.auth makes it trusted, with the \
             certificate of that authority",
            authority.map_or_else(|| "an authority without a name".to_owned(), |name| format!("\"{name}\""))
        ),
        CertificateError::BadSignature => format!(
            "it is not signed by the authority {} that is trusted here; `ca.crt` in the Secret of source.auth makes another \
             one of that name trusted",
            authority.unwrap_or_default()
        ),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("it has expired at {}; renew it at the server", time(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is valid from {} on; see whether the clocks are right", time(*not_before))
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            // As webpki has them: `DnsName("git.example.com")`.
            let inner = |name: &String| {
                let inner = name.split_once('(').map_or(&**name, |(_, inner)| inner);
                inner.trim_matches(['"', ')']).to_owned()
            };
            let names: Vec<String> = presented.iter().map(inner).collect();
            let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
            format!("it is for another name: it has {names}; use that in the URL, or have the server show another one")
        }
        // What webpki calls a certificate of an authority in the place of a server's.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "it is that of an authority (CA:TRUE), and servers need one of their own, which that authority has signed"
                .to_owned()
        }
        other => other.to_string(),
    }
}

/// An error and its causes, also those that an [`io::Error`] holds and does not name.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    held.map(|held| held as &(dyn Error + 'static)).or_else(|| error.source())
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|cause| cause.downcast_ref::<T>())
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;

    use super::*;
    use crate::config::{Reference, Source};

    const URL: &str = "https://bob:s3cret@git.example.com/a.git";

    fn scrub() -> Scrubber {
        Scrubber::new(&Source {
            url: URL.into(),
            reference: Reference::Branch("main".into()),
            auth: None,
            verify: None,
        })
    }

    fn with<T>(sent: Sent, proxy: Option<&str>, ask: impl FnOnce(Asked<'_>) -> T) -> T {
        let scrub = scrub();
        let proxy = proxy.map(str::to_owned);
        let server = "git.example.com:443".to_owned();
        ask(Asked {
            scrub: &scrub,
            server,
            elsewhere: None,
            sent,
            has_client: false,
            wants_client: false,
            proxy,
            untrusted: None,
        })
    }

    fn status(code: u16, headers: &[(&'static str, &str)], sent: Sent) -> String {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let now = "2026-01-02T03:04:05.5Z".parse().unwrap();
        let status = StatusCode::from_u16(code).unwrap();
        with(sent, None, |asked| asked.of_status(status, &headers.collect(), now)).to_string()
    }

    #[test]
    fn a_refusal_says_which_credentials_were_refused() {
        for (sent, what, check) in [
            (Sent::Nothing, "a request without credentials", "check what source.auth names, or the user"),
            (Sent::OfUrl, "the user and password of the URL", "check what source.auth names, or the user"),
            (Sent::OfSecret, "the credentials of source.auth", "check what source.auth names"),
        ] {
            for code in [401, 403] {
                let error = status(code, &[], sent);
                assert!(error.starts_with("https://git.example.com/a.git asks for credentials"), "{error}");
                assert!(error.contains(&format!("the answer to {what} is {code}")) && error.contains(check), "{error}");
            }
            let error = status(404, &[], sent);
            assert!(error.contains("there is no such repository (404)") && error.contains(what), "{error}");
        }
        assert!(status(500, &[], Sent::Nothing).contains("unexpected http status code: 500; check the URL"));
    }

    #[test]
    fn a_limit_says_until_when() {
        let until = "until 2026-01-02T03:05:05Z";
        for (code, headers, says) in [
            (429, &[][..], "for now (429); it is tried again"),
            (429, &[("retry-after", "60")], until),
            (429, &[("retry-after", "Fri, 02 Jan 2026 03:05:05 GMT")], until),
            (429, &[("retry-after", "soon")], "for now (429); it is tried again"),
            (429, &[("retry-after", "9223372036854775807")], "for now (429); it is tried again"),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1767323105")], until),
            (403, &[("ratelimit-remaining", "0"), ("ratelimit-reset", "60")], until),
            (403, &[("retry-after", "60")], until),
        ] {
            let error = status(code, headers, Sent::Nothing);
            assert!(error.contains("allows no more requests") && error.contains(says), "{error}");
        }
        let error = status(403, &[("x-ratelimit-remaining", "12")], Sent::Nothing);
        assert!(error.contains("asks for credentials"), "{error}");
    }

    #[test]
    fn a_proxy_is_named() {
        let proxied = |code: u16| {
            let status = StatusCode::from_u16(code).unwrap();
            let proxy = Some("http://proxy.example.com:3128");
            with(Sent::Nothing, proxy, |asked| asked.of_status(status, &HeaderMap::new(), Timestamp::UNIX_EPOCH))
        };
        let error = proxied(407).to_string();
        assert!(error.contains("through the proxy http://proxy.example.com:3128: it asks for other"), "{error}");
        assert!(proxied(502).to_string().contains("502, through the proxy http://proxy.example.com:3128"));
    }

    #[test]
    fn a_certificate_says_what_is_wrong_with_it() {
        let seen = |authority: Option<&str>| Untrusted {
            server: "git.example.com".into(),
            authority: authority.map(str::to_owned),
        };
        let unknown = |authority| untrusted(&CertificateError::UnknownIssuer, Some(&seen(authority)));
        let text = unknown(Some("CN=the root"));
        assert!(text.starts_with("its issuer is \"CN=the root\"") && text.contains("`ca.crt` in the Secret"), "{text}");
        assert!(unknown(None).contains("an authority without a name"));
        let time = rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_767_323_105));
        let expired = CertificateError::ExpiredContext { time, not_after: time };
        assert_eq!(untrusted(&expired, None), "it has expired at 2026-01-02T03:05:05Z; renew it at the server");
        let certificate = |proxy, server: &str| {
            with(Sent::Nothing, proxy, |mut asked| {
                asked.untrusted = Some(Untrusted { server: server.into(), authority: None });
                asked.of_tls(&rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
            })
        };
        assert!(matches!(certificate(None, "git.example.com"), SourceError::Certificate { .. }));
        assert!(matches!(certificate(Some("https://p:1"), "git.example.com"), SourceError::Certificate { .. }));
        assert!(matches!(certificate(Some("https://p:1"), "p"), SourceError::Proxy { .. }));
    }

    #[test]
    fn what_a_server_says_shows_no_credentials() {
        with(Sent::OfUrl, None, |asked| {
            let error = asked.of_wire(WireError::Remote("bob:s3cret is locked\u{1b}".into())).to_string();
            assert!(
                !error.contains("s3cret") && !error.contains('\u{1b}') && error.contains("remote error"),
                "{error}"
            );
            let error = asked.redirected("https://other.example.com/s3cret", "which is not followed").to_string();
            assert!(!error.contains("s3cret"), "{error}");
            assert!(matches!(asked.of_wire(WireError::TooLong), SourceError::TooManyReferences { .. }));
        });
    }
}
