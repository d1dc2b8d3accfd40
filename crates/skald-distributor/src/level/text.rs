use aho_corasick::packed::{Config, MatchKind, Searcher};
use skald_model::Level;
use std::sync::LazyLock;

/// Words that tell a level. Where one begins with another, the longer comes first.
const WORDS: [(&str, Level); 9] = [
    ("info", Level::Info),
    ("error", Level::Error),
    ("err", Level::Error),
    ("warning", Level::Warn),
    ("warn", Level::Warn),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
    ("fatal", Level::Fatal),
    ("critical", Level::Critical),
];

/// The level of the first such word that stands by itself, in any case.
pub(super) fn find(line: &[u8]) -> Level {
    let mut at = 0;
    while let Some(start) = next_candidate(line, at) {
        if (start == 0 || LEFT[usize::from(line[start - 1])])
            && let Some(level) = word_at(&line[start..])
        {
            return level;
        }
        at = start + 1;
    }
    Level::Unknown
}

fn word_at(rest: &[u8]) -> Option<Level> {
    let stands = |word: &str| {
        rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
            && rest.get(word.len()).is_none_or(|byte| RIGHT[usize::from(*byte)])
    };
    WORDS.iter().find(|(word, _)| stands(word)).map(|(_, level)| *level)
}

/// Where, from `at` on, the first three letters of one of the words stand next.
///
/// Vector instructions look for all spellings of these seven beginnings at once. Where the processor has none, a plain loop does.
#[inline]
fn next_candidate(line: &[u8], at: usize) -> Option<usize> {
    match &*BEGINNINGS {
        Some(searcher) if line.len() - at >= searcher.minimum_len() => {
            searcher.find_in(line, (at..line.len()).into()).map(|found| found.start())
        }
        _ => (at..line.len().saturating_sub(2)).find(|i| {
            let three = [line[*i] | 0x20, line[i + 1] | 0x20, line[i + 2] | 0x20];
            matches!(&three, b"inf" | b"err" | b"war" | b"deb" | b"tra" | b"fat" | b"cri")
        }),
    }
}

static BEGINNINGS: LazyLock<Option<Searcher>> = LazyLock::new(|| {
    let mut builder = Config::new().match_kind(MatchKind::LeftmostFirst).builder();
    for word in ["inf", "err", "war", "deb", "tra", "fat", "cri"] {
        for upper in 0..8u8 {
            let spelling: Vec<u8> =
                word.bytes().enumerate().map(|(i, b)| if upper >> i & 1 == 1 { b.to_ascii_uppercase() } else { b }).collect();
            builder.add(spelling);
        }
    }
    builder.build()
});

const LEFT: [bool; 256] = table(b" \t\n[({\"'=|");
const RIGHT: [bool; 256] = table(b" \t\n[](){}:,!\"'=|");

const fn table(bytes: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut i = 0;
    while i < bytes.len() {
        table[bytes[i] as usize] = true;
        i += 1;
    }
    table
}
