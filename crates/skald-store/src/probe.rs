//! Tries out whether a store keeps racing writers apart.

use crate::{ObjectStore, StoreError};
use bytes::Bytes;
use futures::future::join_all;
use skald_model::ErrorKind;
use skald_model::seam::Random;

/// Folder of the objects that are raced for.
pub const FOLDER: &str = "~probe/";
/// Races, each for a name of its own.
const ROUNDS: usize = 3;
/// Puts that race for a name.
const RACERS: usize = 6;

/// Why a store was not found to keep racing writers apart.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It does not.
    #[error(
        "the object store does not keep writers apart: of {RACERS} that raced to put '{name}' if it was absent, {won} were told that they won"
    )]
    Winners {
        /// What was raced for.
        name: String,
        /// How many were told that they won.
        won: usize,
    },
    /// It tells one and keeps another.
    #[error("the object store does not keep writers apart: '{name}' has other bytes than those of the one put that won")]
    Overwritten {
        /// What was raced for.
        name: String,
    },
    /// The store failed before this could be told, or refused.
    #[error("try out whether the object store keeps writers apart")]
    Store(#[source] StoreError),
}

impl ProbeError {
    /// What the caller can do about it: `Unavailable` is worth another try.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Winners { .. } | Self::Overwritten { .. } => ErrorKind::NotImplemented,
            Self::Store(source) => source.kind(),
        }
    }
}

/// Proves by racing puts that of several calls of [`ObjectStore::put_if_absent`] one succeeds, and that its bytes are kept.
///
/// The names are drawn at random and removed again; what a crash or a late answer leaves behind is a few bytes in [`FOLDER`] that nobody reads.
/// `store` is the one that is used later, with its retries: a race that fails for want of them proves nothing.
///
/// # Errors
/// [`ProbeError`]; where its kind is `Unavailable`, try again, otherwise do not use the store.
pub async fn prove_put_if_absent(store: &dyn ObjectStore, random: &dyn Random) -> Result<(), ProbeError> {
    for _ in 0..ROUNDS {
        let id = random.next_id();
        let name = format!("{FOLDER}{id:032x}");
        let raced = race(store, &name, id).await;
        // The store need not have let go of it for the proof to hold, nor would anybody miss it.
        let _ = store.delete(&name).await;
        raced?;
    }
    Ok(())
}

async fn race(store: &dyn ObjectStore, name: &str, id: u128) -> Result<(), ProbeError> {
    let bytes = |racer: usize| Bytes::from(format!("{id:032x} {racer:02}"));
    let results = join_all((0..RACERS).map(|racer| store.put_if_absent(name, bytes(racer)))).await;
    let winners: Vec<usize> = (0..RACERS).filter(|racer| results[*racer].is_ok()).collect();
    let failure = results.into_iter().filter_map(Result::err).find(|error| !matches!(error, StoreError::AlreadyExists(_)));
    match (winners[..].as_ref(), failure) {
        ([], Some(failure)) => Err(ProbeError::Store(failure)),
        ([winner], failure) => {
            let won = bytes(*winner);
            let kept = store.get_range(name, 0..won.len() as u64).await.map_err(ProbeError::Store)?;
            match failure {
                _ if kept != won => Err(ProbeError::Overwritten { name: name.to_owned() }),
                Some(failure) => Err(ProbeError::Store(failure)),
                None => Ok(()),
            }
        }
        (several_or_none, _) => Err(ProbeError::Winners { name: name.to_owned(), won: several_or_none.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, FaultyStore, LocalStore, MemoryStore, Operation};
    use async_trait::async_trait;
    use futures::executor::block_on;
    use skald_testkit::SimWorld;
    use std::ops::Range;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn prove(store: &dyn ObjectStore) -> Result<(), ProbeError> {
        block_on(prove_put_if_absent(store, &*SimWorld::new(1).random))
    }

    /// Lets the first so many of all puts win.
    struct Lax {
        inner: MemoryStore,
        winners: usize,
        puts: AtomicUsize,
    }

    #[async_trait]
    impl ObjectStore for Lax {
        async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
            self.inner.put(name, bytes).await
        }
        async fn put_if_absent(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
            if self.puts.fetch_add(1, Ordering::Relaxed) < self.winners {
                return self.inner.put(name, bytes).await;
            }
            Err(StoreError::AlreadyExists(name.to_owned()))
        }
        async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
            self.inner.get_range(name, range).await
        }
        async fn list(&self, prefix: &str) -> Result<Vec<crate::ObjectMeta>, StoreError> {
            self.inner.list(prefix).await
        }
        async fn delete(&self, name: &str) -> Result<(), StoreError> {
            self.inner.delete(name).await
        }
    }

    fn faulty(inner: Arc<dyn ObjectStore>) -> Arc<FaultyStore> {
        let world = SimWorld::new(1);
        FaultyStore::new(inner, world.clock.clone(), world.random.clone())
    }

    #[test]
    fn stores_that_keep_the_promise_pass_and_are_left_clean() {
        let world = SimWorld::new(1);
        let local = LocalStore::open(world.disk.clone(), world.spawner.clone(), Path::new("/store")).unwrap();
        for store in [&local as &dyn ObjectStore, &MemoryStore::new()] {
            prove(store).unwrap();
            assert_eq!(block_on(store.list("")).unwrap(), []);
        }
    }

    #[test]
    fn a_store_where_not_exactly_one_wins_is_refused_with_how_many_did() {
        for winners in [0, 2, RACERS] {
            let store = Lax { inner: MemoryStore::new(), winners, puts: AtomicUsize::new(0) };
            let error = prove(&store).unwrap_err();
            assert!(matches!(error, ProbeError::Winners { won, .. } if won == winners), "{error}");
            assert_eq!(error.kind(), ErrorKind::NotImplemented);
            assert!(error.to_string().ends_with(&format!("{winners} were told that they won")), "{error}");
            assert_eq!(block_on(store.list("")).unwrap(), []);
        }
    }

    #[test]
    fn a_store_that_keeps_the_bytes_of_a_loser_is_refused() {
        let store = faulty(Arc::new(Lax { inner: MemoryStore::new(), winners: 2, puts: AtomicUsize::new(0) }));
        // The second to win overwrote the first, and is told that it lost.
        store.inject(Fault::LoseAnswer.on(Operation::PutIfAbsent).after(1).times(1));
        let error = prove(&*store).unwrap_err();
        assert!(matches!(error, ProbeError::Overwritten { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::NotImplemented);
    }

    #[test]
    fn a_store_that_fails_is_not_refused_but_tried_again() {
        let store = faulty(Arc::new(MemoryStore::new()));
        let faults = [
            Fault::Fail.always(),
            Fault::Fail.on(Operation::Get),
            Fault::Fail.on(Operation::PutIfAbsent).after(3).times(1),
            Fault::LoseAnswer.on(Operation::PutIfAbsent).times(1),
        ];
        for fault in faults {
            store.inject(fault.clone());
            let error = prove(&*store).unwrap_err();
            assert!(matches!(error, ProbeError::Store(_)) && error.kind() == ErrorKind::Unavailable, "{fault:?}: {error}");
            store.clear();
        }
        prove(&*store).unwrap();
    }

    #[test]
    fn what_cannot_be_removed_again_disproves_nothing() {
        let store = faulty(Arc::new(MemoryStore::new()));
        store.inject(Fault::Fail.on(Operation::Delete));
        prove(&*store).unwrap();
    }
}
