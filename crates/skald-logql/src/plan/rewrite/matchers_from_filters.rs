//! Label filters become matchers where the labels of a stream decide them.
//!
//! A filter sees the label of the stream, if the stream has one of that name and no stage before it writes, drops or renames it.
//! Parsers never do: they give a label whose name is taken another name. For streams without the label the filter stays what it is: metadata or
//! a parsed label decides it, entry by entry.

use crate::exec::{Condition, Step, is_plain_name};
use skald_model::Labels;
use std::collections::HashSet;

/// A label filter, as far as the labels of a stream decide it.
#[derive(Debug)]
pub(crate) struct StreamTest {
    /// Its place among the steps.
    step: usize,
    /// Names of the filter that steps before it may write or drop.
    written: Vec<String>,
}

impl StreamTest {
    /// False when the labels of a stream keep all its entries from passing the filter.
    pub(crate) fn can_match(&self, steps: &[Step], labels: &Labels) -> bool {
        let label = |name: &str| labels.get(name).filter(|_| self.is_decided(name));
        let Step::Filter(condition) = &steps[self.step] else { return true };
        condition.eval_stream(&label) != Some(false)
    }

    /// Name and values: a stream that has the label can pass with one of these values only.
    pub(crate) fn values<'a>(&self, steps: &'a [Step]) -> Option<(&'a str, Vec<String>)> {
        let Step::Filter(Condition::One { name, test }) = &steps[self.step] else { return None };
        let values = test.only_values()?;
        self.is_decided(name).then_some((name.as_str(), values))
    }

    fn is_decided(&self, name: &str) -> bool {
        is_plain_name(name) && !self.written.iter().any(|written| written == name)
    }
}

/// The filters that labels of a stream can decide.
pub(super) fn stream_tests(steps: &[Step]) -> Vec<StreamTest> {
    let (mut tests, mut written) = (Vec::new(), HashSet::new());
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Filter(condition) => {
                let mut of_filter = Vec::new();
                condition.each_name(&mut |name| {
                    if written.contains(name) {
                        of_filter.push(name.to_owned());
                    }
                });
                tests.push(StreamTest { step: at, written: of_filter });
            }
            Step::Json | Step::JsonPaths(_) | Step::Logfmt(_) | Step::LogfmtKeys { .. } | Step::Regexp(_) | Step::Pattern(_) => {}
            Step::Decolorize | Step::Line(_) | Step::LineFormat(_) => {}
            Step::LabelFormat(format) => format.each_name(&mut |name| {
                written.insert(name.to_owned());
            }),
            Step::Drop(items) => written.extend(items.iter().map(|item| item.name.clone())),
            // These may write or drop any name.
            Step::Unpack | Step::Keep(_) => break,
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::super::tests::{plan_of, stream};
    use crate::exec::Pipeline;
    use crate::plan::{Plan, Rewrites};
    use skald_model::Labels;

    super::super::tests::same_answers_without!(MatchersFromFilters);

    fn pipeline(query: &str, check: impl Fn(&Pipeline)) {
        let Plan::Log(plan) = plan_of(query, Rewrites::ALL).expect("plans") else { panic!("a log query") };
        check(plan.pipeline());
    }

    #[track_caller]
    fn check(stages: &str, labels: &Labels, want: bool) {
        pipeline(&format!("{{app=\"a\"}} {stages}"), |pipeline| assert_eq!(pipeline.stream_can_match(labels), want, "{stages}"));
    }

    #[test]
    fn a_stream_is_left_out_where_its_labels_decide() {
        let labels = stream(&[("app", "a"), ("pod", "p1")]);
        check(r#"| pod="p1""#, &labels, true);
        check(r#"| pod="p2""#, &labels, false);
        check(r#"| json | logfmt | drop __error__, __error_details__ | pod="p2""#, &labels, false);
        check(r#"| json | label_format x=y | pod="p2""#, &labels, false);
        check(r#"| json | line_format "{{.pod}}" | pod=~"p2.*""#, &labels, false);
        check(r#"| other="x" or pod="p2""#, &labels, true);
        check(r#"| other="x", pod="p2""#, &labels, false);
        check(r#"| other="x""#, &labels, true);
        check(r#"| drop pod | pod="p2""#, &labels, true);
        check(r#"| label_format pod="p2" | pod="p2""#, &labels, true);
        check(r#"| label_format x=pod | pod="p2""#, &labels, true);
        check(r#"| unpack | pod="p2""#, &labels, true);
        check(r#"| keep pod | pod="p2""#, &labels, true);
    }

    #[test]
    fn values_are_listed_where_a_stream_that_has_the_label_needs_one_of_them() {
        let values = |stages: &str| {
            let mut found = Vec::new();
            let Plan::Log(plan) = plan_of(&format!("{{app=\"a\"}} {stages}"), Rewrites::ALL).expect("plans") else { panic!("a log query") };
            plan.pipeline().label_values().for_each(|(name, values)| found.push(format!("{name}={}", values.join("|"))));
            found
        };
        assert_eq!(values(r#"| pod="p1" | json | b=~"xx|yy" | c!="z""#), ["pod=p1", "b=xx|yy"]);
        assert_eq!(values(r#"| drop pod | pod="p1""#), Vec::<String>::new());
        assert_eq!(values(r#"| pod="" | __error__="x" | pod="a" or b="c""#), Vec::<String>::new());
    }
}
