//! The expression of the `pattern` stage, as far as the parser checks it.

/// Refuses an expression without a named capture, with two captures side by side, or with a name twice.
pub(super) fn check(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("parse error at line 1, col 1: syntax error: unexpected $end, expecting IDENTIFIER or LITERAL".to_owned());
    }
    let captures = captures(text);
    if captures.iter().all(|capture| capture.name == "_") {
        return Err("at least one capture is required".to_owned());
    }
    if let Some(pair) = captures.windows(2).find(|pair| pair[0].end == pair[1].start) {
        return Err(format!("found consecutive capture '<{}><{}>': invalid expression", pair[0].name, pair[1].name));
    }
    for (i, capture) in captures.iter().enumerate() {
        if capture.name != "_" && captures[..i].iter().any(|earlier| earlier.name == capture.name) {
            return Err(format!("duplicate capture name ({}): invalid expression", capture.name));
        }
    }
    Ok(())
}

/// `<name>` and the bytes that it takes.
struct Capture<'a> {
    name: &'a str,
    start: usize,
    end: usize,
}

fn captures(text: &str) -> Vec<Capture<'_>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find('<').map(|at| from + at) {
        let body = &text[start + 1..];
        let len = body.bytes().take_while(|c| *c == b'_' || c.is_ascii_alphanumeric()).count();
        let name = &body[..len];
        from = start + 1;
        if body[len..].starts_with('>') && name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic()) {
            from += len + 1;
            found.push(Capture { name, start, end: from });
        }
    }
    found
}
