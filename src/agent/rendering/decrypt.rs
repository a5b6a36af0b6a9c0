//! Files that SOPS has encrypted, decrypted by the helper `driftless-decrypt`. It alone sees the keys.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Rendering, RenderingError};
use crate::config::{DataKind, DataRef, DecryptConfig};
use crate::object::Readable;
use crate::render::{Format, is_encrypted, secrets};
use crate::source::{Bundle, BundleContent, Snapshot};

/// Raised when a helper of before would misread a request.
const PROTOCOL: u32 = 1;
/// The configuration's key, for errors.
const KEY: &str = "render.decrypt.secret";
/// Keys of the Secret for Vault. The first has the name that Flux gives it; the others say where that token may go,
/// since a file of the repository names an address as well.
const VAULT: [(&str, &str); 3] =
    [("sops.vault-token", "token"), ("sops.vault-address", "address"), ("sops.vault-ca", "ca")];
/// Recipients that an error names.
const MOST_NAMED: usize = 5;

#[derive(Deserialize)]
struct Answer {
    files: Vec<DecryptedFile>,
}

#[derive(Deserialize)]
struct DecryptedFile {
    path: String,
    /// `None` beside an error.
    data: Option<String>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    message: String,
    #[serde(default)]
    recipients: Vec<String>,
}

/// The files that were read, are encrypted, and are not among those that were decrypted already.
pub(super) fn encrypted(bundle: &Bundle, read: &[String], plain: &BTreeSet<Arc<str>>) -> BTreeSet<Arc<str>> {
    let read: BTreeSet<&str> = read.iter().map(String::as_str).collect();
    let entries = bundle.entries.iter().filter(|entry| read.contains(&*entry.path) && !plain.contains(&entry.path));
    let encrypted = entries.filter(|entry| match &entry.content {
        BundleContent::File(bytes) => is_encrypted(&entry.path, bytes),
        BundleContent::Link(_) | BundleContent::Directory => false,
    });
    encrypted.map(|entry| Arc::clone(&entry.path)).collect()
}

impl Rendering<'_> {
    /// The snapshot with its encrypted files decrypted, and the texts that were secret.
    pub(super) async fn decrypted_snapshot(
        &self,
        mut snapshot: Snapshot,
    ) -> Result<(Snapshot, Vec<String>), RenderingError> {
        let encrypted = snapshot.files.iter().filter(|file| is_encrypted(&file.path, &file.bytes));
        let encrypted: Vec<_> = encrypted.map(|file| (Arc::clone(&file.path), Arc::clone(&file.bytes))).collect();
        if encrypted.is_empty() {
            return Ok((snapshot, Vec::new()));
        }
        let (mut plain, texts) = self.decrypt(&encrypted).await?;
        for file in &mut snapshot.files {
            if let Some(bytes) = plain.remove(&*file.path) {
                file.bytes = bytes.into();
            }
        }
        Ok((snapshot, texts))
    }

    /// The bundle with these of its files decrypted, and the texts that were secret.
    pub(super) async fn decrypted_bundle(
        &self,
        bundle: &Bundle,
        paths: &BTreeSet<Arc<str>>,
    ) -> Result<(Bundle, Vec<String>), RenderingError> {
        let files = bundle.entries.iter().filter_map(|entry| match &entry.content {
            BundleContent::File(bytes) if paths.contains(&entry.path) => {
                Some((Arc::clone(&entry.path), Arc::clone(bytes)))
            }
            _ => None,
        });
        let files: Vec<_> = files.collect();
        let (mut plain, texts) = self.decrypt(&files).await?;
        let mut bundle = bundle.clone();
        for entry in &mut bundle.entries {
            if let Some(bytes) = plain.remove(&*entry.path) {
                entry.content = BundleContent::File(bytes.into());
            }
        }
        Ok((bundle, texts))
    }

    async fn decrypt(
        &self,
        files: &[(Arc<str>, Arc<[u8]>)],
    ) -> Result<(BTreeMap<String, Vec<u8>>, Vec<String>), RenderingError> {
        let config = &self.settings.config;
        let Some(decrypt) = &config.decrypt else {
            let name = files.first().map(|(path, _)| &**path).unwrap_or_default();
            return Err(RenderingError::Decrypt(format!(
                "{} is encrypted by SOPS, and the sync has no keys; name a Secret with them in {KEY}, or take the file out \
                 of what is rendered",
                Readable(name)
            )));
        };
        let request = json!({
            "version": PROTOCOL,
            "keys": self.keys(decrypt).await?,
            "kms": decrypt.kms,
            "files": files.iter().map(|(path, bytes)| json!({
                "path": **path, "format": Format::of(path).name(), "data": STANDARD.encode(bytes),
            })).collect::<Vec<_>>(),
        });
        let answer = self.helpers.decrypt(config.sandbox, decrypt.kms, request.to_string().into_bytes()).await?;
        // The parser's own words might quote what was decrypted.
        let answer: Answer = serde_json::from_slice(&answer).map_err(|_| {
            RenderingError::Decrypt("the answer of driftless-decrypt is none that this driftless understands".into())
        })?;
        let before: BTreeMap<&str, &Arc<[u8]>> = files.iter().map(|(path, bytes)| (&**path, bytes)).collect();
        let (mut plain, mut texts) = (BTreeMap::new(), Vec::new());
        for file in answer.files {
            if let Some(failure) = file.error {
                return Err(RenderingError::Decrypt(failure.shown(&file.path)));
            }
            let bytes = STANDARD.decode(file.data.unwrap_or_default()).unwrap_or_default();
            let Some(before) = before.get(file.path.as_str()) else { continue };
            texts.extend(secrets(&file.path, before, &bytes));
            plain.insert(file.path, bytes);
        }
        match before.keys().find(|path| !plain.contains_key(**path)) {
            Some(missing) => {
                Err(RenderingError::Decrypt(format!("driftless-decrypt gave no answer for {}", Readable(missing))))
            }
            None => Ok((plain, texts)),
        }
    }

    /// The keys in the Secret that the configuration names, as the helper takes them.
    async fn keys(&self, decrypt: &DecryptConfig) -> Result<Value, RenderingError> {
        let mut keys = json!({"age": [], "pgp": []});
        let Some(name) = &decrypt.secret else { return Ok(keys) };
        let source = DataRef { kind: DataKind::Secret, name: Arc::clone(name), optional: false };
        let data = self.data(&source, KEY).await?.unwrap_or_default();
        let text = |name: &str, bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).map_err(|_| {
                RenderingError::Decrypt(format!(
                    "the key {name:?} of the Secret {}, which {KEY} names, is no text",
                    source.name
                ))
            })
        };
        let (mut age, mut pgp, mut vault) = (Vec::new(), Vec::new(), Map::new());
        for (name, bytes) in &data {
            let kind = Path::new(name).extension().and_then(OsStr::to_str);
            if let Some((_, part)) = VAULT.iter().find(|(of_vault, _)| of_vault == name) {
                // Many an editor ends a file with a line break.
                vault.insert((*part).to_owned(), text(name, bytes)?.trim().into());
            } else if kind == Some("agekey") {
                // As `age-keygen` writes it, with comments, or one SSH key of several lines.
                age.push(Value::from(text(name, bytes)?));
            } else if kind == Some("asc") {
                pgp.push(json!({"armored": text(name, bytes)?}));
            }
        }
        if age.is_empty() && pgp.is_empty() && vault.is_empty() && !decrypt.kms {
            return Err(RenderingError::Decrypt(format!(
                "the Secret {}, which {KEY} names, holds no keys; names of age identities end in .agekey, those of PGP keys \
                 in .asc, and sops.vault-token is for Vault",
                source.name
            )));
        }
        keys["age"] = age.into();
        keys["pgp"] = pgp.into();
        // Nothing is sent anywhere without: a token that is not used is not handed over.
        if decrypt.kms && !vault.is_empty() {
            keys["vault"] = vault.into();
        }
        Ok(keys)
    }
}

impl Failure {
    fn shown(&self, path: &str) -> String {
        let mut text = format!("{}: {}", Readable(path), Readable(&self.message));
        if !self.recipients.is_empty() {
            let named: Vec<String> =
                self.recipients.iter().take(MOST_NAMED).map(|name| Readable(name).to_string()).collect();
            let _ = write!(text, "; it is encrypted for {}", named.join(", "));
            let more = self.recipients.len().saturating_sub(MOST_NAMED);
            if more > 0 {
                let _ = write!(text, " and {more} more");
            }
        }
        text
    }
}
