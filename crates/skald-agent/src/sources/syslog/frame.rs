//! Where a message ends and the next begins.

/// Most digits of a length.
const LENGTH_DIGITS_MAX: u32 = 9;

/// Cuts what one connection brings into messages: by the length in front of each where the first byte is a digit, by line where it is `<`.
#[derive(Debug)]
pub struct Framer {
    max: usize,
    state: State,
    /// The message so far, at most `max` bytes.
    message: Vec<u8>,
    is_cut: bool,
    /// Whether `message` was given away and is to be forgotten.
    is_given: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has come.
    New,
    /// In a length, or before it: its value and its digits.
    Length(u64, u32),
    /// So many bytes of the message are left.
    Counted(u64),
    /// In a line.
    Line,
    /// What came is no message; nothing more is read.
    Broken,
}

/// A message as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its bytes, without the end of a line.
    pub bytes: &'a [u8],
    /// Whether it was longer than the bound, and the rest is gone.
    pub is_cut: bool,
}

/// Why nothing more can be read from a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Neither a length nor a message.
    #[error("a message must begin with '<' or its length, and not with byte {0:#04x}")]
    Start(u8),
    /// What stands in front of a message is no length.
    #[error("the length in front of a message is wrong")]
    Length,
}

impl FrameError {
    /// What the caller can do about it.
    pub fn kind(&self) -> skald_model::ErrorKind {
        match self {
            Self::Start(_) | Self::Length => skald_model::ErrorKind::InvalidInput,
        }
    }
}

impl Framer {
    /// For a new connection; of each message `max` bytes are kept.
    pub fn new(max: usize) -> Self {
        Framer { max, state: State::New, message: Vec::new(), is_cut: false, is_given: false }
    }

    /// Takes bytes off the front of `input` until a message is whole; `None` when all were taken and none is.
    ///
    /// # Errors
    /// What came cannot be cut: the connection is of no more use. Asked again, all is taken and there is no further message.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
        if std::mem::take(&mut self.is_given) {
            self.message.clear();
            self.is_cut = false;
        }
        while let [first, rest @ ..] = *input {
            match self.state {
                State::New => self.state = self.begin(*first)?,
                State::Length(length, digits) => {
                    *input = rest;
                    self.state = self.length(*first, length, digits)?;
                }
                State::Counted(left) => {
                    let here = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let (piece, rest) = input.split_at(here);
                    *input = rest;
                    self.keep(piece);
                    if here as u64 == left {
                        self.state = State::Length(0, 0);
                        return Ok(Some(self.give()));
                    }
                    self.state = State::Counted(left - here as u64);
                }
                State::Line => {
                    let end = memchr::memchr(b'\n', input);
                    let (piece, rest) = input.split_at(end.unwrap_or(input.len()));
                    *input = rest.get(1..).unwrap_or_default();
                    self.keep(piece);
                    if end.is_some() && !self.message.is_empty() {
                        return Ok(Some(self.give()));
                    }
                }
                State::Broken => *input = &[],
            }
        }
        Ok(None)
    }

    /// The message that the end of a connection ends: a line without its end, or what has come of a counted one.
    pub fn finish(&mut self) -> Option<Frame<'_>> {
        if self.is_given || self.message.is_empty() {
            return None;
        }
        self.is_cut |= matches!(self.state, State::Counted(_));
        Some(self.give())
    }

    fn begin(&mut self, first: u8) -> Result<State, FrameError> {
        match first {
            b'<' => Ok(State::Line),
            b'0'..=b'9' => Ok(State::Length(0, 0)),
            other => {
                self.state = State::Broken;
                Err(FrameError::Start(other))
            }
        }
    }

    fn length(&mut self, byte: u8, length: u64, digits: u32) -> Result<State, FrameError> {
        match byte {
            b'0'..=b'9' if digits < LENGTH_DIGITS_MAX => Ok(State::Length(length * 10 + u64::from(byte - b'0'), digits + 1)),
            b' ' if length > 0 => Ok(State::Counted(length)),
            // Some senders end a counted message with a line's end, too.
            b'\n' | b'\r' | 0 if digits == 0 => Ok(State::Length(0, 0)),
            _ => {
                self.state = State::Broken;
                Err(FrameError::Length)
            }
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = self.max - self.message.len();
        self.is_cut |= piece.len() > room;
        self.message.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn give(&mut self) -> Frame<'_> {
        self.is_given = true;
        Frame { bytes: trim_end(&self.message), is_cut: self.is_cut }
    }
}

/// Hands each message of a datagram to `each`: those with a length in front by that; else a message ends where a line follows that begins as one does,
/// so that a message of several lines stays one.
///
/// # Errors
/// What comes behind the last message that was handed over cannot be read.
pub fn split_datagram(datagram: &[u8], max: usize, mut each: impl FnMut(Frame<'_>)) -> Result<(), FrameError> {
    if !datagram.starts_with(b"<") {
        let (mut framer, mut input) = (Framer::new(max), datagram);
        while let Some(frame) = framer.next(&mut input)? {
            each(frame);
        }
        framer.finish().into_iter().for_each(each);
        return Ok(());
    }
    let mut rest = datagram;
    while !rest.is_empty() {
        let next = memchr::memchr_iter(b'\n', rest).find(|at| begins_message(&rest[at + 1..]));
        let (message, tail) = rest.split_at(next.map_or(rest.len(), |at| at + 1));
        rest = tail;
        let message = trim_end(message);
        let kept = &message[..message.len().min(max)];
        each(Frame { bytes: kept, is_cut: kept.len() < message.len() });
    }
    Ok(())
}

/// Whether bytes begin with `<`, one to three digits and `>`.
fn begins_message(bytes: &[u8]) -> bool {
    let Some(bytes) = bytes.strip_prefix(b"<") else { return false };
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (1..=3).contains(&digits) && bytes.get(digits) == Some(&b'>')
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0)).map_or(0, |at| at + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Messages of a connection whose bytes come in pieces of `step`; a cut one ends with `…`, an error is the last.
    fn messages(bytes: &[u8], max: usize, step: usize) -> Vec<String> {
        let (mut framer, mut found) = (Framer::new(max), Vec::new());
        let text = |frame: Frame<'_>| format!("{}{}", String::from_utf8_lossy(frame.bytes), if frame.is_cut { "…" } else { "" });
        for mut piece in bytes.chunks(step.max(1)) {
            loop {
                match framer.next(&mut piece) {
                    Ok(Some(frame)) => found.push(text(frame)),
                    Ok(None) => break,
                    Err(error) => {
                        found.push(error.to_string());
                        return found;
                    }
                }
            }
        }
        found.extend(framer.finish().map(text));
        found
    }

    #[track_caller]
    fn check(bytes: &str, want: &[&str]) {
        for step in [1, 2, 3, 7, 1000] {
            assert_eq!(messages(bytes.as_bytes(), 20, step), want, "{bytes:?} in pieces of {step}");
        }
    }

    #[test]
    fn a_digit_at_the_start_means_lengths() {
        check("5 <1>ab3 <2>", &["<1>ab", "<2>"]);
        check("6 <1>a\nb\n 3 <2>", &["<1>a\nb", "the length in front of a message is wrong"]);
        check("4 <1>a\n3 <2>\r\n\n3 <3>", &["<1>a", "<2>", "<3>"]);
        check("25 <1>45678901234567890123455 <2>ab", &["<1>45678901234567890…", "<2>ab"]);
        check("9 <1>ab", &["<1>ab…"]);
        check("12", &[]);
    }

    #[test]
    fn an_angle_bracket_at_the_start_means_lines() {
        check("<1>a\n<2>b\r\n\n3 is no length\nlast", &["<1>a", "<2>b", "3 is no length", "last"]);
        check("<1>4567890123456789012345\n<2>b\n", &["<1>45678901234567890…", "<2>b"]);
        check("<1>a\0\n", &["<1>a"]);
    }

    #[test]
    fn what_is_neither_ends_the_connection() {
        check("", &[]);
        check("GET / HTTP/1.1\n", &["a message must begin with '<' or its length, and not with byte 0x47"]);
        check("0 <1>", &["the length in front of a message is wrong"]);
        check("1234567890 <1>", &["the length in front of a message is wrong"]);
        check("5<1>ab", &["the length in front of a message is wrong"]);
    }

    #[test]
    fn a_broken_connection_takes_all_and_says_nothing_more() {
        let mut framer = Framer::new(20);
        let mut input = &b"x<1>a\n"[..];
        assert!(framer.next(&mut input).is_err());
        assert_eq!((framer.next(&mut input), input.len()), (Ok(None), 0));
        assert_eq!(framer.finish(), None);
    }

    #[track_caller]
    fn check_datagram(bytes: &str, want: &[&str]) {
        let mut found = Vec::new();
        let split = split_datagram(bytes.as_bytes(), 20, |frame| {
            found.push(format!("{}{}", String::from_utf8_lossy(frame.bytes), if frame.is_cut { "…" } else { "" }));
        });
        found.extend(split.err().map(|error| error.to_string()));
        assert_eq!(found, want, "{bytes:?}");
    }

    #[test]
    fn a_datagram_is_one_message_unless_another_begins_in_it() {
        check_datagram("<1>a", &["<1>a"]);
        check_datagram("<1>a\n", &["<1>a"]);
        check_datagram("<1>a\n at b\n<no>\n", &["<1>a\n at b\n<no>"]);
        check_datagram("<1>a\n<2>b\n<191>c", &["<1>a", "<2>b", "<191>c"]);
        check_datagram("4 <1>a3 <2>", &["<1>a", "<2>"]);
        check_datagram("<1>456789012345678901", &["<1>45678901234567890…"]);
        check_datagram("x", &["a message must begin with '<' or its length, and not with byte 0x78"]);
        check_datagram("", &[]);
    }

    proptest! {
        #![proptest_config(skald_testkit::property(128))]

        #[test]
        fn messages_do_not_depend_on_how_bytes_are_cut(bytes in "[<0-9>a \n]{0,60}", step in 1..20usize) {
            prop_assert_eq!(messages(bytes.as_bytes(), 12, step), messages(bytes.as_bytes(), 12, 1000));
        }

        #[test]
        fn counted_messages_come_back(sent in prop::collection::vec("[a-z\n ]{0,11}[a-z]", 0..6)) {
            let stream: String = sent.iter().map(|message| format!("{} {message}", message.len())).collect();
            prop_assert_eq!(messages(stream.as_bytes(), 12, 5), sent);
        }
    }
}
