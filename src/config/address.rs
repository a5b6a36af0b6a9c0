//! Checks of what points somewhere: the address to listen on, a repository's URL, what of it to
//! follow. Each takes a text and gives the checked value, or what is wrong in words that do not
//! repeat a URL.

use std::net::{AddrParseError, SocketAddr};
use std::sync::Arc;

use semver::VersionReq;
use thiserror::Error;
use url::Url;

use super::error::shown;

pub(super) const LISTEN_PATTERN: &str = r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+\])?:[0-9]{1,5}$";
pub(super) const PATH_PATTERN: &str = r"^(?!/)(?!(.*/)?\.\.(/|$))[^\\\x00]*$";
pub(super) const URL_PATTERN: &str =
    r"^((https?|ssh)://[^/\s][^\s]*|file:///[^\s]+|[A-Za-z0-9._][A-Za-z0-9._-]*@[A-Za-z0-9.][A-Za-z0-9.-]*:[^\s]+)$";

const ALLOWED: &str = "use https://, http://, ssh://, file:/// or git@host:path";

/// Why a text points nowhere. `shown` is the value as errors show it; a URL is never shown.
#[derive(Debug, Error)]
pub(super) enum AddressError {
    #[error(
        "{shown} is no address to listen on; write an IP address and a port, such as 127.0.0.1:8080, [::]:8080 or :8080"
    )]
    Listen { shown: String, source: AddrParseError },
    #[error("a URL has no spaces in it; {ALLOWED}")]
    Spaces,
    #[error("this is no repository URL; {ALLOWED}")]
    NoUrl,
    /// Holds a scheme of letters and digits alone.
    #[error("{0}:// URLs are not taken; {ALLOWED}")]
    Scheme(String),
    /// Pasted twice, or behind a proxy's: credentials in the second one would count as a part of the path, and be shown.
    #[error("this URL has another one in it; leave one of them")]
    TwoUrls,
    /// Some readers take what is behind the first one for the host, and others what is behind the last.
    #[error("the user or password of this URL has an @ in it; write it as %40")]
    TwoAts,
    #[error("what follows the host of an ssh:// URL is a port; write ssh://git@host/path or git@host:path")]
    SshPort,
    #[error("this URL cannot be read ({0})")]
    Unreadable(#[source] url::ParseError),
    #[error("a file URL has an absolute path and no host: file:///srv/git/shop.git")]
    FileHost,
    #[error("this file URL names no repository")]
    NoRepository,
    #[error("this URL names no host")]
    NoHost,
    #[error("a version range is missing; such as >=1.0, <2.0 or 1.x")]
    NoRange,
    #[error("a version range cannot have alternatives (||); such as >=1.0, <2.0")]
    Alternatives,
    #[error("{shown} is no version range ({source}); such as >=1.0, <2.0 or 1.x")]
    Range { shown: String, source: semver::Error },
    #[error("{shown} is no full commit id of 40 hexadecimal digits")]
    CommitId { shown: String },
}

/// `host:port` with an IP address as host; no host means every IPv4 address.
pub(super) fn listen(text: &str) -> Result<SocketAddr, AddressError> {
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    full.parse().map_err(|source| AddressError::Listen { shown: shown(text), source })
}

/// A URL that git may be asked to read, as libgit2 takes it. Commands (`ext::`), unauthenticated
/// protocols (`git://`) and paths relative to who knows what are refused.
pub(super) fn repository_url(text: &str) -> Result<Arc<str>, AddressError> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(AddressError::Spaces);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return if is_scp_like(text) { Ok(text.into()) } else { Err(AddressError::NoUrl) };
    };
    if !["https", "http", "ssh", "file"].contains(&scheme) {
        let plain = scheme.len() <= 20 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
        return Err(if plain { AddressError::Scheme(scheme.to_owned()) } else { AddressError::NoUrl });
    }
    if rest.contains("://") {
        return Err(AddressError::TwoUrls);
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.matches('@').count() > 1 {
        return Err(AddressError::TwoAts);
    }
    let url = Url::parse(text).map_err(|error| match (scheme, error) {
        ("ssh", url::ParseError::InvalidPort) => AddressError::SshPort,
        _ => AddressError::Unreadable(error),
    })?;
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    match scheme {
        "file" if !text.starts_with("file:///") => Err(AddressError::FileHost),
        "file" if url.path() == "/" => Err(AddressError::NoRepository),
        "ssh" if !has_host => Err(AddressError::NoHost),
        _ => Ok(text.into()),
    }
}

/// `git@host:path`, the short form of git over SSH.
fn is_scp_like(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let Some((user, rest)) = text.split_once('@') else { return false };
    let Some((host, path)) = rest.split_once(':') else { return false };
    // What begins with a dash could be taken for an option by an ssh program.
    user.starts_with(|c| plain(c) || c == '_')
        && user.chars().all(|c| plain(c) || c == '_' || c == '-')
        && host.starts_with(plain)
        && host.chars().all(|c| plain(c) || c == '-')
        && !path.is_empty()
}

/// A range of versions as Cargo reads it. Spaces may stand for the commas between comparisons.
pub(super) fn version_range(text: &str) -> Result<VersionReq, AddressError> {
    if text.trim().is_empty() {
        return Err(AddressError::NoRange);
    }
    if text.contains("||") {
        return Err(AddressError::Alternatives);
    }
    let mut range = String::new();
    for word in text.split_whitespace() {
        // `>= 1.0 < 2.0`: a comma belongs after a version, not after an operator.
        if range.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '*') && !word.starts_with(',') {
            range.push(',');
        }
        range.push_str(word);
    }
    VersionReq::parse(&range).map_err(|source| AddressError::Range { shown: shown(text), source })
}

/// A full object id, in lower case.
pub(super) fn commit_id(text: &str) -> Result<Arc<str>, AddressError> {
    if text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase().into())
    } else {
        Err(AddressError::CommitId { shown: shown(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_those_that_git_can_read_safely() {
        for good in [
            "https://git.example.com/shop.git",
            "http://127.0.0.1:3000/a/b",
            "https://bob:s3cret@git.example.com/shop.git",
            "ssh://git@git.example.com:2222/shop.git",
            "ssh://git.example.com/shop.git",
            "file:///srv/git/shop.git",
            "git@github.com:acme/shop.git",
            "deploy-bot@10.0.0.1:shop",
        ] {
            assert_eq!(repository_url(good).as_deref().ok(), Some(good));
        }
        for (bad, says) in [
            ("git://git.example.com/shop.git", "git:// URLs are not taken; use https://"),
            ("ftp://git.example.com/shop.git", "ftp:// URLs are not taken"),
            ("HTTPS://git.example.com/shop.git", "HTTPS:// URLs are not taken"),
            ("ext::sh -c whoami", "no spaces"),
            ("ext::whoami", "no repository URL; use https://"),
            ("ext::x://y", "no repository URL; use https://"),
            ("../shop.git", "no repository URL"),
            ("/srv/git/shop.git", "no repository URL"),
            ("git.example.com:shop.git", "no repository URL"),
            ("bob:s3cret@git.example.com:shop.git", "no repository URL"),
            ("git@-oProxyCommand=x:shop", "no repository URL"),
            ("", "no repository URL"),
            ("https://https://bob:s3cret@git.example.com/shop.git", "another one in it"),
            ("https://bob:s3@cret@git.example.com/shop.git", "%40"),
            ("ssh://git:s3@cret@git.example.com/shop.git", "%40"),
            ("https://proxy.example.com:/https://bob:s3cret@git.example.com/shop.git", "another one in it"),
            ("file:///https://bob:s3cret@git.example.com/shop.git", "another one in it"),
            ("https://", "cannot be read"),
            ("ssh:///shop.git", "no host"),
            ("ssh://git@github.com:acme/shop.git", "git@host:path"),
            ("file://srv/git", "file:///srv"),
            ("file:///", "no repository"),
            ("https://git.example.com/a b", "no spaces"),
        ] {
            let error = repository_url(bad).unwrap_err().to_string();
            assert!(error.contains(says), "{bad}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn versions_may_be_separated_by_spaces() {
        let read = |text: &str| version_range(text).unwrap().to_string();
        assert_eq!(read(">=1.0 <2.0"), ">=1.0, <2.0");
        assert_eq!(read(">= 1.0 < 2.0"), ">=1.0, <2.0");
        assert_eq!(read(">=1.0, <2.0"), ">=1.0, <2.0");
        assert_eq!(read(">=1.0 ,<2.0"), ">=1.0, <2.0");
        assert_eq!(read("1.x"), "1.*");
        assert_eq!(read("*"), "*");
        for bad in ["", "  ", "latest", "1.0 || 2.0", "1.0 - 2.0", ">="] {
            assert!(version_range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_have_a_port_and_at_most_an_ip_address() {
        assert_eq!(listen(":8080").unwrap().to_string(), "0.0.0.0:8080");
        assert_eq!(listen("[::]:80").unwrap().to_string(), "[::]:80");
        for bad in ["8080", "localhost:8080", "0.0.0.0", ":99999", ""] {
            assert!(listen(bad).is_err(), "{bad}");
        }
    }
}
