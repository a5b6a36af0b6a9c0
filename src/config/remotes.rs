//! Where a render may fetch from, beside the sync's own git repository: chart repositories, registries, and hosts that
//! what is rendered may name.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::error::shown;

const CHARTS: &str = "write https://charts.example.com or oci://registry.example.com/charts";

/// Forms of `render.helm.repository`.
pub(super) const REPOSITORY_PATTERN: &str = r"^(https?|oci)://[^/\s@][^\s@?#]*$";
/// Forms of an entry of `render.remoteHosts`.
pub(super) const HOST_PATTERN: &str = r"^(http://)?[0-9A-Za-z]([-.0-9A-Za-z]*[0-9A-Za-z])?(:[0-9]{1,5})?$";

/// Why a text names no host and no chart. `shown` is the value as errors show it; a URL is never shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum RemoteValueError {
    #[error(
        "{shown} is no host; write its name alone, such as github.com or git.example.com:8443, and http:// before it where \
         there is no encryption"
    )]
    Host { shown: String },
    #[error("this is no URL of a chart repository; {CHARTS}")]
    NoUrl,
    #[error("{shown} is no scheme of a chart repository; {CHARTS}")]
    Scheme { shown: String },
    #[error(
        "credentials do not belong into the URL of a chart repository, but into a Secret that auth names; {CHARTS}"
    )]
    Credentials,
    #[error("{shown} is no name of a chart; with repository, chart is its name there, such as podinfo, and not a path")]
    ChartName { shown: String },
    #[error("version is empty or too long; write one such as 1.2.3, or a range such as 1.x or ^1.2")]
    ChartVersion,
}

/// A chart that is not in the git repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteChart {
    /// `https://`, `http://` or `oci://`, without credentials, query and slash at the end.
    pub repository: Arc<str>,
    /// Its name in there.
    pub chart: Arc<str>,
    /// A version or a constraint, as `helm template --version` takes it.
    pub version: Arc<str>,
    /// A Secret in the agent's namespace with what the repository asks for.
    pub secret: Option<Arc<str>>,
}

impl RemoteChart {
    /// The host and port that credentials are for.
    #[must_use]
    pub fn endpoint(&self) -> Option<Endpoint> {
        Endpoint::of(&self.repository)
    }
}

/// The other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// It is not encrypted.
    pub plain: bool,
    /// In lower case.
    pub host: String,
    /// TCP port; by default 443 for `https` and `oci`, 80 for `http`, 22 for `ssh` and git's short form.
    pub port: u16,
}

impl Endpoint {
    /// That of a URL with the scheme `https`, `http`, `oci` or `ssh`, or of git's short form `git@host:path`.
    ///
    /// Libraries disagree about what the host of an unusual URL is (one ends it at `?`, `#` or a backslash, another does not,
    /// one takes what is behind the first `@`, another what is behind the last), and what is permitted has to be what is
    /// connected to. So before the path there is a user without a password, a host of plain characters and a port, or it is no
    /// endpoint.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
        if url.contains(odd) {
            return None;
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            let (authority, _) = url.split_once(':')?;
            let (host, port) = host_and_port(authority)?;
            return (authority.contains('@') && port.is_none()).then_some(Self { plain: false, host, port: 22 });
        };
        let (plain, usual) = match scheme {
            "https" | "oci" => (false, 443),
            "http" => (true, 80),
            "ssh" => (false, 22),
            _ => return None,
        };
        let (host, port) = host_and_port(rest.split('/').next().unwrap_or_default())?;
        Some(Self { plain, host, port: port.unwrap_or(usual) })
    }
}

/// Without the port where that is the usual one.
impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.plain { "http://" } else { "" })?;
        out.write_str(&self.host)?;
        let usual = if self.plain { self.port == 80 } else { matches!(self.port, 22 | 443) };
        if usual { Ok(()) } else { write!(out, ":{}", self.port) }
    }
}

/// The host, in lower case, and the port of `user@host:port`, of which the host alone has to be there.
fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (user, rest) = authority.split_once('@').unwrap_or(("", authority));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port.parse().ok()?)),
        Some(_) => return None,
        None => (rest, None),
    };
    (user.bytes().all(plain) && !user.starts_with('-') && is_host(host)).then(|| (host.to_lowercase(), port))
}

/// A name or an IPv4 address.
fn is_host(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(byte))
}

/// A host that what is rendered may name: `github.com`, `git.example.com:8443`, or `http://10.0.0.1:8080`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteHost {
    plain: bool,
    host: Arc<str>,
    /// `None`: the usual one of the protocol.
    port: Option<u16>,
}

impl RemoteHost {
    /// Whether this host is meant. Connections without encryption are for those alone that say so.
    #[must_use]
    pub fn includes(&self, endpoint: &Endpoint) -> bool {
        let usual = if self.plain { [80, 80] } else { [443, 22] };
        let port = self.port.map_or(usual.contains(&endpoint.port), |port| port == endpoint.port);
        self.plain == endpoint.plain && *self.host == *endpoint.host && port
    }
}

impl fmt::Display for RemoteHost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.plain { "http://" } else { "" })?;
        out.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(out, ":{port}"))
    }
}

pub(super) fn remote_host(text: &str) -> Result<RemoteHost, RemoteValueError> {
    let wrong = || RemoteValueError::Host { shown: shown(text) };
    let (plain, rest) = match text.split_once("://") {
        None => (false, text),
        Some(("http", rest)) => (true, rest),
        Some(_) => return Err(wrong()),
    };
    let (host, port) = match rest.split_once(':') {
        None => (rest, None),
        Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
    };
    if !is_host(host) {
        return Err(wrong());
    }
    Ok(RemoteHost { plain, host: host.to_lowercase().into(), port })
}

/// The URL of a chart repository or of a path in a registry.
pub(super) fn chart_repository(text: &str) -> Result<Arc<str>, RemoteValueError> {
    let Some((scheme, rest)) = text.split_once("://") else { return Err(RemoteValueError::NoUrl) };
    if !["https", "http", "oci"].contains(&scheme) {
        return Err(RemoteValueError::Scheme { shown: shown(scheme) });
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) || rest.contains("://") {
        return Err(RemoteValueError::NoUrl);
    }
    if rest.contains('@') {
        return Err(RemoteValueError::Credentials);
    }
    if rest.contains(['?', '#']) || Endpoint::of(text).is_none() {
        return Err(RemoteValueError::NoUrl);
    }
    Ok(text.trim_end_matches('/').into())
}

pub(super) fn chart_name(text: &str) -> Result<Arc<str>, RemoteValueError> {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    if edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|byte| inside(*byte)) {
        return Ok(text.into());
    }
    Err(RemoteValueError::ChartName { shown: shown(text) })
}

/// A constraint is left to the renderer, whose library Helm's own is.
pub(super) fn chart_version(text: &str) -> Result<Arc<str>, RemoteValueError> {
    let text = text.trim();
    if text.is_empty() || text.len() > 100 || text.contains(char::is_control) {
        return Err(RemoteValueError::ChartVersion);
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_stands_for_its_usual_ports_and_for_encrypted_connections() {
        let includes = |host: &str, url: &str| remote_host(host).unwrap().includes(&Endpoint::of(url).unwrap());
        for url in [
            "https://github.com/a/b.git",
            "https://GITHUB.com:443/a",
            "ssh://git@github.com/a/b.git",
            "git@github.com:a/b.git",
            "oci://github.com/a",
        ] {
            assert!(includes("github.com", url), "{url}");
        }
        for url in [
            "http://github.com/a",
            "https://github.com:8443/a",
            "https://api.github.com/a",
            "https://github.com.evil.example/a",
            "https://github.com@evil.example/a",
            "https://evil.example/github.com",
            "ssh://git@github.com:443.evil.example/a",
        ] {
            let Some(endpoint) = Endpoint::of(url) else { continue };
            assert!(!remote_host("github.com").unwrap().includes(&endpoint), "{url}");
        }
        for odd in [
            r"http://github.com\@evil.example/x",
            r"https://github.com\@evil.example/x",
            "https://github.com#@evil.example/x",
            "https://github.com?@evil.example/x",
            "https://github.com:pass@evil.example/x",
            "https://a@github.com@evil.example/x",
            "https://github.com%2f@evil.example/x",
            "https://evil.example\t.github.com/x",
            "ssh://github.com#@evil.example/x",
            "../x@github.com:y",
            "/x@github.com:y",
            "-oProxyCommand=x@github.com:y",
            "git@github.com#evil.example:y",
            "https://[::1]/x",
            "https://github.com./x",
            "https:///x",
        ] {
            assert!(Endpoint::of(odd).is_none(), "{odd}");
        }
        assert_eq!(Endpoint::of("http://h:81/x").unwrap().to_string(), "http://h:81");
        assert_eq!(Endpoint::of("ssh://git@h/x").unwrap().to_string(), "h");
        assert!(includes("http://10.0.0.1:8080", "http://10.0.0.1:8080/x"));
        assert!(!includes("http://10.0.0.1:8080", "https://10.0.0.1:8080/x"));
        assert!(!includes("10.0.0.1:8080", "http://10.0.0.1:8080/x"));
        assert!(includes("10.0.0.1:80", "https://10.0.0.1:80/x"));
        assert!(Endpoint::of("file:///srv/x").is_none() && Endpoint::of("/srv/x").is_none());
    }

    #[test]
    fn hosts_repositories_and_names_are_checked() {
        for bad in ["", "https://github.com", "github.com/a", "*.github.com", "git@github.com", "a:b", "-a", "a:99999"]
        {
            assert!(remote_host(bad).is_err(), "{bad}");
        }
        assert_eq!(remote_host("http://A.b:1").unwrap().to_string(), "http://a.b:1");
        for good in ["https://charts.example.com", "oci://r.example.com/a/b", "http://10.0.0.1:8080/charts"] {
            assert_eq!(chart_repository(good).as_deref(), Ok(good));
        }
        assert_eq!(chart_repository("https://charts.example.com/").as_deref(), Ok("https://charts.example.com"));
        for bad in
            ["charts.example.com", "ftp://a", "https://a:s3cret@b/c", "https://a?b", "https://a b", "oci://", "s3://a"]
        {
            let error = chart_repository(bad).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert!(chart_name("kube-prometheus-stack").is_ok() && chart_name("a/b").is_err() && chart_name("").is_err());
        assert!(chart_name("oci://r/a").unwrap_err().to_string().contains("its name there"));
        assert!(chart_version(">=1.0 <2").is_ok() && chart_version(" ").is_err());
    }
}
