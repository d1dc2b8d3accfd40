use super::pattern;
use crate::ast::{MatchOp, Matcher};
use regex::bytes::Regex;
use skald_model::Labels;

/// The compiled matchers of a stream selector; all must hold.
#[derive(Debug, Clone)]
pub struct Selector {
    matchers: Vec<Matcher>,
    /// By matcher; only those with regular expressions have one.
    regexes: Vec<Option<Regex>>,
}

impl Selector {
    /// Compiles matchers. The error is the text for the user.
    pub fn compile(matchers: &[Matcher]) -> Result<Self, String> {
        let regex = |matcher: &Matcher| match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => Ok(None),
            MatchOp::Regex | MatchOp::NotRegex => pattern::compile_selector(&matcher.value).map(Some),
        };
        let regexes = matchers.iter().map(regex).collect::<Result<_, _>>()?;
        Ok(Selector { matchers: matchers.to_vec(), regexes })
    }

    /// The same without the matchers on the label `name`.
    pub fn without_label(&self, name: &str) -> Self {
        let pairs = self.matchers.iter().zip(&self.regexes).filter(|(matcher, _)| matcher.name != name);
        let (matchers, regexes) = pairs.map(|(matcher, regex)| (matcher.clone(), regex.clone())).unzip();
        Selector { matchers, regexes }
    }

    /// Whether all matchers hold; a missing label counts as the empty text.
    pub fn matches(&self, labels: &Labels) -> bool {
        (0..self.matchers.len()).all(|i| self.matcher_matches(i, labels.get(&self.matchers[i].name).unwrap_or_default()))
    }

    /// The matchers as written.
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// Whether matcher `i` holds for a label value; the empty text stands for a missing label.
    pub fn matcher_matches(&self, i: usize, value: &str) -> bool {
        let matcher = &self.matchers[i];
        let regex = || self.regexes[i].as_ref().is_some_and(|regex| regex.is_match(value.as_bytes()));
        match matcher.op {
            MatchOp::Equal => value == matcher.value,
            MatchOp::NotEqual => value != matcher.value,
            MatchOp::Regex => regex(),
            MatchOp::NotRegex => !regex(),
        }
    }

    /// Names and values that a matching stream must have; no value is empty.
    pub fn equalities(&self) -> impl Iterator<Item = (&str, &str)> {
        let equal = |matcher: &&Matcher| matcher.op == MatchOp::Equal && !matcher.value.is_empty();
        self.matchers.iter().filter(equal).map(|matcher| (matcher.name.as_str(), matcher.value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_on_a_label_are_left_out_with_their_regexes() {
        let matcher = |name: &str, op, value: &str| Matcher { name: name.to_owned(), op, value: value.to_owned() };
        let matchers = [matcher("a", MatchOp::Regex, "x"), matcher("b", MatchOp::Equal, "y"), matcher("c", MatchOp::Regex, "z.")];
        let rest = Selector::compile(&matchers).expect("compiles").without_label("a");
        assert_eq!(rest.matchers(), &matchers[1..]);
        assert!(rest.matches(&Labels::from_pairs([("a", "no"), ("b", "y"), ("c", "zz")]).expect("distinct")));
        assert!(!rest.matches(&Labels::from_pairs([("b", "y"), ("c", "x")]).expect("distinct")));
    }

    #[test]
    fn regexes_are_anchored_and_missing_labels_are_empty() {
        let labels = Labels::from_pairs([("job", "we\nb"), ("env", "prod")]).expect("distinct");
        let matcher = |name: &str, op, value: &str| Matcher { name: name.to_owned(), op, value: value.to_owned() };
        for (matcher, want) in [
            (matcher("job", MatchOp::Regex, "we.b"), true),
            (matcher("job", MatchOp::Regex, "(?-s)we.b"), false),
            (matcher("env", MatchOp::Regex, "pro"), false),
            (matcher("env", MatchOp::NotRegex, "prod|dev"), false),
            (matcher("none", MatchOp::Equal, ""), true),
            (matcher("none", MatchOp::NotEqual, "x"), true),
            (matcher("none", MatchOp::Regex, "a|"), true),
        ] {
            let selector = Selector::compile(std::slice::from_ref(&matcher)).expect("compiles");
            assert_eq!(selector.matches(&labels), want, "{matcher:?}");
        }
    }
}
