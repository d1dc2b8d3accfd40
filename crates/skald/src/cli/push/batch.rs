//! Requests of the push API: protobuf in a block of snappy.

use prost::Message;
use skald_model::{Labels, Timestamp};

/// Body of a push.
#[derive(Clone, PartialEq, Message)]
pub struct PushRequest {
    /// One element for each label set.
    #[prost(message, repeated, tag = "1")]
    pub streams: Vec<PushedStream>,
}

/// Entries of one label set.
#[derive(Clone, PartialEq, Message)]
pub struct PushedStream {
    /// The label set in selector form.
    #[prost(string, tag = "1")]
    pub labels: String,
    /// The entries.
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<PushedEntry>,
}

/// One entry.
#[derive(Clone, PartialEq, Message)]
pub struct PushedEntry {
    /// Its time.
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<PushedTime>,
    /// Its line.
    #[prost(string, tag = "2")]
    pub line: String,
}

/// A time.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct PushedTime {
    /// Whole seconds since 1970, rounded down.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// The rest.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// Entries of one stream, gathered for one request.
#[derive(Debug)]
pub struct Batch {
    stream: PushedStream,
    bytes: usize,
}

impl Batch {
    /// An empty batch for the stream `labels`.
    pub fn new(labels: &Labels) -> Self {
        Batch { stream: PushedStream { labels: labels.to_string(), entries: Vec::new() }, bytes: 0 }
    }

    /// Whether a line of `len` bytes fits within the bounds. An empty batch takes any line.
    pub fn has_room(&self, len: usize, bytes_max: usize, lines_max: usize) -> bool {
        self.is_empty() || (self.bytes + len <= bytes_max && self.len() < lines_max)
    }

    /// Adds an entry.
    pub fn add(&mut self, at: Timestamp, line: String) {
        self.bytes += line.len();
        let (seconds, nanos) = (at.0.div_euclid(1_000_000_000), at.0.rem_euclid(1_000_000_000) as i32);
        self.stream.entries.push(PushedEntry { timestamp: Some(PushedTime { seconds, nanos }), line });
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.stream.entries.len()
    }

    /// Bytes of all lines.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.stream.entries.is_empty()
    }

    /// The request; leaves the batch empty.
    pub fn take_request(&mut self) -> PushRequest {
        self.bytes = 0;
        let entries = std::mem::take(&mut self.stream.entries);
        PushRequest { streams: vec![PushedStream { labels: self.stream.labels.clone(), entries }] }
    }
}

impl PushRequest {
    /// The body that is sent; the same for the same request.
    pub fn body(&self) -> Vec<u8> {
        let body = snap::raw::Encoder::new().compress_vec(&self.encode_to_vec());
        body.expect("a batch is far below the 4 GiB that snappy takes")
    }

    /// Whether each half has an entry.
    pub fn is_divisible(&self) -> bool {
        self.streams.iter().any(|stream| stream.entries.len() > 1)
    }

    /// The earlier and the later half of each stream's entries.
    pub fn halves(&self) -> [PushRequest; 2] {
        let half = |late: bool| {
            let of_stream = |stream: &PushedStream| {
                let (early_half, late_half) = stream.entries.split_at(stream.entries.len() / 2);
                let entries = if late { late_half } else { early_half }.to_vec();
                PushedStream { labels: stream.labels.clone(), entries }
            };
            PushRequest { streams: self.streams.iter().map(of_stream).collect() }
        };
        [half(false), half(true)]
    }

    /// The same request with only the entry of the shortest line, if that is at most `len_max` bytes.
    pub fn shortest_entry(&self, len_max: usize) -> Option<PushRequest> {
        let entries = self.streams.iter().flat_map(|stream| stream.entries.iter().map(move |entry| (stream, entry)));
        let (stream, entry) = entries.min_by_key(|(_, entry)| entry.line.len()).filter(|(_, entry)| entry.line.len() <= len_max)?;
        Some(PushRequest { streams: vec![PushedStream { labels: stream.labels.clone(), entries: vec![entry.clone()] }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_holds_what_was_added() {
        let mut batch = Batch::new(&Labels::from_pairs([("a", "b\"c")]).expect("one name"));
        batch.add(Timestamp(-1), "x".to_owned());
        batch.add(Timestamp(1_500_000_000), String::new());
        let body = batch.take_request().body();
        assert!(batch.is_empty() && batch.bytes() == 0);
        let bytes = snap::raw::Decoder::new().decompress_vec(&body).expect("snappy");
        let request = PushRequest::decode(&bytes[..]).expect("protobuf");
        let entry = |seconds, nanos, line: &str| PushedEntry { timestamp: Some(PushedTime { seconds, nanos }), line: line.to_owned() };
        let entries = vec![entry(-1, 999_999_999, "x"), entry(1, 500_000_000, "")];
        assert_eq!(request.streams, [PushedStream { labels: r#"{a="b\"c"}"#.to_owned(), entries }]);
    }

    #[test]
    fn a_batch_has_room_up_to_its_bounds() {
        let mut batch = Batch::new(&Labels::empty());
        assert!(batch.has_room(1000, 10, 2), "a single line is never too large to try");
        batch.add(Timestamp(0), "12345".to_owned());
        assert!(batch.has_room(5, 10, 2) && !batch.has_room(6, 10, 2) && !batch.has_room(0, 10, 1));
    }
}
