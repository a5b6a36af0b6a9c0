//! The body of a watch as lines: one JSON document each, in chunks that the network cuts anywhere.

/// The largest event that is read, in bytes. The server stores objects of some 1.5 MiB at most.
pub(super) const LONGEST: usize = 16 << 20;
/// A buffer that had to grow beyond this, in bytes, is given back when it is empty.
const KEPT: usize = 64 << 10;

/// A line that is too long to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Lines, from chunks of any size. What follows the last newline waits for its rest.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Up to here there is no newline after `start`.
    searched: usize,
}

impl Lines {
    pub fn push(&mut self, piece: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole line that is not blank, without its end; `None` until more was pushed.
    ///
    /// # Errors
    /// The line is longer than [`LONGEST`].
    pub fn next(&mut self) -> Result<Option<&[u8]>, TooLong> {
        loop {
            let newline = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
            let end = newline.map_or(self.buffer.len(), |offset| self.searched + offset);
            self.searched = end;
            if end - self.start > LONGEST {
                return Err(TooLong);
            }
            if newline.is_none() {
                return Ok(None);
            }
            let begin = std::mem::replace(&mut self.start, end + 1);
            self.searched = self.start;
            if !self.buffer[begin..end].trim_ascii().is_empty() {
                return Ok(Some(self.buffer[begin..end].trim_ascii()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out when the text comes in chunks of this size.
    fn lines(text: &[u8], piece: usize) -> Vec<String> {
        let mut lines = Lines::default();
        let mut all = Vec::new();
        for piece in text.chunks(piece) {
            lines.push(piece);
            while let Some(line) = lines.next().unwrap() {
                all.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        all
    }

    #[test]
    fn lines_come_out_whole_however_they_are_cut() {
        let text = "{\"a\":1}\n{\"b\":\"ü\"}\r\n\n   \n{\"c\":3}\n{\"unfinished".as_bytes();
        for piece in 1..=text.len() {
            assert_eq!(lines(text, piece), ["{\"a\":1}", "{\"b\":\"ü\"}", "{\"c\":3}"], "in pieces of {piece}");
        }
        assert_eq!(lines(b"", 1), [""; 0]);
    }

    #[test]
    fn a_line_without_an_end_is_not_gathered_for_ever() {
        let mut lines = Lines::default();
        lines.push(&vec![b'x'; LONGEST]);
        assert_eq!(lines.next(), Ok(None));
        lines.push(b"x");
        assert_eq!(lines.next(), Err(TooLong));
        // Nor is one that came with its end.
        lines = Lines::default();
        lines.push(&[&vec![b'x'; LONGEST + 1][..], b"\n"].concat());
        assert_eq!(lines.next(), Err(TooLong));
    }

    #[test]
    fn the_room_of_a_long_line_is_given_back() {
        let mut lines = Lines::default();
        lines.push(&[&vec![b'x'; 10 * KEPT][..], b"\n"].concat());
        assert!(lines.next().unwrap().is_some());
        lines.push(b"{}\n");
        assert_eq!(lines.next(), Ok(Some(&b"{}"[..])));
        assert!(lines.buffer.capacity() <= KEPT);
    }
}
