//! One GET, its redirects included. Redirects are followed here and not by the HTTP client, since what a redirect may lead to
//! and which credentials go along are questions of this program: a client library sends them to a second path of another
//! server, and follows to any address.

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::Once;
use std::time::Duration;

use futures::StreamExt as _;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, IF_NONE_MATCH, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode, Url, Version};
use tokio::time::timeout;

use super::error::{Awaited, FetchError};
use super::login::Login;
use crate::object::PlainUrl;

/// Until a server must have accepted the connection, and until it must have sent something more.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);
/// Until its name must be resolved.
const RESOLVE: Duration = Duration::from_secs(5);
/// What servers see of who asks.
const USER_AGENT: &str = concat!("driftless/", env!("CARGO_PKG_VERSION"));
const MOST_REDIRECTS: usize = 5;

/// Where redirects may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirects {
    /// To other servers, as the archives of many chart repositories do.
    Followed,
    /// To the same server alone: what it says is about itself, or is credentials.
    OnItsServer,
}

/// One GET.
pub(super) struct Get<'a> {
    pub url: &'a str,
    /// Sent to the URL's own server, and to no other that it redirects to.
    pub authorization: Option<HeaderValue>,
    pub accept: Option<&'static str>,
    pub etag: Option<&'a str>,
    pub redirects: Redirects,
}

/// Clients for one server and for those that it redirects to.
pub(super) struct ServerConnection {
    own: Client,
    /// Authorities of the login, which are trusted beside those of the system: also where a server redirects to, since who
    /// has an authority of their own has it for all of their servers.
    authorities: Vec<Certificate>,
}

impl ServerConnection {
    /// Trusts what the system does, and the authority of the login. `url` is for errors about that.
    pub fn new(url: &str, login: Option<&Login>) -> Result<Self, FetchError> {
        install_provider();
        let authority = login.and_then(|login| login.authority.as_ref());
        let authorities = authority.map(|pem| certificates(url, pem)).transpose()?.unwrap_or_default();
        let own = builder(&authorities).build().map_err(|error| failed(url, error))?;
        Ok(Self { own, authorities })
    }

    /// Sends a GET and follows its redirects. The answer has the status 200, 304 where a validator was sent, or 401.
    ///
    /// # Errors
    /// There is no answer, or one with another status, or a redirect that is not followed.
    pub async fn get(&self, get: Get<'_>) -> Result<Response, FetchError> {
        let first = parsed(get.url, get.url)?;
        let mut url = first.clone();
        let mut client = self.own.clone();
        for _ in 0..=MOST_REDIRECTS {
            let mut headers = HeaderMap::new();
            if let Some(accept) = get.accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            let same = is_same_server(&first, &url);
            if let Some(authorization) = get.authorization.clone().filter(|_| same) {
                headers.insert(AUTHORIZATION, authorization);
            }
            if let Some(etag) = get.etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
                headers.insert(IF_NONE_MATCH, etag);
            }
            let sent = client.get(url.clone()).headers(headers).send().await;
            let response = sent.map_err(|error| failed(url.as_str(), error))?;
            let status = response.status();
            if !is_redirect(status) {
                let expected = status == StatusCode::OK
                    || status == StatusCode::NOT_MODIFIED && get.etag.is_some()
                    || status == StatusCode::UNAUTHORIZED && same;
                return if expected { Ok(response) } else { Err(refused(url.as_str(), &response)) };
            }
            let to = location(&url, &response)?;
            let refuse = |why| {
                let (url, to) = (PlainUrl::of(url.as_str()), PlainUrl::of(to.as_str()).to_string());
                Err(FetchError::Redirected { url, to, why })
            };
            if url.scheme() == "https" && to.scheme() != "https" {
                return refuse("it is not encrypted");
            }
            if get.redirects == Redirects::OnItsServer && !is_same_server(&first, &to) {
                return refuse("it leads to another server");
            }
            client = if is_same_server(&first, &to) {
                self.own.clone()
            } else {
                match self.for_another(&url, &to).await? {
                    Some(client) => client,
                    None => return refuse("it leads from outside to an address inside of the network"),
                }
            };
            url = to;
        }
        let (url, to) = (PlainUrl::of(first.as_str()), PlainUrl::of(url.as_str()).to_string());
        Err(FetchError::Redirected { url, to, why: "too many redirects" })
    }

    /// A client for a server that another one redirects to; `None` where it may not be asked: a server outside of the network
    /// could otherwise have the agent ask those that only the agent reaches. The addresses that were checked are those that
    /// are connected to.
    pub async fn for_another(&self, from: &Url, to: &Url) -> Result<Option<Client>, FetchError> {
        let addresses = addresses(to).await;
        let inside = |addresses: &[SocketAddr]| addresses.iter().any(|address| is_inside(address.ip()));
        let near = |address: &SocketAddr| is_metadata_or_link_local(address.ip());
        if inside(&addresses) {
            let from = self::addresses(from).await;
            if !inside(&from) || addresses.iter().any(near) {
                return Ok(None);
            }
        }
        // Behind a proxy, names are resolved by that, and mostly by nobody here. Without one, whoever cannot resolve the
        // name now does not connect to what it means a moment later.
        if addresses.is_empty() && !has_proxy() {
            let detail = format!("cannot resolve the name {}", to.host_str().unwrap_or_default());
            return Err(FetchError::Unreachable { url: PlainUrl::of(to.as_str()), detail });
        }
        let pinned = (!addresses.is_empty()).then(|| to.host_str()).flatten();
        let Some(host) = pinned else { return Ok(Some(self.own.clone())) };
        let client = builder(&self.authorities).resolve_to_addrs(host, &addresses).build();
        client.map(Some).map_err(|error| failed(to.as_str(), error))
    }
}

/// The body, of at most so many bytes.
pub(super) async fn body(response: Response, limit_bytes: usize) -> Result<Vec<u8>, FetchError> {
    let url = PlainUrl::of(response.url().as_str());
    let chunked = response.headers().contains_key(reqwest::header::TRANSFER_ENCODING);
    if response.version() < Version::HTTP_2 && response.content_length().is_none() && !chunked {
        let detail =
            "the response has no Content-Length and is not chunked, so a truncated one could not be noticed".to_owned();
        return Err(FetchError::Answer { url, detail });
    }
    let mut bytes = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| failed(&url.to_string(), error))?;
        if bytes.len() + chunk.len() > limit_bytes {
            return Err(FetchError::TooLarge { url, limit_bytes });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn builder(authorities: &[Certificate]) -> reqwest::ClientBuilder {
    let builder = Client::builder()
        .tls_certs_merge(authorities.iter().cloned())
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .user_agent(USER_AGENT);
    builder.redirect(Policy::none()).referer(false)
}

/// The authorities in a file in PEM, of which there has to be one.
fn certificates(url: &str, pem: &[u8]) -> Result<Vec<Certificate>, FetchError> {
    let wrong = |detail: String| FetchError::Authority { url: PlainUrl::of(url), detail };
    let found = Certificate::from_pem_bundle(pem).map_err(|error| wrong(error.without_url().to_string()))?;
    if found.is_empty() { Err(wrong("there is no certificate in PEM".into())) } else { Ok(found) }
}

/// The cryptography of TLS is that of kube. A program that has chosen another keeps it.
fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn location(from: &Url, response: &Response) -> Result<Url, FetchError> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let to = location.and_then(|location| from.join(location).ok());
    let to =
        to.filter(|to| matches!(to.scheme(), "http" | "https") && to.username().is_empty() && to.password().is_none());
    to.ok_or_else(|| {
        let detail = "it redirects to nothing that can be fetched".to_owned();
        FetchError::Answer { url: PlainUrl::of(from.as_str()), detail }
    })
}

/// A URL that `from` names, or is.
pub(super) fn parsed(text: &str, from: &str) -> Result<Url, FetchError> {
    let wrong = |_| FetchError::Answer { url: PlainUrl::of(from), detail: "this is no URL".to_owned() };
    Url::parse(text).map_err(wrong)
}

/// Whether both are of one scheme, host and port.
pub(super) fn is_same_server(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// The addresses of a URL's host; none where they cannot be found here.
async fn addresses(url: &Url) -> Vec<SocketAddr> {
    let port = url.port_or_known_default().unwrap_or_default();
    match url.host() {
        Some(url::Host::Ipv4(address)) => vec![SocketAddr::new(address.into(), port)],
        Some(url::Host::Ipv6(address)) => vec![SocketAddr::new(address.into(), port)],
        Some(url::Host::Domain(name)) => {
            let found = timeout(RESOLVE, tokio::net::lookup_host((name, port))).await;
            found.ok().and_then(Result::ok).map(Iterator::collect).unwrap_or_default()
        }
        None => Vec::new(),
    }
}

/// Whether requests go through a proxy, by the variables that the HTTP client reads.
fn has_proxy() -> bool {
    let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    names.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Addresses that nobody reaches from outside: private (RFC 1918, RFC 4193), shared (RFC 6598), loopback and link-local,
/// also as IPv6 of an IPv4 address (RFC 4291, RFC 6052).
fn is_inside(address: IpAddr) -> bool {
    match unmapped(address) {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || a == 0 || a == 100 && (64..128).contains(&b)
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// The IPv4 address that an IPv6 one stands for (`::ffff:0:0/96`, `64:ff9b::/96`), else the same.
fn unmapped(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::V4([a, b, c, d].into())
        }
        other => other,
    }
}

/// Addresses of the machine's own surroundings, such as the metadata service of a cloud.
fn is_metadata_or_link_local(address: IpAddr) -> bool {
    match unmapped(address) {
        // That of Alibaba Cloud is a shared address.
        IpAddr::V4(v4) => v4.is_link_local() || v4.octets() == [100, 100, 100, 200],
        // The metadata service of AWS by IPv6 as well.
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.segments()[..2] == [0xfd00, 0x0ec2],
    }
}

/// What an answer means that has another status than was hoped for.
pub(super) fn refused(url: &str, response: &Response) -> FetchError {
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    FetchError::of_status(url, response.status().as_u16(), retry_after)
}

/// What a failed request means. The error's own text has the URL with its query, and is not used.
fn failed(url: &str, error: reqwest::Error) -> FetchError {
    let error = error.without_url();
    let url = PlainUrl::of(url);
    if error.is_timeout() {
        let (awaited, limit) =
            if error.is_connect() { (Awaited::ServerConnection, CONNECT) } else { (Awaited::Data, SILENCE) };
        return FetchError::Timeout { url, awaited, limit };
    }
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    let detail = cause.map_or_else(|| error.to_string(), ToString::to_string);
    let of_tls = ["certificate", "UnknownIssuer", "CertNotValidForName"].iter().any(|word| detail.contains(word));
    if of_tls { FetchError::Certificate { url, detail } } else { FetchError::Unreachable { url, detail } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_told_from_those_outside() {
        for inside in [
            "127.0.0.1",
            "10.96.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fd00:ec2::254",
            "fe80::1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
        ] {
            assert!(is_inside(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(!is_inside(outside.parse().unwrap()), "{outside}");
        }
        for near in ["169.254.169.254", "100.100.100.200", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254"] {
            assert!(is_metadata_or_link_local(near.parse().unwrap()), "{near}");
        }
        assert!(!is_metadata_or_link_local("10.0.0.1".parse().unwrap()));
    }

    #[tokio::test]
    async fn no_redirect_leads_from_outside_to_an_address_inside() {
        let connection = ServerConnection::new("https://192.0.2.1/", None).unwrap();
        let may = async |from: &str, to: &str| {
            let [from, to] = [from, to].map(|url| Url::parse(url).unwrap());
            connection.for_another(&from, &to).await.unwrap().is_some()
        };
        assert!(!may("https://1.1.1.1/", "https://10.0.0.1/").await);
        assert!(!may("https://1.1.1.1/", "https://[::ffff:127.0.0.1]/").await);
        assert!(!may("http://10.0.0.2/", "http://169.254.169.254/latest").await);
        assert!(may("http://10.0.0.2/", "http://10.0.0.1/").await);
        assert!(may("https://10.0.0.2/", "https://1.1.1.1/").await);
        assert!(may("https://1.1.1.1/", "https://8.8.8.8/").await);
        if !has_proxy() {
            let [from, to] = ["https://1.1.1.1/", "https://nobody.invalid/"].map(|url| Url::parse(url).unwrap());
            assert!(connection.for_another(&from, &to).await.is_err(), "what is not resolved is not connected to");
        }
    }
}
