//! What a registry asks for before it answers, and what is sent then: a login, or a token of the server that it names (RFC 9110,
//! 11.6.1; distribution.github.io/distribution/spec/auth/token).

use reqwest::header::{HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

use super::OciRepository;
use crate::fetch::FetchError;
use crate::fetch::exchange::{Get, Redirects, body, is_same_server, refused};
use crate::fetch::http::{basic, secret_header};
use crate::object::PlainUrl;

/// Bytes of the answer that has a token.
const TOKEN_BYTES: usize = 256 << 10;

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl OciRepository<'_> {
    /// What the registry accepts, by what it asks for; `None` where nothing is known that it would.
    pub(super) async fn authorized(&self, challenges: &[Challenge]) -> Result<Option<HeaderValue>, FetchError> {
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
}

/// How a registry may be asked for a login (RFC 9110, 11.6.1).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

pub(super) fn challenges(response: &Response) -> Vec<Challenge> {
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

/// The URL for tokens that a registry names. A login is sent there.
fn token_server(server: &Url, realm: &str) -> Result<Url, &'static str> {
    let url = Url::parse(realm).map_err(|_| "the server for tokens that it names is no URL")?;
    if url.scheme() == "https" || url.scheme() == "http" && is_same_server(server, &url) {
        return Ok(url);
    }
    Err("it names a server for tokens that is not asked by https")
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
