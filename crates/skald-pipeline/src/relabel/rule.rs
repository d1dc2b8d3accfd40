use super::replacement::Replacement;
use super::{RelabelConfig, RuleError, is_label_name, set_or_remove};
use crate::{LabelSet, Text};
use ::regex::bytes::Regex;
use md5::{Digest, Md5};
use skald_logql::regex::{Flags, compile};

/// One compiled rule.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    sources: Vec<String>,
    separator: String,
    regex: Regex,
    action: Action,
}

#[derive(Debug, Clone)]
enum Action {
    Replace { target: Replacement, value: Replacement },
    Keep,
    Drop,
    KeepEqual { target: String },
    DropEqual { target: String },
    HashMod { target: Text, modulus: u64 },
    LabelMap { name: Replacement },
    LabelDrop,
    LabelKeep,
    Lowercase { target: Text },
    Uppercase { target: Text },
}

impl Rule {
    pub(super) fn new(config: &RelabelConfig) -> Result<Self, RuleError> {
        let regex = compile(config.regex.as_deref().unwrap_or("(.*)"), Flags::SELECTOR).map_err(RuleError::Regex)?;
        Ok(Rule {
            sources: config.source_labels.clone().unwrap_or_default(),
            separator: config.separator.clone().unwrap_or_else(|| ";".to_owned()),
            action: Action::new(config, &regex)?,
            regex,
        })
    }

    /// Whether what has the labels stays.
    pub(super) fn apply(&self, labels: &mut LabelSet) -> bool {
        match &self.action {
            Action::Replace { target, value } => self.replace(labels, target, value),
            Action::Keep => return self.regex.is_match(self.joined(labels).as_bytes()),
            Action::Drop => return !self.regex.is_match(self.joined(labels).as_bytes()),
            Action::KeepEqual { target } => return self.joined(labels) == labels.get(target).unwrap_or_default(),
            Action::DropEqual { target } => return self.joined(labels) != labels.get(target).unwrap_or_default(),
            Action::HashMod { target, modulus } => {
                labels.set(Text::clone(target), (hash(&self.joined(labels)) % modulus).to_string());
            }
            Action::LabelMap { name } => self.map(labels, name),
            Action::LabelDrop => labels.retain(|name, _| !self.regex.is_match(name.as_bytes())),
            Action::LabelKeep => labels.retain(|name, _| self.regex.is_match(name.as_bytes())),
            Action::Lowercase { target } => set_or_remove(labels, target, &self.joined(labels).to_lowercase()),
            Action::Uppercase { target } => set_or_remove(labels, target, &self.joined(labels).to_uppercase()),
        }
        true
    }

    /// The values of the source labels; one that there is not is empty.
    fn joined(&self, labels: &LabelSet) -> String {
        let mut text = String::new();
        for (at, name) in self.sources.iter().enumerate() {
            text.push_str(if at == 0 { "" } else { &self.separator });
            text.push_str(labels.get(name).unwrap_or_default());
        }
        text
    }

    fn replace(&self, labels: &mut LabelSet, target: &Replacement, value: &Replacement) {
        let joined = self.joined(labels);
        let Some(captures) = self.regex.captures(joined.as_bytes()) else {
            return;
        };
        let target = target.expand(&captures);
        if is_label_name(&target) {
            set_or_remove(labels, &target, &value.expand(&captures));
        }
    }

    fn map(&self, labels: &mut LabelSet, new_name: &Replacement) {
        // What the rule sets is not mapped again.
        for (name, value) in labels.clone().texts() {
            if let Some(captures) = self.regex.captures(name.as_bytes()) {
                set_or_remove(labels, &new_name.expand(&captures), value);
            }
        }
    }
}

impl Action {
    fn new(config: &RelabelConfig, regex: &Regex) -> Result<Self, RuleError> {
        let action = config.action.as_deref().unwrap_or("replace").to_lowercase();
        let target = |action| target(config, action);
        Ok(match action.as_str() {
            "replace" => Action::Replace { target: replaced_target(config, regex)?, value: replacement(config, regex) },
            "keep" => Action::Keep,
            "drop" => Action::Drop,
            "keepequal" => Action::KeepEqual { target: compared_target(config, "keepequal")? },
            "dropequal" => Action::DropEqual { target: compared_target(config, "dropequal")? },
            "hashmod" => Action::HashMod {
                target: target("hashmod")?,
                modulus: config.modulus.filter(|modulus| *modulus > 0).ok_or(RuleError::MissingModulus)?,
            },
            "labelmap" => Action::LabelMap { name: mapped_name(config, regex)? },
            "labeldrop" => only_regex(config, "labeldrop", Action::LabelDrop)?,
            "labelkeep" => only_regex(config, "labelkeep", Action::LabelKeep)?,
            "lowercase" => Action::Lowercase { target: target("lowercase")? },
            "uppercase" => Action::Uppercase { target: target("uppercase")? },
            _ => return Err(RuleError::UnknownAction(action)),
        })
    }
}

fn replacement(config: &RelabelConfig, regex: &Regex) -> Replacement {
    Replacement::new(config.replacement.as_deref().unwrap_or("$1"), regex)
}

fn written_target<'a>(config: &'a RelabelConfig, action: &'static str) -> Result<&'a str, RuleError> {
    config.target_label.as_deref().filter(|target| !target.is_empty()).ok_or(RuleError::MissingTarget { action })
}

/// A target that is a name as written.
fn target(config: &RelabelConfig, action: &'static str) -> Result<Text, RuleError> {
    let target = written_target(config, action)?;
    if is_label_name(target) { Ok(target.into()) } else { Err(RuleError::InvalidTarget { action, name: target.to_owned() }) }
}

/// A target that may refer to groups.
fn replaced_target(config: &RelabelConfig, regex: &Regex) -> Result<Replacement, RuleError> {
    let written = written_target(config, "replace")?;
    let target = Replacement::new(written, regex);
    match target.fixed() {
        Some(name) if !is_label_name(name) => Err(RuleError::InvalidTarget { action: "replace", name: written.to_owned() }),
        _ => Ok(target),
    }
}

fn mapped_name(config: &RelabelConfig, regex: &Regex) -> Result<Replacement, RuleError> {
    let name = replacement(config, regex);
    match name.fixed() {
        Some(fixed) if !is_label_name(fixed) => Err(RuleError::InvalidName(config.replacement.clone().unwrap_or_default())),
        _ => Ok(name),
    }
}

fn compared_target(config: &RelabelConfig, action: &'static str) -> Result<String, RuleError> {
    refuse(
        action,
        &[
            ("separator", config.separator.as_deref().is_some_and(|separator| separator != ";")),
            ("regex", config.regex.as_deref().is_some_and(|regex| regex != "(.*)")),
            ("modulus", config.modulus.is_some_and(|modulus| modulus > 0)),
            ("replacement", config.replacement.as_deref().is_some_and(|replacement| replacement != "$1")),
        ],
    )?;
    Ok(target(config, action)?.to_string())
}

fn only_regex(config: &RelabelConfig, action: &'static str, this: Action) -> Result<Action, RuleError> {
    refuse(
        action,
        &[
            ("source_labels", config.source_labels.as_deref().is_some_and(|sources| !sources.is_empty())),
            ("target_label", config.target_label.as_deref().is_some_and(|target| !target.is_empty())),
            ("modulus", config.modulus.is_some_and(|modulus| modulus > 0)),
            ("separator", config.separator.as_deref().is_some_and(|separator| separator != ";")),
            ("replacement", config.replacement.as_deref().is_some_and(|replacement| replacement != "$1")),
        ],
    )?;
    Ok(this)
}

fn refuse(action: &'static str, options: &[(&'static str, bool)]) -> Result<(), RuleError> {
    match options.iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(RuleError::Superfluous { action, option }),
        None => Ok(()),
    }
}

/// The last eight bytes of the MD5 sum.
fn hash(text: &str) -> u64 {
    let sum: [u8; 16] = Md5::digest(text).into();
    sum[8..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
