//! What a query cost, in the shape that Loki's clients read.

use serde_json::{Value, json};
use std::time::Duration;

/// Work done for one query. Parts of a query count by themselves and are added up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryStats {
    /// Bytes of lines looked at or counted, in memory.
    pub memory_bytes: u64,
    /// Entries looked at or counted, in memory.
    pub memory_lines: u64,
    /// Bytes of lines looked at or counted, in data objects.
    pub object_bytes: u64,
    /// Entries looked at or counted, in data objects.
    pub object_lines: u64,
    /// Bytes of data objects read.
    pub compressed_bytes: u64,
    /// Entries that passed all filters.
    pub post_filter_lines: u64,
    /// Entries left out because another source has them too.
    pub duplicates: u64,
    /// Blocks that hold asked-for streams and times.
    pub blocks_matched: u64,
    /// Of those, the ones whose columns were read.
    pub blocks_read: u64,
    /// Of those, the ones that a filter ruled out.
    pub blocks_skipped: u64,
    /// What was asked of the indexes of tables.
    pub index: IndexUse,
    /// Objects whose footers were looked at.
    pub footers: u64,
    /// Parts that could not be read.
    pub unreadable: u64,
    /// Series left out because there were too many.
    pub series_cut: u64,
    /// States of objects, taken from the cache and put into it.
    pub cache: CacheStats,
    /// Entries or samples in the answer.
    pub entries_returned: u64,
    /// From the beginning of the query to its answer.
    pub exec_time: Duration,
    /// Waiting for a turn.
    pub queue_time: Duration,
}

/// What a query asked of the indexes of tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IndexUse {
    /// Tables whose index was asked.
    pub tables: u64,
    /// Streams that they selected.
    pub streams: u64,
    /// Objects that they know, and that were not opened.
    pub objects_skipped: u64,
    /// Reads of labels and references.
    pub requests: u64,
    /// Bytes of these.
    pub bytes: u64,
}

impl IndexUse {
    /// Adds what another part asked.
    pub fn add(&mut self, other: &IndexUse) {
        self.tables += other.tables;
        self.streams += other.streams;
        self.objects_skipped += other.objects_skipped;
        self.requests += other.requests;
        self.bytes += other.bytes;
    }
}

/// What a query had of the result cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// How often it was asked, for any number of objects.
    pub requests: u64,
    /// Objects asked for.
    pub requested: u64,
    /// Of those, the ones that it had.
    pub found: u64,
    /// Bytes of the states found.
    pub received_bytes: u64,
    /// States put into it.
    pub stored: u64,
    /// Bytes of these.
    pub stored_bytes: u64,
}

impl CacheStats {
    /// Adds what another part had of it.
    pub fn add(&mut self, other: &CacheStats) {
        self.requests += other.requests;
        self.requested += other.requested;
        self.found += other.found;
        self.received_bytes += other.received_bytes;
        self.stored += other.stored;
        self.stored_bytes += other.stored_bytes;
    }
}

impl QueryStats {
    /// Adds the work of another part.
    pub fn add(&mut self, other: &QueryStats) {
        self.memory_bytes += other.memory_bytes;
        self.memory_lines += other.memory_lines;
        self.object_bytes += other.object_bytes;
        self.object_lines += other.object_lines;
        self.compressed_bytes += other.compressed_bytes;
        self.post_filter_lines += other.post_filter_lines;
        self.duplicates += other.duplicates;
        self.blocks_matched += other.blocks_matched;
        self.blocks_read += other.blocks_read;
        self.blocks_skipped += other.blocks_skipped;
        self.index.add(&other.index);
        self.footers += other.footers;
        self.unreadable += other.unreadable;
        self.series_cut += other.series_cut;
        self.cache.add(&other.cache);
    }

    /// Whether nothing is missing from the answer.
    pub fn is_complete(&self) -> bool {
        self.unreadable == 0 && self.series_cut == 0
    }

    /// The `stats` object, every member present. Blocks stand where Loki counts chunks.
    pub fn to_json(&self) -> Value {
        let secs = self.exec_time.as_secs_f64();
        let (bytes, lines) = (self.memory_bytes + self.object_bytes, self.memory_lines + self.object_lines);
        let unused = cache(&CacheStats::default());
        let per_second = |n: u64| if secs > 0.0 { (n as f64 / secs) as u64 } else { 0 };
        json!({
            "summary": {
                "bytesProcessedPerSecond": per_second(bytes),
                "linesProcessedPerSecond": per_second(lines),
                "totalBytesProcessed": bytes,
                "totalLinesProcessed": lines,
                "execTime": secs,
                "queueTime": self.queue_time.as_secs_f64(),
                "subqueries": 0,
                "totalEntriesReturned": self.entries_returned,
                "splits": 0,
                "shards": 0,
                "totalPostFilterLines": self.post_filter_lines,
                "totalStructuredMetadataBytesProcessed": 0,
            },
            "querier": {
                "store": store(&Store {
                    chunks: self.blocks_matched,
                    downloaded: self.blocks_read,
                    bytes: self.object_bytes,
                    lines: self.object_lines,
                    compressed_bytes: self.compressed_bytes,
                    post_filter_lines: self.post_filter_lines,
                    duplicates: self.duplicates,
                    ..Store::default()
                }),
                "querierExecTime": secs,
            },
            "ingester": {
                "totalReached": 1,
                "totalChunksMatched": 0,
                "totalBatches": 0,
                "totalLinesSent": self.memory_lines,
                "store": store(&Store { head_bytes: self.memory_bytes, head_lines: self.memory_lines, ..Store::default() }),
            },
            "cache": {
                "chunk": unused, "index": unused, "result": cache(&self.cache), "statsResult": unused, "volumeResult": unused,
                "seriesResult": unused, "labelResult": unused, "instantMetricResult": unused, "logResult": unused, "taskResult": unused,
            },
            "index": {
                "totalChunks": self.blocks_matched,
                "postFilterChunks": self.blocks_matched - self.blocks_skipped.min(self.blocks_matched),
                "shardsDuration": 0,
                "usedBloomFilters": self.blocks_skipped > 0,
                "totalStreams": self.index.streams,
                "chunkRefsLookupTime": 0.0,
                "bloomFilterTime": 0.0,
            },
            "tables": {
                "indexesAsked": self.index.tables,
                "streamsSelected": self.index.streams,
                "indexRequests": self.index.requests,
                "indexBytes": self.index.bytes,
                "objectsOpened": self.footers,
                "objectsSkipped": self.index.objects_skipped,
            },
            "completeness": { "complete": self.is_complete(), "unreadableParts": self.unreadable },
        })
    }
}

#[derive(Default)]
struct Store {
    chunks: u64,
    downloaded: u64,
    head_bytes: u64,
    head_lines: u64,
    bytes: u64,
    lines: u64,
    compressed_bytes: u64,
    post_filter_lines: u64,
    duplicates: u64,
}

fn store(store: &Store) -> Value {
    json!({
        "totalChunksRef": store.chunks,
        "totalChunksDownloaded": store.downloaded,
        "chunksDownloadTime": 0,
        "queryReferencedStructuredMetadata": false,
        "queryUsedV2Engine": false,
        "chunk": {
            "headChunkBytes": store.head_bytes,
            "headChunkLines": store.head_lines,
            "decompressedBytes": store.bytes,
            "decompressedLines": store.lines,
            "compressedBytes": store.compressed_bytes,
            "totalDuplicates": store.duplicates,
            "postFilterLines": store.post_filter_lines,
            "headChunkStructuredMetadataBytes": 0,
            "decompressedStructuredMetadataBytes": 0,
        },
        "chunkRefsFetchTime": 0,
        "congestionControlLatency": 0,
        "pipelineWrapperFilteredLines": 0,
        "dataobj": {
            "prePredicateDecompressedRows": 0, "prePredicateDecompressedBytes": 0, "prePredicateDecompressedStructuredMetadataBytes": 0,
            "postPredicateRows": 0, "postPredicateDecompressedBytes": 0, "postPredicateStructuredMetadataBytes": 0, "postFilterRows": 0,
            "pagesScanned": 0, "pagesDownloaded": 0, "pagesDownloadedBytes": 0, "pageBatches": 0, "totalRowsAvailable": 0,
            "totalPageDownloadTime": 0, "wireBytesTransferred": 0,
        },
    })
}

fn cache(stats: &CacheStats) -> Value {
    json!({
        "entriesFound": stats.found,
        "entriesRequested": stats.requested,
        "entriesStored": stats.stored,
        "bytesReceived": stats.received_bytes,
        "bytesSent": stats.stored_bytes,
        "requests": stats.requests,
        "downloadTime": 0,
        "queryLengthServed": 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_objects_stand_in_the_order_that_clients_know() {
        let json = QueryStats { object_bytes: 10, exec_time: Duration::from_secs(2), ..QueryStats::default() }.to_json();
        let keys: Vec<_> = json.as_object().expect("an object").keys().cloned().collect();
        assert_eq!(keys, ["summary", "querier", "ingester", "cache", "index", "tables", "completeness"]);
        assert_eq!(json["summary"]["bytesProcessedPerSecond"], 5);
        assert_eq!(json["cache"].as_object().map(|c| c.len()), Some(10));
    }
}
