use super::testing::{FakeSource, FakeTransport, Lines, Sent, compress, status};
use super::transport::{Answer, TransportError};
use super::*;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use skald_testkit::SimWorld;
use std::time::Duration;

/// Clients that run in simulated time.
struct Bench {
    world: SimWorld,
    registry: Registry,
    metrics: Arc<DeliveryMetrics>,
    clients: Vec<(Client, Box<dyn BatchSource>)>,
    delivery: Option<Delivery>,
}

impl Bench {
    fn new() -> Self {
        let mut registry = Registry::default();
        let metrics = DeliveryMetrics::register(&mut registry);
        Bench { world: SimWorld::new(1), registry, metrics, clients: Vec::new(), delivery: None }
    }

    /// One client, and the lines `a` and so on as batches of their own.
    fn of(config: &str, source: &FakeSource, transport: &Arc<FakeTransport>) -> Self {
        let mut bench = Bench::new();
        bench.client(config, source, transport);
        bench
    }

    fn client(&mut self, config: &str, source: &FakeSource, transport: &Arc<FakeTransport>) {
        let config: ClientConfig = serde_saphyr::from_str(&format!("url: http://h:1/push\n{config}")).expect("settings");
        assert_eq!(config.problems(), [""; 0]);
        self.clients.push((Client { config, transport: transport.clone() }, Box::new(source.clone())));
    }

    fn start(&mut self) {
        self.delivery = Some(Delivery::start(std::mem::take(&mut self.clients), &self.world.seams(), &self.metrics));
        self.world.spawner.run_until_idle();
    }

    fn advance(&self, by: Duration) {
        self.world.clock.advance(by);
        self.world.spawner.run_until_idle();
    }

    /// Lets time pass until no client waits for it; gives how much that was.
    fn settle(&mut self) -> Duration {
        if self.delivery.is_none() {
            self.start();
        }
        let began = self.world.seams().clock.monotonic();
        while self.world.clock.advance_to_next_sleeper() {
            self.world.spawner.run_until_idle();
        }
        self.world.seams().clock.monotonic() - began
    }

    #[track_caller]
    fn counts(&self, line: &str) {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("strings take all");
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
}

fn source_of(batches: &[&str]) -> FakeSource {
    let source = FakeSource::default();
    batches.iter().for_each(|line| source.add(None, &[line]));
    source
}

fn dead() -> Result<Answer, TransportError> {
    Err(TransportError::TimedOut(Duration::from_secs(10)))
}

#[test]
fn batches_of_a_tenant_arrive_in_order_each_once() {
    let source = source_of(&["a", "b", "c"]);
    let transport = FakeTransport::new(|nth, _| if nth % 2 == 0 { dead() } else { status(204) });
    let mut bench = Bench::of("tenant_id: t", &source, &transport);
    bench.settle();
    assert_eq!(transport.lines(), [["a"], ["a"], ["b"], ["b"], ["c"], ["c"]]);
    assert!(transport.sent.lock().iter().all(|sent| sent.tenant.as_deref() == Some("t")));
    assert_eq!(source.acked(), [0, 1, 2]);
    bench.counts(r#"promtail_sent_entries_total{host="h:1"} 3"#);
    bench.counts(r#"promtail_batch_retries_total{host="h:1",tenant="t"} 3"#);
    let bytes = 3 * compress(&vec![("{a=\"1\"}".to_owned(), vec!["a".to_owned()])]).len();
    bench.counts(&format!(r#"promtail_encoded_bytes_total{{host="h:1"}} {bytes}"#));
    bench.counts(&format!(r#"promtail_sent_bytes_total{{host="h:1"}} {bytes}"#));
    bench.counts(r#"promtail_request_duration_seconds_count{status_code="-1",host="h:1"} 3"#);
    bench.counts(r#"promtail_client_pending_batches{host="h:1"} 0"#);
}

#[test]
fn a_batch_is_tried_until_it_is_taken_whatever_the_status_says_but_about_its_entries() {
    for code in [302, 401, 403, 404, 405, 407, 408, 429, 500, 502, 503] {
        let source = source_of(&["a"]);
        let transport = FakeTransport::new(move |nth, _| if nth < 40 { status(code) } else { status(204) });
        let mut bench = Bench::of("", &source, &transport);
        assert!(bench.settle() > Duration::from_secs(3600), "{code}");
        assert_eq!(source.acked(), [0], "{code}");
        bench.counts(r#"promtail_dropped_entries_total{host="h:1",tenant="",reason="ingester_error"} 0"#);
    }
}

#[test]
fn a_configured_number_of_retries_is_honoured() {
    for (code, reason) in [(500, "ingester_error"), (401, "ingester_error"), (429, "rate_limited")] {
        let source = source_of(&["abc", "de"]);
        let transport = FakeTransport::new(move |_, sent| if sent.lines == ["abc"] { status(code) } else { status(204) });
        let mut bench = Bench::of("backoff_config: {max_retries: 3}", &source, &transport);
        bench.settle();
        assert_eq!(transport.lines(), [["abc"], ["abc"], ["abc"], ["abc"], ["de"]], "{code}");
        assert_eq!(source.acked(), [0, 1]);
        bench.counts(&format!(r#"promtail_dropped_entries_total{{host="h:1",tenant="",reason="{reason}"}} 1"#));
        bench.counts(&format!(r#"promtail_dropped_bytes_total{{host="h:1",tenant="",reason="{reason}"}} 3"#));
    }
}

#[test]
fn rate_limited_batches_are_dropped_at_once_if_that_is_configured() {
    let source = source_of(&["a", "b"]);
    let transport = FakeTransport::new(|nth, _| if nth == 0 { status(429) } else { status(204) });
    let mut bench = Bench::of("drop_rate_limited_batches: true", &source, &transport);
    assert_eq!(bench.settle(), Duration::ZERO);
    assert_eq!(transport.lines(), [["a"], ["b"]]);
    bench.counts(r#"promtail_dropped_entries_total{host="h:1",tenant="",reason="rate_limited"} 1"#);
}

#[test]
fn a_server_that_asks_for_time_gets_it() {
    let source = source_of(&["a"]);
    let transport = FakeTransport::new(|nth, _| match nth {
        0 => Ok(Answer { status: 429, retry_after: Some("40".to_owned()), ..Answer::default() }),
        _ => status(204),
    });
    let mut bench = Bench::of("", &source, &transport);
    bench.start();
    bench.counts(r#"promtail_client_waiting_tenants{host="h:1",cause="rate_limited"} 1"#);
    bench.advance(Duration::from_secs(39));
    assert_eq!(transport.lines().len(), 1);
    bench.advance(Duration::from_secs(1));
    assert_eq!(source.acked(), [0]);
    bench.counts(r#"promtail_client_waiting_tenants{host="h:1",cause="rate_limited"} 0"#);
}

#[test]
fn a_tenant_that_waits_holds_up_no_other() {
    let source = FakeSource::default();
    for line in ["1", "2", "3"] {
        source.add(Some("slow"), &[line]);
        source.add(Some("fast"), &[line]);
        source.add(None, &[line]);
    }
    let transport = FakeTransport::new(|_, sent: &Sent| if sent.tenant.as_deref() == Some("slow") { status(429) } else { status(204) });
    let mut bench = Bench::of("", &source, &transport);
    bench.start();
    assert_eq!(source.acked(), [1, 2, 4, 5, 7, 8]);
    let slow = transport.sent.lock().iter().filter(|sent| sent.tenant.is_some()).filter(|sent| sent.lines == ["1"]).count();
    assert_eq!(slow, 2, "one of each tenant, and no second of the slow one");
    bench.counts(r#"promtail_client_pending_batches{host="h:1"} 3"#);
    bench.counts(r#"promtail_client_pending_entries{host="h:1"} 3"#);
}

#[test]
fn requests_on_their_way_are_bounded() {
    let source = FakeSource::default();
    (0..20).for_each(|tenant| source.add(Some(&format!("t{tenant}")), &["a"]));
    let transport = FakeTransport::slow(Duration::from_secs(1), |_, _| status(204));
    let mut bench = Bench::of("", &source, &transport);
    transport.set_clock(bench.world.clock.clone());
    bench.start();
    assert_eq!((transport.lines().len(), source.reads()), (8, 8));
    assert_eq!(bench.settle(), Duration::from_secs(3));
    assert_eq!(source.acked().len(), 20);
}

#[test]
fn a_tenant_that_no_server_can_have_holds_up_nothing() {
    let source = FakeSource::default();
    source.add(Some("no\ntenant"), &["lost"]);
    source.add(Some("team"), &["a"]);
    source.add(Some(""), &["b"]);
    let transport = FakeTransport::new(|_, _| status(204));
    let mut bench = Bench::of("tenant_id: own", &source, &transport);
    bench.start();
    let sent: Vec<_> = transport.sent.lock().iter().map(|sent| (sent.tenant.clone(), sent.lines.concat())).collect();
    assert_eq!(sent, [(Some("team".to_owned()), "a".to_owned()), (Some("own".to_owned()), "b".to_owned())]);
    assert_eq!(source.acked().len(), 3);
    bench.counts(r#"promtail_dropped_entries_total{host="h:1",tenant="no\ntenant",reason="invalid_tenant"} 1"#);
}

#[test]
fn external_labels_are_added_to_wholes_and_parts() {
    let source = FakeSource::default();
    source.add(None, &["good", "bad"]);
    let transport = FakeTransport::new(|_, sent| if sent.lines.iter().any(|line| line == "bad") { status(400) } else { status(204) });
    let mut bench = Bench::of("external_labels: {cluster: eu, a: never}", &source, &transport);
    bench.settle();
    assert_eq!(transport.lines(), [vec!["good", "bad"], vec!["good"], vec!["bad"]]);
    assert!(transport.sent.lock().iter().all(|sent| sent.streams == [r#"{a="1", cluster="eu"}"#]));
}

#[test]
fn a_dead_server_holds_up_no_other_client() {
    let (first, second) = (source_of(&["a", "b"]), source_of(&["a", "b"]));
    let mut bench = Bench::new();
    let alive = FakeTransport::new(|_, _| status(204));
    bench.client("name: dead", &first, &FakeTransport::new(|_, _| dead()));
    bench.client("name: alive", &second, &alive);
    bench.start();
    assert_eq!((first.acked().len(), second.acked().len()), (0, 2));
}

#[test]
fn only_the_refused_entry_is_left_out() {
    for code in [400, 422] {
        let source = FakeSource::default();
        let lines = |from: usize, to: usize| (from..to).map(|at| format!("line {at}")).collect::<Vec<_>>();
        let batch: Lines = (0..10).map(|stream| (format!("{{s=\"{stream}\"}}"), lines(stream * 30, stream * 30 + 30))).collect();
        source.add_streams(Some("t"), &batch);
        let transport =
            FakeTransport::new(move |_, sent| if sent.lines.iter().any(|line| line == "line 137") { status(code) } else { status(204) });
        let mut bench = Bench::of("", &source, &transport);
        assert_eq!(bench.settle(), Duration::ZERO);
        let taken: Vec<String> = transport.lines().into_iter().filter(|lines| !lines.contains(&"line 137".to_owned())).flatten().collect();
        let mut want = lines(0, 300);
        want.remove(137);
        let mut sorted = taken.clone();
        sorted.sort_by_key(|line| line[5..].parse::<usize>().expect("a number"));
        assert_eq!(sorted, want, "each once");
        assert_eq!(source.acked(), [0]);
        assert_eq!(source.reads(), 2, "as a whole, and to take it apart");
        bench.counts(r#"promtail_dropped_entries_total{host="h:1",tenant="t",reason="ingester_error"} 1"#);
        bench.counts(r#"promtail_dropped_bytes_total{host="h:1",tenant="t",reason="ingester_error"} 8"#);
        bench.counts(r#"promtail_sent_entries_total{host="h:1"} 299"#);
    }
}

#[test]
fn a_search_goes_on_where_it_was_after_a_wait() {
    let source = FakeSource::default();
    source.add(None, &["good", "bad", "fine"]);
    let transport = FakeTransport::new(|nth, sent| match nth % 3 {
        0 if sent.lines.iter().any(|line| line == "bad") => status(400),
        0 => status(204),
        _ => dead(),
    });
    let mut bench = Bench::of("backoff_config: {max_retries: 2}", &source, &transport);
    bench.settle();
    let tried: Vec<String> = transport.lines().iter().map(|lines| lines.join(" ")).collect();
    assert_eq!(tried[..4], ["good bad fine", "good", "good", "good"]);
    assert!(source.reads() > 2, "taken apart anew after each wait");
    assert_eq!(source.acked(), [0]);
    bench.counts(r#"promtail_dropped_entries_total{host="h:1",tenant="",reason="ingester_error"} 1"#);
    bench.counts(r#"promtail_sent_entries_total{host="h:1"} 2"#);
}

#[test]
fn what_is_left_of_a_search_is_counted_when_it_is_given_up() {
    let source = FakeSource::default();
    source.add(None, &["good", "bad", "fine"]);
    let transport = FakeTransport::new(|nth, _| match nth {
        0 => status(400),
        1 => status(204),
        _ => status(500),
    });
    let mut bench = Bench::of("backoff_config: {max_retries: 1}", &source, &transport);
    bench.settle();
    assert_eq!(transport.lines().len(), 4);
    bench.counts(r#"promtail_dropped_entries_total{host="h:1",tenant="",reason="ingester_error"} 2"#);
    bench.counts(r#"promtail_dropped_bytes_total{host="h:1",tenant="",reason="ingester_error"} 7"#);
}

#[test]
fn a_batch_that_is_too_large_goes_in_parts() {
    let source = FakeSource::default();
    source.add(None, &["1", "2", "3", "4", "5", "6"]);
    let transport = FakeTransport::new(|_, sent| if sent.lines.len() > 2 { status(413) } else { status(204) });
    let mut bench = Bench::of("", &source, &transport);
    bench.settle();
    let taken: Vec<String> = transport.lines().into_iter().filter(|lines| lines.len() <= 2).flatten().collect();
    assert_eq!(taken, ["1", "2", "3", "4", "5", "6"]);
    bench.counts(r#"promtail_dropped_entries_total{host="h:1",tenant="",reason="ingester_error"} 0"#);
    bench.counts(r#"promtail_sent_entries_total{host="h:1"} 6"#);
}

#[test]
fn a_page_for_people_is_no_answer_of_a_log_server() {
    for code in [200, 400] {
        let source = source_of(&["a"]);
        let page = Answer { status: code, page: true, ..Answer::default() };
        let transport = FakeTransport::new(move |nth, _| if nth < 3 { Ok(page.clone()) } else { status(204) });
        let mut bench = Bench::of("", &source, &transport);
        bench.settle();
        assert_eq!((transport.lines().len(), source.acked()), (4, vec![0]));
        bench.counts(r#"promtail_sent_entries_total{host="h:1"} 1"#);
    }
}

#[test]
fn damage_in_the_spool_costs_the_batch_and_a_disk_that_is_away_does_not() {
    let source = source_of(&["a"]);
    let transport = FakeTransport::new(|_, _| status(204));
    source.break_reads(2);
    let mut bench = Bench::of("", &source, &transport);
    bench.settle();
    assert_eq!((transport.lines(), source.acked()), (vec![vec!["a".to_owned()]], vec![0]));
    source.damage();
    source.add(None, &["b", "c"]);
    bench.world.spawner.run_until_idle();
    assert_eq!((transport.lines().len(), source.acked()), (1, vec![0, 1]));
    bench.counts(r#"promtail_dropped_entries_total{host="h:1",tenant="",reason="damaged"} 2"#);
}

#[test]
fn what_waits_is_not_kept_in_memory() {
    let source = source_of(&["a", "b", "c"]);
    let transport = FakeTransport::new(|nth, _| if nth < 2 { dead() } else { status(204) });
    let mut bench = Bench::of("", &source, &transport);
    bench.start();
    assert_eq!((source.untouched(), source.reads()), (0, 1), "three references, one batch");
    bench.settle();
    assert_eq!(source.reads(), 5, "read again for each try");
}

#[test]
fn references_are_read_ahead_up_to_a_bound() {
    let source = FakeSource::default();
    (0..lanes::READ_AHEAD_MAX + 5).for_each(|_| source.add(None, &["a"]));
    let mut bench = Bench::of("", &source, &FakeTransport::new(|_, _| dead()));
    bench.start();
    assert_eq!(source.untouched(), 5);
}

#[test]
fn after_a_stop_nothing_is_begun_and_the_rest_stays_with_the_source() {
    let source = FakeSource::default();
    for (tenant, line) in [("live", "a"), ("dead", "b"), ("dead", "c")] {
        source.add(Some(tenant), &[line]);
    }
    let transport = FakeTransport::new(|_, sent| if sent.tenant.as_deref() == Some("dead") { dead() } else { status(204) });
    let mut bench = Bench::of("", &source, &transport);
    bench.start();
    let delivery = bench.delivery.take().expect("it runs");
    bench.world.spawner.run(delivery.stop());
    assert_eq!(source.acked(), [0]);
    let sent = transport.lines().len();
    source.add(Some("live"), &["d"]);
    while bench.world.clock.advance_to_next_sleeper() {
        bench.world.spawner.run_until_idle();
    }
    assert_eq!((source.untouched(), transport.lines().len()), (1, sent));
    bench.counts(r#"promtail_client_pending_batches{host="h:1"} 0"#);
    bench.counts(r#"promtail_client_waiting_tenants{host="h:1",cause="connection"} 0"#);
}

#[test]
fn a_request_on_its_way_finishes_before_a_stop_is_done() {
    let source = source_of(&["a", "b"]);
    let transport = FakeTransport::slow(Duration::from_secs(3), |_, _| status(204));
    let mut bench = Bench::of("", &source, &transport);
    transport.set_clock(bench.world.clock.clone());
    bench.start();
    let delivery = bench.delivery.take().expect("it runs");
    let (done, mut is_done) = oneshot::channel();
    let stop = async move {
        delivery.stop().await;
        let _ = done.send(());
    };
    bench.world.seams().spawner.spawn("stop", stop.boxed());
    bench.advance(Duration::from_secs(2));
    assert_eq!((is_done.try_recv(), source.acked()), (Ok(None), vec![]));
    bench.advance(Duration::from_secs(1));
    assert_eq!((is_done.try_recv(), source.acked()), (Ok(Some(())), vec![0]));
    assert_eq!(transport.lines(), [["a"]]);
}

#[test]
fn a_stop_ends_a_search() {
    let source = FakeSource::default();
    source.add(None, &["1", "2", "3", "4"]);
    let transport = FakeTransport::slow(Duration::from_secs(1), |_, _| status(400));
    let mut bench = Bench::of("", &source, &transport);
    transport.set_clock(bench.world.clock.clone());
    bench.start();
    bench.advance(Duration::from_secs(1));
    let delivery = bench.delivery.take().expect("it runs");
    bench.world.seams().spawner.spawn("stop", delivery.stop().boxed());
    bench.world.spawner.run_until_idle();
    while bench.world.clock.advance_to_next_sleeper() {
        bench.world.spawner.run_until_idle();
    }
    assert_eq!((transport.lines().len(), source.acked()), (2, vec![]));
    bench.counts(r#"promtail_dropped_entries_total{host="h:1",tenant="",reason="ingester_error"} 0"#);
}

#[test]
fn a_source_that_ends_is_sent_to_its_end() {
    let source = source_of(&["a", "b"]);
    let mut bench = Bench::of("", &source, &FakeTransport::new(|nth, _| if nth == 0 { dead() } else { status(204) }));
    source.close();
    bench.settle();
    assert_eq!(source.acked(), [0, 1]);
    bench.world.spawner.run(bench.delivery.take().expect("it runs").stop());
}
