use crate::Text;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts of dropped lines, by reason and (for limits per label) by label.
///
/// The exporter shows them as `logentry_dropped_lines_total{reason}` and `logentry_dropped_lines_by_label_total{label_name,label_value}`.
#[derive(Debug, Default)]
pub struct Counters {
    by_reason: Mutex<BTreeMap<Text, Counter>>,
    by_label: Mutex<BTreeMap<(Text, Text), u64>>,
}

/// One count, which is cheap to raise.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Raises the count.
    pub fn add(&self, lines: u64) {
        self.0.fetch_add(lines, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// Values of one label that are counted; lines of further ones are counted by reason alone.
    pub const LABEL_VALUES_MAX: usize = 100_000;

    /// The count of one reason, which is then shown even while it is zero.
    pub fn reason(&self, reason: &str) -> Counter {
        let mut all = self.by_reason.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(reason) {
            Some(counter) => counter.clone(),
            None => all.entry(reason.into()).or_default().clone(),
        }
    }

    /// Counts dropped lines.
    pub fn dropped(&self, reason: &str, lines: u64) {
        self.reason(reason).add(lines);
    }

    /// Counts lines that a limit per label dropped. The reason is counted apart from it.
    pub fn dropped_by_label(&self, name: &Text, value: &Text, lines: u64) {
        let mut all = self.by_label.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Text::clone(name), Text::clone(value));
        if all.len() < Self::LABEL_VALUES_MAX || all.contains_key(&key) {
            *all.entry(key).or_default() += lines;
        }
    }

    /// Reasons and their counts, in order.
    pub fn reasons(&self) -> Vec<(Text, u64)> {
        let all = self.by_reason.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(reason, counter)| (Text::clone(reason), counter.get())).collect()
    }

    /// Label names, values and their counts, in order.
    pub fn labels(&self) -> Vec<(Text, Text, u64)> {
        let all = self.by_label.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|((name, value), lines)| (Text::clone(name), Text::clone(value), *lines)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_by_reason_and_by_label() {
        let counters = Counters::default();
        let drop = counters.reason("drop_stage");
        counters.reason("idle");
        drop.add(2);
        counters.dropped("drop_stage", 3);
        let reasons: Vec<_> = counters.reasons().into_iter().map(|(reason, lines)| (reason.to_string(), lines)).collect();
        assert_eq!(reasons, [("drop_stage".to_owned(), 5), ("idle".to_owned(), 0)]);
        counters.dropped_by_label(&"app".into(), &"b".into(), 1);
        counters.dropped_by_label(&"app".into(), &"a".into(), 1);
        counters.dropped_by_label(&"app".into(), &"b".into(), 4);
        let labels: Vec<_> = counters.labels().into_iter().map(|(name, value, lines)| format!("{name}={value}:{lines}")).collect();
        assert_eq!(labels, ["app=a:1", "app=b:5"]);
    }

    #[test]
    fn distinct_label_values_are_bounded() {
        let counters = Counters::default();
        for at in 0..Counters::LABEL_VALUES_MAX + 10 {
            counters.dropped_by_label(&"app".into(), &at.to_string().into(), 1);
        }
        counters.dropped_by_label(&"app".into(), &"0".into(), 1);
        assert_eq!(counters.labels().len(), Counters::LABEL_VALUES_MAX);
        assert!(counters.labels().contains(&("app".into(), "0".into(), 2)));
    }
}
