//! Which commit a reference means, given what a server advertises. Pure.

use semver::{Version, VersionReq};

use super::error::SourceError;
use super::remote::Revision;
use crate::config::Reference;

/// One line of `ls-remote`. An annotated tag has two: `refs/tags/v1` with the tag object, and
/// `refs/tags/v1^{}` with what it finally points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub name: String,
    /// 40 hexadecimal digits.
    pub id: String,
}

/// # Errors
/// [`SourceError::NotFound`] and [`SourceError::NoMatchingTag`].
pub(super) fn choose(heads: &[Head], reference: &Reference, url: &str) -> Result<Revision, SourceError> {
    let found = match reference {
        Reference::Branch(name) => peeled(heads, &format!("refs/heads/{name}")),
        Reference::Tag(name) => peeled(heads, &format!("refs/tags/{name}")),
        // The order of gitrevisions(7).
        Reference::Named(name) if &**name == "HEAD" => peeled(heads, name),
        Reference::Named(name) => peeled(heads, &format!("refs/tags/{name}"))
            .or_else(|| peeled(heads, &format!("refs/heads/{name}")))
            .or_else(|| peeled(heads, name).filter(|_| name.starts_with("refs/"))),
        Reference::Semver(range) => {
            return highest(heads, range)
                .and_then(|name| peeled(heads, name))
                .ok_or_else(|| SourceError::NoMatchingTag { url: url.to_owned(), range: range.to_string() });
        }
        // Of a commit itself ls-remote says nothing, and nobody can move it. That the id is one of a tag is what the
        // server says: whoever fetches the revision reads the tag before they believe it.
        Reference::Commit(id) => {
            let tag = tag_with(heads, id).and_then(|tag| peeled(heads, tag));
            Some(tag.unwrap_or_else(|| Revision { commit: id.to_string(), name: id.to_string(), tag: None }))
        }
    };
    found.ok_or_else(|| SourceError::NotFound { url: url.to_owned(), reference: reference.to_string() })
}

/// The beginnings of the names that [`choose`] has a use for.
pub(super) fn names(reference: &Reference) -> Vec<String> {
    match reference {
        Reference::Branch(name) => vec![format!("refs/heads/{name}")],
        Reference::Tag(name) => vec![format!("refs/tags/{name}")],
        Reference::Named(name) if &**name == "HEAD" => vec![name.to_string()],
        Reference::Named(name) => {
            let own = Some(name.to_string()).filter(|name| name.starts_with("refs/"));
            [format!("refs/tags/{name}"), format!("refs/heads/{name}")].into_iter().chain(own).collect()
        }
        Reference::Semver(_) | Reference::Commit(_) => vec!["refs/tags/".to_owned()],
    }
}

/// The same for [`name_at`].
pub(super) fn names_at() -> [String; 2] {
    ["refs/heads/", "refs/tags/"].map(str::to_owned)
}

/// The name of a branch or tag that is at this commit right now.
pub(super) fn name_at<'heads>(heads: &'heads [Head], commit: &str) -> Option<&'heads str> {
    let at = heads.iter().filter(|head| head.id == commit).map(|head| head.name.trim_end_matches("^{}"));
    at.clone().find(|name| name.starts_with("refs/heads/")).or_else(|| at.clone().find(|n| n.starts_with("refs/tags/")))
}

/// The name of an annotated tag, the tag being known by the id of its own object.
fn tag_with<'heads>(heads: &'heads [Head], id: &str) -> Option<&'heads str> {
    let tags = heads.iter().filter(|head| head.id == id && head.name.starts_with("refs/tags/"));
    let is_annotated = |name: &str| heads.iter().any(|head| head.name.strip_suffix("^{}") == Some(name));
    tags.map(|tag| tag.name.as_str()).find(|name| is_annotated(name))
}

fn peeled(heads: &[Head], name: &str) -> Option<Revision> {
    let id_of = |wanted: &str| heads.iter().find(|head| head.name == wanted).map(|head| head.id.clone());
    let (named, leads) = (id_of(name), id_of(&format!("{name}^{{}}")));
    let (commit, tag) = if let Some(commit) = leads { (commit, named) } else { (named?, None) };
    Some(Revision { commit, name: name.to_owned(), tag })
}

/// Tags that are no full version (`v1`, `latest`) are passed over. Of `v1.0.0` and `1.0.0` the one
/// without the `v` is taken, so that the choice does not depend on the server's order.
fn highest<'heads>(heads: &'heads [Head], range: &VersionReq) -> Option<&'heads str> {
    heads
        .iter()
        .filter_map(|head| {
            let tag = head.name.strip_prefix("refs/tags/").filter(|tag| !tag.ends_with("^{}"))?;
            let version = Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()?;
            range.matches(&version).then_some((version, !tag.starts_with('v'), head.name.as_str()))
        })
        .max()
        .map(|(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(names: &[&str]) -> Vec<Head> {
        let id = |at: usize| format!("{at:040x}");
        names.iter().enumerate().map(|(at, name)| Head { name: (*name).to_owned(), id: id(at) }).collect()
    }

    fn semver(names: &[&str], range: &str) -> Result<String, String> {
        let reference = Reference::Semver(VersionReq::parse(range).unwrap());
        choose(&heads(names), &reference, "https://x/y").map(|found| found.name).map_err(|error| error.to_string())
    }

    #[test]
    fn a_branch_is_not_mistaken_for_a_tag_or_for_a_longer_name() {
        let heads = heads(&["HEAD", "refs/heads/main2", "refs/heads/main", "refs/tags/main"]);
        let found = choose(&heads, &Reference::Branch("main".into()), "u").unwrap();
        assert_eq!((found.name.as_str(), found.commit), ("refs/heads/main", heads[2].id.clone()));
        let found = choose(&heads, &Reference::Tag("main".into()), "u").unwrap();
        assert_eq!(found.commit, heads[3].id);
    }

    #[test]
    fn an_annotated_tag_means_the_commit_it_points_to() {
        let heads = heads(&["refs/tags/v1", "refs/tags/v1^{}"]);
        let found = choose(&heads, &Reference::Tag("v1".into()), "u").unwrap();
        assert_eq!((found.name.as_str(), found.commit), ("refs/tags/v1", heads[1].id.clone()));
    }

    #[test]
    fn the_id_of_an_annotated_tag_means_the_commit_it_points_to_by_the_name_of_the_tag() {
        let heads = heads(&["refs/heads/main", "refs/tags/v1", "refs/tags/v1^{}", "refs/tags/light"]);
        let revision = |at: usize| {
            let reference = Reference::Commit(heads[at].id.as_str().into());
            choose(&heads, &reference, "u").unwrap()
        };
        // By its name, the tag itself is fetched as well.
        let (commit, tag) = (heads[2].id.clone(), Some(heads[1].id.clone()));
        assert_eq!(revision(1), Revision { commit, name: "refs/tags/v1".into(), tag });
        for at in [0, 2, 3] {
            assert_eq!(revision(at), Revision { commit: heads[at].id.clone(), name: heads[at].id.clone(), tag: None });
        }
    }

    #[test]
    fn a_semver_range_takes_the_highest_version_and_not_the_last_name() {
        let tags = ["refs/tags/v1.9.0", "refs/tags/v1.10.0", "refs/tags/v1.10.0^{}", "refs/tags/v2.0.0"];
        assert_eq!(semver(&tags, "^1").unwrap(), "refs/tags/v1.10.0");
        assert_eq!(semver(&tags, "*").unwrap(), "refs/tags/v2.0.0");
        assert_eq!(semver(&["refs/tags/v1.0.0", "refs/tags/1.0.0"], "1").unwrap(), "refs/tags/1.0.0");
    }

    #[test]
    fn a_semver_range_skips_pre_releases_and_names_that_are_no_version() {
        let tags = ["refs/tags/latest", "refs/tags/v1", "refs/tags/v1.2.0-rc.1", "refs/tags/v1.1.0"];
        assert_eq!(semver(&tags, ">=1.0.0").unwrap(), "refs/tags/v1.1.0");
        assert_eq!(semver(&tags, ">=1.2.0-rc.0").unwrap(), "refs/tags/v1.2.0-rc.1");
        assert_eq!(semver(&tags, "^3").unwrap_err(), "https://x/y has no tag that matches the semver range ^3");
    }

    #[test]
    fn what_is_chosen_is_among_what_is_asked_for() {
        let heads = heads(&["HEAD", "refs/heads/main", "refs/tags/v1.0.0", "refs/tags/v1.0.0^{}", "refs/pull/1/head"]);
        let named = |name: &str| Reference::Named(name.into());
        for reference in [
            Reference::Branch("main".into()),
            Reference::Tag("v1.0.0".into()),
            Reference::Semver(VersionReq::parse("^1").unwrap()),
            Reference::Commit(heads[2].id.as_str().into()),
            named("HEAD"),
            named("main"),
            named("v1.0.0"),
            named("refs/pull/1/head"),
        ] {
            let wanted = names(&reference);
            let is_wanted = |head: &&Head| wanted.iter().any(|prefix| head.name.starts_with(prefix.as_str()));
            let asked: Vec<Head> = heads.iter().filter(is_wanted).cloned().collect();
            assert!(asked.len() < heads.len(), "{reference}");
            assert_eq!(choose(&asked, &reference, "u").unwrap(), choose(&heads, &reference, "u").unwrap());
        }
    }

    #[test]
    fn what_does_not_exist_is_said_with_the_url() {
        let error = choose(&[], &Reference::Branch("main".into()), "https://x/y").unwrap_err();
        assert_eq!(error.to_string(), "https://x/y has no branch main; push it again, or correct the sync's source");
    }

    #[test]
    fn a_commit_is_searched_among_branches_first() {
        let mut heads = heads(&["HEAD", "refs/tags/v1^{}", "refs/heads/main", "refs/pull/1/head"]);
        for head in &mut heads {
            head.id = "a".repeat(40);
        }
        assert_eq!(name_at(&heads, &"a".repeat(40)), Some("refs/heads/main"));
        assert_eq!(name_at(&heads[..2], &"a".repeat(40)), Some("refs/tags/v1"));
        assert_eq!(name_at(&heads, &"b".repeat(40)), None);
    }
}
