//! Keys of ssh servers, in the form of OpenSSH's `known_hosts` (section "SSH `known_hosts` file format" of sshd(8)).

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use ssh_key::{HashAlg, PublicKey};

/// Which key a server may show.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct KnownHosts(Vec<Entry>);

/// What a server's key is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the server's.
    Known,
    /// It is not, or the server is not listed, or the key is revoked; the text is for people.
    Refused(String),
}

impl KnownHosts {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// The number of the first line that has no host key, from 1.
    pub fn parse(text: &str) -> Result<Self, usize> {
        let lines = (1..).zip(text.lines().map(str::trim));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        // A line may have any white space between its parts; the library takes one space.
        let single = |line: &str| line.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        lines.map(|(at, line)| single(line).parse().map_err(|_| at)).collect::<Result<_, _>>().map(Self)
    }

    /// Judges the key that a server has shown, in the wire format of ssh (RFC 4253, section 6.6). `port` is that of the URL.
    pub fn verdict(&self, host: &str, port: u16, key: &[u8]) -> Verdict {
        let Ok(shown) = PublicKey::from_bytes(key) else {
            return Verdict::Refused(format!("{host} shows a key of a type that is not known"));
        };
        // As `ssh` writes a host with another port.
        let name = if port == 22 { host.to_lowercase() } else { format!("[{}]:{port}", host.to_lowercase()) };
        let offered = format!("{} {}", shown.algorithm(), shown.fingerprint(HashAlg::Sha256));
        let of_host: Vec<&Entry> = self.0.iter().filter(|entry| matches(entry.host_patterns(), &name)).collect();
        let is_shown = |entry: &&&Entry| entry.public_key().key_data() == shown.key_data();
        if of_host.iter().filter(is_shown).any(|entry| entry.marker() == Some(&Marker::Revoked)) {
            return Verdict::Refused(format!("{name} shows the key {offered}, which known_hosts marks as revoked"));
        }
        let known: Vec<&&Entry> = of_host.iter().filter(|entry| entry.marker().is_none()).collect();
        if known.iter().any(is_shown) {
            return Verdict::Known;
        }
        let listed = known.iter().map(|entry| entry.public_key());
        let listed: Vec<String> =
            listed.map(|key| format!("{} {}", key.algorithm(), key.fingerprint(HashAlg::Sha256))).collect();
        Verdict::Refused(if listed.is_empty() {
            format!("{name} shows the key {offered}, and known_hosts has none for it")
        } else if known.iter().any(|entry| entry.public_key().algorithm() == shown.algorithm()) {
            format!("{name} shows the key {offered}, and known_hosts has {} for it", listed.join(", "))
        } else {
            format!(
                "{name} shows the key {offered}, and known_hosts has keys of other types for it: {}; ssh-keyscan prints all",
                listed.join(", ")
            )
        })
    }
}

/// Whether patterns mean a host: one of them matches, and none that begins with `!`.
fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            // Any length of key is taken.
            let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(salt) else { return false };
            mac.update(name.as_bytes());
            mac.verify_slice(hash).is_ok()
        }
        HostPatterns::Patterns(patterns) => {
            let excluded = patterns.iter().filter_map(|pattern| pattern.strip_prefix('!'));
            let wanted = patterns.iter().filter(|pattern| !pattern.starts_with('!'));
            let is_like = |pattern: &str| is_like(&pattern.to_lowercase(), name);
            !excluded.into_iter().any(is_like) && wanted.into_iter().any(|pattern| is_like(pattern))
        }
    }
}

/// Whether a pattern with `*` and `?` matches a whole name.
pub(super) fn is_like(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut of) = (0, 0);
    // Where the last `*` was, and how far the name had come then.
    let mut star: Option<(usize, usize)> = None;
    while of < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(b'?') => (at, of) = (at + 1, of + 1),
            Some(byte) if name.get(of) == Some(byte) => (at, of) = (at + 1, of + 1),
            _ => match &mut star {
                Some((before, taken)) => {
                    *taken += 1;
                    (at, of) = (*before + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_none_or(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILJbAWEIqxfGQAdi5m9VyLbsGNdZxyn6jPxPFjrMFMDD";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=";
    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDKjdiA3xUS2qvKPKV0hx4dCIgHkXQrzF3Y4WVtKp4Ly8W9a6YBFMvEnZJ";

    fn wire(key: &str) -> Vec<u8> {
        PublicKey::from_openssh(key).unwrap().to_bytes().unwrap()
    }

    fn verdict(known: &str, host: &str, port: u16, key: &str) -> Verdict {
        KnownHosts::parse(known).unwrap().verdict(host, port, &wire(key))
    }

    #[test]
    fn a_server_is_known_by_its_key_and_name() {
        for known in [
            format!("git.example.com {ONE}"),
            format!("# a comment\n\n  other,git.example.com\t {ONE} me@home"),
            format!("*.example.com {OTHER}\nGIT.example.com {ONE}"),
            format!("g?t.example.* {ONE}"),
            format!("{} {ONE}", hashed("git.example.com")),
        ] {
            assert_eq!(verdict(&known, "git.example.com", 22, ONE), Verdict::Known, "{known}");
        }
        assert_eq!(verdict(&format!("h {ONE}\nh {ECDSA}"), "h", 22, ECDSA), Verdict::Known);
        let other_port = format!("[git.example.com]:2222 {ONE}");
        assert_eq!(verdict(&other_port, "Git.Example.com", 2222, ONE), Verdict::Known);
        assert!(matches!(verdict(&other_port, "git.example.com", 22, ONE), Verdict::Refused(_)));
    }

    #[test]
    fn a_refusal_says_what_was_shown_and_what_is_known() {
        let shown = "SHA256:";
        for (known, says) in [
            (format!("git.example.com {OTHER}"), "and known_hosts has ssh-ed25519 SHA256:"),
            (format!("elsewhere {ONE}"), "known_hosts has none for it"),
            (format!("*,!git.example.com {ONE}"), "known_hosts has none for it"),
            (format!("@revoked * {ONE}\ngit.example.com {ONE}"), "marks as revoked"),
            (format!("@cert-authority * {ONE}"), "known_hosts has none for it"),
        ] {
            let Verdict::Refused(why) = verdict(&known, "git.example.com", 22, ONE) else { panic!("{known}") };
            assert!(why.contains(says) && why.contains(shown), "{why}");
        }
        assert_eq!(KnownHosts::parse(&format!("a {ONE}\nb {RSA}")).err(), Some(2), "cut off");
        let other = KnownHosts::parse(&format!("git.example.com {ONE}")).unwrap();
        let why = other.verdict("git.example.com", 22, b"xyz");
        assert_eq!(why, Verdict::Refused("git.example.com shows a key of a type that is not known".into()));
    }

    fn hashed(name: &str) -> String {
        use base64::Engine as _;
        let encoded = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let salt = [7; 20];
        let mut mac = Hmac::<Sha1>::new_from_slice(&salt).unwrap();
        mac.update(name.as_bytes());
        format!("|1|{}|{}", encoded(&salt), encoded(&mac.finalize().into_bytes()))
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, matches) in [
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("**", "x", true),
            ("", "x", false),
        ] {
            assert_eq!(is_like(pattern, name), matches, "{pattern} {name}");
        }
    }
}
