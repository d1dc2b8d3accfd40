use skald_model::quote;
use std::borrow::Cow;

/// Labels that a client gives to all its streams.
#[derive(Debug)]
pub(crate) struct ExternalLabels {
    /// Names and quoted values, by name.
    pairs: Vec<(String, String)>,
}

impl ExternalLabels {
    /// `None` when there are none.
    pub fn new<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let mut pairs: Vec<_> = labels
            .into_iter()
            .map(|(name, value)| {
                let mut quoted = String::new();
                quote(&mut quoted, value);
                (name.to_owned(), quoted)
            })
            .collect();
        pairs.sort();
        (!pairs.is_empty()).then_some(ExternalLabels { pairs })
    }

    /// The labels of a stream (`{a="1", b="2"}`, names ascending) and those of ours whose names it has not. What does not look like labels stays as it is:
    /// the server shall say what it thinks of it.
    pub fn add_to<'a>(&self, labels: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(mut pairs) = str::from_utf8(labels).ok().and_then(read_pairs) else { return Cow::Borrowed(labels) };
        let own = pairs.len();
        for (name, value) in &self.pairs {
            if !pairs[..own].iter().any(|(known, _)| known == name) {
                pairs.push((name, value));
            }
        }
        if pairs.len() == own {
            return Cow::Borrowed(labels);
        }
        pairs.sort_by_key(|(name, _)| *name);
        let text: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Cow::Owned(format!("{{{}}}", text.join(", ")).into_bytes())
    }
}

/// Names and values as they stand, the values with their quotes.
fn read_pairs(labels: &str) -> Option<Vec<(&str, &str)>> {
    let mut rest = labels.strip_prefix('{')?.strip_suffix('}')?;
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = after.split_at(quoted_len(after)?);
        pairs.push((name, value));
        rest = if after.is_empty() { after } else { after.strip_prefix(", ")? };
    }
    Some(pairs)
}

/// Length of the quoted text at the front.
fn quoted_len(text: &str) -> Option<usize> {
    let mut escaped = false;
    let inner = text.strip_prefix('"')?;
    let end = inner.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    Some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(labels: &str, want: &str) {
        let external = ExternalLabels::new([("host", "h\"1\""), ("cluster", "eu")]).expect("there are two");
        assert_eq!(String::from_utf8_lossy(&external.add_to(labels.as_bytes())), want);
    }

    #[test]
    fn labels_of_the_entry_win() {
        check(r"{}", r#"{cluster="eu", host="h\"1\""}"#);
        check(r#"{app="x", zone="z"}"#, r#"{app="x", cluster="eu", host="h\"1\"", zone="z"}"#);
        check(r#"{cluster="us"}"#, r#"{cluster="us", host="h\"1\""}"#);
        check(r#"{cluster="us", host=""}"#, r#"{cluster="us", host=""}"#);
    }

    #[test]
    fn values_may_hold_what_separates_labels() {
        check(r#"{a="\", host=\"x\\", b="{c=\"d\"}, e"}"#, r#"{a="\", host=\"x\\", b="{c=\"d\"}, e", cluster="eu", host="h\"1\""}"#);
    }

    #[test]
    fn what_is_no_label_set_stays() {
        for text in ["", "{", "{a}", "{a=1}", "{a=\"1}", "{a=\"1\"b=\"2\"}", "a=\"1\""] {
            check(text, text);
        }
        assert!(ExternalLabels::new([]).is_none());
    }
}
