//! Keeps credentials out of texts that come from libgit2, which likes to quote URLs.

use base64::Engine as _;

use super::login::Login;
use crate::config::Source;

/// What stands in place of a secret.
pub(super) const HIDDEN: &str = "***";

/// Replaces the raw URL of one source, and any part of it that is secret.
#[derive(Clone)]
pub(super) struct Scrubber {
    raw: String,
    display: String,
    secrets: Vec<String>,
}

impl Scrubber {
    pub fn new(source: &Source) -> Self {
        let mut secrets = Vec::new();
        if let Ok(url) = url::Url::parse(&source.url) {
            if let Some(password) = url.password() {
                secrets.push(password.to_owned());
                secrets.push(percent_decoded(password));
                secrets.push(encoded(&percent_decoded(url.username()), &percent_decoded(password)));
            } else if matches!(url.scheme(), "http" | "https") && !url.username().is_empty() {
                // A token is often given as the user name, without a password.
                secrets.push(url.username().to_owned());
                secrets.push(percent_decoded(url.username()));
            }
            secrets.extend(url.query().map(str::to_owned));
        }
        secrets.retain(|secret| !secret.is_empty());
        Self { raw: source.url.to_string(), display: source.display_url(), secrets }
    }

    /// The same for a call with a login.
    pub fn with(&self, login: Option<&Login>) -> Self {
        let mut scrub = self.clone();
        if let Some(login) = login {
            scrub.secrets.extend(login.secrets().map(str::to_owned));
            scrub.secrets.extend(login.basic.as_ref().map(|(user, password)| encoded(user, password)));
        }
        scrub
    }

    /// The URL as people may see it.
    pub fn display_url(&self) -> &str {
        &self.display
    }

    pub fn scrub(&self, text: &str) -> String {
        let mut text = text.replace(&self.raw, &self.display);
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), HIDDEN);
        }
        without_userinfo(text.trim())
    }
}

/// As it is in the header of a request, which a server may repeat.
fn encoded(user: &str, password: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
}

/// Hides what stands between `://` and `@` in any URL of the text: a proxy's, or one that a server redirected to.
fn without_userinfo(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c == '/' || c.is_whitespace() || matches!(c, '\'' | '"')).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                out.push_str(HIDDEN);
                out.push('@');
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// `%40` to `@`. Bytes that are no UTF-8 become replacement characters, since the result is only searched for.
pub(super) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Reference;

    fn scrubber(url: &str) -> Scrubber {
        Scrubber::new(&Source {
            url: url.into(),
            reference: Reference::Branch("main".into()),
            auth: None,
            verify: None,
        })
    }

    #[test]
    fn hides_passwords_tokens_and_userinfo() {
        let scrub = scrubber("https://bob:s%40cret@git.example.com/shop.git");
        let text = scrub.scrub("cannot open https://bob:s%40cret@git.example.com/shop.git with s@cret");
        assert_eq!(text, "cannot open https://git.example.com/shop.git with ***");

        let scrub = scrubber("https://ghp_token@github.com/a/b");
        assert_eq!(scrub.scrub("token ghp_token refused"), "token *** refused");
        assert_eq!(
            scrub.scrub("proxy 'http://u:p@proxy:3128' and http://u@x/y@z"),
            "proxy 'http://***@proxy:3128' and http://***@x/y@z"
        );
    }

    #[test]
    fn hides_what_a_login_holds() {
        let scrub = scrubber("https://git.example.com/shop.git");
        let of = |entries: &[(&str, &str)]| {
            let data = entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
            Login::of(&data, "https://git.example.com/shop.git").unwrap()
        };
        let login = of(&[("username", "bob"), ("password", "s3cret")]);
        let text = scrub.with(Some(&login)).scrub("bob with s3cret, by Basic Ym9iOnMzY3JldA==");
        assert_eq!(text, "bob with ***, by Basic ***");
        let login = of(&[("bearerToken", "t0ken")]);
        assert_eq!(scrub.with(Some(&login)).scrub("Bearer t0ken"), "Bearer ***");
        assert_eq!(scrub.with(None).scrub("t0ken"), "t0ken");
    }

    #[test]
    fn leaves_ordinary_texts_alone() {
        let scrub = scrubber("git@example.com:shop.git");
        assert_eq!(scrub.scrub("git said: 100% of http://x/ failed\n"), "git said: 100% of http://x/ failed");
    }
}
