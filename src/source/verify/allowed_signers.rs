//! SSH keys that may sign, in the form of OpenSSH's allowed signers (section ALLOWED SIGNERS of ssh-keygen(1)), and
//! signatures by them (PROTOCOL.sshsig).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg, PublicKey, SshSig};

use super::super::known_hosts::is_like;
use super::{Signer, Unverified};
use crate::object::Readable;

/// What git signs for.
const NAMESPACE: &str = "git";
/// What `ssh-rsa` means as the algorithm of a signature.
const SHA1: &str = "RSA and SHA-1 (ssh-rsa)";
/// Bits of RSA keys that are safe, and that the library computes with.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// What stands before a key, for errors about one at the wrong place.
const KEY_TYPES: [&str; 8] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ssh-dss",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Keys and who has them.
#[derive(Debug, Default)]
pub(super) struct AllowedSigners(Vec<AllowedSigner>);

#[derive(Debug)]
struct AllowedSigner {
    /// As the file has them: git asks for no certain one.
    principals: String,
    options: Options,
    key: KeyData,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    /// Patterns; `None`: for all.
    namespaces: Option<String>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
}

impl AllowedSigners {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// The number of the first line that cannot be used, from 1, and what it has.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let lines = (1..).zip(text.lines().map(str::trim));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|(at, line)| AllowedSigner::parse(line).map_err(|what| (at, what)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who made a signature, at a time that the signer gives.
    pub fn verify(&self, signature: &[u8], payload: &[u8], at: Timestamp) -> Result<Signer, Unverified> {
        let signature = SshSig::from_pem(signature).map_err(|error| {
            if is_sha1(signature) {
                Unverified::Unsupported(SHA1.to_owned())
            } else {
                Unverified::Malformed(error.to_string())
            }
        })?;
        if signature.namespace() != NAMESPACE {
            return Err(Unverified::Namespace(signature.namespace().to_owned()));
        }
        let fingerprint = signature.public_key().fingerprint(HashAlg::Sha256).to_string();
        let of_key: Vec<&AllowedSigner> =
            self.0.iter().filter(|allowed| allowed.key == *signature.public_key()).collect();
        let Some(first) = of_key.first() else { return Err(Unverified::UnknownKey(fingerprint)) };
        if let Some(weak) = unsupported(&signature) {
            return Err(Unverified::Unsupported(weak));
        }
        let signer =
            |allowed: &AllowedSigner| Signer { name: allowed.principals.clone(), fingerprint: fingerprint.clone() };
        PublicKey::from(signature.public_key().clone())
            .verify(NAMESPACE, payload, &signature)
            .map_err(|_| Unverified::Altered(signer(first)))?;
        // One line is enough; of several that do not count, the first one says why.
        let mut refused = None;
        for allowed in of_key {
            match allowed.options.refuse(at, signer(allowed)) {
                None => return Ok(signer(allowed)),
                Some(why) => refused = refused.or(Some(why)),
            }
        }
        Err(refused.unwrap_or(Unverified::UnknownKey(fingerprint)))
    }
}

impl AllowedSigner {
    fn parse(line: &str) -> Result<Self, String> {
        let unpaired = "a quotation mark without its second one";
        let (principals, rest) = quoted_word(line).ok_or(unpaired)?;
        if is_key_type(principals) {
            return Err("a key with no principal before it".to_owned());
        }
        let mut options = Options::default();
        let key = if let Some(key) = public_key(rest) {
            key
        } else {
            let (listed, rest) = quoted_word(rest).ok_or(unpaired)?;
            if is_key_type(listed) {
                return Err("a key that cannot be read".to_owned());
            }
            for option in split_outside_quotes(listed) {
                options.add(option)?;
            }
            public_key(rest).ok_or("no public key, as PRINCIPAL [OPTIONS] TYPE KEY")?
        };
        Ok(Self { principals: principals.replace('"', ""), options, key })
    }
}

impl Options {
    fn add(&mut self, option: &str) -> Result<(), String> {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        let name = name.to_ascii_lowercase();
        let value = value.and_then(|value| value.strip_prefix('"')?.strip_suffix('"'));
        let value = value.ok_or_else(|| format!("the option {} without a value in quotation marks", Readable(&name)));
        match &*name {
            "" => return Err("no public key, as PRINCIPAL [OPTIONS] TYPE KEY".to_owned()),
            "namespaces" => self.namespaces = Some(value?.to_owned()),
            "valid-after" => self.after = Some(time(value?)?),
            "valid-before" => self.before = Some(time(value?)?),
            "cert-authority" => {
                return Err("the option cert-authority, which is not supported; list the signers' own keys".to_owned());
            }
            _ => return Err(format!("the unknown option {}", Readable(&name))),
        }
        Ok(())
    }

    fn refuse(&self, at: Timestamp, signer: Signer) -> Option<Unverified> {
        if self.namespaces.as_ref().is_some_and(|namespaces| !allows(namespaces)) {
            return Some(Unverified::NotForSigning(signer));
        }
        if let Some(from) = self.after.filter(|from| at < *from) {
            return Some(Unverified::EarlyKey { signer, at, from });
        }
        self.before.filter(|until| at > *until).map(|until| Unverified::ExpiredKey { signer, at, until })
    }
}

fn is_key_type(word: &str) -> bool {
    KEY_TYPES.contains(&word)
}

/// Whether a list of patterns has ours: one matches, and none that begins with `!`.
fn allows(namespaces: &str) -> bool {
    let excluded = namespaces.split(',').filter_map(|pattern| pattern.strip_prefix('!'));
    let mut wanted = namespaces.split(',').filter(|pattern| !pattern.starts_with('!'));
    !excluded.into_iter().any(|pattern| is_like(pattern, NAMESPACE)) && wanted.any(|one| is_like(one, NAMESPACE))
}

/// The first word of a text, with white space in what is quoted, and what is behind it.
fn quoted_word(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    for (at, character) in text.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => {
                let (word, rest) = text.split_at(at);
                return Some((word, rest.trim_start()));
            }
            _ => {}
        }
    }
    (!quoted).then_some((text, ""))
}

fn split_outside_quotes(options: &str) -> Vec<&str> {
    let (mut quoted, mut begin, mut found) = (false, 0, Vec::new());
    for (at, character) in options.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                found.push(options.get(begin..at).unwrap_or_default());
                begin = at + 1;
            }
            _ => {}
        }
    }
    found.push(options.get(begin..).unwrap_or_default());
    found
}

/// `TYPE KEY [COMMENT]`.
fn public_key(text: &str) -> Option<KeyData> {
    let mut words = text.split_ascii_whitespace();
    let (kind, key) = (words.next()?, words.next()?);
    PublicKey::from_openssh(&format!("{kind} {key}")).ok().map(|key| key.key_data().clone())
}

/// `YYYYMMDD[HHMM[SS]][Z]`. Without `Z` OpenSSH means the time zone of the machine, which for an agent is UTC.
fn time(text: &str) -> Result<Timestamp, String> {
    let digits = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let number = |from: usize, to: usize| digits.get(from..to).unwrap_or("0").parse::<i8>().ok();
    let read = || {
        if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let year = digits.get(..4)?.parse().ok()?;
        let (hour, minute, second) = (number(8, 10)?, number(10, 12)?, number(12, 14)?);
        let civil = DateTime::new(year, number(4, 6)?, number(6, 8)?, hour, minute, second, 0).ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    read().ok_or_else(|| format!("the time {}, which is not YYYYMMDD or YYYYMMDDHHMM[SS]", Readable(text)))
}

/// What of a signature or its key is too weak, or unknown to the library, which would take it for a signature that does not
/// match.
fn unsupported(signature: &SshSig) -> Option<String> {
    match (signature.algorithm(), signature.public_key()) {
        (Algorithm::Rsa { hash: None }, _) => Some(SHA1.to_owned()),
        (Algorithm::Rsa { .. }, KeyData::Rsa(key)) => {
            let bits = key.n.as_positive_bytes().map_or(0, <[u8]>::len) * 8;
            (!RSA_BITS.contains(&bits)).then(|| format!("RSA of {bits} bits"))
        }
        (Algorithm::Dsa, _) => Some("DSA".to_owned()),
        (
            Algorithm::Ecdsa { .. }
            | Algorithm::Ed25519
            | Algorithm::SkEd25519
            | Algorithm::SkEcdsaSha2NistP256
            | Algorithm::Rsa { .. },
            _,
        ) => None,
        (other, _) => Some(other.to_string()),
    }
}

/// Whether a signature has the name of that algorithm twice: for its key, where it means any hash, and for itself. The library
/// does not read it.
fn is_sha1(armored: &[u8]) -> bool {
    let text = String::from_utf8_lossy(armored);
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let name = b"\0\0\0\x07ssh-rsa";
    STANDARD.decode(body).is_ok_and(|bytes| bytes.windows(name.len()).filter(|part| part == name).count() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILJbAWEIqxfGQAdi5m9VyLbsGNdZxyn6jPxPFjrMFMDD";

    fn only(line: &str) -> AllowedSigner {
        AllowedSigners::parse(&format!("# signers\n\n{line}\n")).unwrap().0.pop().unwrap()
    }

    #[test]
    fn lines_are_read_as_openssh_writes_them() {
        let plain = only(&format!("ada@example.com,*@example.org {KEY} Ada's key"));
        assert_eq!((plain.principals.as_str(), &plain.options), ("ada@example.com,*@example.org", &Options::default()));
        let all = only(&format!(
            "\"Ada Lovelace\"\tnamespaces=\"git,file\",Valid-After=\"20200102\",valid-before=\"202101020304Z\"  {KEY}"
        ));
        assert_eq!((all.principals.as_str(), all.options.namespaces.as_deref()), ("Ada Lovelace", Some("git,file")));
        assert_eq!(all.options.after, Some("2020-01-02T00:00:00Z".parse().unwrap()));
        assert_eq!(all.options.before, Some("2021-01-02T03:04:00Z".parse().unwrap()));
        assert!(all.key == plain.key && AllowedSigners::parse("# nobody\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (line, says) in [
            (format!("a cert-authority {KEY}"), "cert-authority, which is not supported"),
            (format!("a cert-authority,namespaces=\"git\" {KEY}"), "cert-authority"),
            (format!("a namespaces=git {KEY}"), "namespaces without a value in quotation marks"),
            (format!("a valid-after=\"20201301\" {KEY}"), "the time 20201301, which is not YYYYMMDD"),
            (format!("a valid-before=\"2020\" {KEY}"), "the time 2020"),
            (format!("a no-touch-required {KEY}"), "the unknown option no-touch-required"),
            (format!("a \"b {KEY}"), "a quotation mark without its second one"),
            (KEY.to_owned(), "no principal before it"),
            ("a ssh-ed25519 AAAA".to_owned(), "a key that cannot be read"),
            ("a".to_owned(), "no public key"),
        ] {
            let (at, what) = AllowedSigners::parse(&format!("b {KEY}\n{line}\n")).unwrap_err();
            assert!(at == 2 && what.contains(says), "{line}: {what}");
        }
    }

    #[test]
    fn namespaces_are_patterns() {
        for (namespaces, expected) in [
            ("git", true),
            ("file,git", true),
            ("g*", true),
            ("file", false),
            ("*,!git", false),
            ("", false),
            ("GIT", false),
        ] {
            assert_eq!(allows(namespaces), expected, "{namespaces}");
        }
    }
}
