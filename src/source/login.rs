//! Credentials for one git server, as a Secret of Kubernetes or a directory of files holds them: the keys are those of
//! `kubernetes.io/basic-auth`, `kubernetes.io/ssh-auth` and `kubernetes.io/tls`, and those of Flux.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;
use url::Url;

use super::known_hosts::KnownHosts;

/// Keys that are read, in the order in which errors list them.
const KEYS: [&str; 11] = [
    "username",
    "password",
    "bearerToken",
    "identity",
    "ssh-privatekey",
    "known_hosts",
    "ca.crt",
    "caFile",
    "tls.crt",
    "tls.key",
    "identity.pub",
];

/// What proves to a server who we are, and to us which server it is. Nothing of it is ever printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// User and password, for basic authentication (RFC 7617).
    pub(super) basic: Option<(String, String)>,
    /// A token for the header `Authorization: Bearer` (RFC 6750).
    pub(super) bearer: Option<String>,
    /// The private key for ssh: PEM, of OpenSSH or PKCS.
    pub(super) key: Option<String>,
    /// What it is encrypted with.
    pub(super) passphrase: Option<String>,
    /// Keys of ssh servers; `None`: those in the agent's home directory count.
    pub(super) known_hosts: Option<KnownHosts>,
    /// PEM: authorities that are trusted beside those of the system.
    pub(super) authority: Option<Vec<u8>>,
    /// PEM: our certificate and its private key, in this order.
    pub(super) client: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for Login {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Login").finish_non_exhaustive()
    }
}

/// A Secret or directory holds no credentials that can be used for a URL.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LoginError {
    /// The first key is there without the second, which it needs.
    #[error("it has {0} without {1}")]
    Half(&'static str, &'static str),
    /// Two keys say different things about the same.
    #[error("it has both {0} and {1}; keep one of them")]
    Both(&'static str, &'static str),
    /// The value of this key is not UTF-8.
    #[error("its key {0} is not valid UTF-8")]
    NotText(&'static str),
    /// The value of this key is empty.
    #[error("its key {0} is empty")]
    Empty(&'static str),
    /// The value of this key fits into no header of HTTP.
    #[error("its key {0} has a line break or another control character in it")]
    Control(&'static str),
    /// Basic authentication ends a name there (RFC 7617).
    #[error("its key username has a colon in it")]
    Colon,
    /// A line of `known_hosts` cannot be read.
    #[error("its key known_hosts has no host key in line {0}, which ssh-keyscan would print as HOST TYPE KEY")]
    KnownHosts(usize),
    /// The value of this key is no private key in PEM.
    #[error("its key {0} is no private key in PEM: it does not begin with -----BEGIN")]
    NotPem(&'static str),
    /// For ssh, a private key is needed.
    #[error("ssh needs identity (or ssh-privatekey) and known_hosts; {0}")]
    NoKey(Found),
    /// For ssh, the keys of the server have to be known.
    #[error("it has no known_hosts, without which any server could pretend to be {host}; ssh-keyscan {host} prints it")]
    NoKnownHosts {
        /// Host of the URL.
        host: String,
    },
    /// For https, something of what is read is needed.
    #[error("https needs username and password, bearerToken, tls.crt and tls.key, or ca.crt; {0}")]
    Nothing(Found),
    /// Nobody asks for credentials there.
    #[error("the URL is read over {0}, which takes no credentials")]
    NoUse(String),
}

/// The keys that a Secret has, for errors.
#[derive(Debug, PartialEq, Eq)]
pub struct Found(Vec<String>);

impl fmt::Display for Found {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { out.write_str("it is empty") } else { write!(out, "it has {}", self.0.join(", ")) }
    }
}

impl Login {
    /// Out of the data of a Secret, for a URL as the configuration has it.
    ///
    /// # Errors
    /// It is incomplete, cannot be read, or holds nothing that the URL's scheme has a use for.
    pub fn of(data: &BTreeMap<String, Vec<u8>>, url: &str) -> Result<Self, LoginError> {
        let found = || Found(data.keys().filter(|key| !key.is_empty()).cloned().collect());
        let (scheme, host) = scheme_and_host(url);
        let login = Self::read(data)?;
        match &*scheme {
            "ssh" if login.key.is_none() => Err(LoginError::NoKey(found())),
            "ssh" if login.known_hosts.is_none() => Err(LoginError::NoKnownHosts { host }),
            "https" | "http" if !login.is_for_http() => Err(LoginError::Nothing(found())),
            "ssh" | "https" | "http" => Ok(login),
            _ => Err(LoginError::NoUse(scheme)),
        }
    }

    fn read(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, LoginError> {
        let bytes = |key: &'static str| match data.get(key) {
            Some(value) if value.iter().all(u8::is_ascii_whitespace) => Err(LoginError::Empty(key)),
            value => Ok(value.cloned()),
        };
        let text = |key: &'static str| {
            let value = bytes(key)?.map(|value| String::from_utf8(value).map_err(|_| LoginError::NotText(key)));
            value.transpose()
        };
        // Editors and `echo` leave a line's end, which is never part of a name, a token or a passphrase.
        let line = |key| {
            let value = text(key)?.map(|value| value.trim_end_matches(['\r', '\n']).to_owned());
            if value.as_ref().is_some_and(|value| value.contains(char::is_control)) {
                return Err(LoginError::Control(key));
            }
            Ok(value)
        };
        let either = |one: &'static str, other: &'static str| match (bytes(one)?, bytes(other)?) {
            (Some(_), Some(_)) => Err(LoginError::Both(one, other)),
            (value, None) | (None, value) => Ok(value),
        };
        let key = match (text("identity")?, text("ssh-privatekey")?) {
            (Some(_), Some(_)) => return Err(LoginError::Both("identity", "ssh-privatekey")),
            (Some(key), None) => Some(private_key(key, "identity")?),
            (None, key) => key.map(|key| private_key(key, "ssh-privatekey")).transpose()?,
        };
        let (user, password) = (line("username")?, line("password")?);
        let bearer = line("bearerToken")?;
        let passphrase = password.clone().filter(|_| key.is_some());
        let basic = match (user, password) {
            (Some(user), Some(_)) if user.contains(':') => return Err(LoginError::Colon),
            (Some(user), Some(password)) => Some((user, password)),
            // Beside a private key the password is its passphrase, and the URL names the user.
            (_, _) if key.is_some() => None,
            (Some(_), None) => return Err(LoginError::Half("username", "password")),
            (None, Some(_)) => return Err(LoginError::Half("password", "username")),
            (None, None) => None,
        };
        if basic.is_some() && bearer.is_some() {
            return Err(LoginError::Both("bearerToken", "username"));
        }
        let client = match (bytes("tls.crt")?, bytes("tls.key")?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (Some(_), None) => return Err(LoginError::Half("tls.crt", "tls.key")),
            (None, Some(_)) => return Err(LoginError::Half("tls.key", "tls.crt")),
            (None, None) => None,
        };
        let known_hosts = text("known_hosts")?.map(|text| KnownHosts::parse(&text).map_err(LoginError::KnownHosts));
        let (known_hosts, authority) = (known_hosts.transpose()?, either("ca.crt", "caFile")?);
        Ok(Self { basic, bearer, key, passphrase, known_hosts, authority, client })
    }

    fn is_for_http(&self) -> bool {
        self.basic.is_some() || self.bearer.is_some() || self.client.is_some() || self.authority.is_some()
    }

    /// The names of the keys that are read: the files of a directory that holds credentials.
    #[must_use]
    pub fn keys() -> &'static [&'static str] {
        &KEYS
    }

    /// What of it must appear in no text.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let password = self.basic.as_ref().map(|(_, password)| password.as_str());
        let all = [password, self.bearer.as_deref(), self.passphrase.as_deref(), self.key.as_deref()];
        all.into_iter().flatten().filter(|secret| !secret.is_empty())
    }
}

fn private_key(text: String, key: &'static str) -> Result<String, LoginError> {
    if !text.trim_start().starts_with("-----BEGIN") {
        return Err(LoginError::NotPem(key));
    }
    // OpenSSL reads no last line without an end.
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

/// Scheme and host of a URL; `git@host:path` is ssh.
pub(super) fn scheme_and_host(url: &str) -> (String, String) {
    if let Some((scheme, _)) = url.split_once("://") {
        let parsed = Url::parse(url).ok();
        let host = parsed.as_ref().and_then(Url::host_str).unwrap_or_default();
        return (scheme.to_ascii_lowercase(), host.to_owned());
    }
    let host = url.split_once('@').and_then(|(_, rest)| rest.split_once(':')).map(|(host, _)| host.to_owned());
    host.map_or_else(|| ("file".to_owned(), String::new()), |host| ("ssh".to_owned(), host))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nxyz\n-----END OPENSSH PRIVATE KEY-----";
    const HOSTS: &str = "h ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILJbAWEIqxfGQAdi5m9VyLbsGNdZxyn6jPxPFjrMFMDD";
    const SSH: &str = "ssh://git@h/a.git";
    const HTTPS: &str = "https://h/a.git";

    fn of(url: &str, entries: &[(&str, &str)]) -> Result<Login, LoginError> {
        let data = entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
        Login::of(&data.collect(), url)
    }

    #[test]
    fn secrets_of_the_usual_forms_are_read() {
        let login = of(HTTPS, &[("username", "bob"), ("password", "s3cret\n")]).unwrap();
        assert_eq!(login.basic, Some(("bob".into(), "s3cret".into())));
        assert!(!format!("{login:?}").contains("s3cret"));
        assert_eq!(of(HTTPS, &[("bearerToken", "t")]).unwrap().bearer.as_deref(), Some("t"));
        assert!(of(HTTPS, &[("tls.crt", "c"), ("tls.key", "k")]).unwrap().client.is_some());
        for url in [SSH, "git@h:a.git"] {
            for name in ["identity", "ssh-privatekey"] {
                let login = of(url, &[(name, KEY), ("known_hosts", HOSTS), ("password", "p")]).unwrap();
                assert_eq!(login.key.as_deref(), Some(&*format!("{KEY}\n")));
                assert_eq!((login.passphrase.as_deref(), login.basic.clone()), (Some("p"), None));
                assert_eq!(login.secrets().count(), 2);
            }
        }
    }

    #[test]
    fn what_is_missing_is_named_and_what_is_secret_is_not() {
        let key = ("identity", KEY);
        for (url, entries, says) in [
            (HTTPS, &[("username", "bob")][..], "it has username without password"),
            (HTTPS, &[("password", "s3cret")], "it has password without username"),
            (HTTPS, &[("token", "s3cret")], "https needs username and password, bearerToken"),
            (HTTPS, &[], "it is empty"),
            (HTTPS, &[key, ("known_hosts", HOSTS)], "it has identity, known_hosts"),
            (HTTPS, &[("username", " "), ("password", "s3cret")], "its key username is empty"),
            (HTTPS, &[("bearerToken", "s3cret"), ("username", "u"), ("password", "s3cret")], "keep one of them"),
            (HTTPS, &[("tls.crt", "c")], "it has tls.crt without tls.key"),
            (HTTPS, &[("bearerToken", "s3cret\ns3cret")], "its key bearerToken has a line break"),
            (HTTPS, &[("username", "a:b"), ("password", "s3cret")], "its key username has a colon"),
            (SSH, &[("username", "bob"), ("password", "s3cret")], "ssh needs identity (or ssh-privatekey)"),
            (SSH, &[key], "any server could pretend to be h; ssh-keyscan h prints it"),
            (SSH, &[key, ("known_hosts", "h ssh-ed25519")], "no host key in line 1"),
            (SSH, &[("identity", "s3cret"), ("known_hosts", HOSTS)], "its key identity is no private key in PEM"),
            ("file:///srv/a.git", &[("username", "bob"), ("password", "s3cret")], "read over file"),
        ] {
            let error = of(url, entries).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("s3cret"), "{error}");
        }
    }
}
