use super::label_set::LabelSet;
use super::pattern;
use crate::ast::LabelReplace;
use regex::bytes::Regex;

/// The compiled `label_replace`.
#[derive(Debug)]
pub(crate) struct Replacer {
    regex: Regex,
    src: String,
    dst: String,
    replacement: String,
}

impl Replacer {
    /// Compiles the arguments. The error is the text for the user.
    pub(crate) fn compile(replace: &LabelReplace) -> Result<Self, String> {
        let regex = pattern::compile_anchored(&replace.regex)?;
        let (src, dst, replacement) = (replace.src.clone(), replace.dst.clone(), replace.replacement.clone());
        Ok(Replacer { regex, src, dst, replacement })
    }

    /// Where the whole source value matches, sets the destination; an empty value removes it.
    pub(crate) fn replace(&self, labels: &mut LabelSet) {
        let value = labels.get(&self.src).unwrap_or_default();
        let Some(captures) = self.regex.captures(value.as_bytes()) else { return };
        let mut expanded = Vec::new();
        captures.expand(self.replacement.as_bytes(), &mut expanded);
        labels.remove(&self.dst);
        if !expanded.is_empty() {
            labels.set(&self.dst, &String::from_utf8_lossy(&expanded));
        }
    }
}
