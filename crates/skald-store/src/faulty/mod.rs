//! An object store with faults on demand, for the tests of all that stands on one.

mod rule;
#[cfg(test)]
mod tests;

pub use rule::{Fault, FaultRule};

use crate::{ObjectMeta, ObjectStore, Operation, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::oneshot;
use futures::future::pending;
use parking_lot::Mutex;
use skald_model::seam::{Clock, Random};
use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Wraps a store; calls go wrong as the rules say that were [injected](FaultyStore::inject), all others go through.
///
/// Of several rules that would take a call, the one injected first does. What is done, is done by the store inside, which a test may
/// look at directly.
///
/// ```
/// # use skald_store::{Fault, FaultyStore, MemoryStore, ObjectStore, Operation};
/// # use skald_testkit::SimWorld;
/// # use std::{sync::Arc, time::Duration};
/// # let world = SimWorld::new(1);
/// let store = FaultyStore::new(Arc::new(MemoryStore::new()), world.clock.clone(), world.random.clone());
/// store.inject(Fault::Fail.on(Operation::Get).inside("tenant/").times(2)); // The next two reads in a folder fail.
/// store.inject(Fault::LoseAnswer.on(Operation::PutIfAbsent).after(1).times(1)); // The second put is done, and says that it failed.
/// store.inject(Fault::Slow(Duration::from_secs(1)).always().with_probability(0.1)); // A tenth of all calls takes a second.
/// # futures::executor::block_on(async {
/// assert!(store.get_range("tenant/a", 0..1).await.is_err());
/// # });
/// assert_eq!(store.traffic(Operation::Get).requests, 1);
/// store.clear(); // From here on nothing goes wrong.
/// ```
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rules: Vec<FaultRule>,
    hanging: Vec<oneshot::Sender<()>>,
    late: Vec<LateCall>,
    /// Names in the order of their puts.
    put_order: Vec<String>,
    traffic: BTreeMap<Operation, Traffic>,
    calls: Vec<(Operation, String)>,
}

/// What went through for one operation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Calls, those that failed among them.
    pub requests: u64,
    /// Bytes of bodies that came to puts, or that reads gave.
    pub bytes: u64,
}

/// A put or delete that arrives when nobody waits for it any more.
#[derive(Clone)]
enum LateCall {
    Put(String, Bytes),
    PutIfAbsent(String, Bytes),
    Delete(String),
}

impl FaultyStore {
    /// A store on which nothing goes wrong yet. `random` decides what rules with a probability take, and which bit is turned over.
    pub fn new(inner: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Arc<Self> {
        Arc::new(FaultyStore { inner, clock, random, state: Mutex::default() })
    }

    /// Adds a rule behind those that are there.
    pub fn inject(&self, rule: FaultRule) {
        self.state.lock().rules.push(rule);
    }

    /// Drops all rules. What hangs goes on hanging.
    pub fn clear(&self) {
        self.state.lock().rules.clear();
    }

    /// Lets all go on that hang.
    pub fn release(&self) {
        let hanging = std::mem::take(&mut self.state.lock().hanging);
        for call in hanging {
            // Who stopped waiting needs no release.
            let _ = call.send(());
        }
    }

    /// How many calls hang whose callers still wait.
    pub fn hanging(&self) -> usize {
        let mut state = self.state.lock();
        state.hanging.retain(|call| !call.is_canceled());
        state.hanging.len()
    }

    /// Does what [`Fault::Late`] held back, in the order of the calls. Gives how many of them there were.
    pub async fn deliver_late(&self) -> usize {
        let late = std::mem::take(&mut self.state.lock().late);
        for call in late.iter().cloned() {
            // Nobody hears the answer.
            let _ = match call {
                LateCall::Put(name, bytes) => self.inner.put(&name, bytes).await,
                LateCall::PutIfAbsent(name, bytes) => self.inner.put_if_absent(&name, bytes).await,
                LateCall::Delete(name) => self.inner.delete(&name).await,
            };
        }
        late.len()
    }

    /// What went through for `operation` since the store was made.
    pub fn traffic(&self, operation: Operation) -> Traffic {
        self.state.lock().traffic.get(&operation).copied().unwrap_or_default()
    }

    /// Calls of all operations since the store was made.
    pub fn requests(&self) -> u64 {
        self.state.lock().traffic.values().map(|traffic| traffic.requests).sum()
    }

    /// The calls since this was last asked, in order, with their names or prefixes.
    pub fn take_calls(&self) -> Vec<(Operation, String)> {
        std::mem::take(&mut self.state.lock().calls)
    }

    fn fault_of(&self, operation: Operation, name: &str) -> Option<Fault> {
        let mut state = self.state.lock();
        state.traffic.entry(operation).or_default().requests += 1;
        state.calls.push((operation, name.to_owned()));
        let draw = || self.random.next_u64() as f64 / u64::MAX as f64;
        let fault = state.rules.iter_mut().find_map(|rule| rule.takes(operation, name, draw).then_some(rule.fault));
        state.rules.retain(|rule| !rule.is_spent());
        fault
    }

    fn count_bytes(&self, operation: Operation, bytes: u64) {
        self.state.lock().traffic.entry(operation).or_default().bytes += bytes;
    }

    async fn hang(&self) {
        let (release, released) = oneshot::channel();
        self.state.lock().hanging.push(release);
        // The store is gone: nobody can release it any more, and nobody waits.
        let _ = released.await;
    }

    /// Does `work`, or what `fault` makes of it.
    async fn call<T>(
        &self,
        fault: Option<Fault>,
        operation: Operation,
        name: &str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let failed = || StoreError::Io { operation: operation.name(), name: name.to_owned(), source: io::Error::other("injected fault") };
        match fault {
            Some(Fault::Fail) => return Err(failed()),
            Some(Fault::Answer(error)) => return Err(error(name)),
            Some(Fault::Hang) => self.hang().await,
            Some(Fault::Late) => return pending().await,
            Some(Fault::Slow(duration)) => self.clock.sleep(duration).await,
            Some(Fault::LoseAnswer | Fault::HoldAnswer | Fault::Truncate | Fault::FlipBit | Fault::HideNewest(_)) | None => {}
        }
        let done = work.await;
        match fault {
            Some(Fault::LoseAnswer) => return Err(failed()),
            Some(Fault::HoldAnswer) => self.hang().await,
            _ => {}
        }
        done
    }

    /// A call that changes something, and how it arrives when it is late.
    async fn change(
        &self,
        operation: Operation,
        late: LateCall,
        name: &str,
        work: impl Future<Output = Result<(), StoreError>> + Send,
    ) -> Result<(), StoreError> {
        let fault = self.fault_of(operation, name);
        if let Some(Fault::Late) = fault {
            self.state.lock().late.push(late);
        }
        self.call(fault, operation, name, work).await
    }

    fn note_put(&self, name: &str) {
        let order = &mut self.state.lock().put_order;
        order.retain(|known| known != name);
        order.push(name.to_owned());
    }

    fn spoil(&self, fault: Option<Fault>, bytes: Bytes) -> Bytes {
        match fault {
            Some(Fault::Truncate) => bytes.slice(..bytes.len() / 2),
            Some(Fault::FlipBit) if !bytes.is_empty() => {
                let mut bytes = bytes.to_vec();
                let bit = self.random.next_u64() % (bytes.len() as u64 * 8);
                bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
                bytes.into()
            }
            _ => bytes,
        }
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.count_bytes(Operation::Put, bytes.len() as u64);
        let late = LateCall::Put(name.to_owned(), bytes.clone());
        let work = async { self.inner.put(name, bytes).await.inspect(|()| self.note_put(name)) };
        self.change(Operation::Put, late, name, work).await
    }

    async fn put_if_absent(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.count_bytes(Operation::PutIfAbsent, bytes.len() as u64);
        let late = LateCall::PutIfAbsent(name.to_owned(), bytes.clone());
        let work = async { self.inner.put_if_absent(name, bytes).await.inspect(|()| self.note_put(name)) };
        self.change(Operation::PutIfAbsent, late, name, work).await
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let fault = self.fault_of(Operation::Get, name);
        let bytes = self.call(fault, Operation::Get, name, self.inner.get_range(name, range)).await?;
        self.count_bytes(Operation::Get, bytes.len() as u64);
        Ok(self.spoil(fault, bytes))
    }

    async fn get_ranges(&self, name: &str, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, StoreError> {
        let fault = self.fault_of(Operation::Get, name);
        let parts = self.call(fault, Operation::Get, name, self.inner.get_ranges(name, ranges)).await?;
        self.count_bytes(Operation::Get, parts.iter().map(|part| part.len() as u64).sum());
        Ok(parts.into_iter().map(|part| self.spoil(fault, part)).collect())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        let fault = self.fault_of(Operation::List, prefix);
        let mut listed = self.call(fault, Operation::List, prefix, self.inner.list(prefix)).await?;
        if let Some(Fault::HideNewest(hidden)) = fault {
            let names: HashSet<&str> = listed.iter().map(|meta| meta.name.as_str()).collect();
            let state = self.state.lock();
            let newest = state.put_order.iter().rev().filter(|name| names.contains(name.as_str()));
            let newest: HashSet<String> = newest.take(hidden).cloned().collect();
            listed.retain(|meta| !newest.contains(&meta.name));
        }
        Ok(listed)
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.change(Operation::Delete, LateCall::Delete(name.to_owned()), name, self.inner.delete(name)).await
    }
}
