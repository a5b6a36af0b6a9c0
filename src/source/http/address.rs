//! The addresses of a repository's services. Pure.

use reqwest::Url;

/// Without credentials, query and fragment.
pub(super) fn plain(mut url: Url) -> Url {
    // They fail where there is no host, and then there are no credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// The repository of the address of a service, as servers redirect to it.
pub(super) fn repository(mut url: Url) -> Url {
    let path = url.path().to_owned();
    let path =
        ["/info/refs", "/git-upload-pack"].iter().find_map(|service| path.strip_suffix(service)).unwrap_or(&path);
    url.set_path(path);
    url
}

/// Gitprotocol-http(5): `$GIT_URL/info/refs`, without two slashes.
pub(super) fn service(base: &Url, path: &str, query: Option<&str>) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_below_the_address_of_the_repository() {
        for (repository_url, expected) in [
            ("https://bob:s3cret@h/a%20b.git", "https://h/a%20b.git/info/refs?service=git-upload-pack"),
            ("https://h:8443/a/?x=y#z", "https://h:8443/a/info/refs?service=git-upload-pack"),
            ("https://h", "https://h/info/refs?service=git-upload-pack"),
        ] {
            let base = plain(Url::parse(repository_url).unwrap());
            let url = service(&base, "/info/refs", Some("service=git-upload-pack"));
            assert_eq!(url.as_str(), expected);
            assert_eq!(service(&repository(plain(url)), "/git-upload-pack", None).query(), None);
        }
    }
}
