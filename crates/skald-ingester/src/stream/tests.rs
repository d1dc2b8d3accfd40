use super::*;
use skald_config::ByteSize;
use skald_model::RowsBuilder;

const HOUR: i64 = 3_600_000_000_000;

fn tenant() -> TenantId {
    TenantId::parse("t").expect("valid")
}

fn labels(app: &str) -> Labels {
    Labels::from_pairs([("app", app)]).expect("one name")
}

fn rows(times: &[i64]) -> Rows {
    let mut builder = RowsBuilder::default();
    for at in times {
        builder.push(Timestamp(*at), b"0123456789");
    }
    builder.finish()
}

fn admit(registry: &mut StreamRegistry, app: &str, times: &[i64], limits: &Limits, now_secs: u64) -> Admission {
    let rows = rows(times);
    registry.admit(&tenant(), &labels(app), &rows, rows.pushed_bytes(), limits, Duration::from_secs(now_secs))
}

#[track_caller]
fn only(mut admission: Admission) -> Refusal {
    assert_eq!(admission.refusals.len(), 1);
    admission.refusals.remove(0)
}

#[test]
fn the_first_entries_of_a_stream_are_always_within_the_window() {
    let mut registry = StreamRegistry::default();
    let admission = admit(&mut registry, "a", &[10 * HOUR, 0], &Limits::default(), 0);
    assert!(admission.refusals.is_empty());
}

#[test]
fn the_window_follows_the_newest_durable_entry_and_not_the_one_in_flight() {
    let (mut registry, limits) = (StreamRegistry::default(), Limits::default());
    assert!(admit(&mut registry, "a", &[10 * HOUR], &limits, 0).refusals.is_empty());
    assert!(admit(&mut registry, "a", &[0], &limits, 0).refusals.is_empty(), "the first push is not durable yet");
    registry.appended(&tenant(), &labels("a"), Timestamp(10 * HOUR), Duration::ZERO);
    let admission = admit(&mut registry, "a", &[0, 9 * HOUR, 9 * HOUR - 1], &limits, 0);
    assert_eq!(admission.keep, Some(vec![1]));
    let refusal = only(admission);
    assert_eq!((refusal.kind, refusal.entries, refusal.bytes), (ErrorKind::InvalidInput, 2, 20));
    assert_eq!(
        refusal.message,
        "entry with timestamp 1970-01-01 00:00:00 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: 1970-01-01T00:00:00Z, \
         oldest acceptable timestamp is: 1970-01-01T09:00:00Z',\n\
         entry with timestamp 1970-01-01 08:59:59.999999999 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: \
         1970-01-01T08:59:59Z, oldest acceptable timestamp is: 1970-01-01T09:00:00Z',\n\
         user 't', total ignored: 2 out of 3 for stream: {app=\"a\"}"
    );
}

#[test]
fn a_refusal_lists_ten_entries_at_most() {
    let (mut registry, limits) = (StreamRegistry::default(), Limits::default());
    registry.appended(&tenant(), &labels("a"), Timestamp(10 * HOUR), Duration::ZERO);
    let refusal = only(admit(&mut registry, "a", &[0; 25], &limits, 0));
    assert_eq!(refusal.message.lines().count(), 11);
    assert!(refusal.message.contains("total ignored: 25 out of 25"));
}

#[test]
fn a_stream_over_its_rate_is_refused_whole_and_again_admitted_later() {
    let limits = Limits { per_stream_rate_limit: ByteSize(10), per_stream_rate_limit_burst: ByteSize(20), ..Limits::default() };
    let mut registry = StreamRegistry::default();
    assert!(admit(&mut registry, "a", &[1, 2], &limits, 0).refusals.is_empty());
    let refusal = only(admit(&mut registry, "a", &[3], &limits, 0));
    assert_eq!((refusal.kind, refusal.reason), (ErrorKind::LimitExceeded, "per_stream_rate_limit"));
    assert!(refusal.message.contains("(limit: 10B/sec)") && refusal.message.contains("totaling 10B"), "{}", refusal.message);
    assert!(admit(&mut registry, "a", &[3], &limits, 1).refusals.is_empty());
}

#[test]
fn without_sharding_the_rate_is_taken_entry_by_entry() {
    let mut limits = Limits { per_stream_rate_limit: ByteSize(10), per_stream_rate_limit_burst: ByteSize(20), ..Limits::default() };
    limits.shard_streams.enabled = false;
    let admission = admit(&mut StreamRegistry::default(), "a", &[1, 2, 3], &limits, 0);
    assert_eq!(admission.keep, Some(vec![0, 1]));
    assert_eq!(only(admission).entries, 1);
}

#[test]
fn without_sharding_late_entries_and_those_over_the_rate_are_both_told() {
    let mut limits = Limits { per_stream_rate_limit: ByteSize(10), per_stream_rate_limit_burst: ByteSize(10), ..Limits::default() };
    limits.shard_streams.enabled = false;
    let mut registry = StreamRegistry::default();
    registry.appended(&tenant(), &labels("a"), Timestamp(10 * HOUR), Duration::ZERO);
    let admission = admit(&mut registry, "a", &[0, 10 * HOUR, 10 * HOUR + 1, 10 * HOUR + 2], &limits, 0);
    assert_eq!(admission.keep, Some(vec![1]));
    let told: Vec<(&str, usize)> = admission.refusals.iter().map(|refusal| (refusal.reason, refusal.entries)).collect();
    assert_eq!(told, [("too_far_behind", 1), ("per_stream_rate_limit", 2)]);
}

#[test]
fn only_active_streams_count_towards_the_limit() {
    let limits = Limits { max_global_streams_per_user: 1, ..Limits::default() };
    let mut registry = StreamRegistry::default();
    assert!(admit(&mut registry, "a", &[1], &limits, 0).refusals.is_empty());
    let refusal = only(admit(&mut registry, "b", &[1], &limits, 0));
    assert_eq!((refusal.kind, refusal.reason), (ErrorKind::LimitExceeded, "stream_limit"));
    assert!(refusal.message.contains("stream {app=\"b\"}") && refusal.message.ends_with("user: 't'"), "{}", refusal.message);
    registry.sweep(ACTIVE_FOR);
    assert!(admit(&mut registry, "b", &[1], &limits, ACTIVE_FOR.as_secs()).refusals.is_empty());
}

#[test]
fn a_stream_leaves_memory_after_a_day() {
    let mut registry = StreamRegistry::default();
    registry.appended(&tenant(), &labels("a"), Timestamp(1), Duration::ZERO);
    registry.sweep(FORGET_AFTER - Duration::from_secs(1));
    assert_eq!(registry.counts(), (1, 0));
    registry.sweep(FORGET_AFTER);
    assert_eq!(registry.counts(), (0, 0));
}

#[test]
fn moments_outlive_the_end_of_their_milliseconds() {
    let end = Duration::from_millis(1 << 32);
    let (mut registry, limits) = (StreamRegistry::default(), Limits::default());
    let before = end - Duration::from_secs(10);
    assert!(admit(&mut registry, "a", &[1], &limits, before.as_secs()).refusals.is_empty());
    registry.sweep(end + Duration::from_secs(10));
    assert_eq!(registry.counts(), (1, 1));
    registry.sweep(before + ACTIVE_FOR);
    assert_eq!(registry.counts(), (1, 0));
    registry.sweep(before + FORGET_AFTER);
    assert_eq!(registry.counts(), (0, 0));
}

#[test]
fn an_idle_stream_takes_48_bytes() {
    assert!(size_of::<(StreamKey, StreamState)>() <= 48);
}

#[test]
fn sizes_print_with_the_largest_exact_unit() {
    assert_eq!((size_text(3 << 20), size_text(1536 << 10), size_text(12_345)), ("3MB".into(), "1536KB".into(), "12345B".into()));
}
