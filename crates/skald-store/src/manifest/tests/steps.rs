use crate::{MemoryStore, ObjectMeta, ObjectStore, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::ops::Range;

type Act = Box<dyn FnOnce(&MemoryStore) + Send>;

/// A store that counts the steps of its user, and lets another one act before one of them. Each call is a step; a listing takes one for each name that
/// it finds, as one of pages may.
pub(super) struct Steps {
    inner: MemoryStore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: usize,
    act: Option<(usize, Act)>,
    puts_twice: bool,
}

impl Steps {
    pub(super) fn new() -> Self {
        Self::over(MemoryStore::new())
    }

    pub(super) fn over(inner: MemoryStore) -> Self {
        Steps { inner, state: Mutex::default() }
    }

    /// What lies behind, without steps.
    pub(super) fn inner(&self) -> &MemoryStore {
        &self.inner
    }

    /// Has `act` done before this step, counted from 0.
    pub(super) fn before(&self, step: usize, act: impl FnOnce(&MemoryStore) + Send + 'static) {
        self.state.lock().act = Some((step, Box::new(act)));
    }

    /// Each put is done twice, and gives the answer of the second.
    pub(super) fn put_twice(&self) {
        self.state.lock().puts_twice = true;
    }

    /// Whether the other one acted.
    pub(super) fn is_done(&self) -> bool {
        self.state.lock().act.is_none()
    }

    fn step(&self) {
        let mut state = self.state.lock();
        let step = state.taken;
        let due = state.act.take_if(|(at, _)| *at == step);
        state.taken += 1;
        drop(state);
        if let Some((_, act)) = due {
            act(&self.inner);
        }
    }
}

#[async_trait]
impl ObjectStore for Steps {
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.step();
        self.inner.put(name, bytes).await
    }

    async fn put_if_absent(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.step();
        let first = self.inner.put_if_absent(name, bytes.clone()).await;
        if self.state.lock().puts_twice { self.inner.put_if_absent(name, bytes).await } else { first }
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.step();
        self.inner.get_range(name, range).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, StoreError> {
        let mut listed: Vec<ObjectMeta> = Vec::new();
        loop {
            self.step();
            let now = self.inner.list(prefix).await?;
            match now.into_iter().find(|meta| listed.last().is_none_or(|last| last.name < meta.name)) {
                Some(meta) => listed.push(meta),
                None => return Ok(listed),
            }
        }
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.step();
        self.inner.delete(name).await
    }
}
