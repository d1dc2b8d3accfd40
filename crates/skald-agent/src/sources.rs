//! Sources of lines other than files.

pub mod docker;
pub mod journal;
mod listen;
pub mod push;
pub mod syslog;
mod tasks;
pub mod tls;

pub use listen::ListenError;

use crate::config::settings::Names;
use crate::source::{SourceStatus, TargetStatus};
use skald_model::Timestamp;
use skald_pipeline::LabelSet;
use std::sync::atomic::{AtomicI64, Ordering};

/// Gives each entry that has no time of its own one that no other has, so that equal lines of one stream stay as many as they were.
#[derive(Debug, Default)]
pub(crate) struct Stamps(AtomicI64);

impl Stamps {
    /// `now`, or the first nanosecond behind the last stamp.
    pub(crate) fn next(&self, now: Timestamp) -> Timestamp {
        let after = |last: i64| Some(now.0.max(last.saturating_add(1)));
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).expect("there is always a next stamp");
        Timestamp(now.0.max(last.saturating_add(1)))
    }
}

/// Labels as they are configured.
fn label_set(names: &Names) -> LabelSet {
    names.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// What a source shows that has one target.
fn one_target(job: &str, kind: &'static str, ready: bool, labels: &LabelSet, details: &[(&str, &str)]) -> SourceStatus {
    let details = details.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let target = TargetStatus { discovered: labels.clone(), labels: labels.clone(), reason: String::new(), details };
    SourceStatus { job: job.to_owned(), kind, ready, active: vec![target], dropped: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stamp_is_given_twice_and_none_goes_back() {
        let stamps = Stamps::default();
        let given = [5, 5, 4, 6, 9].map(|now| stamps.next(Timestamp(now)).0);
        assert_eq!(given, [5, 6, 7, 8, 9]);
    }
}
