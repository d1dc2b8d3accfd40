use std::fmt::Write;

/// Appends `text` in double quotes with the escapes of Go's `strconv.Quote`, the form of label values in selectors.
///
/// Printable characters stay as they are; control characters become `\a \b \f \n \r \t \v`, `\xNN` below 0x80,
/// `\uNNNN` or `\UNNNNNNNN`.
pub fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{07}' => out.push_str("\\a"),
            '\u{08}' => out.push_str("\\b"),
            '\u{0c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{0b}' => out.push_str("\\v"),
            c if is_printable(c) => out.push(c),
            c if (c as u32) < 0x80 => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if (c as u32) < 0x1_0000 => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => {
                let _ = write!(out, "\\U{:08x}", c as u32);
            }
        }
    }
    out.push('"');
}

/// Letters, marks, numbers, punctuation, symbols and the ASCII blank; not other blanks, controls or format characters.
fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\u{7f}'..='\u{a0}' | '\u{ad}' => false,
        c if c.is_control() || c.is_whitespace() => false,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => false,
        '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{fffb}' | '\u{f0000}'..='\u{10ffff}' => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let mut out = String::new();
        quote(&mut out, text);
        assert_eq!(out, want);
    }

    #[test]
    fn quotes_as_go_does() {
        check("plain é 日本", "\"plain é 日本\"");
        check("a\"b\\c", "\"a\\\"b\\\\c\"");
        check("\n\t\r\u{07}\u{0b}\u{1}", "\"\\n\\t\\r\\a\\v\\x01\"");
        check("\u{a0}\u{200b}\u{e000}", "\"\\u00a0\\u200b\\ue000\"");
        check("\u{7f}", "\"\\x7f\"");
    }
}
