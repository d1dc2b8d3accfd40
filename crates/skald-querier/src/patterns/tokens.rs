//! Cuts a line into chunks: words, values, numbers, and what stands between them.

use rustc_hash::FxHasher;
use std::hash::Hasher;

/// Bytes of a line that are looked at; what follows is one variable part.
pub(super) const BYTES_MAX: usize = 2048;
/// Chunks of a line that are looked at; what follows is one variable part.
const CHUNKS_MAX: usize = 128;

const LETTER: u8 = 1;
const DIGIT: u8 = 2;
/// Punctuation that may stand inside a chunk.
const INNER: u8 = 4;
/// Not ASCII; counts as a letter too.
const WIDE: u8 = 8;

/// Bits of each byte; 0 ends a chunk.
static CLASS: [u8; 256] = classes();

/// Keys whose value is a message: its words tell lines apart even where it is a single one.
const MESSAGE_KEYS: [&[u8]; 7] = [b"msg", b"message", b"log", b"event", b"content", b"_msg", b"msg_"];

const MONTHS: [&[u8]; 12] = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => LETTER,
            b'0'..=b'9' => DIGIT,
            b'.' | b'-' | b'_' | b'/' | b':' | b'+' | b'@' | b'%' | b'#' | b'$' | b'*' | b'~' | b'\\' | b'^' | b'&' | b'?' | b'!' => INNER,
            0x80..=0xff => LETTER | WIDE,
            _ => 0,
        };
        byte += 1;
    }
    table
}

/// What a chunk is to those who learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Stands before `=`, or is the name of a JSON member: part of the shape.
    Key,
    /// Text without digits: tells messages apart.
    Word,
    /// The only word between quotes or behind a key, or a path: may vary within one message.
    Value,
    /// Letters and digits: as a value.
    Mixed,
    /// Only punctuation: as a value.
    Mark,
    /// Number, time, address, identifier: always varies.
    Number,
}

/// A part of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) kind: Kind,
    /// Of its bytes; 0 for numbers.
    pub(super) hash: u64,
}

/// The chunks of a line. Used again for the next line.
#[derive(Debug, Clone, Default)]
pub(super) struct Tokens {
    pub(super) chunks: Vec<Chunk>,
    /// Of everything between the chunks, and of the keys; blanks count once, however many there are. Lines of one shape have as many chunks.
    pub(super) shape: u64,
    /// Where the part begins that was not looked at, if there is one.
    pub(super) tail: Option<u32>,
}

impl Tokens {
    /// Cuts `line`.
    pub(super) fn read(&mut self, line: &[u8]) {
        self.chunks.clear();
        self.tail = None;
        let seen = memchr::memchr(b'\n', &line[..line.len().min(BYTES_MAX)]).unwrap_or(line.len().min(BYTES_MAX));
        let mut shape = Shape(0);
        let mut gap_from = 0;
        while let Some(start) = next_start(line, gap_from, seen) {
            let (reach, bits) = chunk_end(line, start, seen);
            let end = trimmed_end(line, start, reach);
            if reach == seen && seen < line.len() && line[seen] != b'\n' || self.chunks.len() == CHUNKS_MAX {
                self.tail = Some(start as u32);
                break;
            }
            if end == start {
                // Only punctuation that belongs to the gap; look for a chunk behind it.
                match next_start(line, reach, seen) {
                    Some(_) => {
                        shape.gap(&line[gap_from..reach]);
                        gap_from = reach;
                        continue;
                    }
                    None => break,
                }
            }
            shape.gap(&line[gap_from..start]);
            let kind = kind(line, start, end, bits, self.chunks.last());
            let hash = if kind == Kind::Number { 0 } else { hash(&line[start..end]) };
            shape.chunk(if kind == Kind::Key { hash } else { 0 });
            self.chunks.push(Chunk { start: start as u32, end: end as u32, kind, hash });
            gap_from = end;
        }
        if self.tail.is_none() && seen < line.len() {
            self.tail = Some(seen as u32);
        }
        shape.gap(&line[gap_from..self.tail.map_or(line.len(), |tail| tail as usize)]);
        self.shape = shape.finish(self.tail.is_some());
    }

    /// What stands before chunk `at`, or behind the last one.
    pub(super) fn gap<'a>(&self, line: &'a [u8], at: usize) -> &'a [u8] {
        let start = if at == 0 { 0 } else { self.chunks[at - 1].end as usize };
        let end = self.chunks.get(at).map_or(self.tail.map_or(line.len(), |tail| tail as usize), |chunk| chunk.start as usize);
        &line[start..end]
    }
}

impl Chunk {
    /// Its bytes.
    pub(super) fn of<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        &line[self.start as usize..self.end as usize]
    }
}

/// Hash of what does not vary.
struct Shape(u64);

impl Shape {
    fn gap(&mut self, bytes: &[u8]) {
        let mut blank = false;
        for byte in bytes {
            let is_blank = matches!(byte, b' ' | b'\t');
            if !(is_blank && blank) {
                self.mix(if is_blank { u64::from(b' ') } else { u64::from(*byte) });
            }
            blank = is_blank;
        }
    }

    fn chunk(&mut self, key: u64) {
        self.mix(0x100);
        if key != 0 {
            self.mix(key);
        }
    }

    #[inline]
    fn mix(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(mut self, tail: bool) -> u64 {
        self.mix(if tail { 0x201 } else { 0x200 });
        self.0 ^ self.0 >> 32
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(bytes);
    // 0 is the hash of numbers.
    hasher.finish() | 1
}

/// The next byte that a chunk can begin with. A colon at its start belongs to the gap.
fn next_start(line: &[u8], from: usize, seen: usize) -> Option<usize> {
    let begins = |byte: &u8| CLASS[usize::from(*byte)] != 0 && *byte != b':';
    line[from..seen].iter().position(begins).map(|at| from + at)
}

/// Where the chunk that begins at `start` ends, and the bits of all its bytes.
#[inline]
fn chunk_end(line: &[u8], start: usize, seen: usize) -> (usize, u8) {
    let (mut at, mut bits) = (start, 0);
    loop {
        let rest = &line[at..seen];
        let mut len = rest.len();
        for (i, byte) in rest.iter().enumerate() {
            let class = CLASS[usize::from(*byte)];
            if class == 0 {
                len = i;
                break;
            }
            bits |= class;
        }
        at += len;
        if at == seen || bits & (INNER | DIGIT) == 0 || !goes_on(line, start, at) {
            return (at, bits);
        }
        at += 1;
    }
}

/// Whether a byte that ends chunks does not end this one: a comma between digits, or what separates the parts of a path's query.
fn goes_on(line: &[u8], start: usize, at: usize) -> bool {
    let digit = |at: usize| line.get(at).is_some_and(u8::is_ascii_digit);
    match line[at] {
        b',' if digit(at - 1) && digit(at + 1) => true,
        b'=' | b',' | b';' | b'|' => is_path(&line[start..at]),
        _ => false,
    }
}

fn is_path(chunk: &[u8]) -> bool {
    chunk[0] == b'/' || chunk.windows(3).any(|three| three == b"://")
}

/// Punctuation at the end of a sentence or clause belongs to the gap.
fn trimmed_end(line: &[u8], start: usize, reach: usize) -> usize {
    let ends = |byte: &u8| matches!(byte, b':' | b'.' | b'!' | b'?' | b',' | b';');
    reach - line[start..reach].iter().rev().take_while(|byte| ends(byte)).count()
}

fn kind(line: &[u8], start: usize, end: usize, bits: u8, before: Option<&Chunk>) -> Kind {
    let chunk = &line[start..end];
    let previous = start.checked_sub(1).map(|at| line[at]);
    let next = line.get(end).copied();
    let is_text = bits & WIDE == 0 || std::str::from_utf8(chunk).is_ok();
    // `<name>` in plain text would be read as a variable part of a pattern.
    if !is_text || (previous == Some(b'<') && next == Some(b'>')) {
        return Kind::Number;
    }
    if bits & (LETTER | DIGIT) == 0 {
        return Kind::Mark;
    }
    if bits & DIGIT != 0 && is_number(chunk, bits) {
        return Kind::Number;
    }
    if is_key(line, chunk[0], end, previous, next) {
        return Kind::Key;
    }
    if bits & DIGIT != 0 {
        return Kind::Mixed;
    }
    if is_date_word(line, chunk, end) {
        return Kind::Number;
    }
    let of_message = before.is_some_and(|key| key.kind == Kind::Key && MESSAGE_KEYS.contains(&key.of(line)));
    let of_key = before.is_some_and(|key| key.kind == Kind::Key && is_assignment(&line[key.end as usize..start]));
    let quoted = previous.is_some_and(is_quote) && next == previous;
    let closed = next.is_none_or(|next| CLASS[usize::from(next)] == 0);
    let is_path = bits & INNER != 0 && is_path(chunk);
    if is_path || (!of_message && (quoted || (of_key && closed && !previous.is_some_and(is_quote)))) { Kind::Value } else { Kind::Word }
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// Whether a chunk with digits varies by its form: it begins with a digit, or holds a long hexadecimal number.
fn is_number(chunk: &[u8], bits: u8) -> bool {
    let first = chunk.iter().find(|byte| byte.is_ascii_alphanumeric() || **byte >= 0x80);
    if bits & LETTER == 0 || first.is_some_and(u8::is_ascii_digit) {
        return true;
    }
    let is_identifier = |word: &[u8]| word.len() >= 8 && word.iter().all(u8::is_ascii_hexdigit) && word.iter().any(u8::is_ascii_digit);
    chunk.split(|byte| !byte.is_ascii_alphanumeric()).any(is_identifier)
}

fn is_key(line: &[u8], first: u8, end: usize, previous: Option<u8>, next: Option<u8>) -> bool {
    let begins = first.is_ascii_alphabetic() || first == b'_' || first == b'@' || first >= 0x80;
    let assigned = next == Some(b'=') && line.get(end + 1) != Some(&b'=');
    let member = || {
        let mut behind = line[end..].iter().skip(1).skip_while(|byte| **byte == b' ');
        previous == Some(b'"') && next == Some(b'"') && behind.next() == Some(&b':')
    };
    begins && (assigned || member())
}

/// Whether nothing but the signs of an assignment stands between a key and a value.
fn is_assignment(gap: &[u8]) -> bool {
    gap.iter().all(|byte| matches!(byte, b'=' | b':' | b'"' | b'\'' | b'`' | b' ')) && !gap.starts_with(b" ")
}

/// Whether the name of a month or a day of the week stands where a date has one.
fn is_date_word(line: &[u8], chunk: &[u8], end: usize) -> bool {
    if chunk.len() != 3 {
        return false;
    }
    let rest = line[end..].strip_prefix(b",").unwrap_or(&line[end..]);
    let rest = rest.trim_ascii_start();
    let number = rest.first().is_some_and(u8::is_ascii_digit);
    if MONTHS.contains(&chunk) {
        return number;
    }
    DAYS.contains(&chunk) && (number || rest.get(..3).is_some_and(|next| MONTHS.contains(&next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: &str) {
        let mut tokens = Tokens::default();
        tokens.read(line.as_bytes());
        let shown: Vec<String> = tokens.chunks.iter().map(|chunk| show(line, chunk)).collect();
        assert_eq!(shown.join(" "), want, "{line}");
    }

    fn show(line: &str, chunk: &Chunk) -> String {
        let text = String::from_utf8_lossy(chunk.of(line.as_bytes())).into_owned();
        let sign = match chunk.kind {
            Kind::Key => 'K',
            Kind::Word => 'W',
            Kind::Value => 'V',
            Kind::Mixed => 'X',
            Kind::Mark => 'M',
            Kind::Number => 'N',
        };
        format!("{sign}:{text}")
    }

    fn shape(line: &str) -> u64 {
        let mut tokens = Tokens::default();
        tokens.read(line.as_bytes());
        tokens.shape
    }

    #[test]
    fn words_values_and_numbers_are_told_apart() {
        check("level=info request 17 took 12ms", "K:level V:info W:request N:17 W:took N:12ms");
        check(r#"msg=started user=bob err="no route" q="x""#, "K:msg W:started K:user V:bob K:err W:no W:route K:q V:x");
        check(
            r#"{"msg":"done","http":{"path":"/a","status":200},"ok":true}"#,
            "K:msg W:done K:http K:path V:/a K:status N:200 K:ok V:true",
        );
        check("Jun  4 15:16:01 combo sshd[19939]: failure", "N:Jun N:4 N:15:16:01 W:combo W:sshd N:19939 W:failure");
        check("[Sun Dec 04 04:47:44 2005] May I", "N:Sun N:Dec N:04 N:04:47:44 N:2005 W:May W:I");
        check("GET /a/b?c=1&d=2;e HTTP/1.1", "W:GET X:/a/b?c=1&d=2;e X:HTTP/1.1");
        check("at http.go:194, 1,234 of -5.", "W:at X:http.go:194 N:1,234 W:of N:-5");
        check("blk_-1608 /10.2.3.4:80 deadbeef01 - ... ::", "X:blk_-1608 N:/10.2.3.4:80 N:deadbeef01 M:-");
        check("a <name> b", "W:a N:name W:b");
    }

    #[test]
    fn a_shape_is_what_stands_between_and_the_keys() {
        assert_eq!(shape("a  b 1"), shape("c d 22"));
        assert_ne!(shape("a b"), shape("a, b"));
        assert_ne!(shape("a=b"), shape("c=b"));
        assert_ne!(shape("a b"), shape("a b\nc"));
        assert_ne!(shape("a"), shape("a b"));
    }

    #[test]
    fn what_is_too_long_is_a_tail() {
        let mut tokens = Tokens::default();
        let line = format!("begin {}", "x".repeat(BYTES_MAX));
        tokens.read(line.as_bytes());
        assert_eq!((tokens.chunks.len(), tokens.tail), (1, Some(6)));
        let line = "w ".repeat(CHUNKS_MAX + 1);
        tokens.read(line.as_bytes());
        assert_eq!((tokens.chunks.len(), tokens.tail), (CHUNKS_MAX, Some(2 * CHUNKS_MAX as u32)));
        tokens.read(b"first\nsecond");
        assert_eq!((tokens.chunks.len(), tokens.tail), (1, Some(5)));
    }

    #[test]
    fn bytes_that_are_no_text_vary() {
        let mut tokens = Tokens::default();
        tokens.read(b"a \xff\xfe b");
        assert_eq!(tokens.chunks[1].kind, Kind::Number);
    }
}
