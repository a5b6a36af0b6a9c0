//! Charts in registries, by the protocol of OCI (opencontainers/distribution-spec) and Docker's for tokens
//! (distribution.github.io/distribution/spec/auth/token).

use std::time::Duration;

use reqwest::header::{HeaderValue, LINK, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

use super::error::{Awaited, FetchError};
use super::exchange::{Connection, Get, Redirects, body, is_same_server, parsed, refused};
use super::http::{Patience, Web, basic, secret_header};
use super::login::Login;
use super::sha256;
use crate::object::{PlainUrl, Readable};

/// The layer that is the archive (helm.sh/docs/topics/registries, "OCI Support").
const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// The manifests that a chart may have. That of several images is asked for in order to be recognised.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.image.index.v1+json";
/// Tags that are asked for at once, and in all.
const TAGS: usize = 1000;
const MOST_TAGS: usize = 20_000;
/// Bytes of a manifest (the specification's own limit) or of a page of tags, and of a token's answer.
const ANSWER_BYTES: usize = 4 << 20;
const TOKEN_BYTES: usize = 256 << 10;

impl Web {
    /// The tags of `oci://host/path/name`.
    ///
    /// # Errors
    /// The registry cannot be reached, is not trusted, takes too long, refuses, or has more than 20,000 tags.
    pub async fn tags(&self, url: &str, login: Option<&Login>, patience: Patience) -> Result<Vec<String>, FetchError> {
        in_time(url, Awaited::Content, patience.content, async {
            let mut repository = Repository::open(url, login)?;
            let first = repository.at(&format!("tags/list?n={TAGS}"))?;
            let first =
                in_time(url, Awaited::Answer, patience.answer, repository.get(&first, None, Redirects::Followed))
                    .await?;
            repository.tags(first).await
        })
        .await
    }

    /// The archive of the chart at `oci://host/path/name:tag`, of at most so many bytes.
    ///
    /// # Errors
    /// The registry cannot be reached, is not trusted, takes too long, refuses, holds something else, or more.
    pub async fn chart(
        &self,
        url: &str,
        login: Option<&Login>,
        limit_bytes: usize,
        patience: Patience,
    ) -> Result<Vec<u8>, FetchError> {
        in_time(url, Awaited::Content, patience.content, async {
            let mut repository = Repository::open(url, login)?;
            let digest = in_time(url, Awaited::Answer, patience.answer, repository.archive(limit_bytes)).await?;
            repository.blob(&digest, limit_bytes).await
        })
        .await
    }
}

async fn in_time<T>(
    url: &str,
    awaited: Awaited,
    limit: Duration,
    fetch: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    let late = || FetchError::Timeout { url: PlainUrl::of(url), awaited, limit };
    tokio::time::timeout(limit, fetch).await.map_err(|_| late())?
}

/// One repository of a registry, and what it accepts as a login.
struct Repository<'a> {
    /// As it is named, for errors.
    url: &'a str,
    connection: Connection,
    login: Option<&'a Login>,
    reference: Reference,
    authorization: Option<HeaderValue>,
}

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
    /// Of an index.
    manifests: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl<'a> Repository<'a> {
    fn open(url: &'a str, login: Option<&'a Login>) -> Result<Self, FetchError> {
        let reference = reference(url)?;
        let connection = Connection::new(reference.server.as_str(), login)?;
        Ok(Self { url, connection, login, reference, authorization: None })
    }

    /// All tags, of which `response` has the first ones.
    async fn tags(&mut self, mut response: Response) -> Result<Vec<String>, FetchError> {
        let mut tags: Vec<String> = Vec::new();
        loop {
            let (linked, from) = (linked(&response), response.url().clone());
            let page: Tags = self.json(response).await?;
            let page = page.tags.unwrap_or_default();
            let (full, last) = (page.len() >= TAGS, page.last().cloned());
            let more = last.filter(|last| !tags.contains(last));
            tags.extend(page);
            if tags.len() > MOST_TAGS {
                let detail = format!("it has more than {MOST_TAGS} tags; name a version instead of a range");
                return Err(self.answer(detail));
            }
            // The specification has a registry name the next page; some do not, and give as many as were asked for.
            let next = match (linked, more) {
                (Some(link), Some(_)) => self.page(&from, &link)?,
                (None, Some(last)) if full => {
                    let mut url = self.at("tags/list")?;
                    url.query_pairs_mut().append_pair("n", &TAGS.to_string()).append_pair("last", &last);
                    url
                }
                _ => return Ok(tags),
            };
            response = self.get(&next, None, Redirects::Followed).await?;
        }
    }

    /// The SHA-256 of the chart's archive, by its manifest.
    async fn archive(&mut self, limit_bytes: usize) -> Result<String, FetchError> {
        let at = self.at(&format!("manifests/{}", self.reference.tag))?;
        let response = self.get(&at, Some(MANIFESTS), Redirects::Followed).await?;
        let manifest: Manifest = self.json(response).await?;
        let layer = layer(self.url, &manifest, limit_bytes)?;
        let expected = layer.digest.strip_prefix("sha256:").filter(|hex| is_sha256(hex));
        expected.map(str::to_owned).ok_or_else(|| self.answer("its layer has no SHA-256 digest".to_owned()))
    }

    async fn blob(&mut self, expected: &str, limit_bytes: usize) -> Result<Vec<u8>, FetchError> {
        // By its digest alone: a layer may name other servers to fetch it from.
        let at = self.at(&format!("blobs/sha256:{expected}"))?;
        let response = self.get(&at, None, Redirects::Followed).await?;
        let bytes = body(response, limit_bytes).await?;
        let found = sha256(&bytes);
        if found != expected {
            return Err(FetchError::Digest { url: PlainUrl::of(self.url), expected: expected.to_owned(), found });
        }
        Ok(bytes)
    }

    /// Sends a GET, and once more with a token where the registry asks for one.
    async fn get(
        &mut self,
        at: &Url,
        accept: Option<&'static str>,
        redirects: Redirects,
    ) -> Result<Response, FetchError> {
        for _ in 0..2 {
            // A page of tags may be on a server that the registry has redirected to.
            let own = is_same_server(at, &self.reference.server);
            let authorization = self.authorization.clone().filter(|_| own);
            let get = Get { url: at.as_str(), authorization, accept, etag: None, redirects };
            let response = self.connection.get(get).await?;
            if response.status() == StatusCode::OK {
                return Ok(response);
            }
            if !own {
                return Err(refused(at.as_str(), &response));
            }
            let challenges = challenges(&response);
            let known = self.authorization.take();
            self.authorization = self.authorized(&challenges).await?;
            if self.authorization.is_none() || self.authorization == known {
                return Err(refused(self.url, &response));
            }
        }
        Err(FetchError::of_status(self.url, 401, None))
    }

    /// What the registry accepts, by what it asks for; `None` where nothing is known that it would.
    async fn authorized(&self, challenges: &[Challenge]) -> Result<Option<HeaderValue>, FetchError> {
        for challenge in challenges {
            match challenge {
                Challenge::Basic => {
                    if let Some(basic) = basic(self.url, self.login)? {
                        return Ok(Some(basic));
                    }
                }
                Challenge::Bearer { realm, service, scope } => {
                    return self.token(realm, service.as_deref(), scope.as_deref()).await.map(Some);
                }
            }
        }
        Ok(None)
    }

    /// A token of the server that the registry names for that. Anonymous ones are there for whoever asks.
    async fn token(&self, realm: &str, service: Option<&str>, scope: Option<&str>) -> Result<HeaderValue, FetchError> {
        let mut url = token_server(&self.reference.server, realm).map_err(|detail| self.answer(detail.to_owned()))?;
        let server = &self.reference.server;
        if !is_same_server(server, &url) && self.connection.for_another(server, &url).await?.is_none() {
            return Err(self.answer("the server for tokens that it names is inside of the network".to_owned()));
        }
        let own = format!("repository:{}:pull", self.reference.name);
        url.query_pairs_mut().append_pair("scope", scope.unwrap_or(&own));
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        let authorization = basic(self.url, self.login)?;
        let get = Get { url: url.as_str(), authorization, accept: None, etag: None, redirects: Redirects::OnItsServer };
        // The login's own authority is that of the registry; the server of its tokens may be another.
        let response = self.connection.get(get).await?;
        if response.status() != StatusCode::OK {
            return Err(refused(url.as_str(), &response));
        }
        let bytes = body(response, TOKEN_BYTES).await?;
        let token: Option<Token> = serde_json::from_slice(&bytes).ok();
        let token = token.and_then(|token| token.token.or(token.access_token));
        let missing = || FetchError::Answer { url: PlainUrl::of(url.as_str()), detail: "it has no token".to_owned() };
        secret_header(url.as_str(), &format!("Bearer {}", token.ok_or_else(missing)?))
    }

    async fn json<T: serde::de::DeserializeOwned>(&self, response: Response) -> Result<T, FetchError> {
        let bytes = body(response, ANSWER_BYTES).await?;
        serde_json::from_slice(&bytes)
            .map_err(|_| self.answer("the response is not the JSON that a registry sends".to_owned()))
    }

    fn at(&self, path: &str) -> Result<Url, FetchError> {
        let Reference { server, name, .. } = &self.reference;
        parsed(&format!("{server}v2/{name}/{path}"), self.url)
    }

    /// The next page, on the server that has given the one before.
    fn page(&self, from: &Url, link: &str) -> Result<Url, FetchError> {
        let next = next_page(from, link);
        next.ok_or_else(|| self.answer("the next page of its tags is on another server".to_owned()))
    }

    fn answer(&self, detail: String) -> FetchError {
        FetchError::Answer { url: PlainUrl::of(self.url), detail }
    }
}

/// The layer that is the archive.
fn layer<'a>(url: &str, manifest: &'a Manifest, limit_bytes: usize) -> Result<&'a Layer, FetchError> {
    let none = |detail: String| FetchError::NoChart { url: PlainUrl::of(url), detail };
    if manifest.manifests.is_some() {
        return Err(none("it is an index of images".to_owned()));
    }
    let Some(layer) = manifest.layers.iter().find(|layer| layer.media_type == CHART_LAYER) else {
        let found =
            manifest.layers.iter().take(3).map(|layer| layer.media_type.as_str()).collect::<Vec<_>>().join(", ");
        return Err(none(format!("it has no layer of the type {CHART_LAYER}, but: {}", Readable(&found))));
    };
    if usize::try_from(layer.size).is_ok_and(|size| size > limit_bytes) {
        return Err(FetchError::TooLarge { url: PlainUrl::of(url), limit_bytes });
    }
    Ok(layer)
}

/// The URL for tokens that a registry names. A login is sent there.
fn token_server(server: &Url, realm: &str) -> Result<Url, &'static str> {
    let url = Url::parse(realm).map_err(|_| "the server for tokens that it names is no URL")?;
    if url.scheme() == "https" || url.scheme() == "http" && is_same_server(server, &url) {
        return Ok(url);
    }
    Err("it names a server for tokens that is not asked by https")
}

/// The next page of a list, on the server of the page before.
fn next_page(server: &Url, link: &str) -> Option<Url> {
    server.join(link).ok().filter(|next| is_same_server(next, server))
}

fn is_sha256(hex: &str) -> bool {
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// How a registry may be asked for a login (RFC 9110, 11.6.1).
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

fn challenges(response: &Response) -> Vec<Challenge> {
    let headers = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    headers.flat_map(challenges_of).collect()
}

fn challenges_of(header: &str) -> Vec<Challenge> {
    let parsed = http_auth::parse_challenges(header).unwrap_or_default();
    let challenge = |challenge: http_auth::ChallengeRef<'_>| {
        let parameter = |name: &str| {
            let found = challenge.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        if challenge.scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        let realm = parameter("realm").filter(|_| challenge.scheme.eq_ignore_ascii_case("bearer"))?;
        Some(Challenge::Bearer { realm, service: parameter("service"), scope: parameter("scope") })
    };
    parsed.into_iter().filter_map(challenge).collect()
}

/// The target of `Link: <…>; rel="next"` (RFC 8288).
fn linked(response: &Response) -> Option<String> {
    let headers = response.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    headers.filter(|header| header.contains("next")).find_map(target)
}

fn target(header: &str) -> Option<String> {
    let (target, rest) = header.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = rest.split(';').any(|part| part.trim().trim_start_matches("rel=").trim_matches('"') == "next");
    is_next.then(|| target.to_owned())
}

/// What `oci://host/path/name:tag` means.
#[derive(Debug)]
struct Reference {
    /// `https://host/`.
    server: Url,
    name: String,
    tag: String,
}

fn reference(url: &str) -> Result<Reference, FetchError> {
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
    Ok(Reference { server, name: name.to_owned(), tag: tag.to_owned() })
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
            let found = reference(url).unwrap();
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
            assert!(reference(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_image_is_no_chart() {
        let of = |text: &str| layer("oci://r/x:1", &serde_json::from_str(text).unwrap(), 10).map(|_| ()).unwrap_err();
        assert!(of("{}").to_string().contains("oci://r/x:1 holds no chart"));
        assert!(of(r#"{"manifests": []}"#).to_string().contains("index of images"));
        let large = format!(r#"{{"layers": [{{"mediaType": "{CHART_LAYER}", "digest": "sha256:0", "size": 11}}]}}"#);
        assert!(matches!(of(&large), FetchError::TooLarge { .. }));
    }

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: realm.into(),
            service: service.map(Into::into),
            scope: scope.map(Into::into),
        };
        let header = r#"Bearer realm="https://auth.example.com/token",service="r",scope="repository:a/b:pull,push""#;
        let expected = bearer("https://auth.example.com/token", Some("r"), Some("repository:a/b:pull,push"));
        assert_eq!(challenges_of(header), [expected]);
        assert_eq!(challenges_of(r#"Basic realm="r""#), [Challenge::Basic]);
        assert_eq!(challenges_of("Negotiate"), []);
        assert_eq!(challenges_of(r#"Bearer service="no realm""#), []);
        assert_eq!(challenges_of("\"\""), []);
    }

    #[test]
    fn a_login_is_sent_by_https_or_to_the_registry_itself() {
        let may = |server: &str, realm: &str| token_server(&Url::parse(server).unwrap(), realm).is_ok();
        assert!(may("https://r.example.com/", "https://auth.example.com/token"));
        assert!(may("http://localhost:5000/", "http://localhost:5000/token"));
        for realm in ["http://r.example.com/token", "http://auth.example.com/token", "ftp://r.example.com/", "token"] {
            assert!(!may("https://r.example.com/", realm), "{realm}");
        }
        assert!(!may("http://localhost:5000/", "http://localhost:6000/token"));
    }

    #[test]
    fn pages_are_those_of_the_registry_itself() {
        let next =
            |link: &str| next_page(&Url::parse("https://r.example.com/").unwrap(), link).map(|url| url.to_string());
        assert_eq!(next("/v2/a/tags/list?last=b").as_deref(), Some("https://r.example.com/v2/a/tags/list?last=b"));
        assert_eq!(next("https://r.example.com/x").as_deref(), Some("https://r.example.com/x"));
        for link in ["https://other.example.com/x", "http://r.example.com/x", "//other.example.com/x"] {
            assert_eq!(next(link), None, "{link}");
        }
    }

    #[test]
    fn the_next_page_is_the_one_that_is_linked() {
        assert_eq!(
            target(r#"</v2/a/tags/list?n=5&last=b>; rel="next""#).as_deref(),
            Some("/v2/a/tags/list?n=5&last=b")
        );
        assert_eq!(target("<https://r/x>; rel=next").as_deref(), Some("https://r/x"));
        assert_eq!(target(r#"</x>; rel="prev""#), None);
        assert_eq!(target("next"), None);
    }
}
