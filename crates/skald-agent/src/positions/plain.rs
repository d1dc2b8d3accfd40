//! `positions.yaml`, as promtail reads and writes it.

use super::fold::CURSOR;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plain {
    /// Next unread byte of each file; of a compressed one the number of lines read.
    pub(crate) offsets: BTreeMap<PathBuf, u64>,
    /// Positions of other sources under their whole keys, which begin with `cursor-` or `journal-`.
    pub(crate) cursors: BTreeMap<String, String>,
}

/// Why the file is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlainError {
    #[error("{0}")]
    Yaml(#[from] Box<serde_saphyr::Error>),
    #[error("not UTF-8")]
    Utf8(#[from] std::str::Utf8Error),
    #[error("offset of '{path}' is '{value}', not a number")]
    Offset { path: String, value: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    positions: Option<BTreeMap<String, String>>,
}

impl Plain {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Plain, PlainError> {
        let text = std::str::from_utf8(bytes)?;
        let file: Option<File> = serde_saphyr::from_str(text).map_err(Box::new)?;
        let mut plain = Plain::default();
        for (key, value) in file.and_then(|file| file.positions).unwrap_or_default() {
            if is_cursor(&key) {
                plain.cursors.insert(key, value);
            } else {
                let offset = value.parse().map_err(|_| PlainError::Offset { path: key.clone(), value: value.clone() })?;
                plain.offsets.insert(PathBuf::from(key), offset);
            }
        }
        Ok(plain)
    }
}

/// The file's text. A path that is not UTF-8 cannot stand in it and is left out.
pub(crate) fn render<'a>(offsets: impl Iterator<Item = (&'a Path, u64)>, cursors: &BTreeMap<String, String>) -> String {
    let mut lines = BTreeMap::new();
    for (path, offset) in offsets {
        if let Some(path) = path.to_str().filter(|path| !is_cursor(path)) {
            lines.insert(path, offset.to_string());
        }
    }
    lines.extend(cursors.iter().map(|(key, value)| (key.as_str(), shown(value).to_owned())));
    if lines.is_empty() {
        return "positions: {}\n".to_owned();
    }
    let mut text = String::from("positions:\n");
    for (key, value) in lines {
        text.push_str("  ");
        // A bare key may have 1024 characters, a quoted one too; longer ones need the form with a question mark.
        if key.chars().count() > KEY_LEN_MAX {
            text.push_str("? ");
            quote(&mut text, key);
            text.push_str("\n  ");
        } else if is_bare(key) {
            text.push_str(key);
        } else {
            quote(&mut text, key);
        }
        text.push_str(": ");
        quote(&mut text, &value);
        text.push('\n');
    }
    text
}

/// What the file shows of a cursor: what stands behind its first line is for those who know more than promtail.
pub(super) fn shown(cursor: &str) -> &str {
    cursor.split_once('\n').map_or(cursor, |(shown, _)| shown)
}

const KEY_LEN_MAX: usize = 1000;

fn is_cursor(key: &str) -> bool {
    key.starts_with(CURSOR) || key.starts_with("journal-")
}

/// Whether a key means itself without quotes, in any reader of YAML.
fn is_bare(key: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    (key.starts_with('/') || is_cursor(key)) && key.chars().all(plain)
}

/// In double quotes, with escapes for what a reader of YAML would fold or refuse.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            '\u{a0}'..='\u{ffff}' if !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => out.push(c),
            '\u{1_0000}'.. => out.push(c),
            c => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, want: Result<(&[(&str, u64)], &[(&str, &str)]), &str>) {
        let got = Plain::parse(text.as_bytes());
        let want = want.map(|(offsets, cursors)| Plain {
            offsets: offsets.iter().map(|(path, offset)| (path.into(), *offset)).collect(),
            cursors: cursors.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        });
        match (got, want) {
            (Ok(got), Ok(want)) => assert_eq!(got, want, "{text}"),
            (Err(got), Err(want)) => assert!(got.to_string().contains(want), "{text}: {got}"),
            (got, want) => panic!("{text}: {got:?}, wanted {want:?}"),
        }
    }

    #[test]
    fn a_file_of_promtail_is_understood() {
        let file = "positions:\n  /var/log/pods/a_b_c/app/0.log: \"48213\"\n  cursor-journal-job: s=ab12;i=3f;b=1;t=2\n  cursor-3f2a: \"1718000000\"\n  journal-old: s=1\n";
        check(
            file,
            Ok((
                &[("/var/log/pods/a_b_c/app/0.log", 48213)],
                &[("cursor-journal-job", "s=ab12;i=3f;b=1;t=2"), ("cursor-3f2a", "1718000000"), ("journal-old", "s=1")],
            )),
        );
        check("positions:\n  '/with: colon': '7'\n  \"/tab\\there\": \"8\"\n", Ok((&[("/with: colon", 7), ("/tab\there", 8)], &[])));
        check("positions:\n  /bare: 12\n", Ok((&[("/bare", 12)], &[])));
    }

    #[test]
    fn a_file_that_says_nothing_is_no_error() {
        for text in ["", "\n", "# nothing\n", "positions:\n", "positions: {}\n", "{}"] {
            check(text, Ok((&[], &[])));
        }
    }

    #[test]
    fn what_is_not_a_positions_file_is_refused() {
        check("positions:\n  /a: \"x\"\n", Err("offset of '/a' is 'x', not a number"));
        check("positions:\n  /a: \"-1\"\n", Err("offset of '/a' is '-1', not a number"));
        check("position:\n  /a: \"1\"\n", Err("position"));
        check("positions:\n  /a: [1]\n", Err(""));
        check("positions:\n  /a: \"1\n", Err(""));
        check("just text", Err(""));
        assert!(matches!(Plain::parse(b"positions: \xff"), Err(PlainError::Utf8(_))));
    }

    #[test]
    fn it_is_written_as_promtail_writes_it() {
        let cursors = BTreeMap::from([("cursor-j".to_owned(), "s=1;i=2\nand more".to_owned())]);
        let offsets = [(Path::new("/b"), 2), (Path::new("/a b"), 1)];
        assert_eq!(render(offsets.into_iter(), &cursors), "positions:\n  \"/a b\": \"1\"\n  /b: \"2\"\n  cursor-j: \"s=1;i=2\"\n");
        assert_eq!(render(std::iter::empty(), &BTreeMap::new()), "positions: {}\n");
    }

    proptest! {
        #![proptest_config(skald_testkit::property(128))]

        #[test]
        fn it_reads_back_as_written(
            offsets in prop::collection::btree_map("/(?s:.){0,20}|/a{1000,1030}", any::<u64>(), 0..5),
            cursors in prop::collection::btree_map("cursor-(?s:.){0,10}", ".{0,30}", 0..3),
        ) {
            let text = render(offsets.iter().map(|(path, offset)| (Path::new(path), *offset)), &cursors);
            let offsets: BTreeMap<PathBuf, u64> = offsets.iter().map(|(path, offset)| (path.into(), *offset)).collect();
            prop_assert_eq!(Plain::parse(text.as_bytes()).unwrap(), Plain { offsets, cursors }, "{}", text);
        }
    }
}
