//! Charts in a registry: their tags, and the archive behind one of them, as `helm push` puts it there.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::OciImageManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tokio::io::AsyncWrite;

use super::error::FetchError;
use super::http::{CONNECT, SILENCE, USER_AGENT, Web, certificates, failed, install_provider};
use super::login::Login;
use crate::object::PlainUrl;

/// The layer that is the archive (helm.sh/docs/topics/registries, "OCI Support").
const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// Tags that are asked for at once, and how often.
const TAGS: usize = 1000;
const MOST_PAGES: usize = 20;

impl Web {
    /// The tags of `oci://host/path/name`.
    ///
    /// # Errors
    /// The registry cannot be reached, is not trusted, takes longer than `limit`, refuses, or has more than 20,000 tags.
    pub async fn tags(&self, url: &str, login: Option<&Login>, limit: Duration) -> Result<Vec<String>, FetchError> {
        let timeout = || FetchError::Timeout { url: PlainUrl::of(url), limit };
        tokio::time::timeout(limit, tags(url, login)).await.map_err(|_| timeout())?
    }

    /// The archive of the chart at `oci://host/path/name:tag`, of at most so many bytes.
    ///
    /// # Errors
    /// The registry cannot be reached, is not trusted, takes longer than `limit`, refuses, holds something else, or more.
    pub async fn chart(
        &self,
        url: &str,
        login: Option<&Login>,
        limit_bytes: usize,
        limit: Duration,
    ) -> Result<Vec<u8>, FetchError> {
        let timeout = || FetchError::Timeout { url: PlainUrl::of(url), limit };
        tokio::time::timeout(limit, chart(url, login, limit_bytes)).await.map_err(|_| timeout())?
    }
}

async fn tags(url: &str, login: Option<&Login>) -> Result<Vec<String>, FetchError> {
    let (client, reference, auth) = open(url, login)?;
    let mut tags: Vec<String> = Vec::new();
    for _ in 0..MOST_PAGES {
        let last = tags.last().cloned();
        let page = client.list_tags(&reference, &auth, Some(TAGS), last.as_deref()).await;
        let page = page.map_err(|error| refused(url, error))?.tags;
        // Not every registry divides the list: some give all of it each time.
        let more = page.len() >= TAGS && page.last() != last.as_ref();
        tags.extend(page);
        if !more {
            return Ok(tags);
        }
    }
    let detail = format!("it has more than {} tags; name a version instead of a range", TAGS * MOST_PAGES);
    Err(FetchError::Answer { url: PlainUrl::of(url), detail })
}

async fn chart(url: &str, login: Option<&Login>, limit_bytes: usize) -> Result<Vec<u8>, FetchError> {
    let (client, reference, auth) = open(url, login)?;
    let pulled = client.pull_image_manifest(&reference, &auth).await;
    let (manifest, _) = pulled.map_err(|error| refused(url, error))?;
    let digest = layer(url, &manifest, limit_bytes)?;
    let mut archive = Bounded { bytes: Vec::new(), limit: limit_bytes, exceeded: false };
    // By its digest alone: a layer may name other servers to fetch it from.
    let pulled = client.pull_blob(&reference, digest, &mut archive).await;
    if archive.exceeded {
        return Err(FetchError::TooLarge { url: PlainUrl::of(url), limit_bytes });
    }
    pulled.map_err(|error| refused(url, error))?;
    Ok(archive.bytes)
}

/// The digest of the layer that is the archive.
fn layer<'a>(url: &str, manifest: &'a OciImageManifest, limit_bytes: usize) -> Result<&'a str, FetchError> {
    let Some(layer) = manifest.layers.iter().find(|layer| layer.media_type == CHART_LAYER) else {
        let found =
            manifest.layers.iter().take(3).map(|layer| layer.media_type.as_str()).collect::<Vec<_>>().join(", ");
        let detail = format!("it has no layer of the type {CHART_LAYER}, but: {found}");
        return Err(FetchError::NoChart { url: PlainUrl::of(url), detail });
    };
    if usize::try_from(layer.size).is_ok_and(|size| size > limit_bytes) {
        return Err(FetchError::TooLarge { url: PlainUrl::of(url), limit_bytes });
    }
    Ok(&layer.digest)
}

fn open(url: &str, login: Option<&Login>) -> Result<(Client, Reference, RegistryAuth), FetchError> {
    install_provider();
    let reference = reference(url)?;
    let registry = reference.resolve_registry().to_owned();
    let authority = login.and_then(|login| login.authority.clone());
    if let Some(pem) = &authority {
        certificates(url, pem)?;
    }
    let certificate = authority.map(|data| Certificate { encoding: CertificateEncoding::Pem, data });
    let config = ClientConfig {
        protocol: if is_local(&registry) { ClientProtocol::Http } else { ClientProtocol::Https },
        extra_root_certificates: certificate.into_iter().collect(),
        connect_timeout: Some(CONNECT),
        read_timeout: Some(SILENCE),
        user_agent: USER_AGENT,
        // A chart is for no platform.
        platform_resolver: None,
        ..ClientConfig::default()
    };
    let client = Client::try_from(config).map_err(|error| refused(url, error))?;
    let user = login.and_then(|login| login.user.clone());
    let auth = user.map_or(RegistryAuth::Anonymous, |(name, password)| RegistryAuth::Basic(name, password));
    Ok((client, reference, auth))
}

/// What `oci://host/path/name:tag` means. The library's own parser takes a host without a dot for a path at Docker's registry,
/// which would then be sent the credentials for another one.
fn reference(url: &str) -> Result<Reference, FetchError> {
    let wrong = || FetchError::Answer { url: PlainUrl::of(url), detail: "it is not an OCI reference".into() };
    let (registry, rest) = url.strip_prefix("oci://").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
    let (path, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
    // The specification of registries, "Pulling manifests".
    let in_path = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
    let in_tag = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let good = !registry.is_empty()
        && !registry.contains('@')
        && !path.is_empty()
        && path.chars().all(in_path)
        && !path.split('/').any(|part| part == "..");
    if !good || tag.is_empty() || !tag.chars().all(in_tag) {
        return Err(wrong());
    }
    Ok(Reference::with_tag(registry.to_owned(), path.to_owned(), tag.to_owned()))
}

/// A registry on this machine is spoken to without encryption, as Docker does it ("insecure registries").
fn is_local(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a registry's refusal means. Texts of the library have URLs in them, those of redirects included.
fn refused(url: &str, error: OciDistributionError) -> FetchError {
    let answer = |detail: &str| FetchError::Answer { url: PlainUrl::of(url), detail: detail.to_owned() };
    match error {
        OciDistributionError::RequestError(error) => failed(url, error),
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => {
            FetchError::of_status(url, 401, None)
        }
        OciDistributionError::ImageManifestNotFoundError(_) => FetchError::of_status(url, 404, None),
        OciDistributionError::ServerError { code, .. } => FetchError::of_status(url, code, None),
        OciDistributionError::RegistryError { envelope, .. } => {
            of_codes(url, envelope.errors.iter().map(|error| &error.code))
        }
        OciDistributionError::ImageIndexParsingNoPlatformResolverError => {
            FetchError::NoChart { url: PlainUrl::of(url), detail: "it is an index of images".into() }
        }
        OciDistributionError::DigestError(_) => answer("what it sends has another digest than it says"),
        _ => answer("it does not speak the protocol of registries"),
    }
}

/// The codes of the specification of registries ("Error Codes").
fn of_codes<'a>(url: &str, codes: impl Iterator<Item = &'a OciErrorCode>) -> FetchError {
    for code in codes {
        let status = match code {
            OciErrorCode::Unauthorized => 401,
            OciErrorCode::Denied => 403,
            OciErrorCode::BlobUnknown
            | OciErrorCode::ManifestUnknown
            | OciErrorCode::ManifestBlobUnknown
            | OciErrorCode::NameUnknown
            | OciErrorCode::NotFound => 404,
            OciErrorCode::Toomanyrequests => 429,
            _ => continue,
        };
        return FetchError::of_status(url, status, None);
    }
    FetchError::Answer { url: PlainUrl::of(url), detail: "it refuses with no code that says why".to_owned() }
}

/// Keeps what is written to it, up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    exceeded: bool,
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.exceeded = true;
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        self.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
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
            let found = reference(url).unwrap();
            let part = |text: Option<&str>| text.unwrap_or_default().to_owned();
            (found.resolve_registry().to_owned(), found.repository().to_owned(), part(found.tag()))
        };
        let expected = |registry: &str, path: &str, tag: &str| (registry.to_owned(), path.to_owned(), tag.to_owned());
        assert_eq!(parts("oci://registry/charts/web:1.2.3"), expected("registry", "charts/web", "1.2.3"));
        assert_eq!(parts("oci://r.example.com:5000/web:1_a"), expected("r.example.com:5000", "web", "1_a"));
        assert_eq!(parts("oci://r.example.com/a/b"), expected("r.example.com", "a/b", "latest"));
        for wrong in [
            "oci://r",
            "oci://r/",
            "oci://r/a:",
            "oci://r/../v2:1",
            "oci://r/a?x=y:1",
            "oci://r/a@b:1",
            "oci://a@r/b:1",
            "https://r/a:1",
        ] {
            assert!(reference(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn codes_of_registries_are_told_apart() {
        let shown = |code: OciErrorCode| of_codes("oci://r/x:1", [code].iter()).to_string();
        for code in [OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown, OciErrorCode::NotFound] {
            assert!(shown(code).contains("was not found (404)"));
        }
        assert!(shown(OciErrorCode::Denied).contains("refuses access (403)"));
        assert!(shown(OciErrorCode::Toomanyrequests).contains("allows no more requests"));
        assert!(shown(OciErrorCode::Unsupported).contains("no code that says why"));
    }

    #[test]
    fn an_image_is_no_chart() {
        let manifest = OciImageManifest::default();
        let error = layer("oci://r/x:1", &manifest, 1).unwrap_err().to_string();
        assert!(error.contains("oci://r/x:1 holds no chart"), "{error}");
    }
}
