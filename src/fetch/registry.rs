//! Charts in registries, by the protocol of OCI (opencontainers/distribution-spec).

mod authorization;
mod reference;

use std::time::Duration;

use reqwest::header::{HeaderValue, LINK};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

use self::authorization::challenges;
use self::reference::OciReference;
use super::error::{Awaited, FetchError};
use super::exchange::{Get, Redirects, ServerConnection, body, is_same_server, parsed, refused};
use super::http::{FetchTimeouts, Web};
use super::login::Login;
use super::sha256;
use crate::object::{PlainUrl, Readable};

/// The layer that is the archive (helm.sh/docs/topics/registries, "OCI Support").
const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// The manifests that a chart may have. That of several images is asked for, so that the error can say that it is one.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.oci.image.index.v1+json";
/// Tags that are asked for at once, and in all.
const TAGS: usize = 1000;
const MOST_TAGS: usize = 20_000;
/// Bytes of a manifest (the specification's own limit) or of a page of tags.
const ANSWER_BYTES: usize = 4 << 20;

impl Web {
    /// The tags of `oci://host/path/name`.
    ///
    /// # Errors
    /// The registry cannot be reached, is not trusted, takes too long, refuses, or has more than 20,000 tags.
    pub async fn tags(
        &self,
        url: &str,
        login: Option<&Login>,
        patience: FetchTimeouts,
    ) -> Result<Vec<String>, FetchError> {
        in_time(url, Awaited::Content, patience.content, async {
            let mut repository = OciRepository::open(url, login)?;
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
        patience: FetchTimeouts,
    ) -> Result<Vec<u8>, FetchError> {
        in_time(url, Awaited::Content, patience.content, async {
            let mut repository = OciRepository::open(url, login)?;
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
struct OciRepository<'a> {
    /// As it is named, for errors.
    url: &'a str,
    connection: ServerConnection,
    login: Option<&'a Login>,
    reference: OciReference,
    authorization: Option<HeaderValue>,
}

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct ImageManifest {
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

impl<'a> OciRepository<'a> {
    fn open(url: &'a str, login: Option<&'a Login>) -> Result<Self, FetchError> {
        let reference = OciReference::parse(url)?;
        let connection = ServerConnection::new(reference.server.as_str(), login)?;
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
        let manifest: ImageManifest = self.json(response).await?;
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

    async fn json<T: serde::de::DeserializeOwned>(&self, response: Response) -> Result<T, FetchError> {
        let bytes = body(response, ANSWER_BYTES).await?;
        serde_json::from_slice(&bytes)
            .map_err(|_| self.answer("the response is not the JSON that a registry sends".to_owned()))
    }

    fn at(&self, path: &str) -> Result<Url, FetchError> {
        let OciReference { server, name, .. } = &self.reference;
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
fn layer<'a>(url: &str, manifest: &'a ImageManifest, limit_bytes: usize) -> Result<&'a Layer, FetchError> {
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

/// The next page of a list, on the server of the page before.
fn next_page(server: &Url, link: &str) -> Option<Url> {
    server.join(link).ok().filter(|next| is_same_server(next, server))
}

fn is_sha256(hex: &str) -> bool {
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_no_chart() {
        let of = |text: &str| layer("oci://r/x:1", &serde_json::from_str(text).unwrap(), 10).map(|_| ()).unwrap_err();
        assert!(of("{}").to_string().contains("oci://r/x:1 holds no chart"));
        assert!(of(r#"{"manifests": []}"#).to_string().contains("index of images"));
        let large = format!(r#"{{"layers": [{{"mediaType": "{CHART_LAYER}", "digest": "sha256:0", "size": 11}}]}}"#);
        assert!(matches!(of(&large), FetchError::TooLarge { .. }));
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
