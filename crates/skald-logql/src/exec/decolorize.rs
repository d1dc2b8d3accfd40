use regex::bytes::Regex;
use std::sync::LazyLock;

/// An escape sequence of terminals: its start, then a text up to the bell, or numbers and a final character.
static SEQUENCE: LazyLock<Regex> = LazyLock::new(|| {
    let text = r"(?:[0-9A-Za-z]*(?:;[0-9A-Za-z]*)*)?\x07";
    let numbers = r"(?:[0-9]{1,4}(?:;[0-9]{0,4})*)?[0-9A-PRZcf-nqrty=><~]";
    Regex::new(&format!(r"[\x1b\u{{9b}}][\[\]()#;?]*(?:{text}|{numbers})")).expect("the pattern is fixed")
});

/// Writes `line` without escape sequences to `out`; says whether there were any.
pub fn decolorize(line: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let mut from = 0;
    for found in SEQUENCE.find_iter(line) {
        out.extend_from_slice(&line[from..found.start()]);
        from = found.end();
    }
    out.extend_from_slice(&line[from..]);
    from > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: &str) {
        let mut out = Vec::new();
        assert_eq!(decolorize(line.as_bytes(), &mut out), line != want);
        assert_eq!(String::from_utf8_lossy(&out), want);
    }

    #[test]
    fn sequences_go_and_all_else_stays() {
        check("\u{1b}[31mred\u{1b}[0m ok", "red ok");
        check("\u{9b}1;31mred", "red");
        check("\u{1b}]0;title\u{7}x", "x");
        check("plain [31m", "plain [31m");
        check("\u{1b}[1m", "");
        check("", "");
    }
}
