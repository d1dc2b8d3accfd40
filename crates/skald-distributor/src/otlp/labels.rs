use super::value::{self, Name};
use crate::error::PushFailure;
use crate::metadata::normalise_name;
use crate::validate::Refused;
use skald_proto::otlp::{AnyValue, Attribute};

/// Labels that attributes become, by names that queries can say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSet {
    pairs: Vec<(String, String)>,
    bytes: usize,
    /// Why they cannot be used.
    problem: Option<String>,
}

/// Most labels of attributes.
const LABELS_MAX: usize = 256;
/// Most bytes of their names and values.
const LABELS_BYTES_MAX: usize = 1 << 20;

impl LabelSet {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.problem.is_none()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.pairs.clear();
        (self.bytes, self.problem) = (0, None);
    }

    /// Bytes of names and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds an attribute; a map becomes a label for each value in it, their names joined by `_`. A text has at most `text_max` bytes.
    ///
    /// # Errors
    /// When it is malformed, nests too deeply, or there are too many.
    pub fn add(&mut self, attribute: Attribute<'_>, text_max: usize) -> Result<(), PushFailure> {
        let mut text = Vec::new();
        value::for_each_leaf(attribute, &mut |name, value| {
            let name = match name {
                Name::Key(name) | Name::Path(name) => name,
            };
            if let AnyValue::String(value) = value {
                return self.set(name, value);
            }
            text.clear();
            value::write(value, &mut text, text_max)?;
            self.set(name, &text)
        })
    }

    /// Sets a label; of several values for one name the last counts.
    ///
    /// # Errors
    /// When there are too many.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), PushFailure> {
        self.bytes += name.len() + value.len();
        if self.pairs.len() >= LABELS_MAX || self.bytes > LABELS_BYTES_MAX {
            let message = format!("more than {LABELS_MAX} labels, or {LABELS_BYTES_MAX} bytes of labels, of one stream");
            return Err(PushFailure::TooLarge(message));
        }
        match (normalise_name(name), str::from_utf8(value)) {
            (Ok(name), Ok(value)) => self.replace(&name, value),
            (Err(error), _) => self.problem = Some(error.to_string()),
            (Ok(name), Err(_)) => self.problem = Some(format!("the value of label {name} is not valid UTF-8")),
        }
        Ok(())
    }

    fn replace(&mut self, name: &str, value: &str) {
        match self.pairs.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.pairs.push((name.to_owned(), value.to_owned())),
        }
    }

    /// These labels, and `more` over them.
    pub fn with(&self, more: &LabelSet) -> LabelSet {
        let mut all = self.clone();
        more.pairs.iter().for_each(|(name, value)| all.replace(name, value));
        all.problem = all.problem.or_else(|| more.problem.clone());
        all
    }

    /// Names and values.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn into_pairs(self) -> Result<Vec<(String, String)>, Refused> {
        match self.problem {
            None => Ok(self.pairs),
            Some(problem) => {
                let labels = crate::identity::pairs_text(&self.pairs);
                let message = format!("error parsing labels '{labels}' with error: {problem}");
                Err(Refused { reason: "invalid_labels", message })
            }
        }
    }
}
