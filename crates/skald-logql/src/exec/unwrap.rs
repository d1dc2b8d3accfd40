use super::batch::text;
use super::label_filter::{Condition, ConditionError};
use super::row::RowLabels;
use crate::ast::{Conversion, Unwrap};
use crate::units;

/// What an unwrapped label reports when its value does not convert.
const EXTRACTION_ERROR: &str = "SampleExtractionErr";

/// Takes the value of an entry from a label, after all stages.
#[derive(Debug)]
pub(crate) struct Unwrapper {
    label: String,
    conversion: Option<Conversion>,
    filters: Vec<Condition>,
}

impl Unwrapper {
    pub(crate) fn compile(unwrap: &Unwrap) -> Result<Self, ConditionError> {
        let filters = unwrap.filters.iter().map(Condition::compile).collect::<Result<_, _>>()?;
        Ok(Unwrapper { label: unwrap.label.clone(), conversion: unwrap.conversion, filters })
    }

    /// Calls `visit` with each label that it looks at.
    pub(crate) fn each_name(&self, visit: &mut impl FnMut(&str)) {
        visit(&self.label);
        self.filters.iter().for_each(|filter| filter.each_name(visit));
    }

    /// The value of an entry; none when it has no such label, or a filter takes it out. One that does not convert is 0 and marks the entry.
    pub(crate) fn value(&self, row: &mut RowLabels) -> Option<f64> {
        let found = row.get(&self.label).filter(|value| !value.is_empty())?;
        let value = match convert(self.conversion, &text(found)) {
            Ok(value) => value,
            Err(details) => {
                row.set_error(EXTRACTION_ERROR, Some(&details));
                0.0
            }
        };
        self.filters.iter().all(|filter| filter.eval(row)).then_some(value)
    }
}

fn convert(conversion: Option<Conversion>, text: &str) -> Result<f64, String> {
    match conversion {
        None => units::parse_float(text).map_err(|error| error.to_string()),
        Some(Conversion::Bytes) => units::parse_size(text).map(|bytes| bytes as f64).map_err(|error| error.to_string()),
        Some(Conversion::Duration | Conversion::DurationSeconds) => {
            units::parse_go_duration(text).map(|nanos| nanos as f64 / 1e9).map_err(|error| error.to_string())
        }
    }
}
