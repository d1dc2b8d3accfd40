use crate::Problem;
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::collections::BTreeMap;

/// Bytes that the compiled pattern of a rule may take.
const PATTERN_SIZE_MAX: usize = 1 << 20;
/// Kinds of queries that a rule may name.
const TYPES: [&str; 3] = ["metric", "filter", "limited"];

/// A rule that blocks queries. What it names must all hold; what it leaves out always does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlockedQuery {
    /// The whole text of the query, or a regular expression that is found in it.
    pub pattern: String,
    /// Whether `pattern` is a regular expression.
    pub regex: bool,
    /// [`query_hash`] of the text; 0 is any.
    pub hash: u32,
    /// `metric`, `filter` (a log query with stages) or `limited` (one without).
    #[serde(deserialize_with = "list_or_text")]
    pub types: Vec<String>,
    /// Names of query tags, and regular expressions that their whole values match.
    pub query_tags: BTreeMap<String, String>,
}

/// A query, as rules look at it.
#[derive(Debug, Clone, Copy)]
pub struct AskedQuery<'a> {
    /// As it was sent.
    pub text: &'a str,
    /// `metric`, `filter` or `limited`.
    pub kind: &'a str,
    /// `name=value` and commas between.
    pub tags: &'a str,
}

/// FNV-1a, 32 bits, of a query's text as it was sent: what the query log shows and `blocked_queries` may name.
pub fn query_hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl BlockedQuery {
    /// Whether the rule blocks a query.
    pub fn blocks(&self, asked: &AskedQuery<'_>) -> bool {
        let tag = |name: &str| {
            let pairs = asked.tags.split(',').filter_map(|tag| tag.trim().split_once('='));
            pairs.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        let tag_holds = |(name, pattern): (&String, &String)| {
            tag(name).is_some_and(|value| compile(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(value)))
        };
        (self.hash == 0 || self.hash == query_hash(asked.text))
            && (self.types.is_empty() || self.types.iter().any(|kind| kind == asked.kind))
            && self.text_holds(asked.text)
            && self.query_tags.iter().all(tag_holds)
    }

    fn text_holds(&self, text: &str) -> bool {
        match (self.pattern.as_str(), self.regex) {
            ("", _) => true,
            (pattern, true) => compile(pattern).is_ok_and(|regex| regex.is_match(text)),
            (pattern, false) => pattern.trim() == text.trim(),
        }
    }

    /// What is wrong with the rule.
    pub(crate) fn problems(&self, key: &str, found: &mut Vec<Problem>) {
        if *self == (BlockedQuery { regex: self.regex, ..BlockedQuery::default() }) {
            found.push(Problem::new(key, "names nothing; to block every query say pattern: '.*', regex: true".to_owned()));
        }
        let patterns = self.query_tags.values().chain(self.regex.then_some(&self.pattern));
        for pattern in patterns {
            if let Err(error) = compile(pattern) {
                let text = error.to_string();
                found.push(Problem::new(key, format!("'{pattern}' is no regular expression: {}", text.lines().last().unwrap_or_default())));
            }
        }
        for kind in self.types.iter().filter(|kind| !TYPES.contains(&kind.as_str())) {
            found.push(Problem::new(key, format!("'{kind}' is not one of {}", TYPES.join(", "))));
        }
    }
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(PATTERN_SIZE_MAX).dfa_size_limit(PATTERN_SIZE_MAX).build()
}

/// A list of texts, or one text with commas.
fn list_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list of texts, or one text with commas")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect())
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut found = Vec::new();
            while let Some(text) = list.next_element()? {
                found.push(text);
            }
            Ok(found)
        }
    }
    deserializer.deserialize_any(Visitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"sum(rate({env="prod"}[1m]))"#;

    #[track_caller]
    fn check(rule: BlockedQuery, want: bool) {
        let asked = AskedQuery { text: TEXT, kind: "metric", tags: "Source=logvolhist, team=a-b" };
        assert_eq!(rule.blocks(&asked), want, "{rule:?}");
        let mut found = Vec::new();
        rule.problems("blocked_queries", &mut found);
        assert_eq!(found, []);
    }

    fn rule(pattern: &str, regex: bool) -> BlockedQuery {
        BlockedQuery { pattern: pattern.to_owned(), regex, ..BlockedQuery::default() }
    }

    #[test]
    fn rules_block_by_text_pattern_hash_type_and_tags() {
        check(rule(" sum(rate({env=\"prod\"}[1m])) ", false), true);
        check(rule("sum", false), false);
        check(rule("env=\"prod\"", true), true);
        check(rule("^rate", true), false);
        assert_eq!(query_hash(""), 0x811c_9dc5);
        assert_eq!(query_hash("foobar"), 0xbf9c_f968);
        check(BlockedQuery { hash: query_hash(TEXT), ..BlockedQuery::default() }, true);
        check(BlockedQuery { hash: 1, ..rule(".*", true) }, false);
        let types = |types: &[&str]| BlockedQuery { types: types.iter().map(|kind| (*kind).to_owned()).collect(), ..rule(".*", true) };
        check(types(&["filter", "metric"]), true);
        check(types(&["limited"]), false);
        let tags =
            |name: &str, value: &str| BlockedQuery { query_tags: [(name.to_owned(), value.to_owned())].into(), ..BlockedQuery::default() };
        check(tags("source", "logvol.*"), true);
        check(tags("team", "a"), false);
        check(tags("other", ".*"), false);
    }

    #[test]
    fn rules_that_make_no_sense_are_problems() {
        let mut found = Vec::new();
        BlockedQuery::default().problems("k", &mut found);
        rule("(", true).problems("k", &mut found);
        BlockedQuery { types: vec!["some".to_owned()], ..rule("x", false) }.problems("k", &mut found);
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
