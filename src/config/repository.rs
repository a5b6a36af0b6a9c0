//! Which repository a URL means, however it is spelled.

use std::fmt;
use std::sync::Arc;

use url::Url;

/// The canonical form of a repository's URL: two spellings of one repository have the same key.
/// It holds no credentials, so it may be shown and stored.
///
/// Not part of it, since it does not say which repository is meant: user and password of an `http`
/// or `https` URL, the password of an `ssh` URL, query and fragment, the case of the host and a dot
/// at its end, the scheme's own port, slashes and `.git` at the end of the path, and whether an
/// unreserved character is percent-encoded (RFC 3986, section 6.2.2). `user@host:path` is
/// `ssh://user@host/path`. The scheme is a part of it: what is read over `http` is not what is read
/// over `https`; and so is the case of the path.
///
/// A `file` URL keeps its `.git`: a work tree and its bare repository often lie side by side.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryKey(Arc<str>);

impl RepositoryKey {
    /// The key of a URL that the configuration takes. Any other text is its own key, without what
    /// could be credentials.
    #[must_use]
    pub fn of(url: &str) -> Self {
        let parsed = match url.split_once("://") {
            Some(_) => Url::parse(url).ok(),
            None => from_scp(url).and_then(|url| Url::parse(&url).ok()),
        };
        let key = parsed.as_ref().map_or_else(|| url.rsplit('@').next().unwrap_or_default().to_owned(), canonical);
        Self(key.into())
    }

    /// Returns the key as text, without credentials.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// `git@host:path` as an `ssh` URL. Relative to a home directory or not makes no difference to the
/// hosts that people use; to those to which it does, `/path` and `path` rarely both exist.
fn from_scp(text: &str) -> Option<String> {
    let (user, rest) = text.split_once('@')?;
    let (host, path) = rest.split_once(':')?;
    Some(format!("ssh://{user}@{host}/{}", path.trim_start_matches('/')))
}

fn canonical(url: &Url) -> String {
    let scheme = url.scheme();
    // Who names no user over ssh is `git`.
    let user = match (scheme, url.username()) {
        ("ssh", "") => "git@".to_owned(),
        ("ssh", user) => format!("{user}@"),
        _ => String::new(),
    };
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    // The parser leaves out the port of the schemes that it knows; ssh is none of them.
    let port = url.port().filter(|port| !(scheme == "ssh" && *port == 22));
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{user}{host}{port}{}", canonical_path(scheme, url.path()))
}

fn canonical_path(scheme: &str, path: &str) -> String {
    let path = decoded(path);
    let path = path.trim_end_matches('/');
    if scheme == "file" {
        // The repository of a work tree.
        return path.strip_suffix("/.git").unwrap_or(path).to_owned();
    }
    let path = if scheme == "ssh" {
        path.strip_prefix("/~").filter(|rest| rest.starts_with('/')).unwrap_or(path)
    } else {
        path
    };
    path.strip_suffix(".git").filter(|rest| !rest.ends_with('/')).unwrap_or(path).to_owned()
}

/// Percent-encoded characters that need not be (RFC 3986, section 2.3) as they are, and the others
/// in upper case.
fn decoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let byte = after.get(1..3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => out.push(char::from(byte)),
            Some(byte) => out.push_str(&format!("%{byte:02X}")),
            None => out.push('%'),
        }
        rest = &after[if byte.is_some() { 3 } else { 1 }..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(url: &str) -> String {
        RepositoryKey::of(url).to_string()
    }

    #[test]
    fn spellings_of_one_repository_have_one_key() {
        for (key_of_all, spellings) in [
            (
                "https://git.example.com/Acme/shop",
                &[
                    "https://git.example.com/Acme/shop",
                    "https://git.example.com/Acme/shop/",
                    "https://git.example.com/Acme/shop.git",
                    "https://git.example.com/Acme/shop.git//",
                    "https://bob:s3cret@git.example.com/Acme/shop.git",
                    "https://t0ken@git.example.com:443/Acme/shop.git?private_token=s3cret#main",
                    "https://GIT.Example.com./Acme/%73hop%2egit",
                ][..],
            ),
            (
                "ssh://git@git.example.com/acme/shop",
                &[
                    "git@git.example.com:acme/shop.git",
                    "git@GIT.example.com:/acme/shop",
                    "ssh://git@git.example.com/acme/shop.git/",
                    "ssh://git:s3cret@git.example.com:22/acme/shop",
                    "ssh://git@git.example.com/~/acme/shop.git",
                    "ssh://git.example.com/acme/shop.git",
                ],
            ),
            ("file:///srv/git/shop.git", &["file:///srv/git/shop.git", "file:///srv/git/shop.git/"]),
            ("file:///srv/work", &["file:///srv/work", "file:///srv/work/.git", "file:///srv/work/.git/"]),
        ] {
            for spelling in spellings {
                assert_eq!(key(spelling), key_of_all, "{spelling}");
            }
        }
    }

    #[test]
    fn what_is_another_repository_has_another_key() {
        let all = [
            "https://git.example.com/acme/shop",
            "http://git.example.com/acme/shop",
            "https://git.example.com:8443/acme/shop",
            "https://git.example.com/acme/Shop",
            "https://git.example.com/acme/shop/more",
            "https://git.example.com/acme%2Fshop",
            "https://example.com/acme/shop",
            "ssh://git@git.example.com/acme/shop",
            "ssh://deploy@git.example.com/acme/shop",
            "ssh://git@git.example.com:2222/acme/shop",
            "file:///acme/shop",
            "file:///acme/shop.git",
        ];
        let keys: std::collections::BTreeSet<String> = all.iter().map(|url| key(url)).collect();
        assert_eq!(keys.len(), all.len(), "{keys:?}");
    }

    fn path() -> impl Strategy<Value = String> {
        "[a-zA-Z0-9_-]{1,8}(/[a-zA-Z0-9_~-]{1,8}){0,3}"
    }

    proptest! {
        #[test]
        fn a_key_depends_on_neither_credentials_nor_notation(
            path in path(), user in "[a-z]{1,6}", password in "[a-zA-Z0-9]{8,12}", slashes in 0..3usize, git in any::<bool>(),
            upper in any::<bool>(), encoded in any::<prop::sample::Index>(), port in any::<bool>(),
        ) {
            let plain = key(&format!("https://git.example.com/{path}"));
            let host = if upper { "GIT.EXAMPLE.COM" } else { "git.example.com" };
            let port = if port { ":443" } else { "" };
            let at = encoded.index(path.len());
            let other: String = path.char_indices().map(|(index, sign)| if index == at && sign != '/' {
                format!("%{:02x}", u32::from(sign))
            } else {
                sign.to_string()
            }).collect();
            let suffix = if git { ".git" } else { "" };
            let url = format!("https://{user}:{password}@{host}{port}/{other}{suffix}{}", "/".repeat(slashes));
            prop_assert_eq!(key(&url), plain.clone());
            // And the key of a key is that key.
            prop_assert_eq!(key(&plain), plain.clone());
            prop_assert!(!plain.contains(&password));
        }

        #[test]
        fn different_paths_have_different_keys(one in path(), other in path()) {
            let [first, second] = [&one, &other].map(|path| key(&format!("https://git.example.com/{path}")));
            prop_assert_eq!(one == other, first == second);
            let [first, second] = [&one, &other].map(|path| key(&format!("git@git.example.com:{path}")));
            prop_assert_eq!(one == other, first == second);
        }

        #[test]
        fn no_text_makes_it_panic_or_shows_a_password(text in "\\PC{0,40}", password in "[a-z]{12}") {
            let _ = key(&text);
            let shown = key(&format!("https://bob:{password}@{text}"));
            prop_assert!(!shown.contains(&password), "{}", shown);
        }
    }
}
