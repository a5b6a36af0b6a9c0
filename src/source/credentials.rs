//! What libgit2 may offer when a server asks who we are: what the configuration names, else what the URL and the ssh
//! agent have.

use git2::{Cred, CredentialType, Error, ErrorClass, ErrorCode};

use super::login::Login;
use super::scrub::percent_decoded;

/// libgit2 asks again for as long as it gets an answer, so a refused password would be sent for ever.
const ATTEMPTS: usize = 4;

/// To whom the credentials of a URL over HTTP may be sent: scheme, host and port, as a browser has it (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerOrigin(url::Origin);

impl ServerOrigin {
    /// `None` where the URL is not over HTTP.
    pub fn of(url: &str) -> Option<Self> {
        let url = url::Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        Some(Self(url.origin()))
    }
}

/// What is said about who we are.
pub(super) struct Credentials<'a> {
    user: Option<String>,
    password: Option<String>,
    login: Option<&'a Login>,
    offered_key: bool,
    attempts: usize,
    offered_password: bool,
    offered_default: bool,
}

impl<'a> Credentials<'a> {
    pub fn new(url: &str, login: Option<&'a Login>) -> Self {
        let parsed = url::Url::parse(url).ok();
        let user = parsed.as_ref().map(|url| percent_decoded(url.username())).filter(|user| !user.is_empty());
        let password = parsed.as_ref().and_then(url::Url::password).map(percent_decoded);
        let basic = login.and_then(|login| login.basic.clone());
        // Over ssh, the URL says as whom.
        let (user, password) = match basic {
            Some((name, password)) => {
                (user.filter(|_| login.is_some_and(|login| login.key.is_some())).or(Some(name)), Some(password))
            }
            None => (user, password),
        };
        Self { user, password, login, offered_key: false, attempts: 0, offered_password: false, offered_default: false }
    }

    /// The next thing to offer. In this order: the user name when ssh wants only that, the key of the login, or else the ssh
    /// agent; user and password of the login, or else of the URL; Negotiate; each once.
    ///
    /// # Errors
    /// When there is nothing left to offer; its code is [`ErrorCode::Auth`].
    pub fn offer(&mut self, user_in_url: Option<&str>, allowed: CredentialType) -> Result<Cred, Error> {
        self.attempts += 1;
        if self.attempts > ATTEMPTS {
            return Err(refused("every credential that was offered was refused"));
        }
        let user = self.user.as_deref().or(user_in_url);
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username(user.unwrap_or("git"));
        }
        if let Some(login) = self.login
            && let Some(key) = &login.key
        {
            let wanted = allowed.contains(CredentialType::SSH_MEMORY) || allowed.contains(CredentialType::SSH_KEY);
            if wanted && !std::mem::replace(&mut self.offered_key, true) {
                return Cred::ssh_key_from_memory(user.unwrap_or("git"), None, key, login.passphrase.as_deref());
            }
            // An agent or a password of this machine is not what the configuration names.
            return Err(refused("the server refuses the private key"));
        }
        if allowed.contains(CredentialType::SSH_KEY) && self.attempts <= 2 {
            return Cred::ssh_key_from_agent(user.unwrap_or("git"));
        }
        if allowed.contains(CredentialType::USER_PASS_PLAINTEXT) && !self.offered_password {
            self.offered_password = true;
            // A token that stands alone is a user name with an empty password.
            if let Some(user) = user {
                return Cred::userpass_plaintext(user, self.password.as_deref().unwrap_or_default());
            }
        }
        if allowed.contains(CredentialType::DEFAULT) && !self.offered_default {
            self.offered_default = true;
            return Cred::default();
        }
        Err(refused(if self.offered_password && self.login.is_some() {
            "user and password were refused"
        } else if self.offered_password && user.is_some() {
            "the user and password in the URL were refused"
        } else if self.login.is_some() {
            "nothing that the server asks for is among the credentials"
        } else {
            "the URL holds no credentials"
        }))
    }
}

fn refused(message: &str) -> Error {
    Error::new(ErrorCode::Auth, ErrorClass::Net, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |one, other| ServerOrigin::of(one) == ServerOrigin::of(other);
        assert!(same("https://bob:x@Example.com/a.git", "https://example.com:443/b?c"));
        for other in
            ["http://example.com/a", "https://example.com:8443/a", "https://sub.example.com/a", "git@example.com:a"]
        {
            assert!(!same("https://example.com/a", other), "{other}");
        }
        assert_eq!(ServerOrigin::of("ssh://git@example.com/a"), None);
    }

    #[test]
    fn a_password_is_offered_once() {
        let mut credentials = Credentials::new("https://bob:secret@example.com/x.git", None);
        assert!(credentials.offer(Some("bob"), CredentialType::USER_PASS_PLAINTEXT).is_ok());
        let error = credentials.offer(Some("bob"), CredentialType::USER_PASS_PLAINTEXT).err().unwrap();
        assert_eq!(error.code(), ErrorCode::Auth);
        assert_eq!(error.message(), "the user and password in the URL were refused");
    }

    #[test]
    fn without_credentials_there_is_nothing_to_offer() {
        let mut credentials = Credentials::new("https://example.com/x.git", None);
        let error = credentials.offer(None, CredentialType::USER_PASS_PLAINTEXT).err().unwrap();
        assert_eq!(error.message(), "the URL holds no credentials");
    }

    #[test]
    fn asking_for_ever_ends() {
        let mut credentials = Credentials::new("git@example.com:x.git", None);
        for _ in 0..ATTEMPTS {
            let _ = credentials.offer(Some("git"), CredentialType::USERNAME);
        }
        assert!(credentials.offer(Some("git"), CredentialType::USERNAME).is_err());
    }
}
