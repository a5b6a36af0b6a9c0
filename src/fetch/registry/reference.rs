//! How a chart in a registry is named.

use reqwest::Url;

use crate::fetch::FetchError;
use crate::object::PlainUrl;

/// What `oci://host/path/name:tag` means.
#[derive(Debug)]
pub(super) struct OciReference {
    /// `https://host/`.
    pub server: Url,
    pub name: String,
    pub tag: String,
}

impl OciReference {
    pub fn parse(url: &str) -> Result<Self, FetchError> {
        let wrong = || FetchError::Answer { url: PlainUrl::of(url), detail: "it is not an OCI reference".into() };
        let (registry, rest) = url.strip_prefix("oci://").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
        let (name, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
        // The specification of registries, "Pulling manifests".
        let in_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        let in_tag = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let in_registry = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        let good = !registry.is_empty()
            && registry.chars().all(in_registry)
            && name.chars().all(in_name)
            && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if !good || tag.is_empty() || !tag.chars().all(in_tag) {
            return Err(wrong());
        }
        // Docker's registry has an address of its own.
        let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        let scheme = if is_local(registry) { "http" } else { "https" };
        let server = Url::parse(&format!("{scheme}://{host}/")).map_err(|_| wrong())?;
        Ok(Self { server, name: name.to_owned(), tag: tag.to_owned() })
    }
}

/// A registry on this machine is spoken to without encryption, as Docker does it ("insecure registries").
fn is_local(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registries_of_this_machine_are_spoken_to_without_encryption() {
        for local in ["localhost:5000", "127.0.0.1:5000", "localhost"] {
            assert!(is_local(local), "{local}");
        }
        for other in ["registry.example.com", "localhost.example.com:5000", "10.0.0.1:5000", "ghcr.io"] {
            assert!(!is_local(other), "{other}");
        }
    }

    #[test]
    fn a_reference_is_for_the_host_that_it_names() {
        let parts = |url: &str| {
            let found = OciReference::parse(url).unwrap();
            (found.server.to_string(), found.name, found.tag)
        };
        let expected = |server: &str, name: &str, tag: &str| (server.to_owned(), name.to_owned(), tag.to_owned());
        let of = |url: &str, server: &str, name: &str, tag: &str| assert_eq!(parts(url), expected(server, name, tag));
        of("oci://registry/charts/web:1.2.3", "https://registry/", "charts/web", "1.2.3");
        of("oci://r.example.com:5000/web:1_a", "https://r.example.com:5000/", "web", "1_a");
        of("oci://r.example.com/a/b", "https://r.example.com/", "a/b", "latest");
        of("oci://localhost:5000/a:1", "http://localhost:5000/", "a", "1");
        of("oci://docker.io/a/b:1", "https://registry-1.docker.io/", "a/b", "1");
        for wrong in [
            "oci://r",
            "oci://r/",
            "oci://r/a:",
            "oci://r/../v2:1",
            "oci://r/./v2:1",
            "oci://r//a:1",
            "oci://r/a?x=y:1",
            "oci://r/a@b:1",
            "oci://a@r/b:1",
            "oci://r#/a:1",
            "https://r/a:1",
        ] {
            assert!(OciReference::parse(wrong).is_err(), "{wrong}");
        }
    }
}
