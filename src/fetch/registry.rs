//! Charts in a registry: their tags, and the archive behind one of them, as `helm push` puts it there.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use oci_client::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OciImageManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tokio::io::AsyncWrite;

use super::error::FetchError;
use super::http::{USER_AGENT, Web, failed, install_provider};
use super::login::Login;

/// The layer that is the archive (helm.sh/docs/topics/registries, "OCI Support").
const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);
/// Tags that are asked for at once, and how often.
const TAGS: usize = 1000;
const MOST_PAGES: usize = 20;

impl Web {
    /// The tags of `oci://host/path/name`.
    ///
    /// # Errors
    /// As [`FetchError`] says.
    pub async fn tags(&self, url: &str, login: Option<&Login>, limit: Duration) -> Result<Vec<String>, FetchError> {
        let timeout = || FetchError::Timeout { url: url.to_owned(), limit };
        tokio::time::timeout(limit, tags(url, login)).await.map_err(|_| timeout())?
    }

    /// The archive of the chart at `oci://host/path/name:tag`, of at most so many bytes.
    ///
    /// # Errors
    /// As [`FetchError`] says.
    pub async fn chart(
        &self,
        url: &str,
        login: Option<&Login>,
        limit_bytes: usize,
        limit: Duration,
    ) -> Result<Vec<u8>, FetchError> {
        let timeout = || FetchError::Timeout { url: url.to_owned(), limit };
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
            break;
        }
    }
    Ok(tags)
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
        return Err(FetchError::TooLarge { url: url.to_owned(), limit_bytes });
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
        return Err(FetchError::NoChart { url: url.to_owned(), detail });
    };
    if usize::try_from(layer.size).is_ok_and(|size| size > limit_bytes) {
        return Err(FetchError::TooLarge { url: url.to_owned(), limit_bytes });
    }
    Ok(&layer.digest)
}

fn open(url: &str, login: Option<&Login>) -> Result<(Client, Reference, RegistryAuth), FetchError> {
    install_provider();
    let text = url.strip_prefix("oci://").unwrap_or(url);
    let wrong = |detail: String| FetchError::Unreachable { url: url.to_owned(), detail };
    let reference: Reference = text.parse().map_err(|error| wrong(format!("this is no reference of OCI ({error})")))?;
    let registry = reference.resolve_registry().to_owned();
    let authority = login.and_then(|login| login.authority.clone());
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
    let client = Client::try_from(config).map_err(|error| FetchError::Authority { detail: error.to_string() })?;
    let user = login.and_then(|login| login.user.clone());
    let auth = user.map_or(RegistryAuth::Anonymous, |(name, password)| RegistryAuth::Basic(name, password));
    Ok((client, reference, auth))
}

/// A registry on this machine is spoken to without encryption, as Docker does it ("insecure registries").
fn is_local(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// What a registry's refusal means. Texts of the library have URLs in them, those of redirects included.
fn refused(url: &str, error: OciDistributionError) -> FetchError {
    let url = url.to_owned();
    match error {
        OciDistributionError::RequestError(error) => failed(&url, error),
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => {
            FetchError::Denied { url, status: 401 }
        }
        OciDistributionError::ImageManifestNotFoundError(_) => FetchError::NotFound { url, status: 404 },
        OciDistributionError::ServerError { code, .. } => status(url, code),
        OciDistributionError::RegistryError { envelope, .. } => {
            let codes: Vec<String> = envelope.errors.iter().map(|error| format!("{:?}", error.code)).collect();
            if codes.iter().any(|code| code.ends_with("Unknown")) {
                return FetchError::NotFound { url, status: 404 };
            }
            if codes.iter().any(|code| code == "Denied" || code == "Unauthorized") {
                return FetchError::Denied { url, status: 403 };
            }
            if codes.iter().any(|code| code == "Toomanyrequests") {
                return FetchError::RateLimited { url, retry_after: None };
            }
            FetchError::Unreachable { url, detail: format!("the registry answers {}", codes.join(", ")) }
        }
        OciDistributionError::ImageIndexParsingNoPlatformResolverError => {
            FetchError::NoChart { url, detail: "it is an index of images".into() }
        }
        OciDistributionError::DigestError(error) => FetchError::NoChart { url, detail: error.to_string() },
        _ => FetchError::Unreachable { url, detail: "the answer is none that a registry gives".into() },
    }
}

fn status(url: String, status: u16) -> FetchError {
    match status {
        401 | 403 => FetchError::Denied { url, status },
        404 => FetchError::NotFound { url, status },
        429 => FetchError::RateLimited { url, retry_after: None },
        _ => FetchError::Status { url, status },
    }
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
    fn an_image_is_no_chart() {
        let manifest = OciImageManifest::default();
        let error = layer("oci://r/x:1", &manifest, 1).unwrap_err().to_string();
        assert!(error.contains("oci://r/x:1 holds no chart"), "{error}");
    }
}
