//! The key `source.auth`: where the credentials for a git server are.

use std::path::{Component, Path};
use std::sync::Arc;

use url::Url;

use super::super::error::shown;
use super::super::file::RawSourceAuth;
use super::super::types::SourceAuth;
use super::super::yaml::At;
use super::Problems;
use super::error::ValueError;

pub(super) fn parse(at: &At<RawSourceAuth>, url: &str, problems: &mut Problems) -> Option<SourceAuth> {
    let raw = &at.value;
    if url.starts_with("file:") {
        problems.0.push(at.problem("a file URL takes no credentials; remove auth".to_owned()));
        return None;
    }
    // One that is not known to be refused would be sent with every request.
    if Url::parse(url).is_ok_and(|url| url.password().is_some() || url.scheme() != "ssh" && !url.username().is_empty())
    {
        problems.0.push(at.problem("the URL has credentials too; keep those of auth and remove them there".to_owned()));
        return None;
    }
    place(at, raw.secret.as_ref(), raw.files.as_ref(), "credentials", problems)
}

/// A Secret or a directory, of which exactly one is to be set; `what` they hold.
pub(super) fn place<T>(
    at: &At<T>,
    secret: Option<&At<String>>,
    files: Option<&At<String>>,
    what: &str,
    problems: &mut Problems,
) -> Option<SourceAuth> {
    let none = || format!("set secret or files, which say where the {what} are");
    match problems.only(at, &[("secret", secret), ("files", files)], none)? {
        ("secret", at) => problems.check(at, |text| super::render::object_name(text)).map(SourceAuth::Secret),
        (_, at) => problems.check(at, |text| absolute(text)).map(SourceAuth::Files),
    }
}

pub(super) fn absolute(text: &str) -> Result<Arc<Path>, ValueError> {
    let path = Path::new(text);
    let clean = path.components().all(|part| !matches!(part, Component::ParentDir));
    if path.is_absolute() && clean && !text.contains('\0') {
        return Ok(path.into());
    }
    Err(ValueError::Absolute { shown: shown(text) })
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn of(url: &str, auth: &str) -> Result<Option<SourceAuth>, String> {
        let text = format!("syncs:\n- name: shop\n  source:\n    url: {url}\n    branch: main\n    auth: {auth}\n");
        let parsed = parse(&text, "c.yaml").map_err(|error| error.to_string())?;
        Ok(parsed.syncs[0].source.auth.clone())
    }

    #[test]
    fn credentials_are_in_a_secret_or_in_files() {
        let url = "https://git.example.com/shop.git";
        assert_eq!(of(url, "{secret: shop-git}"), Ok(Some(SourceAuth::Secret("shop-git".into()))));
        assert_eq!(of(url, "{files: /etc/git}"), Ok(Some(SourceAuth::Files(Path::new("/etc/git").into()))));
        assert_eq!(of("ssh://git@h/a", "{secret: a.b}"), Ok(Some(SourceAuth::Secret("a.b".into()))));
        assert_eq!(of(url, ""), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let url = "https://git.example.com/shop.git";
        for (url, auth, says) in [
            (url, "{}", "c.yaml:6:11: set secret or files"),
            (url, "{secret: a, files: /b}", "secret and files are both set"),
            (url, "{files: etc}", "no absolute path"),
            (url, "{files: /a/../b}", "no absolute path"),
            (url, "{secret: A_b}", "A_b"),
            (url, "{secret: driftless-digest-key}", "driftless-digest-key"),
            (url, "{token: x}", "token"),
            ("https://bob:pw@h/a.git", "{secret: a}", "the URL has credentials too"),
            ("https://token@h/a.git", "{secret: a}", "the URL has credentials too"),
            ("file:///srv/a.git", "{secret: a}", "a file URL takes no credentials"),
        ] {
            let error = of(url, auth).unwrap_err();
            assert!(error.contains(says) && !error.contains("pw"), "{error}");
        }
    }
}
