//! Names of senders, by reverse look-up: bounded in time, in number at once, and kept for a while.

use futures::future::{Either, select};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use skald_model::seam::{Clock, Spawner, run_blocking};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Longest that a sender's first message waits for the name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer is kept, also that there is no name.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// Most answers kept.
const KEPT_MAX: usize = 4096;
/// Look-ups at a time: each blocks a thread, some for longer than its sender waits.
const LOOKUPS_MAX: usize = 4;

/// Asks for the name of an address; blocks.
pub type Lookup = dyn Fn(IpAddr) -> Option<String> + Send + Sync;

/// Finds names of addresses.
pub struct HostNames {
    lookup: Arc<Lookup>,
    clock: Arc<dyn Clock>,
    spawner: Arc<dyn Spawner>,
    kept: Mutex<FxHashMap<IpAddr, Kept>>,
    permits: Arc<Semaphore>,
}

struct Kept {
    name: String,
    until: Duration,
}

impl HostNames {
    /// Names by the resolver of the system.
    pub fn of_system(clock: Arc<dyn Clock>, spawner: Arc<dyn Spawner>) -> Arc<Self> {
        Self::new(Arc::new(|address| dns_lookup::lookup_addr(&address).ok()), clock, spawner)
    }

    /// Names by `lookup`.
    pub fn new(lookup: Arc<Lookup>, clock: Arc<dyn Clock>, spawner: Arc<dyn Spawner>) -> Arc<Self> {
        Arc::new(HostNames { lookup, clock, spawner, kept: Mutex::default(), permits: Arc::new(Semaphore::new(LOOKUPS_MAX)) })
    }

    /// The name of an address, empty when it has none or nobody says it in time.
    pub async fn of(&self, address: IpAddr) -> String {
        let address = address.to_canonical();
        if let Some(name) = self.known(address) {
            return name;
        }
        let found = match select(pin!(self.ask(address)), self.clock.sleep(LOOKUP_TIMEOUT)).await {
            Either::Left((found, _)) => found,
            Either::Right(_) => None,
        };
        // The resolver says the address itself where there is no name.
        let name = found.filter(|name| name.parse::<IpAddr>().is_err()).unwrap_or_default();
        self.keep(address, name.trim_end_matches('.').to_owned())
    }

    fn known(&self, address: IpAddr) -> Option<String> {
        let now = self.clock.monotonic();
        self.kept.lock().get(&address).filter(|kept| now < kept.until).map(|kept| kept.name.clone())
    }

    async fn ask(&self, address: IpAddr) -> Option<String> {
        // Held by the job, which may outlast its caller.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let lookup = Arc::clone(&self.lookup);
        let job = move || {
            let found = lookup(address);
            drop(permit);
            found
        };
        run_blocking(&*self.spawner, job).await.ok().flatten()
    }

    fn keep(&self, address: IpAddr, name: String) -> String {
        let now = self.clock.monotonic();
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, kept| now < kept.until);
        }
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(address, Kept { name: name.clone(), until: now + KEPT_FOR });
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use skald_testkit::SimWorld;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn names(world: &SimWorld, asked: &Arc<AtomicUsize>, answer: Option<&'static str>) -> Arc<HostNames> {
        let (asked, seams) = (Arc::clone(asked), world.seams());
        let lookup = move |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            answer.map(str::to_owned)
        };
        HostNames::new(Arc::new(lookup), seams.clock, seams.spawner)
    }

    #[track_caller]
    fn ask(names: &HostNames, address: &str) -> String {
        names.of(address.parse().unwrap()).now_or_never().expect("the answer is there")
    }

    #[test]
    fn a_name_is_asked_for_once_in_a_while() {
        let (world, asked) = (SimWorld::new(1), Arc::new(AtomicUsize::new(0)));
        let names = names(&world, &asked, Some("host.example."));
        for address in ["10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1"] {
            assert_eq!(ask(&names, address), "host.example");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        world.clock.advance(KEPT_FOR);
        assert_eq!(ask(&names, "10.0.0.1"), "host.example");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn an_address_is_no_name() {
        let (world, asked) = (SimWorld::new(1), Arc::new(AtomicUsize::new(0)));
        assert_eq!(ask(&names(&world, &asked, Some("10.0.0.1")), "10.0.0.1"), "");
        assert_eq!(ask(&names(&world, &asked, None), "10.0.0.1"), "");
    }

    #[test]
    fn nobody_waits_long_for_a_name() {
        let (world, asked) = (SimWorld::new(1), Arc::new(AtomicUsize::new(0)));
        let names = names(&world, &asked, Some("host"));
        let _busy = Arc::clone(&names.permits).try_acquire_many_owned(LOOKUPS_MAX as u32).unwrap();
        assert_eq!(world.clock.drive(names.of("10.0.0.1".parse().unwrap())), "");
        assert_eq!(world.clock.monotonic(), LOOKUP_TIMEOUT);
        // Nor does the next message wait again.
        assert_eq!(ask(&names, "10.0.0.1"), "");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (world, asked) = (SimWorld::new(1), Arc::new(AtomicUsize::new(0)));
        let names = names(&world, &asked, None);
        for host in 0..KEPT_MAX as u32 + 10 {
            names.keep(IpAddr::from(host.to_be_bytes()), String::new());
        }
        assert!(names.kept.lock().len() <= KEPT_MAX);
    }
}
