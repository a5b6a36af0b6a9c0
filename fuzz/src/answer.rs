//! The answer of the helper that renders, which a hostile chart may have taken over: what it says is read the same each
//! time, deceives nobody, shows no secret of the render, and has nothing fetched from where the configuration does not say.

use std::sync::Arc;

use driftless::config::{Endpoint, parse};
use driftless::render::{Inputs, Response, Settings, Variable, finish, permitted};

use super::assert_readable;

const CONFIG: &str = "syncs:\n- name: shop\n  source: {url: 'https://h/x', branch: main}\n  render:\n    remoteHosts: [github.com]\n    substitute: {A: b}\n    \
                      helm: {repository: 'https://charts.example.com', chart: web, version: '1'}\n";
const SECRET: &str = "canary-secret";

pub fn target(data: &[u8]) {
    let response = match Response::parse(data) {
        Err(error) => return assert_readable(&error.to_string(), 2_000),
        Ok(response) => response,
    };
    let config = parse(CONFIG, "c.yaml").unwrap();
    let render = Arc::clone(&config.syncs[0].render);
    for want in response.wants() {
        assert_readable(&want.error_prefix(), 20_000);
        match permitted(want, &render, &[]) {
            Err(error) => assert_readable(&error.to_string(), 20_000),
            Ok(permission) => {
                let endpoint = Endpoint::of(&want.url).unwrap();
                let host = if permission.login { "charts.example.com" } else { "github.com" };
                assert!(endpoint.host == host && !endpoint.plain, "{:?}", want.url);
                // Whichever `@`, `#` or `\\` a library takes for the end of something, there is none before the path.
                let rest = want.url.split_once("://").map_or(want.url.as_str(), |(_, rest)| rest);
                let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
                assert!(
                    authority.matches('@').count() <= 1 && authority.to_lowercase().contains(host),
                    "{:?}",
                    want.url
                );
                assert!(rest.split('/').next().is_some_and(|whole| whole.starts_with(authority)), "{:?}", want.url);
            }
        }
    }
    let path = Arc::from("chart");
    if let Some(failure) = response.failure(&path) {
        assert_readable(&failure.to_string(), 2_000_000);
    }
    let variable = Variable { value: SECRET.to_owned(), secret: true, in_cluster: true };
    let inputs = Inputs { variables: [("S".to_owned(), variable)].into(), ..Inputs::default() };
    let settings = Settings { config: render, ..Settings::default() };
    let read = || response.rendered(&path, &settings, &inputs).map(|rendered| finish(rendered, &settings, &inputs));
    let rendered = match read() {
        Err(error) => return assert_readable(&error.to_string(), 2_000_000),
        Ok(rendered) => rendered,
    };
    for error in &rendered.errors {
        let text = error.to_string();
        assert_readable(&text, 2_000_000);
        assert!(!text.contains(SECRET), "{text}");
    }
    for warning in &rendered.warnings {
        assert_readable(warning, 2_000_000);
    }
    for manifest in &rendered.manifests {
        let holds = manifest.to_value().to_string().contains(SECRET);
        assert!(!holds || manifest.is_secret(), "{}", manifest.id);
    }
    assert_eq!(read(), Ok(rendered));
}
