//! The references of a server: asked for by prefix in version 2 of git's protocol (gitprotocol-v2(5)), and picked out of the
//! whole list where the server speaks versions 0 or 1 (gitprotocol-pack(5)). Pure.

use std::io::Read;

use super::packets::{DELIMITER, FLUSH, Packets, WireError, write_line};
use crate::source::reference::Head;

/// Bytes of a list of references: half a million of them.
pub(super) const MOST_BYTES: usize = 64 << 20;
/// References that are kept.
const MOST_HEADS: usize = 500_000;
/// What servers see of who asks, as a capability.
const AGENT: &str = concat!("agent=driftless/", env!("CARGO_PKG_VERSION"));
const SHA1: &str = "object-format=sha1";

/// What a server can do in version 2, as far as a request depends on it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    ls_refs: bool,
    agent: bool,
    object_format: bool,
}

/// How a server begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// It can be asked for references.
    Version2(Capabilities),
    /// It speaks an older version, and these are those of its references that are wanted.
    References(Vec<Head>),
}

/// Reads an answer to `info/refs`, to its end. `wanted`: beginnings of the names.
///
/// # Errors
/// It is no such answer.
pub(super) fn greeting<R: Read>(packets: &mut Packets<R>, wanted: &[String]) -> Result<Greeting, WireError> {
    let mut first = packets.line()?.map(<[u8]>::to_vec);
    if first.as_deref() == Some(b"# service=git-upload-pack") {
        if packets.line()?.is_some() {
            return Err(WireError::Malformed("the name of the service is not alone"));
        }
        first = packets.line()?.map(<[u8]>::to_vec);
    }
    let greeting = match first.as_deref() {
        Some(b"version 2") => Greeting::Version2(capabilities(packets)?),
        Some(b"version 1") => {
            let first = packets.line()?.map(<[u8]>::to_vec);
            Greeting::References(advertised(first, packets, wanted)?)
        }
        _ => Greeting::References(advertised(first, packets, wanted)?),
    };
    packets.end()?;
    Ok(greeting)
}

fn capabilities<R: Read>(packets: &mut Packets<R>) -> Result<Capabilities, WireError> {
    let mut found = Capabilities::default();
    while let Some(line) = packets.line()? {
        let (name, value) = match line.iter().position(|byte| *byte == b'=') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        match name {
            b"ls-refs" => found.ls_refs = true,
            b"agent" => found.agent = true,
            b"object-format" if value == b"sha1" => found.object_format = true,
            b"object-format" => return Err(OTHER_HASH),
            _ => {}
        }
    }
    if found.ls_refs { Ok(found) } else { Err(WireError::Malformed("it does not list references")) }
}

/// The request for references whose names begin so; annotated tags with what they lead to.
pub(super) fn request(capabilities: &Capabilities, wanted: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    write_line(&mut out, "command=ls-refs");
    if capabilities.agent {
        write_line(&mut out, AGENT);
    }
    if capabilities.object_format {
        write_line(&mut out, SHA1);
    }
    out.extend_from_slice(DELIMITER);
    write_line(&mut out, "peel");
    for prefix in wanted {
        write_line(&mut out, &format!("ref-prefix {prefix}"));
    }
    out.extend_from_slice(FLUSH);
    out
}

/// Reads the answer to [`request`], to its end. A server may send more than was asked for.
///
/// # Errors
/// It is no such answer.
pub(super) fn answer<R: Read>(packets: &mut Packets<R>, wanted: &[String]) -> Result<Vec<Head>, WireError> {
    let mut found = Found { wanted, heads: Vec::new() };
    while let Some(line) = packets.line()? {
        let mut words = line.split(|byte| *byte == b' ');
        let (id, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        // A symbolic reference to a branch without a commit.
        if id == b"unborn" {
            continue;
        }
        found.add(id, name, "")?;
        if let Some(peeled) = words.find_map(|word| word.strip_prefix(b"peeled:")) {
            found.add(peeled, name, "^{}")?;
        }
    }
    packets.end()?;
    Ok(found.heads)
}

/// The whole list of versions 0 and 1.
fn advertised<R: Read>(
    first: Option<Vec<u8>>,
    packets: &mut Packets<R>,
    wanted: &[String],
) -> Result<Vec<Head>, WireError> {
    let mut found = Found { wanted, heads: Vec::new() };
    // An empty repository of an old server.
    let Some(first) = first else { return Ok(found.heads) };
    let at = first.iter().position(|byte| *byte == 0);
    let at = at.ok_or(WireError::Malformed("the list of references begins without capabilities"))?;
    let (line, capabilities) = (&first[..at], &first[at + 1..]);
    let mut formats = capabilities.split(|byte| *byte == b' ').filter_map(|word| word.strip_prefix(b"object-format="));
    if formats.any(|format| format != b"sha1") {
        return Err(OTHER_HASH);
    }
    let (id, name) = id_and_name(line)?;
    // An empty repository has no other place for its capabilities.
    if name != b"capabilities^{}" {
        found.add(id, name, "")?;
    }
    while let Some(line) = packets.line()? {
        if !line.starts_with(b"shallow ") {
            let (id, name) = id_and_name(line)?;
            found.add(id, name, "")?;
        }
    }
    Ok(found.heads)
}

fn id_and_name(line: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let at = line.iter().position(|byte| *byte == b' ').ok_or(NO_REFERENCE)?;
    Ok((&line[..at], &line[at + 1..]))
}

/// Those that are wanted, so far.
struct Found<'a> {
    wanted: &'a [String],
    heads: Vec<Head>,
}

impl Found<'_> {
    fn add(&mut self, id: &[u8], name: &[u8], suffix: &str) -> Result<(), WireError> {
        let is_id = id.len() == 40 && id.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_name = !name.is_empty() && name.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
        if !is_id || !is_name {
            return Err(NO_REFERENCE);
        }
        // A name in another encoding is none that a configuration can name.
        let (Ok(id), Ok(name)) = (str::from_utf8(id), str::from_utf8(name)) else { return Ok(()) };
        if !self.wanted.iter().any(|prefix| name.starts_with(prefix.as_str())) {
            return Ok(());
        }
        if self.heads.len() == MOST_HEADS {
            return Err(WireError::TooLong);
        }
        self.heads.push(Head { name: format!("{name}{suffix}"), id: id.to_owned() });
        Ok(())
    }
}

const NO_REFERENCE: WireError = WireError::Malformed("a line is no reference");
const OTHER_HASH: WireError =
    WireError::Malformed("its objects are not named by SHA-1, and other repositories cannot be read");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";
    const TAG: &str = "1111111111111111111111111111111111111111";

    fn lines(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            match *line {
                "" => out.extend_from_slice(FLUSH),
                line => write_line(&mut out, line),
            }
        }
        out
    }

    fn wanted(prefixes: &[&str]) -> Vec<String> {
        prefixes.iter().map(|prefix| (*prefix).to_owned()).collect()
    }

    fn greet(text: &[&str], prefixes: &[&str]) -> Result<Greeting, String> {
        let bytes = lines(text);
        let result = greeting(&mut Packets::new(&*bytes, MOST_BYTES), &wanted(prefixes));
        result.map_err(|error| error.to_string())
    }

    fn names(heads: &[Head]) -> Vec<&str> {
        heads.iter().map(|head| head.name.as_str()).collect()
    }

    #[test]
    fn a_server_of_version_2_is_asked_for_what_is_wanted() {
        let lines = ["version 2", "agent=git/2.40", "ls-refs=unborn", "fetch=shallow", "object-format=sha1", ""];
        for begin in [&[][..], &["# service=git-upload-pack", ""]] {
            let text: Vec<&str> = begin.iter().chain(&lines).copied().collect();
            let Ok(Greeting::Version2(found)) = greet(&text, &[]) else { panic!("another version") };
            let asked = String::from_utf8(request(&found, &wanted(&["refs/heads/main"]))).unwrap();
            assert!(asked.starts_with("0014command=ls-refs\n") && asked.ends_with("0000"), "{asked}");
            assert!(asked.contains("0017object-format=sha1\n0001") && asked.contains(AGENT), "{asked}");
            assert!(asked.contains("0009peel\n001fref-prefix refs/heads/main\n"), "{asked}");
        }
        let Ok(Greeting::Version2(found)) = greet(&["version 2", "ls-refs", ""], &[]) else {
            panic!("another version")
        };
        assert_eq!(request(&found, &[]), b"0014command=ls-refs\n00010009peel\n0000");
        assert!(greet(&["version 2", "fetch", ""], &[]).unwrap_err().contains("does not list references"));
        let sha256 = greet(&["version 2", "ls-refs", "object-format=sha256", ""], &[]);
        assert!(sha256.unwrap_err().contains("not named by SHA-1"));
    }

    #[test]
    fn an_answer_holds_tags_with_what_they_lead_to() {
        let text = [
            &*format!("{ID} HEAD symref-target:refs/heads/main"),
            "unborn refs/heads/none",
            &format!("{ID} refs/heads/main"),
            &format!("{TAG} refs/tags/v1 peeled:{ID}"),
            &format!("{ID} refs/pull/1/head"),
            "",
        ];
        let bytes = lines(&text);
        let heads = answer(&mut Packets::new(&*bytes, MOST_BYTES), &wanted(&["HEAD", "refs/heads/", "refs/tags/"]));
        let heads = heads.unwrap();
        assert_eq!(names(&heads), ["HEAD", "refs/heads/main", "refs/tags/v1", "refs/tags/v1^{}"]);
        assert_eq!((&*heads[2].id, &*heads[3].id), (TAG, ID));
    }

    #[test]
    fn a_list_of_an_older_server_is_read_as_well() {
        let text = [
            &*format!("{ID} HEAD\0multi_ack symref=HEAD:refs/heads/main object-format=sha1"),
            &format!("{ID} refs/heads/main"),
            &format!("{ID} refs/heads/other"),
            &format!("{TAG} refs/tags/v1"),
            &format!("{ID} refs/tags/v1^{{}}"),
            &format!("shallow {ID}"),
            "",
        ];
        let prefixes = ["refs/heads/main", "refs/tags/"];
        for begin in [&[][..], &["# service=git-upload-pack", ""], &["version 1"]] {
            let text: Vec<&str> = begin.iter().chain(&text).copied().collect();
            let Ok(Greeting::References(heads)) = greet(&text, &prefixes) else { panic!("no list") };
            assert_eq!(names(&heads), ["refs/heads/main", "refs/tags/v1", "refs/tags/v1^{}"]);
        }
        let empty = format!("{} capabilities^{{}}\0multi_ack", "0".repeat(40));
        for empty in [&["# service=git-upload-pack", "", &empty, ""][..], &["# service=git-upload-pack", "", ""]] {
            assert_eq!(greet(empty, &prefixes), Ok(Greeting::References(Vec::new())));
        }
    }

    #[test]
    fn what_is_no_list_of_references_is_an_error() {
        for (text, says) in [
            (&["<html>", ""][..], "begins without capabilities"),
            (&["# service=git-upload-pack", "more", ""], "is not alone"),
            (&[&*format!("{ID}\0"), ""], "a line is no reference"),
            (&[&*format!("{ID} HEAD\0"), &format!("{ID} refs/\u{1b}[31m"), ""], "a line is no reference"),
            (&[&*format!("{ID} HEAD\0"), "12 refs/heads/main", ""], "a line is no reference"),
            (&[&*format!("{ID} HEAD\0object-format=sha256"), ""], "not named by SHA-1"),
            (&[&*format!("{ID} HEAD\0")], "it ends too early"),
            (&[&*format!("{ID} HEAD\0"), "", ""], "goes on after its end"),
            (&["ERR access denied", ""], "remote error: access denied"),
        ] {
            let error = greet(text, &["refs/"]).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        for line in ["", "x", &ID[..39], &format!("{ID} "), &format!("{ID} refs/tags/v1 peeled:x")] {
            let mut bytes = Vec::new();
            write_line(&mut bytes, line);
            bytes.extend_from_slice(FLUSH);
            assert!(answer(&mut Packets::new(&*bytes, MOST_BYTES), &wanted(&[""])).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_lines_end(texts in proptest::collection::vec("[ -~\\x00\\n]{0,80}", 0..20)) {
            let mut bytes = lines(&["# service=git-upload-pack", ""]);
            for text in &texts {
                write_line(&mut bytes, text);
            }
            bytes.extend_from_slice(FLUSH);
            let _ = greeting(&mut Packets::new(&*bytes, 10_000), &wanted(&["refs/"]));
            let _ = answer(&mut Packets::new(&*bytes, 10_000), &wanted(&["refs/"]));
        }
    }
}
