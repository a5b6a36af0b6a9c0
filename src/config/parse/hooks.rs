//! The key `hooks`: where webhooks are received, and where the secrets are that they are signed with.

use std::net::SocketAddr;

use super::super::address;
use super::super::file::RawHooks;
use super::super::types::{HooksConfig, defaults};
use super::super::yaml::At;
use super::{Problems, auth};

/// `agent` is where metrics and probes are served.
pub(super) fn parse(at: &At<RawHooks>, agent: Option<SocketAddr>, problems: &mut Problems) -> Option<HooksConfig> {
    let raw = &at.value;
    let listen = match &raw.listen {
        Some(at) => problems.check(at, |text| address::listen(text)),
        None => address::listen(defaults::HOOKS_LISTEN).ok(),
    };
    let secrets = auth::place(at, raw.secret.as_ref(), raw.files.as_ref(), "secrets of the senders", problems);
    // With port 0 each gets one that is free.
    if let (Some(listen), Some(agent)) = (listen, agent)
        && listen.port() == agent.port()
        && listen.port() != 0
        && (listen.ip() == agent.ip() || listen.ip().is_unspecified() || agent.ip().is_unspecified())
    {
        let message = format!(
            "port {} is that of metrics and probes already (`listen`); hooks need one of their own",
            agent.port()
        );
        problems
            .0
            .push(raw.listen.as_ref().map_or_else(|| at.problem(message.clone()), |at| at.problem(message.clone())));
        return None;
    }
    Some(HooksConfig { listen: listen?, secrets: secrets? })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;
    use super::*;
    use crate::config::SourceAuth;

    fn of(head: &str) -> Result<Option<HooksConfig>, String> {
        parse(&format!("{head}\nsyncs: []\n"), "c.yaml").map(|config| config.hooks).map_err(|error| error.to_string())
    }

    #[test]
    fn without_the_key_there_is_no_receiver() {
        assert_eq!(of(""), Ok(None));
        let listen = "0.0.0.0:9292".parse().unwrap();
        let secrets = SourceAuth::Secret("driftless-hooks".into());
        assert_eq!(of("hooks: {secret: driftless-hooks}"), Ok(Some(HooksConfig { listen, secrets })));
        let (listen, secrets) = ("127.0.0.1:80".parse().unwrap(), SourceAuth::Files(Path::new("/etc/hooks").into()));
        assert_eq!(of("hooks: {listen: '127.0.0.1:80', files: /etc/hooks}"), Ok(Some(HooksConfig { listen, secrets })));
        assert!(of("listen: 127.0.0.1:0\nhooks: {listen: '127.0.0.1:0', secret: a}").is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (head, says) in [
            ("hooks: {}", "c.yaml:1:8: set secret or files, which say where the secrets of the senders are"),
            ("hooks: {secret: a, files: /b}", "secret and files are both set"),
            ("hooks: {secret: A_b}", "A_b"),
            ("hooks: {secret: driftless-digest-key}", "driftless-digest-key"),
            ("hooks: {secret: a, listen: 'localhost:1'}", "no address to listen on"),
            ("hooks: {secret: a, listen: ':8080'}", "port 8080 is that of metrics and probes already"),
            ("listen: ':9292'\nhooks: {secret: a}", "c.yaml:2:8: port 9292"),
            ("hooks: {secret: a, path: /x}", "path"),
        ] {
            let error = of(head).unwrap_err();
            assert!(error.contains(says), "{head}: {error}");
        }
    }
}
