//! Credentials for one server, as Secrets of Kubernetes hold them.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use thiserror::Error;

/// User and password, and an authority to trust. What is secret in it is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// Name and password, for basic authentication (RFC 7617); `None`: requests are anonymous.
    pub user: Option<(String, String)>,
    /// PEM.
    pub authority: Option<Vec<u8>>,
}

impl fmt::Debug for Login {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_ref().map(|(name, _)| name);
        out.debug_struct("Login").field("user", &user).finish_non_exhaustive()
    }
}

/// A Secret holds no credentials that can be used.
#[derive(Debug, Error)]
pub enum LoginError {
    /// It has the first key, `username` or `password`, and not the second.
    #[error("it has {0} without {1}")]
    Half(&'static str, &'static str),
    /// The value of this key, `username` or `password`, is not UTF-8.
    #[error("its key {0} is not valid UTF-8")]
    NotText(&'static str),
    /// The parser's own words might quote what is in it.
    #[error("its key .dockerconfigjson is not a config.json of Docker")]
    DockerConfig,
    /// `.dockerconfigjson` has no entry for the server.
    #[error("its key .dockerconfigjson has nothing for {host}; it has entries for: {known}")]
    NoEntry {
        /// Host of the server, with its port where that is not 443.
        host: String,
        /// Hosts that have an entry, separated by commas; may be empty.
        known: String,
    },
    /// It has none of the keys that are read.
    #[error("it has none of username and password, .dockerconfigjson and ca.crt")]
    Nothing,
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, DockerEntry>,
}

#[derive(Deserialize)]
struct DockerEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

impl Login {
    /// Out of the data of a Secret of the type `kubernetes.io/basic-auth` or `kubernetes.io/dockerconfigjson`, beside which
    /// `ca.crt` may stand. `host` is that of the server, with its port where it is not 443.
    ///
    /// # Errors
    /// It is incomplete, cannot be read, or has nothing for this host.
    pub fn of_secret(data: &BTreeMap<String, Vec<u8>>, host: &str) -> Result<Self, LoginError> {
        let text = |key: &'static str| {
            let value =
                data.get(key).map(|bytes| String::from_utf8(bytes.clone()).map_err(|_| LoginError::NotText(key)));
            value.transpose()
        };
        let authority = data.get("ca.crt").cloned();
        let user = match (text("username")?, text("password")?) {
            (Some(name), Some(password)) => Some((name, password)),
            (Some(_), None) => return Err(LoginError::Half("username", "password")),
            (None, Some(_)) => return Err(LoginError::Half("password", "username")),
            (None, None) => data.get(".dockerconfigjson").map(|bytes| docker(bytes, host)).transpose()?,
        };
        if user.is_none() && authority.is_none() {
            return Err(LoginError::Nothing);
        }
        Ok(Self { user, authority })
    }
}

/// The entry of a host. Docker writes hosts as `host`, `host:port` or a URL of either.
fn docker(bytes: &[u8], host: &str) -> Result<(String, String), LoginError> {
    let config: DockerConfig = serde_json::from_slice(bytes).map_err(|_| LoginError::DockerConfig)?;
    let bare = |key: &str| {
        let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default().to_lowercase()
    };
    // Docker's own name for its registry.
    let is_hub = ["registry-1.docker.io", "docker.io"].contains(&host);
    let matches = |key: &str| bare(key) == host || is_hub && ["index.docker.io", "docker.io"].contains(&&*bare(key));
    let Some((_, entry)) = config.auths.iter().find(|(key, _)| matches(key)) else {
        let known = config.auths.keys().map(|key| bare(key)).collect::<Vec<_>>().join(", ");
        return Err(LoginError::NoEntry { host: host.to_owned(), known });
    };
    if let (Some(name), Some(password)) = (&entry.username, &entry.password) {
        return Ok((name.clone(), password.clone()));
    }
    let decoded = entry.auth.as_ref().and_then(|auth| STANDARD.decode(auth.trim()).ok());
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let (name, password) = text.as_deref().and_then(|text| text.split_once(':')).ok_or(LoginError::DockerConfig)?;
    Ok((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(entries: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn secrets_of_the_usual_types_hold_credentials() {
        let login = Login::of_secret(&data(&[("username", "bob"), ("password", "s3cret")]), "h").unwrap();
        assert_eq!(login.user, Some(("bob".into(), "s3cret".into())));
        assert!(!format!("{login:?}").contains("s3cret"));
        let auth = STANDARD.encode("bob:s3:cret");
        for key in ["r.example.com:5000", "https://R.example.com:5000/v2/"] {
            let config = format!(r#"{{"auths": {{"{key}": {{"auth": "{auth}"}}, "other": {{"auth": "eA=="}}}}}}"#);
            let login = Login::of_secret(&data(&[(".dockerconfigjson", &config)]), "r.example.com:5000").unwrap();
            assert_eq!(login.user, Some(("bob".into(), "s3:cret".into())), "{key}");
            let error = Login::of_secret(&data(&[(".dockerconfigjson", &config)]), "r.example.com").unwrap_err();
            assert!(error.to_string().contains("nothing for r.example.com; it has entries for"), "{error}");
        }
        let hub = r#"{"auths": {"https://index.docker.io/v1/": {"username": "u", "password": "p"}}}"#;
        let login = Login::of_secret(&data(&[(".dockerconfigjson", hub)]), "registry-1.docker.io").unwrap();
        assert_eq!(login.user, Some(("u".into(), "p".into())));
        let login = Login::of_secret(&data(&[("ca.crt", "x")]), "h").unwrap();
        assert!(login.user.is_none() && login.authority.is_some());
    }

    #[test]
    fn what_is_incomplete_is_said_without_what_is_secret() {
        for (entries, says) in [
            (&[("username", "bob")][..], "username without password"),
            (&[("password", "s3cret")][..], "password without username"),
            (&[("token", "s3cret")][..], "none of username and password"),
            (&[(".dockerconfigjson", "s3cret")][..], "not a config.json of Docker"),
            (&[(".dockerconfigjson", r#"{"auths": {"h": {"auth": "s3cret!"}}}"#)][..], "not a config.json of Docker"),
        ] {
            let error = Login::of_secret(&data(entries), "h").unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("s3cret"), "{error}");
        }
    }
}
