//! URLs as people may see them.

use std::fmt;

use super::Readable;

/// A URL without user, password, query and fragment: a token is often given as the user, and links to storage are signed in
/// their query. Fit for logs, errors and pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainUrl(String);

impl PlainUrl {
    /// Takes a URL of any scheme, or git's short form `git@host:path`, whose user is no secret.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if let Ok(mut url) = url::Url::parse(text) {
            // Both fail only for URLs that cannot have credentials.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_query(None);
            url.set_fragment(None);
            if !url.cannot_be_a_base() {
                return Self(url.to_string());
            }
        }
        Self(without_credentials(text))
    }
}

/// The same of what no URL parser takes: what is between `://` and the last `@` may be a password with any sign in it.
fn without_credentials(text: &str) -> String {
    let plain = text.split(['?', '#']).next().unwrap_or_default();
    match plain.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host)),
        // `user:password@host` is no short form of git's, which has its colon behind the host.
        None => match plain.rsplit_once('@') {
            Some((user, host)) if user.contains(':') => host.to_owned(),
            _ => plain.to_owned(),
        },
    }
}

impl fmt::Display for PlainUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Readable(&self.0), out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credentials_are_left() {
        for (text, plain) in [
            ("https://git.example.com/a.git", "https://git.example.com/a.git"),
            ("https://token@git.example.com/a.git", "https://git.example.com/a.git"),
            ("https://user:secret@git.example.com:8443/a", "https://git.example.com:8443/a"),
            ("https://cdn.example.com/a.tgz?X-Amz-Signature=secret#f", "https://cdn.example.com/a.tgz"),
            ("oci://user:secret@registry.example.com/charts/a", "oci://registry.example.com/charts/a"),
            ("ssh://git:secret@git.example.com/a", "ssh://git.example.com/a"),
            ("git@git.example.com:a.git", "git@git.example.com:a.git"),
            ("https://user:se cret@@git.example.com/a", "https://git.example.com/a"),
            ("https://user:se/cret@git.example .com/a", "https://git.example .com/a"),
            ("user:secret@git.example.com/a?token=secret", "git.example.com/a"),
            ("file:///srv/git/a", "file:///srv/git/a"),
            ("", ""),
        ] {
            let shown = PlainUrl::of(text).to_string();
            assert_eq!(shown, plain, "{text}");
            assert!(!shown.contains("secret") && !shown.contains("token"), "{shown}");
        }
    }
}
