/// A part of a layout that stands for a part of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Year,
    ShortYear,
    Month { padded: bool },
    MonthName { short: bool },
    DayName { short: bool },
    Day { pad: Option<char> },
    DayOfYear { pad: char },
    Hour24,
    Hour12 { padded: bool },
    Minute { padded: bool },
    Second { padded: bool },
    HalfDay { upper: bool },
    Fraction { separator: char, digits: usize, trimmed: bool },
    ZoneName,
    Offset { colon: bool, z: bool, precision: Precision },
}

/// What an offset is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    Hours,
    Minutes,
    Seconds,
}

const fn offset(colon: bool, z: bool, precision: Precision) -> Element {
    Element::Offset { colon, z, precision }
}

/// What is written out, the longer before what it begins with.
const WORDS: [(&str, Element); 33] = [
    ("January", Element::MonthName { short: false }),
    ("Jan", Element::MonthName { short: true }),
    ("Monday", Element::DayName { short: false }),
    ("Mon", Element::DayName { short: true }),
    ("MST", Element::ZoneName),
    ("2006", Element::Year),
    ("002", Element::DayOfYear { pad: '0' }),
    ("01", Element::Month { padded: true }),
    ("02", Element::Day { pad: Some('0') }),
    ("03", Element::Hour12 { padded: true }),
    ("04", Element::Minute { padded: true }),
    ("05", Element::Second { padded: true }),
    ("06", Element::ShortYear),
    ("15", Element::Hour24),
    ("1", Element::Month { padded: false }),
    ("__2", Element::DayOfYear { pad: ' ' }),
    ("_2", Element::Day { pad: Some(' ') }),
    ("2", Element::Day { pad: None }),
    ("3", Element::Hour12 { padded: false }),
    ("4", Element::Minute { padded: false }),
    ("5", Element::Second { padded: false }),
    ("PM", Element::HalfDay { upper: true }),
    ("pm", Element::HalfDay { upper: false }),
    ("-07:00:00", offset(true, false, Precision::Seconds)),
    ("-070000", offset(false, false, Precision::Seconds)),
    ("-07:00", offset(true, false, Precision::Minutes)),
    ("-0700", offset(false, false, Precision::Minutes)),
    ("-07", offset(false, false, Precision::Hours)),
    ("Z07:00:00", offset(true, true, Precision::Seconds)),
    ("Z070000", offset(false, true, Precision::Seconds)),
    ("Z07:00", offset(true, true, Precision::Minutes)),
    ("Z0700", offset(false, true, Precision::Minutes)),
    ("Z07", offset(false, true, Precision::Hours)),
];

/// Calls `visit` with each text, which may be empty, and the element behind it; behind the last text may be none.
pub(super) fn chunks<'a>(layout: &'a str, mut visit: impl FnMut(&'a str, Option<Element>)) {
    let (mut rest, mut text_len) = (layout, 0);
    while text_len < rest.len() {
        let here = &rest[text_len..];
        match element(here) {
            Some((found, len)) => {
                visit(&rest[..text_len], Some(found));
                (rest, text_len) = (&here[len..], 0);
            }
            None => text_len += here.chars().next().map_or(1, char::len_utf8),
        }
    }
    if text_len > 0 {
        visit(rest, None);
    }
}

fn element(text: &str) -> Option<(Element, usize)> {
    if let Some(found) = fraction(text) {
        return Some(found);
    }
    // The underscore is plain, and then comes a year.
    if text.starts_with("_2006") {
        return None;
    }
    let (word, element) = WORDS.iter().find(|(word, _)| text.starts_with(word))?;
    // A short name that goes on in small letters is another word.
    let goes_on = matches!(*word, "Jan" | "Mon") && text[word.len()..].starts_with(|c: char| c.is_ascii_lowercase());
    (!goes_on).then_some((*element, word.len()))
}

/// `.000` or `,999`, if no further digit follows.
fn fraction(text: &str) -> Option<(Element, usize)> {
    let separator = text.chars().next().filter(|c| matches!(c, '.' | ','))?;
    let digit = text[1..].chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let digits = text[1..].chars().take_while(|c| *c == digit).count();
    let ends = !text[1 + digits..].starts_with(|c: char| c.is_ascii_digit());
    (ends && digits <= 9).then_some((Element::Fraction { separator, digits, trimmed: digit == '9' }, 1 + digits))
}
