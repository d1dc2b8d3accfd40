use super::*;
use futures::channel::mpsc;
use parking_lot::Mutex;
use skald_config::{ByteSize, Config, LogFormat, LogLevel, Mode};
use std::future::pending;

type Started = Result<(), Box<dyn Error + Send + Sync>>;

/// What happened, in order.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<&'static str>>>);

impl Events {
    fn add(&self, event: &'static str) {
        self.0.lock().push(event);
    }

    /// A part that is stopped without ado.
    fn part(&self, runtime: &Runtime, name: &'static str) {
        let events = self.clone();
        runtime.on_stop(name, async move { events.add(name) });
    }
}

async fn supervised<Fut: Future<Output = Started>>(
    bound: Duration,
    start: impl FnOnce(Runtime, mpsc::UnboundedSender<&'static str>) -> Fut,
) -> ExitCode {
    let mut config = Config::defaults(Mode::SingleProcess, ByteSize::gib(1));
    config.server.graceful_shutdown_timeout = bound;
    config.server.cpu_threads = 1;
    let (send, signals) = mpsc::unbounded();
    let log_control = Logging::new(LogLevel::Info, LogFormat::Logfmt, io::sink).control;
    let kept = send.clone();
    let code = supervise("test", Loaded { defaults: config.clone(), config }, log_control, signals, |runtime| start(runtime, send)).await;
    drop(kept);
    code
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn parts_stop_in_reverse_order_after_a_signal() {
    let events = Events::default();
    let code = supervised(LONG, async |runtime, signals| {
        events.part(&runtime, "store");
        events.part(&runtime, "ingester");
        let (events, seen) = (events.clone(), runtime.clone());
        runtime.on_stop("last", async move {
            seen.stopping().await;
            assert_eq!(seen.readiness().check(), Err("Application is stopping".to_owned()));
            events.add("last");
        });
        signals.unbounded_send("SIGTERM").expect("it is waited for");
        Ok(())
    })
    .await;
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(*events.0.lock(), ["last", "ingester", "store"]);
}

#[tokio::test]
async fn a_start_that_fails_stops_what_was_started() {
    let events = Events::default();
    let code = supervised(LONG, async |runtime, _| {
        events.part(&runtime, "store");
        Err("no disk".into())
    })
    .await;
    assert_eq!((code, &**events.0.lock()), (ExitCode::FAILURE, &["store"][..]));
}

#[tokio::test]
async fn a_signal_ends_a_start_that_takes_long() {
    let events = Events::default();
    let code = supervised(LONG, async |runtime, signals| {
        events.part(&runtime, "store");
        signals.unbounded_send("SIGINT").expect("it is waited for");
        pending().await
    })
    .await;
    assert_eq!((code, &**events.0.lock()), (ExitCode::SUCCESS, &["store"][..]));
}

#[tokio::test]
async fn a_part_can_stop_the_process() {
    let events = Events::default();
    let code = supervised(LONG, async |runtime, _| {
        events.part(&runtime, "store");
        runtime.stop("the disk is gone");
        Ok(())
    })
    .await;
    assert_eq!((code, &**events.0.lock()), (ExitCode::FAILURE, &["store"][..]));
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let events = Events::default();
    let code = supervised(LONG, async |runtime, signals| {
        events.part(&runtime, "store");
        let again = signals.clone();
        runtime.on_stop("stuck", async move {
            again.unbounded_send("SIGTERM").expect("it is waited for");
            pending().await
        });
        signals.unbounded_send("SIGTERM").expect("it is waited for");
        Ok(())
    })
    .await;
    assert_eq!((code, events.0.lock().len()), (ExitCode::FAILURE, 0));
}

#[tokio::test]
async fn stopping_takes_no_longer_than_its_bound() {
    let code = supervised(Duration::from_millis(1), async |runtime, signals| {
        runtime.on_stop("stuck", pending());
        signals.unbounded_send("SIGTERM").expect("it is waited for");
        Ok(())
    })
    .await;
    assert_eq!(code, ExitCode::FAILURE);
}
