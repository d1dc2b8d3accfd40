//! Bytes to lines.

use crate::coding::Coding;
use crate::tailer::Flow;

/// What was done with a piece of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    /// Bytes that were handed out or skipped; the rest comes again.
    pub bytes: usize,
    /// Lines handed out.
    pub lines: u64,
    /// Those with bytes that are no characters.
    pub replaced: u64,
    /// NUL bytes before lines, left out.
    pub nuls: u64,
    /// What the last line was answered with.
    pub flow: Flow,
}

impl Handed {
    /// With what was done after it.
    pub(crate) fn and(self, next: Handed) -> Self {
        Handed {
            bytes: self.bytes + next.bytes,
            lines: self.lines + next.lines,
            replaced: self.replaced + next.replaced,
            nuls: self.nuls + next.nuls,
            flow: next.flow,
        }
    }
}

/// Hands out the lines of `bytes` with where they begin, until one is not taken at once. What follows the last end of a line is left.
///
/// NUL bytes before a line are left out: they are what a file system fills holes with, when a writer goes on at its old place in a truncated file, or after a power cut.
pub(crate) fn hand_out(bytes: &[u8], coding: Coding, line: &mut dyn FnMut(usize, &str) -> Flow) -> Handed {
    let mut handed = Handed { bytes: 0, lines: 0, replaced: 0, nuls: 0, flow: Flow::Go };
    if coding == Coding::Utf8 {
        let whole = memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1);
        if let Ok(text) = std::str::from_utf8(&bytes[..whole]) {
            text_lines(text, &mut handed, line);
            return handed;
        }
    }
    while handed.flow == Flow::Go
        && let Some(len) = coding.line_end(&bytes[handed.bytes..])
    {
        let next = handed.bytes + len + coding.width();
        one(&bytes[..handed.bytes + len], next, coding, &mut handed, line);
    }
    handed
}

/// Hands out all of `bytes` as one line, or as a part of one.
pub(crate) fn hand_out_whole(bytes: &[u8], coding: Coding, line: &mut dyn FnMut(usize, &str) -> Flow) -> Handed {
    let mut handed = Handed { bytes: 0, lines: 0, replaced: 0, nuls: 0, flow: Flow::Go };
    if bytes.iter().all(|byte| *byte == 0) {
        return Handed { bytes: bytes.len(), nuls: bytes.len() as u64, ..handed };
    }
    one(bytes, bytes.len(), coding, &mut handed, line);
    handed
}

/// The way of nearly all lines: checked for UTF-8 together, cut without a copy.
fn text_lines(text: &str, handed: &mut Handed, line: &mut dyn FnMut(usize, &str) -> Flow) {
    for end in memchr::memchr_iter(b'\n', text.as_bytes()) {
        let nuls = leading_nuls(&text.as_bytes()[handed.bytes..end]);
        let start = handed.bytes + nuls;
        let flow = line(start, &text[start..end]);
        if flow == Flow::NoRoom {
            handed.flow = flow;
            return;
        }
        handed.bytes = end + 1;
        handed.lines += 1;
        handed.nuls += nuls as u64;
        if flow != Flow::Go {
            handed.flow = flow;
            return;
        }
    }
}

/// One line that begins at `handed.bytes` and is the rest of `bytes`; the following begins at `next`.
fn one(bytes: &[u8], next: usize, coding: Coding, handed: &mut Handed, line: &mut dyn FnMut(usize, &str) -> Flow) {
    let nuls = leading_nuls(&bytes[handed.bytes..]);
    let nuls = if coding.width() == 1 { nuls } else { 0 };
    let start = handed.bytes + nuls;
    let (text, replaced) = coding.decode(&bytes[start..]);
    handed.flow = line(start, &text);
    if handed.flow != Flow::NoRoom {
        handed.bytes = next;
        handed.lines += 1;
        handed.replaced += u64::from(replaced);
        handed.nuls += nuls as u64;
    }
}

fn leading_nuls(bytes: &[u8]) -> usize {
    if bytes.first() != Some(&0) {
        return 0;
    }
    bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests;
