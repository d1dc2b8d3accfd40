//! Reads only the columns that stages and result use, and of lines only what is looked at.

use crate::exec::{Columns, Hints, LineMatcher, LineNeed, Needs, Step};

/// What the stages need, beside what the use of their result needs.
pub(super) fn of_stages(line_filters: &[LineMatcher], steps: &[Step], hints: &Hints, result: Needs) -> Needs {
    let mut needs = result;
    if steps.iter().any(Step::reads_line) || !line_filters.is_empty() {
        needs.lines = LineNeed::Bytes;
    }
    // A parser that finds the name of a metadata column gives its label another name.
    if steps.iter().any(|step| matches!(step, Step::Json | Step::Logfmt(_) | Step::Regexp(_) | Step::Pattern(_))) {
        hints.required.iter().flatten().for_each(|name| needs.columns.add(name));
    }
    for step in steps {
        match step {
            Step::Filter(condition) => condition.each_name(&mut |name| needs.columns.add(name)),
            Step::Json | Step::Logfmt(_) | Step::Regexp(_) | Step::Pattern(_) => {}
            // Here the name as it stands in the line decides, which may become any of the labels.
            Step::Unpack => needs.columns = Columns::All,
            Step::JsonPaths(paths) => paths.iter().for_each(|(name, _)| needs.columns.add(name)),
            Step::LogfmtKeys { keys, .. } => keys.iter().for_each(|(name, _)| needs.columns.add(name)),
            Step::Decolorize | Step::Line(_) => {}
            Step::LineFormat(format) => needs.columns.add_fields(format.template()),
            Step::LabelFormat(format) => {
                format.each_name(&mut |name| needs.columns.add(name));
                format.templates().for_each(|template| needs.columns.add_fields(template));
            }
            Step::Drop(items) | Step::Keep(items) => items.iter().for_each(|item| needs.columns.add(&item.name)),
        }
    }
    needs
}

#[cfg(test)]
mod tests {
    super::super::tests::same_answers_without!(NeededColumns);
}
