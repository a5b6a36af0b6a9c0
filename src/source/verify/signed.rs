//! What of a commit or tag is signed, and by what: the header `gpgsig` of a commit, and the end of a tag's message
//! (gitformat-signature(5)).

use jiff::Timestamp;

use super::Unverified;

/// By what the lines of signatures begin.
const BEGINNINGS: [(&[u8], Kind); 4] = [
    (b"-----BEGIN SSH SIGNATURE-----", Kind::Ssh),
    (b"-----BEGIN PGP SIGNATURE-----", Kind::OpenPgp),
    (b"-----BEGIN PGP MESSAGE-----", Kind::OpenPgp),
    (b"-----BEGIN SIGNED MESSAGE-----", Kind::X509),
];

/// Whose format a signature has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ssh,
    OpenPgp,
    X509,
}

impl Kind {
    pub fn of(signature: &[u8]) -> Option<Self> {
        BEGINNINGS.iter().find(|(begins, _)| signature.starts_with(begins)).map(|(_, kind)| *kind)
    }
}

/// An object apart from its signature.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed {
    pub payload: Vec<u8>,
    pub signature: Option<Vec<u8>>,
    /// Seconds since 1970, as the committer or tagger has it.
    seconds: Option<i64>,
}

/// An annotated tag.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub signed: Signed,
    /// The name that it was made under.
    pub name: String,
}

impl Signed {
    /// Of a commit: all but the headers `gpgsig` and `gpgsig-sha256`, as git does it.
    pub fn commit(object: &[u8]) -> Result<Self, Unverified> {
        let mut signed = Self { payload: Vec::with_capacity(object.len()), signature: None, seconds: None };
        let mut at = 0;
        // Of which header the lines are that begin with a space.
        let mut header = Header::Other;
        for line in object.split_inclusive(|byte| *byte == b'\n') {
            if line == b"\n" {
                // From here on it is the message.
                break;
            }
            at += line.len();
            match (line.strip_prefix(b" "), header) {
                (Some(more), Header::Signature) => signed.signature.get_or_insert_default().extend_from_slice(more),
                (Some(_), Header::Dropped) => {}
                (Some(_), Header::Other) => signed.payload.extend_from_slice(line),
                (None, _) => {
                    if let Some(first) = line.strip_prefix(b"gpgsig ") {
                        if signed.signature.replace(first.to_vec()).is_some() {
                            return Err(Unverified::Malformed("there is more than one".to_owned()));
                        }
                        header = Header::Signature;
                    } else if line.starts_with(b"gpgsig") {
                        header = Header::Dropped;
                    } else {
                        header = Header::Other;
                        if let Some(person) = line.strip_prefix(b"committer ") {
                            signed.seconds = signed.seconds.or_else(|| seconds(person));
                        }
                        signed.payload.extend_from_slice(line);
                    }
                }
            }
        }
        signed.payload.extend_from_slice(object.get(at..).unwrap_or_default());
        Ok(signed)
    }

    /// When it was signed, as far as git knows.
    pub fn time(&self) -> Result<Timestamp, Unverified> {
        let time = self.seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.ok_or_else(|| Unverified::Malformed("what it signs has no date".to_owned()))
    }
}

#[derive(Clone, Copy)]
enum Header {
    Signature,
    /// One that no signature of ours is over.
    Dropped,
    Other,
}

impl Tag {
    /// The signature begins with the last line that could be its first one.
    pub fn parse(object: &[u8]) -> Result<Self, Unverified> {
        let (mut at, mut begins) = (0, None);
        let (mut name, mut tagged, mut in_headers) = (None, None, true);
        for line in object.split_inclusive(|byte| *byte == b'\n') {
            in_headers &= line != b"\n";
            if in_headers {
                if let Some(rest) = line.strip_prefix(b"tag ") {
                    name = name.or_else(|| Some(String::from_utf8_lossy(rest.trim_ascii_end()).into_owned()));
                } else if let Some(person) = line.strip_prefix(b"tagger ") {
                    tagged = tagged.or_else(|| seconds(person));
                }
            } else if Kind::of(line).is_some() {
                begins = Some(at);
            }
            at += line.len();
        }
        let (payload, signature) = object.split_at(begins.unwrap_or(object.len()));
        let signature = begins.is_some().then(|| signature.to_vec());
        let name = name.ok_or_else(|| Unverified::Malformed("the tag has no name".to_owned()))?;
        Ok(Self { signed: Signed { payload: payload.to_vec(), signature, seconds: tagged }, name })
    }
}

/// The date behind `Name <mail> `.
fn seconds(person: &[u8]) -> Option<i64> {
    let behind = person.iter().rposition(|byte| *byte == b'>')?;
    let text = std::str::from_utf8(person.get(behind + 1..)?).ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n";
    const COMMITTER: &str = "committer A <a@b> 1700000000 +0100\n";

    #[test]
    fn the_signature_of_a_commit_is_a_header_and_all_else_is_signed() {
        let plain =
            format!("{TREE}author A <a@b> 1 +0000\n{COMMITTER}encoding latin1\n\nsubject\n\ngpgsig no\n body\n");
        let signed = Signed::commit(plain.as_bytes()).unwrap();
        assert_eq!((signed.payload.as_slice(), &signed.signature), (plain.as_bytes(), &None));
        assert_eq!(signed.time().unwrap().as_second(), 1_700_000_000);
        let headers = "gpgsig -----BEGIN X-----\n \n abc\n -----END X-----\ngpgsig-sha256 other\n lines\n";
        for at in [TREE.len(), plain.find("encoding").unwrap(), plain.find("\n\n").unwrap() + 1] {
            let (before, behind) = plain.split_at(at);
            let signed = Signed::commit(format!("{before}{headers}{behind}").as_bytes()).unwrap();
            assert_eq!(signed.payload, plain.as_bytes());
            assert_eq!(signed.signature.as_deref(), Some(&b"-----BEGIN X-----\n\nabc\n-----END X-----\n"[..]));
        }
        let twice = format!("{TREE}gpgsig a\ngpgsig b\n{COMMITTER}\nx\n");
        assert!(matches!(Signed::commit(twice.as_bytes()), Err(Unverified::Malformed(_))));
    }

    #[test]
    fn a_merged_tag_with_a_signature_is_a_part_of_what_is_signed() {
        let merge =
            format!("{TREE}{COMMITTER}mergetag object 1\n tag v1\n -----BEGIN PGP SIGNATURE-----\n x\n\nmerge\n");
        let signed = Signed::commit(merge.as_bytes()).unwrap();
        assert_eq!((signed.payload.as_slice(), signed.signature), (merge.as_bytes(), None));
    }

    #[test]
    fn the_signature_of_a_tag_is_the_end_of_its_message() {
        let signature = "-----BEGIN SSH SIGNATURE-----\nabc\n-----END SSH SIGNATURE-----\n";
        let text =
            format!("object 1\ntype commit\ntag v1\ntagger A <a@b> 1700000000 +0000\n\ntag v2\n{signature}more\n");
        let tag = Tag::parse(format!("{text}{signature}").as_bytes()).unwrap();
        assert_eq!((tag.name.as_str(), tag.signed.payload.as_slice()), ("v1", text.as_bytes()), "the last one is it");
        assert_eq!(tag.signed.signature.as_deref(), Some(signature.as_bytes()));
        assert_eq!(tag.signed.time().unwrap().as_second(), 1_700_000_000);
        let plain = Tag::parse(b"object 1\ntype commit\ntag v1\n\nno tagger\n").unwrap();
        assert!(plain.signed.signature.is_none() && plain.signed.time().is_err());
        assert!(Tag::parse(b"object 1\n\ntag v1\n").is_err());
    }
}
