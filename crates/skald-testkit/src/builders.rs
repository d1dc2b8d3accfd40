use skald_model::{Labels, Rows, RowsBuilder, Timestamp};

/// A label set. Panics when a name comes twice.
pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).expect("each name comes once")
}

/// Rows of one stream from nanoseconds and lines, without metadata.
pub fn rows(entries: &[(i64, &str)]) -> Rows {
    let mut builder = RowsBuilder::default();
    for (timestamp, line) in entries {
        builder.push(Timestamp(*timestamp), line.as_bytes());
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builders_keep_what_they_are_given() {
        assert_eq!(labels(&[("b", "2"), ("a", "1")]).to_string(), r#"{a="1", b="2"}"#);
        let rows = rows(&[(5, "five"), (4, "")]);
        assert_eq!((rows.timestamps(), rows.line(0), rows.line(1)), (&[5, 4][..], &b"five"[..], &b""[..]));
    }
}
