use super::*;
use futures::FutureExt;
use skald_model::Timestamp;
use skald_rpc::Missed;
use skald_testkit::{labels, rows};

struct Wants(&'static str);

impl LabelMatcher for Wants {
    fn matches(&self, labels: &skald_model::Labels) -> bool {
        labels.get("app") == Some(self.0)
    }
}

fn tails() -> Arc<Tails> {
    Arc::new(Tails::new(Metrics::register(&mut Default::default())))
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("valid")
}

fn stream(app: &str, entries: &[(i64, &str)]) -> PendingStream {
    PendingStream { labels: labels(&[("app", app)]), rows: Arc::new(rows(entries)), bytes: 0 }
}

fn subscribe(tails: &Arc<Tails>, of: &str, app: &'static str) -> TailStream {
    tails.subscribe(&tenant(of), Arc::new(Wants(app))).expect("it is open")
}

/// What waits; `None` when nothing does.
fn waiting(stream: &mut TailStream) -> Option<TailBatch> {
    stream.next().now_or_never().map(|item| item.expect("it has not ended").expect("no error"))
}

fn lines(batch: &TailBatch) -> Vec<String> {
    let all = batch.rows.iter().flat_map(|rows| (0..rows.rows.len()).map(|row| rows.rows.line(row)));
    all.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

#[test]
fn a_reader_gets_the_streams_of_its_tenant_that_match_in_order() {
    let tails = tails();
    let mut stream_a = subscribe(&tails, "t", "a");
    assert!(waiting(&mut stream_a).is_none());
    tails.publish(&tenant("t"), &[stream("a", &[(2, "two")]), stream("b", &[(3, "other stream")])]);
    tails.publish(&tenant("u"), &[stream("a", &[(4, "other tenant")])]);
    tails.publish(&tenant("t"), &[stream("a", &[(1, "one"), (5, "five")])]);
    let batch = waiting(&mut stream_a).expect("three entries wait");
    assert_eq!((lines(&batch), batch.missed), (vec!["two".to_owned(), "one".to_owned(), "five".to_owned()], Missed::default()));
    assert!(waiting(&mut stream_a).is_none());
}

#[test]
fn rows_are_shared_and_not_copied() {
    let tails = tails();
    let mut reader = subscribe(&tails, "t", "a");
    let published = stream("a", &[(1, "one")]);
    tails.publish(&tenant("t"), std::slice::from_ref(&published));
    assert!(Arc::ptr_eq(&waiting(&mut reader).expect("it waits").rows[0].rows, &published.rows));
}

#[test]
fn a_reader_who_keeps_up_misses_nothing() {
    let tails = tails();
    let mut reader = subscribe(&tails, "t", "a");
    for at in 0..3 * QUEUED_ENTRIES_MAX as i64 {
        tails.publish(&tenant("t"), &[stream("a", &[(at, "line")])]);
        let batch = waiting(&mut reader).expect("it waits");
        assert_eq!((batch.rows[0].rows.timestamps(), batch.missed.entries), (&[at][..], 0));
    }
    assert_eq!(tails.metrics.tail_missed_entries.get(), 0);
}

#[test]
fn a_slow_reader_is_told_what_it_missed_and_others_miss_nothing() {
    let tails = tails();
    let (mut slow, mut fast) = (subscribe(&tails, "t", "a"), subscribe(&tails, "t", "a"));
    let all = QUEUED_ENTRIES_MAX as i64 + 5000;
    for at in 0..all {
        tails.publish(&tenant("t"), &[stream("a", &[(at, "line")])]);
        assert_eq!(waiting(&mut fast).expect("it waits").missed, Missed::default());
    }
    let Missed { entries, span, named } = waiting(&mut slow).expect("it waits").missed;
    assert_eq!((entries, span, named.len()), (5000, Some((Timestamp(all - 5000), Timestamp(all - 1))), skald_rpc::MISSED_NAMED_MAX));
    assert_eq!(named[0], (labels(&[("app", "a")]), Timestamp(all - 5000)));
    assert_eq!(tails.metrics.tail_missed_entries.get(), 5000);
    tails.publish(&tenant("t"), &[stream("a", &[(all, "line")])]);
    assert_eq!(waiting(&mut slow).expect("there is room again").missed, Missed::default());
}

#[test]
fn bytes_are_bounded_too_but_one_push_always_fits() {
    let tails = tails();
    let mut reader = subscribe(&tails, "t", "a");
    let large = "x".repeat(QUEUED_BYTES_MAX + 1);
    tails.publish(&tenant("t"), &[stream("a", &[(1, &large)])]);
    tails.publish(&tenant("t"), &[stream("a", &[(2, "line")])]);
    let batch = waiting(&mut reader).expect("the first waits");
    assert_eq!((batch.rows.len(), batch.missed.entries), (1, 1));
    assert_eq!(tails.metrics.tail_queue_bytes.get(), 0);
}

#[test]
fn a_reader_who_left_costs_nothing() {
    let tails = tails();
    let reader = subscribe(&tails, "t", "a");
    tails.publish(&tenant("t"), &[stream("a", &[(1, "line")])]);
    assert!(tails.metrics.tail_queue_bytes.get() > 0 && tails.metrics.tail_readers.get() == 1);
    drop(reader);
    assert_eq!((tails.metrics.tail_queue_bytes.get(), tails.metrics.tail_readers.get()), (0, 0));
    assert!(tails.readers.read().by_tenant.is_empty());
}

#[test]
fn a_stream_ends_after_what_waits_when_the_ingester_stops() {
    let tails = tails();
    let mut reader = subscribe(&tails, "t", "a");
    tails.publish(&tenant("t"), &[stream("a", &[(1, "last")])]);
    tails.close();
    assert_eq!(lines(&waiting(&mut reader).expect("it waits")), ["last"]);
    assert!(reader.next().now_or_never().expect("it has ended").is_none());
    assert!(tails.subscribe(&tenant("t"), Arc::new(Wants("a"))).is_none());
}
