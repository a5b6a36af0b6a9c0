//! Signatures that git, ssh-keygen and gpg have made; `tests/signatures/make` says how.

use super::*;

const PAYLOAD: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/signatures/payload"));

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/signatures/", $name)).as_slice()
    };
}

fn signers(keys: &[(&str, &[u8])]) -> Result<Signers, SignersError> {
    Signers::of(&keys.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect())
}

/// All keys but those that the tests are about.
fn all() -> Signers {
    signers(&[
        ("allowed_signers", fixture!("allowed_signers")),
        ("ada.asc", fixture!("ada.asc")),
        ("rsa.gpg", fixture!("rsa.gpg")),
        ("weak.pub", fixture!("weak.gpg")),
        ("note", b"not read"),
    ])
    .unwrap()
}

fn one(name: &str, key: &[u8]) -> Signers {
    signers(&[(name, key)]).unwrap()
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// A commit with a signature, as git writes it.
fn commit(payload: &str, signature: &[u8]) -> Vec<u8> {
    let (headers, message) = payload.split_once("\n\n").unwrap();
    let signature = String::from_utf8(signature.to_vec()).unwrap().trim_end().replace('\n', "\n ");
    format!("{headers}\ngpgsig {signature}\n\n{message}").into_bytes()
}

fn verify(signers: &Signers, signature: &[u8]) -> Result<Signer, Unverified> {
    signers.verify_commit(&commit(PAYLOAD, signature), now())
}

fn refused(signers: &Signers, signature: &[u8]) -> String {
    verify(signers, signature).unwrap_err().to_string()
}

#[test]
fn ssh_keys_of_each_kind_sign() {
    for (signature, name) in [
        (fixture!("ssh-ed25519.sig"), "ed25519@example.com"),
        (fixture!("ssh-ecdsa-256.sig"), "ecdsa-256@example.com"),
        (fixture!("ssh-ecdsa-384.sig"), "ecdsa-384@example.com"),
        (fixture!("ssh-ecdsa-521.sig"), "ecdsa-521@example.com"),
        (fixture!("ssh-rsa-3072.sig"), "rsa-3072@example.com"),
    ] {
        let signer = verify(&all(), signature).unwrap();
        assert!(signer.name == name && signer.fingerprint.starts_with("SHA256:"), "{signer}");
    }
}

#[test]
fn openpgp_keys_of_each_kind_sign() {
    let ada = verify(&all(), fixture!("openpgp-ada.sig")).unwrap();
    assert!(ada.name == "ada@example.com" && ada.fingerprint.len() == 40, "{ada}");
    assert_eq!(verify(&all(), fixture!("openpgp-rsa.sig")).unwrap().name, "rsa@example.com");
    let sub = one("sub.asc", fixture!("sub.asc"));
    assert_eq!(verify(&sub, fixture!("openpgp-sub.sig")).unwrap().name, "sub@example.com");
    let both = [fixture!("rsa.gpg"), fixture!("weak.gpg")].concat();
    assert!(verify(&one("binary.gpg", &both), fixture!("openpgp-rsa.sig")).is_ok(), "several keys in one file");
    let both = [fixture!("sub.asc"), fixture!("ada.asc")].concat();
    assert!(verify(&one("armored.asc", &both), fixture!("openpgp-ada.sig")).is_ok(), "several blocks in one file");
}

#[test]
fn commits_and_tags_that_git_has_signed_are_verified() {
    let all = all();
    for (object, name) in
        [(fixture!("git-ssh.commit"), "ed25519@example.com"), (fixture!("git-openpgp.commit"), "ada@example.com")]
    {
        assert_eq!(all.verify_commit(object, now()).unwrap().name, name);
    }
    for (object, tag, name) in [
        (fixture!("git-ssh.tag"), "v1.2.3", "ed25519@example.com"),
        (fixture!("git-openpgp.tag"), "v2.0.0", "ada@example.com"),
    ] {
        assert_eq!(all.verify_tag(object, tag, now()).unwrap().name, name);
        // An old release under a new name.
        assert_eq!(all.verify_tag(object, "v9.9.9", now()), Err(Unverified::OtherName(tag.to_owned())));
        let text = String::from_utf8(object.to_vec()).unwrap();
        let altered = text.replace("A release", "Another one");
        assert!(matches!(all.verify_tag(altered.as_bytes(), tag, now()), Err(Unverified::Altered(_))));
        let unsigned = text.split("-----BEGIN").next().unwrap();
        assert_eq!(all.verify_tag(unsigned.as_bytes(), tag, now()), Err(Unverified::Unsigned));
    }
    assert_eq!(all.verify_commit(PAYLOAD.as_bytes(), now()), Err(Unverified::Unsigned));
}

#[test]
fn an_altered_commit_is_not_that_of_its_signature() {
    for signature in [
        fixture!("ssh-ed25519.sig"),
        fixture!("ssh-ecdsa-256.sig"),
        fixture!("ssh-rsa-3072.sig"),
        fixture!("openpgp-ada.sig"),
        fixture!("openpgp-rsa.sig"),
    ] {
        for (from, to) in [("A commit", "B commit"), ("tree 4b", "tree 4c"), ("1650000000", "1650000001")] {
            let altered = all().verify_commit(&commit(&PAYLOAD.replace(from, to), signature), now());
            assert!(matches!(altered, Err(Unverified::Altered(_))), "{altered:?}");
        }
    }
}

#[test]
fn a_key_that_is_not_there_is_named_by_its_fingerprint() {
    let nobody = one("sub.asc", fixture!("sub.asc"));
    let known = verify(&all(), fixture!("ssh-ed25519.sig")).unwrap().fingerprint;
    assert_eq!(verify(&nobody, fixture!("ssh-ed25519.sig")), Err(Unverified::UnknownKey(known)));
    let known = verify(&all(), fixture!("openpgp-ada.sig")).unwrap().fingerprint;
    assert_eq!(verify(&nobody, fixture!("openpgp-ada.sig")), Err(Unverified::UnknownKey(known)));
}

#[test]
fn a_key_counts_if_it_was_valid_when_it_signed() {
    let line = String::from_utf8(fixture!("allowed_signers").to_vec()).unwrap();
    let key = line.lines().next().unwrap().split_once(' ').unwrap().1.to_owned();
    let with = |options: &str| one("allowed_signers", format!("ada {options} {key}\n").as_bytes());
    let signature = fixture!("ssh-ed25519.sig");
    for options in ["valid-before=\"20220416\"", "valid-after=\"20220415\"", ""] {
        assert!(verify(&with(options), signature).is_ok(), "{options}");
    }
    let error = refused(&with("valid-before=\"20220101\""), signature);
    assert!(
        error.contains("was signed at 2022-04-15T") && error.contains("valid until 2022-01-01T00:00:00Z"),
        "{error}"
    );
    let error = refused(&with("valid-after=\"20230101Z\""), signature);
    assert!(error.contains("ada (SHA256:") && error.contains("valid only from 2023-01-01"), "{error}");

    let (before, short) = (one("a.asc", fixture!("short-before.asc")), one("a.asc", fixture!("short.asc")));
    for signature in [fixture!("openpgp-short-2020.sig"), fixture!("openpgp-short.sig")] {
        assert!(verify(&before, signature).is_ok());
    }
    assert!(verify(&short, fixture!("openpgp-short-2020.sig")).is_ok(), "before its end");
    let error = refused(&short, fixture!("openpgp-short.sig"));
    assert!(error.contains("short@example.com (") && error.contains("valid until 2021-01-01T00:00:00Z"), "{error}");
}

#[test]
fn a_revoked_key_never_counts() {
    let signature = fixture!("openpgp-gone.sig");
    assert!(verify(&one("a.asc", fixture!("gone-before.asc")), signature).is_ok());
    let gone = verify(&one("a.asc", fixture!("gone.asc")), signature);
    assert!(matches!(&gone, Err(Unverified::RevokedKey(signer)) if signer.name == "gone@example.com"), "{gone:?}");
    let sub = verify(&one("a.asc", fixture!("sub-revoked.asc")), fixture!("openpgp-sub.sig"));
    assert!(matches!(sub, Err(Unverified::RevokedKey(_))), "also one that was good when it signed: {sub:?}");
}

#[test]
fn what_is_signed_for_something_else_or_weakly_is_refused() {
    let all = all();
    for (signature, says) in [
        (fixture!("ssh-namespace.sig"), "an SSH signature for the namespace file and not for git"),
        (fixture!("ssh-rsa-1024.sig"), "signed with RSA of 1024 bits, which is not supported"),
        (fixture!("ssh-rsa-sha1.sig"), "RSA and SHA-1"),
        (fixture!("openpgp-sha1.sig"), "signed with the hash SHA1"),
        (fixture!("openpgp-weak.sig"), "RSA of 1024 bits"),
        (fixture!("openpgp-dsa.sig"), "signed with DSA"),
        (fixture!("openpgp-ended.sig"), "that was valid until 2022-04-16T12:00:00Z"),
        (fixture!("openpgp-text.sig"), "it is not one of a file"),
        (fixture!("openpgp-two.sig"), "there is more than one"),
        (b"-----BEGIN SIGNED MESSAGE-----\nabc\n", "an X.509 certificate"),
        (b"-----BEGIN SSH SIGNATURE-----\nabc\n-----END SSH SIGNATURE-----\n", "cannot be read"),
        (b"-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n", "cannot be read"),
        (b"x", "neither of SSH nor of OpenPGP"),
    ] {
        let error = verify(&all, signature).unwrap_err();
        assert!(error.to_string().contains(says) && !error.advice().is_empty(), "{says}: {error}");
    }
    let line = String::from_utf8(fixture!("allowed_signers").to_vec()).unwrap();
    let files = line.replacen(' ', " namespaces=\"file\" ", 1);
    let error = refused(&one("allowed_signers", files.as_bytes()), fixture!("ssh-ed25519.sig"));
    assert!(error.contains("not for signing commits"), "{error}");
    // A second line may allow it.
    assert!(verify(&one("allowed_signers", (files + &line).as_bytes()), fixture!("ssh-ed25519.sig")).is_ok());
}

#[test]
fn what_is_wrong_with_keys_is_said() {
    let ssh = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILJbAWEIqxfGQAdi5m9VyLbsGNdZxyn6jPxPFjrMFMDD ada";
    let secret = b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nabc\n-----END PGP PRIVATE KEY BLOCK-----\n";
    let cut = fixture!("ada.asc").get(..200).unwrap();
    for (keys, says) in [
        (&[][..], "it has neither allowed_signers (SSH) nor an OpenPGP key"),
        (&[("note", &b"x"[..]), (".asc", &b"x"[..])][..], "it has .asc, note"),
        (&[("allowed_signers", &b"# nobody\n"[..])][..], "it names nobody"),
        (&[("allowed_signers", &b"\n\nada\n"[..])][..], "in line 3 no public key"),
        (&[("allowed_signers", &b"\xff"[..])][..], "not valid UTF-8"),
        (&[("ada.pub", &ssh[..])][..], "its key ada.pub has no OpenPGP public key: it is an SSH key"),
        (&[("ada.asc", &secret[..])][..], "it has -----BEGIN PGP PRIVATE KEY BLOCK-----; gpg --armor"),
        (&[("ada.asc", &[fixture!("ada.asc"), fixture!("gone.rev")].concat()[..])][..], "it has a block without a key"),
        (&[("gone.rev.asc", fixture!("gone.rev"))][..], "it has a block without a key"),
        (&[("a.asc", fixture!("gone-before.asc")), ("b.asc", fixture!("gone.asc"))][..], "which is there already"),
        (&[("a.asc", &[fixture!("gone.asc"), fixture!("gone-before.asc")].concat()[..])][..], "keep its newest export"),
        (
            &[("ada.asc", &secret[..].iter().filter(|byte| **byte != b'\n').copied().collect::<Vec<u8>>()[..])][..],
            "KEY BLOCK-----; gpg",
        ),
        (&[("ada.asc", &b" \n"[..])][..], "it is empty"),
        (&[("ada.gpg", &b"abc"[..])][..], "its key ada.gpg has no OpenPGP public key"),
        (&[("ada.asc", cut)][..], "its key ada.asc has no OpenPGP public key"),
    ] {
        let error = signers(keys).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains("abc"), "{says}: {error}");
    }
}

#[test]
fn a_signature_of_any_size_is_not_parsed() {
    let (begin, rest) = fixture!("openpgp-ada.sig").split_at(b"-----BEGIN PGP SIGNATURE-----\n".len());
    let long = [begin, b"Comment: ", &vec![b'x'; 64 << 10][..], b"\n", rest].concat();
    let error = verify(&one("a.asc", fixture!("ada.asc")), &long).unwrap_err();
    assert!(matches!(&error, Unverified::Malformed(what) if what.contains("65536 at most")), "{error:?}");
}
