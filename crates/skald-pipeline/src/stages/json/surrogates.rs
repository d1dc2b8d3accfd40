/// The text with `\ufffd` for each escape that is half of a pair, which other readers of JSON take; `None` where there is none.
pub(super) fn mended(text: &str) -> Option<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at..];
        let len = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                out.push_str(&rest[..at]);
                out.push_str("\\ufffd");
                rest = &escape[6..];
                continue;
            }
            _ => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..at + len]);
        rest = &escape[len..];
    }
    out.push_str(rest);
    (out != text).then_some(out)
}

/// The number of the escape `\uXXXX` that a text begins with.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use super::mended;

    #[test]
    fn halves_of_pairs_become_the_replacement_character() {
        for (text, want) in [
            (r#""\ud83d""#, Some(r#""\ufffd""#)),
            (r#""\ud83d\ude00 \ude00\uD83Dx\\ud83d""#, Some(r#""\ud83d\ude00 \ufffd\ufffdx\\ud83d""#)),
            (r#""\ud83d\ud83d\ude00é\"#, Some(r#""\ufffd\ud83d\ude00é\"#)),
            (r#""\u00e9 \n \ud83d\ude00 \u+83d \ud8""#, None),
        ] {
            assert_eq!(mended(text).as_deref(), want, "{text}");
        }
    }
}
