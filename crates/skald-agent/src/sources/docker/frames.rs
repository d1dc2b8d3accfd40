//! From the bytes of a container's log to its lines.
//!
//! Each piece that a container wrote begins with its time. Where it has no terminal, each piece is a frame with a header that names the stream; where it has one, pieces
//! follow each other bare. A line longer than 16 KiB comes in several pieces with one time, of which the last alone ends with a line break.

use memchr::memchr;
use skald_model::Timestamp;
use std::borrow::Cow;

/// Bytes of a long line in one piece.
const PIECE_BYTES: usize = 16 << 10;
/// Most bytes of a time and the space behind it.
const STAMP_BYTES_MAX: usize = 48;

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(super) const BOTH: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

    /// Its name in labels.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A whole line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub stream: Stream,
    pub timestamp: Timestamp,
    pub text: String,
    /// Whether its end was left out, as it was too long.
    pub is_cut: bool,
    /// The time of the earliest line that is not whole yet: reading must begin no later to have it.
    pub begun: Option<Timestamp>,
}

/// Why bytes are not a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("the answer is not in frames")]
    NoFrame,
    #[error("the engine failed while it read the log: {0}")]
    Engine(String),
}

/// Takes the bytes of a log as they come. What it holds is bounded by two lines.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The header of the frame, as far as it came; `None` where there are no frames.
    header: Option<Header>,
    /// What came of the piece.
    piece: Piece,
    joiners: [Joiner; 2],
    line_max: usize,
    /// Lines without a time.
    malformed: u64,
}

#[derive(Debug, Default)]
struct Header {
    bytes: [u8; 8],
    have: usize,
    /// Bytes of the frame that are still to come.
    left: usize,
}

/// The frame or line that comes, up to a bound.
#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<u8>,
    ends_line: bool,
}

impl Decoder {
    /// For lines of up to `line_max` bytes; of longer ones the rest is left out.
    pub(super) fn new(is_terminal: bool, line_max: usize) -> Self {
        let header = (!is_terminal).then(Header::default);
        Decoder { header, piece: Piece::default(), joiners: Stream::BOTH.map(Joiner::new), line_max, malformed: 0 }
    }

    /// Takes the next bytes; whole lines go to `out`.
    pub(super) fn feed(&mut self, mut input: &[u8], out: &mut Vec<Line>) -> Result<(), FrameError> {
        while !input.is_empty() {
            input = match &self.header {
                None => self.feed_bare(input, out),
                Some(header) if header.have < 8 => self.feed_header(input)?,
                Some(_) => self.feed_frame(input, out)?,
            };
        }
        Ok(())
    }

    /// No more will come: gives the lines that lack their line break.
    pub(super) fn finish(&mut self, out: &mut Vec<Line>) {
        if self.header.is_none() && !self.piece.bytes.is_empty() {
            self.end_piece(Stream::Stdout, out);
        }
        let unfinished = self.joiners.iter_mut().filter_map(Joiner::end);
        out.extend(unfinished);
    }

    /// Lines without a time since the last call.
    pub(super) fn take_malformed(&mut self) -> u64 {
        std::mem::take(&mut self.malformed)
    }

    fn feed_bare<'a>(&mut self, input: &'a [u8], out: &mut Vec<Line>) -> &'a [u8] {
        let end = memchr(b'\n', input).map(|at| at + 1);
        let (piece, rest) = input.split_at(end.unwrap_or(input.len()));
        self.piece.add(piece, self.line_max);
        if end.is_some() {
            self.end_piece(Stream::Stdout, out);
        }
        rest
    }

    fn feed_header<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], FrameError> {
        let header = self.header.as_mut().expect("there are frames");
        let (bytes, rest) = input.split_at(input.len().min(8 - header.have));
        header.bytes[header.have..][..bytes.len()].copy_from_slice(bytes);
        header.have += bytes.len();
        if header.have == 8 {
            let [kind, a, b, c, length @ ..] = header.bytes;
            if kind > 3 || [a, b, c] != [0; 3] {
                return Err(FrameError::NoFrame);
            }
            header.left = u32::from_be_bytes(length) as usize;
            if header.left == 0 {
                header.have = 0;
            }
        }
        Ok(rest)
    }

    fn feed_frame<'a>(&mut self, input: &'a [u8], out: &mut Vec<Line>) -> Result<&'a [u8], FrameError> {
        let header = self.header.as_mut().expect("there are frames");
        let (bytes, rest) = input.split_at(input.len().min(header.left));
        self.piece.add(bytes, self.line_max);
        header.left -= bytes.len();
        if header.left == 0 {
            header.have = 0;
            match header.bytes[0] {
                3 => return Err(FrameError::Engine(String::from_utf8_lossy(&self.piece.bytes).chars().take(200).collect())),
                2 => self.end_piece(Stream::Stderr, out),
                _ => self.end_piece(Stream::Stdout, out),
            }
        }
        Ok(rest)
    }

    fn end_piece(&mut self, stream: Stream, out: &mut Vec<Line>) {
        let Piece { bytes, ends_line } = std::mem::take(&mut self.piece);
        let first = out.len();
        let joiner = &mut self.joiners[stream as usize];
        let is_terminal = self.header.is_none();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let end = memchr(b'\n', rest);
            let (text, behind) = end.map_or((rest, &rest[rest.len()..]), |at| (&rest[..at], &rest[at + 1..]));
            rest = behind;
            let ends = end.is_some() || (rest.is_empty() && ends_line);
            let text = if is_terminal && ends { text.strip_suffix(b"\r").unwrap_or(text) } else { text };
            if !joiner.add(text, is_terminal, self.line_max, out) {
                self.malformed += 1;
                continue;
            }
            if ends {
                out.extend(joiner.end());
            }
        }
        let begun = self.joiners.iter().filter_map(Joiner::begun).min();
        out[first..].iter_mut().for_each(|line| line.begun = begun);
        // Its room is used again.
        self.piece.bytes = bytes;
        self.piece.bytes.clear();
    }
}

impl Piece {
    fn add(&mut self, bytes: &[u8], line_max: usize) {
        // A bare line has a time in front of each of its pieces.
        let bound = line_max + (line_max / PIECE_BYTES + 2) * STAMP_BYTES_MAX;
        let room = bound.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.ends_line = bytes.last() == Some(&b'\n');
    }
}

/// Puts the lines of one stream together.
#[derive(Debug)]
struct Joiner {
    stream: Stream,
    line: Option<Unfinished>,
    /// The time of the line before.
    last: Option<Timestamp>,
}

#[derive(Debug)]
struct Unfinished {
    /// The time as it is written, with the space behind.
    stamp: Vec<u8>,
    timestamp: Timestamp,
    text: Vec<u8>,
    is_cut: bool,
}

impl Joiner {
    fn new(stream: Stream) -> Self {
        Joiner { stream, line: None, last: None }
    }

    /// Adds a piece to the line it belongs to; false where it has no time, and none stands before it.
    fn add(&mut self, piece: &[u8], is_terminal: bool, line_max: usize, out: &mut Vec<Line>) -> bool {
        if let Some(line) = &mut self.line
            && !line.stamp.is_empty()
            && let Some(more) = piece.strip_prefix(line.stamp.as_slice())
        {
            line.add(more, line_max);
            return true;
        }
        let (stamp, timestamp, text) = match (split_stamp(piece), &mut self.line, self.last) {
            (Some(split), _, _) => split,
            (None, Some(line), _) => {
                line.add(piece, line_max);
                return true;
            }
            // What was written in one piece with the line before.
            (None, None, Some(last)) => (&piece[..0], last, piece),
            (None, None, None) => return false,
        };
        // One that lacks its end has another time: its writer died.
        out.extend(self.end());
        let mut line = Unfinished { stamp: stamp.to_vec(), timestamp, text: Vec::new(), is_cut: false };
        if is_terminal {
            line.add_pieces(text, line_max)
        } else {
            line.add(text, line_max)
        }
        self.line = Some(line);
        true
    }

    /// The time of the line that is not whole yet.
    fn begun(&self) -> Option<Timestamp> {
        self.line.as_ref().map(|line| line.timestamp)
    }

    fn end(&mut self) -> Option<Line> {
        let Unfinished { timestamp, text, is_cut, .. } = self.line.take()?;
        self.last = Some(timestamp);
        Some(Line { stream: self.stream, timestamp, text: text_of(text, is_cut), is_cut, begun: None })
    }
}

impl Unfinished {
    fn add(&mut self, text: &[u8], line_max: usize) {
        let room = line_max.saturating_sub(self.text.len());
        self.is_cut |= text.len() > room;
        self.text.extend_from_slice(&text[..text.len().min(room)]);
    }

    /// Adds what may be several pieces without a mark between them but the time, in front of each.
    fn add_pieces(&mut self, mut text: &[u8], line_max: usize) {
        let stamp = std::mem::take(&mut self.stamp);
        while text.len() > PIECE_BYTES && !stamp.is_empty() {
            let (piece, rest) = text.split_at(PIECE_BYTES);
            self.add(piece, line_max);
            text = rest.strip_prefix(stamp.as_slice()).unwrap_or(rest);
        }
        self.add(text, line_max);
        self.stamp = stamp;
    }
}

/// The time in front of a piece, with the space behind it, and the rest.
fn split_stamp(piece: &[u8]) -> Option<(&[u8], Timestamp, &[u8])> {
    let end = memchr(b' ', &piece[..piece.len().min(STAMP_BYTES_MAX)]);
    let stamp = std::str::from_utf8(&piece[..end.unwrap_or(piece.len())]).ok()?;
    // A number or a date alone is no time.
    let time: jiff::Timestamp = stamp.parse().ok()?;
    let timestamp = Timestamp(i64::try_from(time.as_nanosecond()).ok()?);
    let (stamp, text) = piece.split_at(end.map_or(piece.len(), |at| at + 1));
    Some((stamp, timestamp, text))
}

/// As text; of a line that was cut without the half of a character at its end.
fn text_of(mut bytes: Vec<u8>, is_cut: bool) -> String {
    if is_cut
        && let Err(error) = std::str::from_utf8(&bytes)
        && error.error_len().is_none()
    {
        bytes.truncate(error.valid_up_to());
    }
    match String::from_utf8_lossy(&bytes) {
        Cow::Borrowed(_) => String::from_utf8(bytes).expect("it was just found to be UTF-8"),
        Cow::Owned(text) => text,
    }
}

#[cfg(test)]
mod tests;
