//! Takes single values out of a JSON text by path, passing over the rest.

use super::json::{Escapes, Reader, unescape};

/// A step into an object or array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathPart {
    /// Member of an object.
    Key(String),
    /// Element of an array, from 0.
    Index(usize),
}

/// Most steps of a path.
const PARTS_MAX: usize = 100;

/// Reads a path such as `a.b[0]["c d"]`. The error says what is wrong with it.
pub(crate) fn parse_path(text: &str) -> Result<Vec<PathPart>, String> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    if rest.is_empty() {
        return Err("syntax error: unexpected $end, expecting LSB or FIELD".to_owned());
    }
    let mut field_may_follow = true;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (part, after) = bracket(inside)?;
            parts.push(part);
            rest = after;
        } else {
            let name = match rest.strip_prefix('.') {
                Some(name) if !parts.is_empty() => name,
                Some(_) => return Err("syntax error: unexpected DOT, expecting LSB or FIELD".to_owned()),
                None if field_may_follow => rest,
                None => return Err(unexpected(rest)),
            };
            let len = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
            match name.chars().next() {
                Some(c) if c.is_ascii_alphabetic() || c == '_' => {}
                Some('.') => return Err("syntax error: unexpected DOT, expecting FIELD".to_owned()),
                None => return Err("syntax error: unexpected $end, expecting FIELD".to_owned()),
                Some(c) => return Err(format!("unexpected char {c}")),
            }
            parts.push(PathPart::Key(name[..len].to_owned()));
            rest = &name[len..];
        }
        if parts.len() > PARTS_MAX {
            return Err(format!("more than {PARTS_MAX} parts"));
        }
        field_may_follow = false;
        rest = rest.trim_start();
    }
    Ok(parts)
}

fn unexpected(rest: &str) -> String {
    match rest.chars().next() {
        Some(c) if c.is_ascii_alphabetic() || c == '_' => "syntax error: unexpected FIELD".to_owned(),
        Some(c) => format!("unexpected char {c}"),
        None => "syntax error: unexpected $end".to_owned(),
    }
}

/// What stands in brackets, and what follows them.
fn bracket(inside: &str) -> Result<(PathPart, &str), String> {
    let wrong = || "syntax error: unexpected $end, expecting STRING or INDEX".to_owned();
    let (part, after) = if let Some(quoted) = inside.strip_prefix('"') {
        let end = quoted.find('"').ok_or_else(wrong)?;
        (PathPart::Key(quoted[..end].to_owned()), &quoted[end + 1..])
    } else {
        let digits = inside.bytes().take_while(u8::is_ascii_digit).count();
        (PathPart::Index(inside[..digits].parse().map_err(|_| wrong())?), &inside[digits..])
    };
    after.strip_prefix(']').map(|after| (part, after)).ok_or_else(wrong)
}

/// Appends the value at `path` to `out`; false when there is none. The error says what is wrong with the value.
///
/// Text has its escapes resolved, so do arrays; objects, numbers and truth values stand as written; null is empty.
pub(crate) fn value_at(line: &[u8], path: &[PathPart], out: &mut Vec<u8>) -> Result<bool, &'static str> {
    let Some(mut reader) = find(Reader::new(line), path) else { return Ok(false) };
    let Some(first) = reader.token() else { return Ok(false) };
    let value = reader.raw_value(first)?;
    match first {
        b'"' => {
            let start = out.len();
            if !unescape(&value[1..value.len() - 1], Escapes::Json, out) {
                out.truncate(start);
            }
        }
        b'[' => {
            let start = out.len();
            if !unescape(value, Escapes::Json, out) {
                out.truncate(start);
                out.extend_from_slice(value);
            }
        }
        b'n' => {}
        _ => out.extend_from_slice(value),
    }
    Ok(true)
}

/// A reader in front of the value at `path`. Where a key comes twice, the first that leads on counts.
fn find<'a>(mut reader: Reader<'a>, path: &[PathPart]) -> Option<Reader<'a>> {
    let Some((part, rest)) = path.split_first() else { return Some(reader) };
    match part {
        PathPart::Index(index) => {
            reader.enter_element(*index)?;
            find(reader, rest)
        }
        PathPart::Key(key) => {
            reader.enter_object()?;
            loop {
                reader.next_member(key.as_bytes())?;
                if let Some(found) = find(reader, rest) {
                    return Some(found);
                }
                reader.next_sibling()?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, path: &str, want: Result<Option<&str>, &'static str>) {
        let mut out = Vec::new();
        let found = value_at(line.as_bytes(), &parse_path(path).expect("is a path"), &mut out);
        let text = String::from_utf8_lossy(&out).into_owned();
        assert_eq!(found.map(|found| found.then_some(text.as_str())), want, "{path} in {line}");
    }

    #[test]
    fn paths_lead_to_values() {
        let line = r#"{"a":[{"b":1}],"c":{"d":"x \"y\""},"z":null,"k.l":{"m n":[true,["p","q\\"]]}}"#;
        check(line, "a[0].b", Ok(Some("1")));
        check(line, "a", Ok(Some(r#"[{"b":1}]"#)));
        check(line, "c", Ok(Some(r#"{"d":"x \"y\""}"#)));
        check(line, "c.d", Ok(Some("x \"y\"")));
        check(line, r#"["k.l"]["m n"][1][1]"#, Ok(Some("q\\")));
        check(line, r#"["k.l"]["m n"][0]"#, Ok(Some("true")));
        check(line, "z", Ok(Some("")));
        for path in ["nope", "a[1]", "a.b", "c[0]", "c.d.e"] {
            check(line, path, Ok(None));
        }
        check(r#"{"a":"x","a":{"b":"nested"}}"#, "a.b", Ok(Some("nested")));
        check(r#"{"a":tru}"#, "a", Err("Unknown value type"));
        check("[1, 2", "[1]", Ok(Some("2")));
    }

    #[test]
    fn wrong_paths_say_why() {
        for (path, want) in [
            ("", "syntax error: unexpected $end, expecting LSB or FIELD"),
            ("x..y", "syntax error: unexpected DOT, expecting FIELD"),
            ("x[", "syntax error: unexpected $end, expecting STRING or INDEX"),
            ("x[-1]", "syntax error: unexpected $end, expecting STRING or INDEX"),
            ("[", "syntax error: unexpected $end, expecting STRING or INDEX"),
            ("x y", "syntax error: unexpected FIELD"),
            ("x-y", "unexpected char -"),
        ] {
            assert_eq!(parse_path(path), Err(want.to_owned()), "{path}");
        }
    }
}
