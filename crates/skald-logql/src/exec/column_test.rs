use super::batch::Batch;
use super::label_filter::{Condition, Test, Verdict};
use super::row::{ERROR, ERROR_DETAILS, EXTRACTED};
use skald_model::Column;

/// A condition that columns and stream labels decide, with the answer for each dictionary word worked out once.
pub(crate) enum ColumnTest<'a> {
    Constant(bool),
    Words {
        ids: &'a [u32],
        verdicts: Vec<bool>,
    },
    /// Metadata of one name stands in these columns, in at most one of them for a row.
    Values {
        columns: Vec<&'a Column>,
        test: &'a Test,
    },
    And(Box<ColumnTest<'a>>, Box<ColumnTest<'a>>),
    Or(Box<ColumnTest<'a>>, Box<ColumnTest<'a>>),
}

impl<'a> ColumnTest<'a> {
    /// `None` when the condition may mark entries with errors, or see one.
    pub(crate) fn new(condition: &'a Condition, batch: &Batch<'a>) -> Option<Self> {
        Some(match condition {
            Condition::And(a, b) => match (Self::new(a, batch)?, Self::new(b, batch)?) {
                (ColumnTest::Constant(true), other) | (other, ColumnTest::Constant(true)) => other,
                (ColumnTest::Constant(false), _) | (_, ColumnTest::Constant(false)) => ColumnTest::Constant(false),
                (a, b) => ColumnTest::And(Box::new(a), Box::new(b)),
            },
            Condition::Or(a, b) => match (Self::new(a, batch)?, Self::new(b, batch)?) {
                (ColumnTest::Constant(false), other) | (other, ColumnTest::Constant(false)) => other,
                (ColumnTest::Constant(true), _) | (_, ColumnTest::Constant(true)) => ColumnTest::Constant(true),
                (a, b) => ColumnTest::Or(Box::new(a), Box::new(b)),
            },
            Condition::One { name, test } => Self::of_name(name, test, batch)?,
        })
    }

    fn of_name(name: &str, test: &'a Test, batch: &Batch<'a>) -> Option<Self> {
        let constant = |value: &str| ColumnTest::Constant(test.check(value.as_bytes()) == Verdict::Pass);
        if !matches!(test, Test::Text { .. }) || name.starts_with(ERROR) || name.ends_with(EXTRACTED) || name == ERROR_DETAILS {
            return None;
        }
        if let Some(value) = batch.labels.get(name) {
            return Some(constant(value));
        }
        let columns: Vec<&Column> = batch.columns.iter().filter(|column| **column.name() == *name).collect();
        Some(match columns.as_slice() {
            [] => constant(""),
            [column] => match column.dictionary() {
                Some((ids, words)) => {
                    ColumnTest::Words { ids, verdicts: words.into_iter().map(|word| test.check(word) == Verdict::Pass).collect() }
                }
                None => ColumnTest::Values { columns, test },
            },
            _ => ColumnTest::Values { columns, test },
        })
    }

    pub(crate) fn eval(&self, batch: &Batch<'_>, row: usize) -> bool {
        let at = batch.column_offset + row;
        match self {
            ColumnTest::Constant(answer) => *answer,
            ColumnTest::Words { ids, verdicts } => verdicts[ids[at] as usize],
            ColumnTest::Values { columns, test } => {
                let value = columns.iter().map(|column| column.value(at)).find(|value| !value.is_empty());
                test.check(value.unwrap_or_default()) == Verdict::Pass
            }
            ColumnTest::And(a, b) => a.eval(batch, row) && b.eval(batch, row),
            ColumnTest::Or(a, b) => a.eval(batch, row) || b.eval(batch, row),
        }
    }
}
