//! When a table's index is built, and when old files are looked for.

use crate::{BuildError, Compactor, build_index};
use skald_model::{Day, Timestamp};
use skald_runtime::chain;
use skald_store::{TableError, TableId, Uncovered};
use std::time::Duration;
use tracing::{info, warn};

/// Bytes of objects that an index does not cover from which on it is built, however few they are.
const UNCOVERED_BYTES_MAX: u64 = 64 << 20;
/// Objects that suffice once the day is over.
const OLD_OBJECTS_MIN: usize = 2;
/// Time between two looks through the same table for files that nobody needs.
const TIDY_EVERY: Duration = Duration::from_secs(6 * 3600);

impl Compactor {
    /// Builds and publishes the indexes that are due, one table after the other. One that fails is tried again at the next run.
    pub async fn build_indexes(&self) {
        for (table, uncovered) in self.catalog.uncovered() {
            if !self.is_due(&table, &uncovered) {
                continue;
            }
            if let Err(error) = self.index_table(&table).await {
                self.metrics.index_failures.inc();
                warn!(%table, error = chain(&error), "cannot index a table, it is read by the footers of its objects");
            }
        }
    }

    fn is_due(&self, table: &TableId, uncovered: &Uncovered) -> bool {
        is_due(uncovered, table.day < Day::of(self.seams.clock.now()), self.config.compactor.index_min_objects)
    }

    async fn index_table(&self, id: &TableId) -> Result<(), IndexingError> {
        let started = self.seams.clock.monotonic();
        // Reads the manifest if nobody did: what it names is covered.
        let Some(table) = self.catalog.table(id).await else { return Ok(()) };
        if table.problem.is_some() || !self.is_due(id, &self.catalog.uncovered_of(id)) {
            return Ok(());
        }
        let built = build_index(&self.catalog, &table, self.seams.cpu.as_ref()).await?;
        for (path, error) in &built.unreadable {
            warn!(table = %id, path, error = chain(error), "left a data object out of the index, since its footer cannot be read");
        }
        let (streams, bytes) = (built.streams as u64, built.bytes.len() as u64);
        let manifest = self.catalog.publish_index(id, &built.considered, built.bytes, &self.publisher).await?;
        let seconds = self.seams.clock.monotonic().saturating_sub(started).as_secs_f64();
        self.metrics.indexes.inc();
        self.metrics.index_bytes.inc_by(bytes);
        self.metrics.index_streams.inc_by(streams);
        self.metrics.index_seconds.observe(seconds);
        info!(table = %id, manifest, objects = built.considered.len(), streams, bytes, seconds, "indexed a table");
        Ok(())
    }

    /// Removes files of tables that nobody needs any more: manifests and what only they named, a day after they had a successor.
    pub async fn tidy(&self) {
        let now = self.seams.clock.monotonic();
        let untidy = {
            let mut tidied = self.tidied.lock();
            tidied.retain(|_, at| now.saturating_sub(*at) < TIDY_EVERY);
            let mut untidy = self.catalog.untidy_tables();
            untidy.retain(|table| !tidied.contains_key(table));
            tidied.extend(untidy.iter().map(|table| (table.clone(), now)));
            untidy
        };
        if untidy.is_empty() {
            return;
        }
        let store_now = match self.catalog.store_now(self.publisher.random.as_ref()).await {
            Ok(store_now) => store_now,
            Err(error) => {
                self.metrics.tidy_failures.inc();
                self.tidied.lock().clear();
                warn!(error = chain(&error), "cannot find out what time it is for the store, old files stay for now");
                return;
            }
        };
        for table in untidy {
            self.tidy_table(&table, store_now).await;
        }
    }

    async fn tidy_table(&self, table: &TableId, store_now: Timestamp) {
        match self.catalog.tidy(table, store_now).await {
            Ok(removed) => drop(self.metrics.tidied_files.inc_by(removed as u64)),
            Err(error) => {
                self.metrics.tidy_failures.inc();
                warn!(%table, error = chain(&error), "cannot remove old files of a table, trying again later");
            }
        }
    }
}

/// Why a table was not indexed.
#[derive(Debug, thiserror::Error)]
enum IndexingError {
    #[error("build the index")]
    Build(#[from] BuildError),
    #[error("publish the index")]
    Publish(#[from] TableError),
}

fn is_due(uncovered: &Uncovered, day_is_over: bool, objects_min: usize) -> bool {
    let Uncovered { objects, bytes, is_damaged } = *uncovered;
    objects > 0 && (is_damaged || objects >= objects_min || bytes >= UNCOVERED_BYTES_MAX || (day_is_over && objects >= OLD_OBJECTS_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(objects: usize, bytes: u64, is_damaged: bool, day_is_over: bool, want: bool) {
        assert_eq!(is_due(&Uncovered { objects, bytes, is_damaged }, day_is_over, 8), want);
    }

    #[test]
    fn an_index_is_built_for_many_objects_for_large_ones_and_for_days_that_are_over() {
        check(0, 0, false, true, false);
        check(7, 1000, false, false, false);
        check(8, 1000, false, false, true);
        check(1, UNCOVERED_BYTES_MAX, false, false, true);
        check(1, 1000, false, true, false);
        check(2, 1000, false, true, true);
        check(1, 1000, true, false, true);
    }
}
