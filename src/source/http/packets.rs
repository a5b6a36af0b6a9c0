//! pkt-line (gitprotocol-common(5)): what git's protocols are written in. Pure: bytes in, packets out, and every length that
//! comes from a server has a bound.

use std::io::{self, Read};

use thiserror::Error;

/// Bytes of the longest packet, with its length (gitprotocol-common(5)).
const LONGEST: usize = 65_520;
/// Bytes of the length before each packet.
const HEAD: usize = 4;

/// The end of a list.
pub(super) const FLUSH: &[u8] = b"0000";
/// Between the capabilities of a request and its arguments (gitprotocol-v2(5)).
pub(super) const DELIMITER: &[u8] = b"0001";

/// One packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// A line, without its end.
    Line(&'a [u8]),
    Flush,
    /// A delimiter or the end of a response.
    Other,
}

/// What a server sent is not what git's protocol says.
#[derive(Debug, Error)]
pub(super) enum WireError {
    /// It could not be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// It is no packets, or none that belong here.
    #[error("{0}")]
    Malformed(&'static str),
    /// There is more of it than the limit.
    #[error("it is too long")]
    TooLong,
    /// The server itself reports an error, in these words.
    #[error("remote error: {0}")]
    Remote(String),
}

/// Packets out of a stream, with a limit on all of its bytes.
pub(super) struct Packets<R> {
    input: R,
    line: Vec<u8>,
    left: usize,
}

impl<R: Read> Packets<R> {
    pub fn new(input: R, limit_bytes: usize) -> Self {
        Self { input, line: Vec::new(), left: limit_bytes }
    }

    /// The next one; `None` where the stream ends.
    ///
    /// # Errors
    /// The stream ends within a packet, a length is none, there is more than the limit, or the packet is an error of the server.
    pub fn next(&mut self) -> Result<Option<Packet<'_>>, WireError> {
        let mut head = [0; HEAD];
        match self.fill(&mut head)? {
            0 => return Ok(None),
            HEAD => {}
            _ => return Err(CUT),
        }
        let length = length(head).ok_or(WireError::Malformed("the length of a packet is no number"))?;
        match length {
            0 => return Ok(Some(Packet::Flush)),
            1 | 2 => return Ok(Some(Packet::Other)),
            HEAD..=LONGEST => {}
            _ => return Err(WireError::Malformed("the length of a packet is out of its range")),
        }
        self.left = self.left.checked_sub(length).ok_or(WireError::TooLong)?;
        let mut line = std::mem::take(&mut self.line);
        line.resize(length - HEAD, 0);
        if self.fill(&mut line)? < line.len() {
            return Err(CUT);
        }
        self.line = line;
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        match line.strip_prefix(b"ERR ") {
            Some(message) => Err(WireError::Remote(String::from_utf8_lossy(message).into_owned())),
            None => Ok(Some(Packet::Line(line))),
        }
    }

    /// The next line; `None` at a flush.
    ///
    /// # Errors
    /// As [`Packets::next`], and where the stream ends.
    pub fn line(&mut self) -> Result<Option<&[u8]>, WireError> {
        match self.next()? {
            Some(Packet::Line(line)) => Ok(Some(line)),
            Some(Packet::Flush) => Ok(None),
            Some(Packet::Other) => Err(WireError::Malformed("a packet does not belong where it is")),
            None => Err(CUT),
        }
    }

    /// Reads to the end, where the connection can be used once more.
    ///
    /// # Errors
    /// There is something else.
    pub fn end(&mut self) -> Result<(), WireError> {
        match self.next()? {
            None => Ok(()),
            Some(_) => Err(WireError::Malformed("it goes on after its end")),
        }
    }

    /// How many bytes there were, up to all of them.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, WireError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(filled)
    }
}

const CUT: WireError = WireError::Malformed("it ends too early");

/// Four hexadecimal digits, and no sign, which the standard library would take.
fn length(head: [u8; HEAD]) -> Option<usize> {
    if !head.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    std::str::from_utf8(&head).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok())
}

/// Appends a line of a request, which is shorter than a packet may be.
pub(super) fn write_line(out: &mut Vec<u8>, line: &str) {
    out.extend_from_slice(format!("{:04x}{line}\n", line.len() + HEAD + 1).as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packets(bytes: &[u8]) -> Packets<&[u8]> {
        Packets::new(bytes, 1000)
    }

    #[test]
    fn packets_are_read_to_the_end() {
        let mut written = Vec::new();
        write_line(&mut written, "version 2");
        written.extend_from_slice(DELIMITER);
        written.extend_from_slice(b"0004000aa\0b\xff \n");
        written.extend_from_slice(FLUSH);
        assert!(written.starts_with(b"000eversion 2\n0001"));
        let mut packets = packets(&written);
        for expected in [Packet::Line(b"version 2"), Packet::Other, Packet::Line(b""), Packet::Line(b"a\0b\xff ")] {
            assert_eq!(packets.next().unwrap(), Some(expected));
        }
        assert_eq!(packets.next().unwrap(), Some(Packet::Flush));
        assert!(packets.end().is_ok());
    }

    #[test]
    fn what_is_no_packet_is_an_error() {
        for (bytes, says) in [
            (&b"00"[..], "too early"),
            (b"000eversion", "too early"),
            (b"0003", "out of its range"),
            (b"fff1", "out of its range"),
            (b"+00e", "no number"),
            (b"<htm", "no number"),
            (b"\xff\xff\xff\xff", "no number"),
            (b"0010ERR no such\n", "remote error: no such"),
        ] {
            let error = packets(bytes).next().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(packets(b"").line().is_err());
        assert!(packets(b"0001").line().is_err());
        assert!(packets(b"0000").end().is_err());
    }

    #[test]
    fn there_is_a_limit_on_all_packets_together() {
        let many = b"0104".iter().copied().chain([b'x'; 256]).cycle().take(260 * 100).collect::<Vec<u8>>();
        let mut packets = packets(&many);
        let error = loop {
            match packets.next() {
                Ok(packet) => assert!(packet.is_some()),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, WireError::TooLong), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut packets = packets(&bytes);
            let mut steps = 0;
            while let Ok(Some(_)) = packets.next() {
                steps += 1;
                prop_assert!(steps <= 50);
            }
        }
    }
}
