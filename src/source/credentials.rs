//! What libgit2 may offer when a server over ssh asks who we are: what the configuration names, else what the URL and the
//! ssh agent have. Over HTTP, `http` says who we are.

use git2::{Cred, CredentialType, Error, ErrorClass, ErrorCode};

use super::login::Login;
use super::scrub::percent_decoded;

/// libgit2 asks again for as long as it gets an answer, so a refused password would be sent for ever.
const ATTEMPTS: usize = 4;

/// What is said about who we are.
pub(super) struct Credentials<'a> {
    user: Option<String>,
    password: Option<String>,
    login: Option<&'a Login>,
    attempts: usize,
    offered_key: bool,
    offered_password: bool,
}

impl<'a> Credentials<'a> {
    pub fn new(url: &str, login: Option<&'a Login>) -> Self {
        let parsed = url::Url::parse(url).ok();
        let user = parsed.as_ref().map(|url| percent_decoded(url.username())).filter(|user| !user.is_empty());
        let password = parsed.as_ref().and_then(url::Url::password).map(percent_decoded);
        Self { user, password, login, attempts: 0, offered_key: false, offered_password: false }
    }

    /// The next thing to offer. In this order: the user name when the server wants only that, the key of the login, or else
    /// the ssh agent, and the password of the URL; each once.
    ///
    /// # Errors
    /// When there is nothing left to offer; its code is [`ErrorCode::Auth`].
    pub fn offer(&mut self, user_in_url: Option<&str>, allowed: CredentialType) -> Result<Cred, Error> {
        self.attempts += 1;
        if self.attempts > ATTEMPTS {
            return Err(refused("every credential that was offered was refused"));
        }
        let user = self.user.as_deref().or(user_in_url).unwrap_or("git");
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username(user);
        }
        if let Some(login) = self.login {
            let wanted = allowed.contains(CredentialType::SSH_MEMORY) || allowed.contains(CredentialType::SSH_KEY);
            let key = login.key.as_ref().filter(|_| wanted);
            let Some(key) = key else {
                // An agent or a password of this machine is not what the configuration names.
                return Err(refused("the server takes no keys"));
            };
            if std::mem::replace(&mut self.offered_key, true) {
                return Err(refused("the server refuses the private key"));
            }
            return Cred::ssh_key_from_memory(user, None, key, login.passphrase.as_deref());
        }
        if allowed.contains(CredentialType::SSH_KEY) && self.attempts <= 2 {
            return Cred::ssh_key_from_agent(user);
        }
        if allowed.contains(CredentialType::USER_PASS_PLAINTEXT)
            && !std::mem::replace(&mut self.offered_password, true)
            && let Some(password) = &self.password
        {
            return Cred::userpass_plaintext(user, password);
        }
        Err(refused(if self.password.is_some() {
            "the user and password in the URL were refused"
        } else {
            "no key of the ssh agent is taken, and the URL holds no password"
        }))
    }
}

fn refused(message: &str) -> Error {
    Error::new(ErrorCode::Auth, ErrorClass::Ssh, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "ssh://bob:secret@example.com/x.git";

    #[test]
    fn a_password_is_offered_once() {
        let mut credentials = Credentials::new(URL, None);
        assert!(credentials.offer(Some("bob"), CredentialType::USER_PASS_PLAINTEXT).is_ok());
        let error = credentials.offer(Some("bob"), CredentialType::USER_PASS_PLAINTEXT).err().unwrap();
        assert_eq!(error.code(), ErrorCode::Auth);
        assert_eq!(error.message(), "the user and password in the URL were refused");
    }

    #[test]
    fn without_credentials_there_is_nothing_to_offer() {
        let mut credentials = Credentials::new("ssh://git@example.com/x.git", None);
        let error = credentials.offer(None, CredentialType::USER_PASS_PLAINTEXT).err().unwrap();
        assert!(error.message().contains("the URL holds no password"));
    }

    #[test]
    fn a_key_of_the_configuration_is_offered_once_and_nothing_beside_it() {
        let login = Login { key: Some("-----BEGIN X-----\n".into()), ..Login::default() };
        let mut credentials = Credentials::new(URL, Some(&login));
        assert!(credentials.offer(None, CredentialType::SSH_KEY | CredentialType::USER_PASS_PLAINTEXT).is_ok());
        let again = credentials.offer(None, CredentialType::SSH_KEY | CredentialType::USER_PASS_PLAINTEXT);
        assert_eq!(again.err().unwrap().message(), "the server refuses the private key");
        let other = Credentials::new(URL, Some(&login)).offer(None, CredentialType::USER_PASS_PLAINTEXT);
        assert_eq!(other.err().unwrap().message(), "the server takes no keys");
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
