use super::*;
use crate::test_disk::TestDisk;
use crate::{ByteSize, Mode};
use futures::channel::oneshot;
use futures::future::BoxFuture;
use skald_model::Timestamp;
use skald_model::seam::Job;
use std::task::{Context, Poll};

const FILE: &str = "/etc/overrides.yaml";
const GOOD: &str = "
overrides:
  small:
    max_line_size: 200B
    max_query_length: 2h
    required_labels: [app]
  team.a: {volume_enabled: false}
  17: {max_query_series: 3}
";

fn config() -> Config {
    let mut config = Config::defaults(Mode::Service, ByteSize::gib(4));
    config.limits_config.max_query_series = 70;
    config.runtime_config.file = Some(FILE.into());
    config
}

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).expect("tests name tenants rightly")
}

fn loaded(text: &str) -> (Arc<TestDisk>, Result<Arc<Overrides>, ConfigError>) {
    let disk = Arc::new(TestDisk::with(&[(FILE, text)]));
    let overrides = Overrides::load(&config(), Arc::clone(&disk) as Arc<dyn Disk>);
    (disk, overrides)
}

#[test]
fn tenants_have_their_own_limits_over_the_common_ones() {
    let overrides = loaded(GOOD).1.expect("the file is right");
    let small = overrides.limits(&tenant("small"));
    assert_eq!((small.max_line_size, small.max_query_series), (ByteSize(200), 70));
    assert_eq!(small.max_query_length, Duration::from_secs(7200));
    assert_eq!(small.required_labels, ["app"]);
    assert!(!overrides.limits(&tenant("team.a")).volume_enabled);
    assert_eq!(overrides.limits(&tenant("17")).max_query_series, 3);
    assert_eq!(*overrides.limits(&tenant("other")), config().limits_config);
}

#[test]
fn without_a_file_all_tenants_have_the_common_limits() {
    let overrides = Overrides::load(&Config::default(), Arc::new(TestDisk::default())).expect("there is nothing to read");
    assert!(!overrides.reload().expect("there is nothing to read"));
    assert_eq!(*overrides.limits(&tenant("any")), Limits::default());
}

#[test]
fn every_problem_is_reported_with_its_place() {
    let wrong = "
overides: {}
overrides:
  a:
    max_line_sise: 1
    query_timeout: soon
  b/c: {}
  d: 5
  e: {deletion_mode: maybe}
";
    let error = loaded(wrong).1.expect_err("six things are wrong").to_string();
    let mut lines: Vec<_> = error.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "/etc/overrides.yaml:2:1: overides: unknown key; known here: overrides",
            "/etc/overrides.yaml:5:5: overrides.a.max_line_sise: unknown key; did you mean 'max_line_size'?",
            "/etc/overrides.yaml:6:20: overrides.a.query_timeout: expected a duration such as 30s, 1h30m or 7d, found 'soon'",
            "/etc/overrides.yaml:7:3: overrides.b/c: tenant ID 'b/c' contains unsupported character '/'",
            "/etc/overrides.yaml:8:6: overrides.d: expected limits",
            "/etc/overrides.yaml:9:22: overrides.e.deletion_mode: 'maybe' is not one of disabled, filter-only, filter-and-delete",
        ]
    );
}

#[test]
fn a_file_that_is_wrong_leaves_the_last_good_limits() {
    let (disk, overrides) = loaded(GOOD);
    let overrides = overrides.expect("the file is right");
    disk.set(FILE, "overrides: {small: {max_line_size: big}}");
    assert!(overrides.reload().is_err());
    assert!(overrides.last_error().is_some_and(|error| error.contains("expected a size")));
    assert_eq!(overrides.limits(&tenant("small")).max_line_size, ByteSize(200));
    disk.set(FILE, "overrides: {small: {max_line_size: 300B}}");
    assert!(overrides.reload().expect("the file is right again"));
    assert!(!overrides.reload().expect("nothing changed"));
    assert_eq!(overrides.last_error(), None);
    assert_eq!(overrides.limits(&tenant("small")).max_line_size, ByteSize(300));
    assert_eq!(overrides.tenant_count(), 1);
}

/// A clock that stands still until it is told, and a spawner that keeps its one task for the test to poll.
#[derive(Default)]
struct ByHand {
    sleeping: Mutex<Option<(Duration, oneshot::Sender<()>)>>,
    task: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl Clock for ByHand {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (wake, woken) = oneshot::channel();
        *self.sleeping.lock().expect("no test panics while it holds this") = Some((duration, wake));
        Box::pin(async move {
            let _ = woken.await;
        })
    }
}

impl Spawner for ByHand {
    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        *self.task.lock().expect("no test panics while it holds this") = Some(task);
    }

    fn spawn_blocking(&self, job: Job) {
        job();
    }

    fn spawn_thread(&self, _name: &'static str, job: Job) {
        job();
    }
}

#[test]
fn watching_puts_changes_into_force_and_ends_with_the_limits() {
    let (disk, overrides) = loaded(GOOD);
    let overrides = overrides.expect("the file is right");
    let hand = Arc::new(ByHand::default());
    overrides.watch(Arc::clone(&hand) as Arc<dyn Clock>, Arc::clone(&hand) as Arc<dyn Spawner>);
    let mut task = hand.task.lock().expect("nothing panicked").take().expect("a task was started");
    let mut context = Context::from_waker(std::task::Waker::noop());
    let mut after_sleep = |change: Option<&str>| {
        assert!(task.as_mut().poll(&mut context).is_pending());
        let (slept, wake) = hand.sleeping.lock().expect("nothing panicked").take().expect("it sleeps between looks");
        assert_eq!(slept, Duration::from_secs(10));
        if let Some(text) = change {
            disk.set(FILE, text);
        }
        wake.send(()).expect("it waits");
        task.as_mut().poll(&mut context)
    };
    assert_eq!(after_sleep(Some("overrides: {small: {max_line_size: 300B}}")), Poll::Pending);
    assert_eq!(overrides.limits(&tenant("small")).max_line_size, ByteSize(300));
    assert_eq!(after_sleep(Some("overrides: [")), Poll::Pending);
    assert_eq!(overrides.limits(&tenant("small")).max_line_size, ByteSize(300));
    drop(overrides);
    assert_eq!(after_sleep(None), Poll::Ready(()));
}
