use super::options::not_empty;
use crate::extracted::Extracted;
use crate::stage::Work;
use crate::{StageError, Text};

/// The text that a stage works on: an extracted value, or the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source(Option<Text>);

impl Source {
    /// Of the option `source`, which may be absent but not empty.
    pub(super) fn optional(option: Option<&str>) -> Result<Self, StageError> {
        Ok(Source(not_empty("source", option)?.map(Text::from)))
    }

    /// Name of the value; none for the line.
    pub(super) fn name(&self) -> Option<&Text> {
        self.0.as_ref()
    }

    /// Gives `read` the text, and what it may change; `None` where there is no text.
    pub(super) fn read<T>(&self, work: &mut Work, read: impl FnOnce(&str, &mut Extracted) -> T) -> Option<T> {
        match &self.0 {
            None => Some(read(&work.entry.line, &mut work.extracted)),
            Some(name) => {
                let text = work.extracted.text(name)?.into_owned();
                Some(read(&text, &mut work.extracted))
            }
        }
    }
}
