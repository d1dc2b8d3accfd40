use crate::select::Labelled;
use crate::terms;
use crate::{FormatError, Selection};
use std::collections::BTreeSet;

/// Values of a label name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelValues {
    /// These, ascending, each once.
    Known(Vec<String>),
    /// There are more values than selected streams: reading the rows of these is less work than asking each value for its streams.
    InRows,
}

impl Labelled<'_> {
    /// Names of the labels of all streams, or of the selected ones, ascending.
    pub(crate) fn names(&self, selection: Option<&Selection>) -> Result<Vec<String>, FormatError> {
        let selected = selection.map(|selection| (selection, selection.len()));
        let mut names = BTreeSet::new();
        let mut blocks = self.terms.blocks();
        self.terms.scan(&terms::name_prefix(), |name, posting| {
            let has = selected.map_or(Ok(true), |(selection, len)| self.meets(selection, len, &posting, &mut blocks))?;
            if has {
                names.insert(text(name)?);
            }
            Ok(())
        })?;
        let long = self.long.iter().filter(|(stream, _, _)| is_wanted(selection, *stream));
        names.extend(long.map(|(_, name, _)| name.to_owned()));
        Ok(names.into_iter().collect())
    }

    /// Values that all streams, or the selected ones, have for a name.
    pub(crate) fn values(&self, name: &str, selection: Option<&Selection>) -> Result<LabelValues, FormatError> {
        let prefix = terms::pair_prefix(name);
        let selected = selection.map(|selection| (selection, selection.len()));
        if let Some((_, selected)) = selected
            && (selected as u64) < self.terms.count(&prefix)?
        {
            return Ok(if selected == 0 { LabelValues::Known(Vec::new()) } else { LabelValues::InRows });
        }
        let (mut values, mut blocks) = (Vec::new(), self.terms.blocks());
        self.terms.scan(&prefix, |value, posting| {
            let has = selected.map_or(Ok(true), |(selection, len)| self.meets(selection, len, &posting, &mut blocks))?;
            if has {
                values.push(text(value)?);
            }
            Ok(())
        })?;
        let in_dictionary = values.len();
        let long = self.long.of(name).filter(|(stream, _)| is_wanted(selection, *stream));
        values.extend(long.map(|(_, value)| value.to_owned()));
        if values.len() > in_dictionary {
            values.sort();
            values.dedup();
        }
        Ok(LabelValues::Known(values))
    }
}

fn is_wanted(selection: Option<&Selection>, stream: u32) -> bool {
    selection.is_none_or(|selection| selection.contains(stream))
}

fn text(bytes: &[u8]) -> Result<String, FormatError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| FormatError::Terms("a term is not UTF-8".into()))
}
