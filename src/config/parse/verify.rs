//! The key `source.verify`: whose signature a commit must have.

use super::super::error::shown;
use super::super::file::RawVerify;
use super::super::types::{Reference, Verify, VerifyKeys, VerifyMode};
use super::super::yaml::At;
use super::Problems;
use super::auth::absolute;
use super::error::ValueError;
use super::render::object_name;

/// `reference` is what the source follows, unless that is wrong itself.
pub(super) fn parse(at: &At<RawVerify>, reference: Option<&Reference>, problems: &mut Problems) -> Option<Verify> {
    let raw = &at.value;
    let mode = problems.text(raw.mode.as_ref(), VerifyMode::default(), mode);
    if let (Some(VerifyMode::Tag), Some(at), Some(Reference::Branch(_) | Reference::Commit(_))) =
        (mode, &raw.mode, reference)
    {
        let message = "mode is tag, and the source follows no tag; set tag or semver, or take mode out";
        problems.0.push(at.problem(message.to_owned()));
    }
    let given =
        [("secret", raw.secret.as_ref()), ("configMap", raw.config_map.as_ref()), ("files", raw.files.as_ref())];
    let none = || "set secret, configMap or files, which say where the keys of the signers are".to_owned();
    let keys = problems.only(at, &given, none).and_then(|(key, at)| match key {
        "secret" => problems.check(at, |text| object_name(text)).map(VerifyKeys::Secret),
        "configMap" => problems.check(at, |text| object_name(text)).map(VerifyKeys::ConfigMap),
        _ => problems.check(at, |text| absolute(text)).map(VerifyKeys::Files),
    });
    Some(Verify { keys: keys?, mode: mode? })
}

fn mode(text: &str) -> Result<VerifyMode, ValueError> {
    match text {
        "commit" => Ok(VerifyMode::Commit),
        "tag" => Ok(VerifyMode::Tag),
        _ => Err(ValueError::VerifyMode { shown: shown(text) }),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;
    use super::*;

    fn of(follows: &str, verify: &str) -> Result<Option<Verify>, String> {
        let text = format!(
            "syncs:\n- name: shop\n  source:\n    url: https://h/shop.git\n    {follows}\n    verify: {verify}\n"
        );
        let parsed = parse(&text, "c.yaml").map_err(|error| error.to_string())?;
        Ok(parsed.syncs[0].source.verify.clone())
    }

    #[test]
    fn keys_are_in_a_secret_a_config_map_or_files() {
        let by = |keys, mode| Ok(Some(Verify { keys, mode }));
        let secret = || VerifyKeys::Secret("signers".into());
        assert_eq!(of("branch: main", "{secret: signers}"), by(secret(), VerifyMode::Commit));
        assert_eq!(of("branch: main", "{secret: signers, mode: commit}"), by(secret(), VerifyMode::Commit));
        assert_eq!(of("semver: ^1", "{mode: tag, secret: signers}"), by(secret(), VerifyMode::Tag));
        let config_map = VerifyKeys::ConfigMap("signers".into());
        assert_eq!(of("tag: v1", "{configMap: signers, mode: tag}"), by(config_map, VerifyMode::Tag));
        let files = VerifyKeys::Files(Path::new("/etc/signers").into());
        assert_eq!(of("branch: main", "{files: /etc/signers}"), by(files, VerifyMode::Commit));
        assert_eq!(of("branch: main", ""), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let branch = "branch: main";
        for (follows, verify, says) in [
            (branch, "{}", "c.yaml:6:13: set secret, configMap or files"),
            (branch, "{mode: commit}", "set secret, configMap or files"),
            (branch, "{configMap: a, secret: b}", "c.yaml:6:36: configMap and secret are both set"),
            (branch, "{secret: A_b}", "A_b"),
            (branch, "{secret: driftless-digest-key}", "driftless-digest-key"),
            (branch, "{files: etc}", "no absolute path"),
            (branch, "{secret: a, mode: head}", "`head` is nothing that is signed; write commit or tag"),
            (branch, "{secret: a, mode: tag}", "c.yaml:6:31: mode is tag, and the source follows no tag"),
            ("commit: 0123456789012345678901234567890123456789", "{secret: a, mode: tag}", "follows no tag"),
            (branch, "{keys: a}", "keys"),
        ] {
            let error = of(follows, verify).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
