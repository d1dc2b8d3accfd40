use std::borrow::Cow;
use std::io::{self, BufRead};

/// Longest line that is sent, in bytes. Servers refuse far shorter ones; this bounds memory.
pub const LINE_LEN_MAX: usize = 16 << 20;

/// Splits what a reader gives into lines.
pub struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
}

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// All of it but the newline.
    Text {
        /// The line.
        text: Cow<'a, str>,
        /// Whether bytes that are not UTF-8 were replaced.
        replaced: bool,
    },
    /// Longer than [`LINE_LEN_MAX`]; it was skipped.
    TooLong {
        /// Its number, from 1.
        number: u64,
    },
}

impl<R: BufRead> Lines<R> {
    /// Lines of `reader`.
    pub fn new(reader: R) -> Self {
        Lines { reader, line: Vec::new(), number: 0 }
    }

    /// Where the lines come from.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// Some of what comes next, without taking it; empty at the end.
    ///
    /// # Errors
    /// The reader's.
    pub fn peek(&mut self) -> io::Result<&[u8]> {
        loop {
            match self.reader.fill_buf() {
                Ok(_) => return self.reader.fill_buf(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next line; the last one may lack its newline. Nothing follows the last newline.
    ///
    /// # Errors
    /// The reader's; what it gave of an unfinished line before is lost.
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        self.line.shrink_to(1 << 20);
        self.number += 1;
        let (mut any, mut too_long) = (false, false);
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if bytes.is_empty() {
                break;
            }
            any = true;
            let newline = memchr::memchr(b'\n', bytes);
            let part = &bytes[..newline.unwrap_or(bytes.len())];
            too_long |= self.line.len() + part.len() > LINE_LEN_MAX;
            if !too_long {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(newline.is_some());
            self.reader.consume(used);
            if newline.is_some() {
                break;
            }
        }
        Ok(match (any, too_long) {
            (false, _) => None,
            (true, true) => Some(Line::TooLong { number: self.number }),
            (true, false) => {
                let text = String::from_utf8_lossy(&self.line);
                // A borrowed text is the bytes themselves.
                let replaced = matches!(text, Cow::Owned(_));
                Some(Line::Text { text, replaced })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn split(bytes: &[u8], capacity: usize) -> Vec<(String, bool)> {
        let mut lines = Lines::new(BufReader::with_capacity(capacity, bytes));
        let mut all = Vec::new();
        while let Some(line) = lines.next().expect("memory does not fail") {
            match line {
                Line::Text { text, replaced } => all.push((text.into_owned(), replaced)),
                Line::TooLong { number } => all.push((format!("too long: {number}"), false)),
            }
        }
        all
    }

    #[track_caller]
    fn check(bytes: &[u8], want: &[(&str, bool)]) {
        let want: Vec<(String, bool)> = want.iter().map(|(text, replaced)| ((*text).to_owned(), *replaced)).collect();
        for capacity in [1, 2, 7, 4096] {
            assert_eq!(split(bytes, capacity), want, "read {capacity} bytes at a time");
        }
    }

    #[test]
    fn only_the_newline_is_taken_away() {
        check(b"", &[]);
        check(b"\n", &[("", false)]);
        check(b"a\r\n b \n\n\tc", &[("a\r", false), (" b ", false), ("", false), ("\tc", false)]);
        check(b"a\rb\n\r\n", &[("a\rb", false), ("\r", false)]);
        check("\u{feff}é\u{0}\n".as_bytes(), &[("\u{feff}é\u{0}", false)]);
    }

    #[test]
    fn invalid_utf8_is_replaced_and_said() {
        check(b"ok\nb\xffd\xc3\nlast\xe2\x82", &[("ok", false), ("b\u{fffd}d\u{fffd}", true), ("last\u{fffd}", true)]);
        check("already \u{fffd}\n".as_bytes(), &[("already \u{fffd}", false)]);
    }

    #[test]
    fn a_line_beyond_the_bound_is_skipped_alone() {
        let mut bytes = b"first\n".to_vec();
        bytes.resize(bytes.len() + LINE_LEN_MAX, b'x');
        let mut fits = bytes.clone();
        bytes.extend_from_slice(b"x\nlast\n");
        fits.extend_from_slice(b"\nlast\n");
        let got = split(&bytes, 1 << 16);
        assert_eq!(got, [("first".to_owned(), false), ("too long: 2".to_owned(), false), ("last".to_owned(), false)]);
        assert_eq!(split(&fits, 1 << 16)[1].0.len(), LINE_LEN_MAX);
    }

    proptest::proptest! {
        #![proptest_config(skald_testkit::property(256))]
        #[test]
        fn lines_put_together_are_the_text(text in "[a-c\r\n é]{0,40}", capacity in 1usize..9) {
            let lines: Vec<String> = split(text.as_bytes(), capacity).into_iter().map(|(line, _)| line).collect();
            let want = text.strip_suffix('\n').unwrap_or(&text);
            proptest::prop_assert_eq!(lines.join("\n"), want);
            proptest::prop_assert_eq!(lines.is_empty(), text.is_empty());
        }
    }
}
