use super::label_set::LabelSet;
use super::pipeline::Columns;
use super::row::{ERROR, ERROR_DETAILS, EXTRACTED, RowLabels};
use skald_model::{Column, Labels};

/// Which labels of an entry name its series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SeriesKey {
    /// These, sorted, where present.
    By(Vec<String>),
    /// All but these.
    Without { names: Vec<String>, drop_empty: bool },
}

impl SeriesKey {
    /// Columns that it looks at.
    pub(crate) fn columns(&self) -> Columns {
        match self {
            SeriesKey::Without { .. } => Columns::All,
            SeriesKey::By(names) => {
                let mut columns: Vec<String> = names.iter().filter(|name| *name != ERROR && *name != ERROR_DETAILS).cloned().collect();
                columns.extend(names.iter().filter_map(|name| name.strip_suffix(EXTRACTED)).map(str::to_owned));
                Columns::Names(columns)
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            SeriesKey::By(names) => names.iter().any(|n| n == name),
            SeriesKey::Without { names, .. } => !names.iter().any(|n| n == name),
        }
    }

    /// Whether the values of a metadata column can show in the key of entries of this stream.
    pub(crate) fn depends_on(&self, column: &Column, stream: &Labels) -> bool {
        let name = column.name();
        if stream.get(name).is_some() { self.has(&format!("{name}{EXTRACTED}")) } else { self.has(name) }
    }

    /// Writes the key of an entry; equal keys are one series.
    pub(crate) fn write(&self, row: &RowLabels, key: &mut Vec<u8>) {
        key.clear();
        match self {
            SeriesKey::By(names) => names.iter().for_each(|name| push_part(key, special(row, name).unwrap_or_else(|| row.get(name)))),
            SeriesKey::Without { names, drop_empty } => {
                let mut pairs: Vec<(&[u8], &[u8])> = Vec::new();
                row.for_each(|name, value, _| {
                    let left_out = names.iter().any(|n| n.as_bytes() == name) || (*drop_empty && value.is_empty());
                    if !left_out {
                        pairs.push((name, value));
                    }
                });
                pairs.sort_unstable();
                pairs.into_iter().flat_map(|(name, value)| [name, value]).for_each(|part| push_part(key, Some(part)));
            }
        }
    }

    /// The labels of an entry's series.
    pub(crate) fn labels(&self, row: &RowLabels) -> LabelSet {
        let drop_empty = matches!(self, SeriesKey::Without { drop_empty: true, .. });
        let all = row.to_set(None);
        all.filtered(|name, value| self.has(name) && !(drop_empty && value.is_empty()))
    }
}

/// Appends a value, or that there is none, so that different sequences give different bytes.
fn push_part(key: &mut Vec<u8>, value: Option<&[u8]>) {
    let len = value.map_or(u32::MAX, |value| value.len() as u32);
    key.extend_from_slice(&len.to_le_bytes());
    key.extend_from_slice(value.unwrap_or_default());
}

/// Value of the names of errors, which are not labels of an entry. The outer option says whether it is one.
fn special<'a>(row: &'a RowLabels, name: &str) -> Option<Option<&'a [u8]>> {
    match name {
        ERROR => Some(row.error().map(str::as_bytes)),
        ERROR_DETAILS => Some(row.visible_details().map(str::as_bytes)),
        _ => None,
    }
}

/// Names of a key as they are kept.
pub(crate) fn sorted_names(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    names
}
