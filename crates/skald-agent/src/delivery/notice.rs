use super::verdict::Cause;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often a client says in the log what is in its way.
const NOTICE_EVERY: Duration = Duration::from_secs(30);

/// Keeps the log short while a server is away: of each cause one line in a while, and one when batches are taken again.
#[derive(Debug, Default)]
pub(crate) struct Notices(Mutex<BTreeMap<Cause, Notice>>);

#[derive(Debug)]
struct Notice {
    said_at: Duration,
    unsaid: u64,
}

impl Notices {
    /// Whether to say it now: then how often it was not said before.
    pub fn failed(&self, cause: Cause, now: Duration) -> Option<u64> {
        let mut notices = self.0.lock();
        match notices.get_mut(&cause) {
            Some(notice) if now.saturating_sub(notice.said_at) < NOTICE_EVERY => {
                notice.unsaid += 1;
                None
            }
            known => {
                let unsaid = known.map_or(0, |notice| notice.unsaid);
                notices.insert(cause, Notice { said_at: now, unsaid: 0 });
                Some(unsaid)
            }
        }
    }

    /// A batch was taken after it had waited for this cause: whether to say so.
    pub fn recovered(&self, cause: Cause) -> bool {
        self.0.lock().remove(&cause).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_said_once_in_a_while() {
        let (notices, second) = (Notices::default(), Duration::from_secs);
        assert_eq!(notices.failed(Cause::Server, second(0)), Some(0));
        assert_eq!(notices.failed(Cause::Server, second(1)), None);
        assert_eq!(notices.failed(Cause::RateLimited, second(2)), Some(0));
        assert_eq!(notices.failed(Cause::Server, second(29)), None);
        assert_eq!(notices.failed(Cause::Server, second(30)), Some(2));
        assert!(notices.recovered(Cause::Server));
        assert!(!notices.recovered(Cause::Server));
        assert_eq!(notices.failed(Cause::Server, second(31)), Some(0));
    }
}
