//! Layouts of times, written as the reference time Mon Jan 2 15:04:05 MST 2006 would be.

/// A part of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element<'a> {
    Text(&'a str),
    Year,
    ShortYear,
    Month { padded: bool },
    MonthName { short: bool },
    DayName { short: bool },
    Day { pad: Option<char> },
    DayOfYear,
    Hour24,
    Hour12 { padded: bool },
    Minute { padded: bool },
    Second { padded: bool },
    HalfDay { upper: bool },
    Fraction { separator: char, digits: usize, trimmed: bool },
    ZoneName,
    Offset { colon: bool, z: bool, seconds: bool },
}

/// What is written out, the longer before what it begins with.
const WORDS: [(&str, Element<'static>); 31] = [
    ("January", Element::MonthName { short: false }),
    ("Jan", Element::MonthName { short: true }),
    ("Monday", Element::DayName { short: false }),
    ("Mon", Element::DayName { short: true }),
    ("MST", Element::ZoneName),
    ("2006", Element::Year),
    ("002", Element::DayOfYear),
    ("01", Element::Month { padded: true }),
    ("02", Element::Day { pad: Some('0') }),
    ("03", Element::Hour12 { padded: true }),
    ("04", Element::Minute { padded: true }),
    ("05", Element::Second { padded: true }),
    ("06", Element::ShortYear),
    ("15", Element::Hour24),
    ("1", Element::Month { padded: false }),
    ("_2006", Element::Text("_2006")),
    ("_2", Element::Day { pad: Some(' ') }),
    ("2", Element::Day { pad: None }),
    ("3", Element::Hour12 { padded: false }),
    ("4", Element::Minute { padded: false }),
    ("5", Element::Second { padded: false }),
    ("PM", Element::HalfDay { upper: true }),
    ("pm", Element::HalfDay { upper: false }),
    ("-07:00:00", Element::Offset { colon: true, z: false, seconds: true }),
    ("-070000", Element::Offset { colon: false, z: false, seconds: true }),
    ("-07:00", Element::Offset { colon: true, z: false, seconds: false }),
    ("-0700", Element::Offset { colon: false, z: false, seconds: false }),
    ("Z07:00:00", Element::Offset { colon: true, z: true, seconds: true }),
    ("Z070000", Element::Offset { colon: false, z: true, seconds: true }),
    ("Z07:00", Element::Offset { colon: true, z: true, seconds: false }),
    ("Z0700", Element::Offset { colon: false, z: true, seconds: false }),
];

/// Calls `visit` with each part of a layout.
pub(super) fn elements<'a>(layout: &'a str, mut visit: impl FnMut(Element<'a>)) {
    let (mut rest, mut text_len) = (layout, 0);
    while text_len < rest.len() {
        let here = &rest[text_len..];
        match element(here) {
            // The underscore of `_2006` is plain, the year is not.
            Some((Element::Text("_2006"), _)) => text_len += 1,
            Some((found, len)) => {
                if text_len > 0 {
                    visit(Element::Text(&rest[..text_len]));
                }
                visit(found);
                (rest, text_len) = (&here[len..], 0);
            }
            None => text_len += here.chars().next().map_or(1, char::len_utf8),
        }
    }
    if text_len > 0 {
        visit(Element::Text(rest));
    }
}

fn element(text: &str) -> Option<(Element<'static>, usize)> {
    if let Some(found) = fraction(text) {
        return Some(found);
    }
    let (word, element) = WORDS.iter().find(|(word, _)| text.starts_with(word))?;
    // A short name that goes on in small letters is another word.
    let goes_on = matches!(*word, "Jan" | "Mon") && text[word.len()..].starts_with(|c: char| c.is_ascii_lowercase());
    (!goes_on).then_some((*element, word.len()))
}

/// `.000` or `,999`, if no further digit follows.
fn fraction(text: &str) -> Option<(Element<'static>, usize)> {
    let separator = text.chars().next().filter(|c| matches!(c, '.' | ','))?;
    let digit = text[1..].chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let digits = text[1..].chars().take_while(|c| *c == digit).count();
    let ends = !text[1 + digits..].starts_with(|c: char| c.is_ascii_digit());
    (ends && digits <= 9).then_some((Element::Fraction { separator, digits, trimmed: digit == '9' }, 1 + digits))
}
