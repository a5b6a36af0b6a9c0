//! Where a repository is, without how it is reached: senders name it by another URL than the configuration does.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::config::{RepositoryKey, SyncConfig};

/// Longer URLs are those of nobody.
const LONGEST: usize = 2048;

/// Host and path of a repository, in lower case. What reaches the same repository by another scheme, port or user has the same
/// one. So may, seldom, two repositories: that costs a poll.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location(Arc<str>);

/// What is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Of {
    /// A git repository.
    Git,
    /// A chart in a registry.
    Chart,
}

impl Location {
    /// The location that a URL leads to; `None` where it names no host and no path.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        if url.len() > LONGEST {
            return None;
        }
        let key = RepositoryKey::of(url).as_str().to_lowercase();
        let (scheme, rest) = key.split_once("://")?;
        let (authority, path) = rest.split_once('/')?;
        let host = without_port(authority.rsplit('@').next().unwrap_or_default());
        let path = path.trim_matches('/');
        if path.is_empty() || host.is_empty() && scheme != "file" {
            return None;
        }
        let canonical = azure(host, path).or_else(|| bitbucket(host, path)).unwrap_or_else(|| format!("{host}/{path}"));
        Some(Self(canonical.into()))
    }

    /// Returns the path, without the host.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, path)| path)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Where a sync reads from, as far as something can be pushed there.
#[must_use]
pub fn locations(sync: &SyncConfig) -> BTreeSet<(Of, Location)> {
    let chart = sync.render.helm.remote.as_ref().filter(|chart| chart.repository.starts_with("oci://"));
    let chart = chart.and_then(|remote| Location::of(&format!("{}/{}", remote.repository, remote.chart)));
    let git = Location::of(&sync.source.url).map(|location| (Of::Git, location));
    git.into_iter().chain(chart.map(|location| (Of::Chart, location))).collect()
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Azure DevOps has three hosts, and paths of two forms; a repository that is called like its project may leave the project out.
fn azure(host: &str, path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    let (organization, project, repository) = match (host, parts.as_slice()) {
        ("ssh.dev.azure.com" | "vs-ssh.visualstudio.com", ["v3", organization, project, repository])
        | ("dev.azure.com", [organization, project, "_git", repository]) => (*organization, *project, *repository),
        ("dev.azure.com", [organization, "_git", repository]) => (*organization, *repository, *repository),
        (_, rest) => {
            let organization = host.strip_suffix(".visualstudio.com")?;
            match rest {
                ["defaultcollection", project, "_git", repository] | [project, "_git", repository] => {
                    (organization, *project, *repository)
                }
                ["_git", repository] => (organization, *repository, *repository),
                _ => return None,
            }
        }
    };
    Some(format!("dev.azure.com/{organization}/{project}/_git/{repository}"))
}

/// Bitbucket Data Center: clones over https are below `scm`, and the page of a repository is elsewhere.
fn bitbucket(host: &str, path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["scm", project, repository] | ["projects", project, "repos", repository, ..] => {
            Some(format!("{host}/{project}/{repository}"))
        }
        ["users", user, "repos", repository, ..] => Some(format!("{host}/~{user}/{repository}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_one_repository_have_one_location_however_it_is_reached() {
        for (location, urls) in [
            (
                "git.example.com/acme/shop",
                &[
                    "https://git.example.com/acme/shop.git",
                    "http://git.example.com:3000/Acme/Shop/",
                    "https://bob:s3cret@GIT.example.com./acme/shop",
                    "ssh://git@git.example.com:2222/acme/shop.git",
                    "git@git.example.com:acme/shop.git",
                    "oci://git.example.com/acme/shop",
                ][..],
            ),
            (
                "dev.azure.com/org/team/_git/shop",
                &[
                    "https://org@dev.azure.com/org/Team/_git/shop",
                    "git@ssh.dev.azure.com:v3/org/Team/shop",
                    "ssh://git@ssh.dev.azure.com/v3/org/team/shop",
                    "https://org.visualstudio.com/Team/_git/shop",
                    "https://org.visualstudio.com/DefaultCollection/Team/_git/shop",
                ],
            ),
            (
                "dev.azure.com/org/shop/_git/shop",
                &["https://dev.azure.com/org/_git/shop", "https://org.visualstudio.com/_git/shop"],
            ),
            (
                "bb.example.com/shop/web",
                &[
                    "https://bb.example.com/scm/shop/web.git",
                    "ssh://git@bb.example.com:7999/shop/web.git",
                    "https://bb.example.com/projects/SHOP/repos/web/browse",
                ],
            ),
            ("/srv/git/shop.git", &["file:///srv/git/shop.git"]),
            ("[::1]/a", &["https://[::1]:8443/a"]),
        ] {
            for url in urls {
                assert_eq!(Location::of(url).map(|found| found.to_string()).as_deref(), Some(location), "{url}");
            }
        }
    }

    #[test]
    fn what_names_no_repository_has_no_location() {
        for url in ["", "shop", "https://git.example.com", "https://git.example.com/", "https:///a", &"a".repeat(4000)]
        {
            assert_eq!(Location::of(url), None, "{url}");
        }
    }
}
