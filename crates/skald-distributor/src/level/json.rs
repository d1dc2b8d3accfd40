use super::Fields;
use memchr::{memchr, memchr2, memchr3};

/// Whether the first and last bytes that are no blanks are curly brackets.
pub(super) fn looks_like_object(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.len() >= 2 && line[0] == b'{' && line[line.len() - 1] == b'}'
}

/// The first string, in the order of the document, whose key is one of `fields`, in objects nested at most `depth_max` deep.
///
/// What is malformed ends the search. Objects inside arrays are not searched. No recursion: all parents of what is searched
/// are objects, so that their number is all there is to know.
pub(super) fn find<'a>(line: &'a [u8], fields: &Fields<'_>, depth_max: usize) -> Option<&'a [u8]> {
    let mut cursor = Cursor { line, at: 0 };
    cursor.skip_blanks();
    cursor.at += 1;
    let mut depth = 1;
    loop {
        match cursor.skip_to_member()? {
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return None;
                }
                cursor.at += 1;
            }
            b'"' => {
                let key = cursor.string()?;
                match cursor.skip_to_value()? {
                    b'"' => {
                        let value = cursor.string()?;
                        if fields.exact(key).is_some() {
                            return Some(value);
                        }
                    }
                    b'{' if depth < depth_max => {
                        depth += 1;
                        cursor.at += 1;
                    }
                    b'{' | b'[' => cursor.skip_nested()?,
                    _ => cursor.at += memchr2(b',', b'}', &line[cursor.at..])?,
                }
            }
            _ => return None,
        }
    }
}

struct Cursor<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn skip_blanks(&mut self) {
        while self.line.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    /// Moves to the next key or end of an object.
    #[inline]
    fn skip_to_member(&mut self) -> Option<u8> {
        while self.line.get(self.at).is_some_and(|b| *b == b',' || b.is_ascii_whitespace()) {
            self.at += 1;
        }
        self.line.get(self.at).copied()
    }

    /// Moves behind the colon, to the first byte of the value.
    #[inline]
    fn skip_to_value(&mut self) -> Option<u8> {
        self.skip_blanks();
        if *self.line.get(self.at)? != b':' {
            return None;
        }
        self.at += 1;
        self.skip_blanks();
        self.line.get(self.at).copied()
    }

    /// What stands between the quotes at the cursor, escapes as they are; moves behind the closing one.
    #[inline]
    fn string(&mut self) -> Option<&'a [u8]> {
        let start = self.at + 1;
        let mut at = start;
        loop {
            at += memchr(b'"', self.line.get(at..)?)?;
            // A quote is a part of the string when an odd number of backslashes stands before it.
            let backslashes = self.line[start..at].iter().rev().take_while(|byte| **byte == b'\\').count();
            if backslashes % 2 == 0 {
                self.at = at + 1;
                return Some(&self.line[start..at]);
            }
            at += 1;
        }
    }

    /// Moves behind the object or array at the cursor.
    fn skip_nested(&mut self) -> Option<()> {
        let (open, close) = if self.line[self.at] == b'{' { (b'{', b'}') } else { (b'[', b']') };
        let mut depth = 0usize;
        loop {
            self.at += memchr3(b'"', open, close, self.line.get(self.at..)?)?;
            match self.line[self.at] {
                b'"' => {
                    self.string()?;
                    continue;
                }
                byte if byte == open => depth += 1,
                _ => depth -= 1,
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}
