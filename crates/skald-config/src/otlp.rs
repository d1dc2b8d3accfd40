use crate::Problem;
use crate::setting::settings;
use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

settings! {
    /// What becomes of the attributes of OpenTelemetry logs. Of several rules that name an attribute the first counts; without one it becomes structured metadata.
    #[derive(Default)]
    pub struct OtlpConfig {
        /// Attributes of resources.
        pub resource_attributes: OtlpResourceAttributes,
        /// Rules for the attributes of instrumentation scopes, which cannot become labels.
        pub scope_attributes: Vec<AttributeRule>,
        /// Rules for the attributes of log records. Each value of an `index_label` makes a stream of its own.
        pub log_attributes: Vec<AttributeRule>,
        /// Whether the severity, as the source says it, is a label too.
        pub severity_text_as_label: bool,
    }
}

settings! {
    /// Attributes of the resources of OpenTelemetry logs.
    #[derive(Default)]
    pub struct OtlpResourceAttributes {
        /// Whether `distributor.otlp_config.default_resource_attributes_as_index_labels` is left aside.
        pub ignore_defaults: bool,
        /// Rules for attributes that are not among those defaults.
        pub attributes_config: Vec<AttributeRule>,
    }
}

/// What becomes of some attributes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttributeRule {
    /// What becomes of them.
    pub action: AttributeAction,
    /// Their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<String>,
    /// A regular expression of their whole names.
    #[serde(skip_serializing_if = "Pattern::is_empty")]
    pub regex: Pattern,
}

/// What becomes of an attribute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttributeAction {
    /// A label of the stream.
    IndexLabel,
    /// Structured metadata of the entry.
    #[default]
    StructuredMetadata,
    /// Nothing.
    Drop,
}

/// A regular expression, compiled when it is used first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Pattern {
    text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Pattern { text, compiled: OnceLock::new() }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Bytes that the compiled pattern of a rule may take.
const PATTERN_SIZE_MAX: usize = 1 << 20;

impl Pattern {
    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn compile(&self) -> Result<Regex, regex::Error> {
        let anchored = format!("^(?s:{})$", self.text);
        RegexBuilder::new(&anchored).size_limit(PATTERN_SIZE_MAX).dfa_size_limit(PATTERN_SIZE_MAX).build()
    }

    /// A pattern that cannot be compiled matches nothing: it is checked with the configuration.
    fn matches(&self, name: &[u8]) -> bool {
        self.compiled.get_or_init(|| self.compile().ok()).as_ref().is_some_and(|regex| regex.is_match(name))
    }
}

impl AttributeRule {
    fn names(&self, attribute: &[u8]) -> bool {
        self.attributes.iter().any(|name| name.as_bytes() == attribute) || (!self.regex.is_empty() && self.regex.matches(attribute))
    }

    fn problems(&self, key: &str, labels_allowed: bool, found: &mut Vec<Problem>) {
        let mut must = |holds: bool, message: String| {
            if !holds {
                found.push(Problem::new(key, message));
            }
        };
        let is_label = self.action == AttributeAction::IndexLabel;
        must(labels_allowed || !is_label, "the attributes of scopes cannot become labels".to_owned());
        must(self.attributes.is_empty() != self.regex.is_empty(), "must have either attributes or regex".to_owned());
        if let Err(error) = self.regex.compile() {
            let text = error.to_string();
            must(false, format!("'{}' is no regular expression: {}", self.regex.text, text.lines().last().unwrap_or_default()));
        }
    }
}

/// What the first of `rules` that names `attribute` says.
pub fn first_rule(rules: &[AttributeRule], attribute: &[u8]) -> Option<AttributeAction> {
    rules.iter().find(|rule| rule.names(attribute)).map(|rule| rule.action)
}

impl OtlpConfig {
    /// What is wrong with the rules; keys begin with `prefix`.
    pub(crate) fn problems(&self, prefix: &str, found: &mut Vec<Problem>) {
        let mut check = |key: &str, rules: &[AttributeRule], labels_allowed: bool| {
            for (place, rule) in rules.iter().enumerate() {
                rule.problems(&format!("{prefix}.{key}[{place}]"), labels_allowed, found);
            }
        };
        check("resource_attributes.attributes_config", &self.resource_attributes.attributes_config, true);
        check("scope_attributes", &self.scope_attributes, false);
        check("log_attributes", &self.log_attributes, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AttributeAction::{Drop, IndexLabel, StructuredMetadata};

    fn rule(action: AttributeAction, attributes: &[&str], regex: &str) -> AttributeRule {
        AttributeRule { action, attributes: attributes.iter().map(|name| (*name).to_owned()).collect(), regex: regex.to_owned().into() }
    }

    #[test]
    fn the_first_rule_that_names_an_attribute_counts() {
        let rules = [rule(IndexLabel, &["a.b", "c"], ""), rule(Drop, &[], "a\\..|x"), rule(StructuredMetadata, &["x"], "")];
        for (name, want) in [
            ("a.b", Some(IndexLabel)),
            ("c", Some(IndexLabel)),
            ("a.c", Some(Drop)),
            ("x", Some(Drop)),
            ("xx", None),
            ("a.cd", None),
            ("A.c", None),
        ] {
            assert_eq!(first_rule(&rules, name.as_bytes()), want, "{name}");
        }
    }

    #[test]
    fn rules_that_make_no_sense_are_problems_with_their_keys() {
        let resource_attributes = OtlpResourceAttributes {
            attributes_config: vec![rule(IndexLabel, &["a"], ""), rule(Drop, &[], ""), rule(Drop, &["a"], "b")],
            ..Default::default()
        };
        let scope_attributes = vec![rule(Drop, &["a"], ""), rule(IndexLabel, &["a"], "")];
        let config = OtlpConfig { resource_attributes, scope_attributes, log_attributes: vec![rule(Drop, &[], "(")], ..Default::default() };
        let mut found = Vec::new();
        config.problems("o", &mut found);
        let texts: Vec<_> = found.iter().map(Problem::to_string).collect();
        assert_eq!(
            texts,
            [
                "o.resource_attributes.attributes_config[1]: must have either attributes or regex",
                "o.resource_attributes.attributes_config[2]: must have either attributes or regex",
                "o.scope_attributes[1]: the attributes of scopes cannot become labels",
                "o.log_attributes[0]: '(' is no regular expression: error: unclosed group",
            ]
        );
    }

    #[test]
    fn rules_are_read_and_written_as_yaml_has_them() {
        let text = r#"{"resource_attributes":{"ignore_defaults":true,"attributes_config":[{"action":"index_label","regex":"k8s.*"}]},"scope_attributes":[{"attributes":["a"]}],"log_attributes":[{"action":"drop","attributes":["b","c"]}],"severity_text_as_label":true}"#;
        let config: OtlpConfig = serde_json::from_str(text).expect("an otlp_config");
        assert_eq!(config.scope_attributes, [rule(StructuredMetadata, &["a"], "")]);
        let again: OtlpConfig = serde_json::from_value(serde_json::to_value(&config).expect("text keys")).expect("what was written");
        assert_eq!(again, config);
        assert!(serde_json::from_str::<OtlpConfig>(r#"{"log_attributes":[{"action":"keep","attributes":["b"]}]}"#).is_err());
    }
}
