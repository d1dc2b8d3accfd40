//! Sums of entries and bytes by series and bucket, and the answer that they make.

use super::buckets::Buckets;
use rustc_hash::FxHashMap;
use skald_logql::exec::{LabelSet, MetricResult, Sample, Series};
use skald_model::Timestamp;

/// Entries, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

/// Amounts by number of series and bucket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals(FxHashMap<(u32, u32), Amount>);

impl Totals {
    /// Adds what a stream has in a bucket to each of its series.
    pub(crate) fn add(&mut self, series: &[u32], bucket: u32, amount: Amount) {
        for series in series {
            let sum = self.0.entry((*series, bucket)).or_default();
            sum.entries += amount.entries;
            sum.bytes += amount.bytes;
        }
    }

    /// Bytes of memory held, about.
    pub(crate) fn heap_bytes(&self) -> usize {
        // A key, a value and a byte of the table's own for each place.
        self.0.capacity() * 25
    }

    /// The `limit` largest series by their first points, then by name: as a matrix when `points` are wanted and any series has several, else
    /// as a vector.
    pub(crate) fn answer(self, names: &[LabelSet], buckets: &Buckets, points: bool, limit: usize) -> MetricResult {
        let mut by_series: FxHashMap<u32, Vec<(u32, u64)>> = FxHashMap::default();
        for ((series, bucket), amount) in self.0 {
            by_series.entry(series).or_default().push((bucket, amount.bytes));
        }
        let mut rows: Vec<(String, &LabelSet, Vec<(u32, u64)>)> = Vec::with_capacity(by_series.len());
        for (series, mut points) in by_series {
            points.sort_unstable();
            let labels = &names[series as usize];
            rows.push((labels.to_string(), labels, points));
        }
        rows.sort_by(|(a, _, of_a), (b, _, of_b)| of_b[0].1.cmp(&of_a[0].1).then_with(|| a.cmp(b)));
        rows.truncate(limit);
        let point = |(bucket, bytes): (u32, u64)| -> (Timestamp, f64) { (buckets.stamp(bucket), bytes as f64) };
        if points && rows.iter().any(|(_, _, points)| points.len() > 1) {
            let series = |(_, labels, points): (String, &LabelSet, Vec<(u32, u64)>)| Series {
                labels: labels.clone(),
                points: points.into_iter().map(point).collect(),
            };
            return MetricResult::Matrix(rows.into_iter().map(series).collect());
        }
        let sample = |(_, labels, points): (String, &LabelSet, Vec<(u32, u64)>)| {
            let (at, value) = point(points[0]);
            Sample { labels: labels.clone(), at, value }
        };
        MetricResult::Vector(rows.into_iter().map(sample).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn names(names: &[&str]) -> Vec<LabelSet> {
        names.iter().map(|name| LabelSet::from_pairs(vec![("app".to_owned(), (*name).to_owned())])).collect()
    }

    fn amount(bytes: u64) -> Amount {
        Amount { entries: 1, bytes }
    }

    /// Names and points of an answer, and whether it is a matrix.
    fn shown(result: MetricResult) -> (bool, Vec<(String, Vec<(i64, f64)>)>) {
        let secs = |at: Timestamp| at.0 / 1_000_000_000;
        let name = |labels: &LabelSet| labels.get("app").unwrap_or_default().to_owned();
        match result {
            MetricResult::Matrix(series) => {
                let of = |one: Series| (name(&one.labels), one.points.iter().map(|(at, value)| (secs(*at), *value)).collect());
                (true, series.into_iter().map(of).collect())
            }
            MetricResult::Vector(samples) => {
                (false, samples.into_iter().map(|one| (name(&one.labels), vec![(secs(one.at), one.value)])).collect())
            }
            MetricResult::Scalar { .. } => panic!("volumes are no scalar"),
        }
    }

    #[test]
    fn the_largest_first_points_come_first_then_names_and_the_rest_is_cut() {
        let buckets = Buckets::every(Duration::from_secs(10), Timestamp(0), Timestamp::from_secs(20));
        let mut totals = Totals::default();
        totals.add(&[0], 1, amount(90));
        totals.add(&[0], 0, amount(1));
        totals.add(&[2, 1], 0, amount(5));
        totals.add(&[3], 1, amount(7));
        totals.add(&[0], 0, amount(1));
        let names = names(&["a", "b", "c", "d"]);
        let all = vec![
            ("d".to_owned(), vec![(20, 7.0)]),
            ("b".to_owned(), vec![(9, 5.0)]),
            ("c".to_owned(), vec![(9, 5.0)]),
            ("a".to_owned(), vec![(9, 2.0), (20, 90.0)]),
        ];
        assert_eq!(shown(totals.clone().answer(&names, &buckets, true, 10)), (true, all.clone()));
        assert_eq!(shown(totals.answer(&names, &buckets, true, 3)), (false, all[..3].to_vec()));
    }

    #[test]
    fn points_that_are_alone_are_a_vector() {
        let buckets = Buckets::whole(Timestamp(0), Timestamp::from_secs(20));
        let mut totals = Totals::default();
        totals.add(&[0], 0, amount(3));
        assert_eq!(shown(totals.answer(&names(&["a"]), &buckets, false, 10)), (false, vec![("a".to_owned(), vec![(20, 3.0)])]));
        assert_eq!(shown(Totals::default().answer(&[], &buckets, true, 10)), (false, Vec::new()));
    }
}
