use super::external::ExternalLabels;
use bytes::Bytes;
use prost::encoding::{encode_varint, encoded_len_varint};
use skald_proto::{WireError, read_push};
use std::ops::Range;

/// Tags of the fields that are written: streams of a push and labels of a stream have number 1, entries of a stream 2, all with a length.
const FIELD_1: u8 = 1 << 3 | 2;
const FIELD_2: u8 = 2 << 3 | 2;

/// A push request taken apart, so that any run of its entries can be sent as a push of its own.
#[derive(Debug)]
pub(crate) struct Push {
    /// Labels of each stream.
    labels: Vec<Bytes>,
    entries: Vec<Entry>,
}

/// One entry, still as it is on the wire.
#[derive(Debug)]
struct Entry {
    stream: u32,
    message: Bytes,
    line_bytes: u64,
}

/// Why bytes of the spool are not a push.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
    #[error("decompress")]
    Snappy(#[from] snap::Error),
    #[error("read the message")]
    Wire(#[from] WireError),
}

impl Push {
    /// Takes a compressed push request apart.
    pub fn open(payload: &[u8]) -> Result<Self, PushError> {
        let body = Bytes::from(snap::raw::Decoder::new().decompress_vec(payload)?);
        let mut push = Push { labels: Vec::new(), entries: Vec::new() };
        for (ordinal, stream) in read_push(&body).enumerate() {
            let stream = stream?;
            push.labels.push(body.slice_ref(stream.labels));
            for entry in stream.entries() {
                let entry = entry?;
                let mut line_bytes = entry.line.len();
                for pair in entry.metadata() {
                    let (name, value) = pair?;
                    line_bytes += name.len() + value.len();
                }
                let message = body.slice_ref(entry.message());
                push.entries.push(Entry { stream: ordinal as u32, message, line_bytes: line_bytes as u64 });
            }
        }
        Ok(push)
    }

    /// The stream of each entry, by number.
    pub fn streams(&self) -> Vec<u32> {
        self.entries.iter().map(|entry| entry.stream).collect()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of the lines and metadata of some entries.
    pub fn line_bytes(&self, entries: Range<usize>) -> u64 {
        self.entries[entries].iter().map(|entry| entry.line_bytes).sum()
    }

    /// A compressed push request of some entries, with external labels if there are any.
    pub fn encode(&self, entries: Range<usize>, external: Option<&ExternalLabels>) -> Bytes {
        let mut body = Vec::new();
        for stream in self.entries[entries].chunk_by(|a, b| a.stream == b.stream) {
            let labels = &self.labels[stream[0].stream as usize];
            match external {
                None => write_stream(&mut body, labels, stream),
                Some(external) => write_stream(&mut body, external.add_to(labels).as_ref(), stream),
            }
        }
        let compressed = snap::raw::Encoder::new().compress_vec(&body);
        Bytes::from(compressed.expect("a part of what was one push is within what snappy takes"))
    }
}

fn write_stream(body: &mut Vec<u8>, labels: &[u8], entries: &[Entry]) {
    let len = field_len(labels) + entries.iter().map(|entry| field_len(&entry.message)).sum::<usize>();
    body.push(FIELD_1);
    encode_varint(len as u64, body);
    write_field(body, FIELD_1, labels);
    for entry in entries {
        write_field(body, FIELD_2, &entry.message);
    }
}

fn field_len(bytes: &[u8]) -> usize {
    1 + encoded_len_varint(bytes.len() as u64) + bytes.len()
}

fn write_field(body: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    body.push(tag);
    encode_varint(bytes.len() as u64, body);
    body.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::testing::{Lines, compress, read};

    #[test]
    fn any_run_of_entries_is_a_push_of_its_own() {
        let lines: Lines = vec![("{a=\"1\"}".into(), vec!["one".into(), "two".into()]), ("{b=\"2\"}".into(), vec!["three".into()])];
        let push = Push::open(&compress(&lines)).expect("a push");
        assert_eq!((push.len(), push.streams()), (3, vec![0, 0, 1]));
        assert_eq!(push.line_bytes(0..3), 3 + 3 + 5);
        assert_eq!(read(&push.encode(0..3, None)), lines);
        assert_eq!(read(&push.encode(1..3, None)), [("{a=\"1\"}".into(), vec!["two".into()]), ("{b=\"2\"}".into(), vec!["three".into()])]);
        assert_eq!(read(&push.encode(2..2, None)), []);
    }

    #[test]
    fn external_labels_reach_every_stream() {
        let push = Push::open(&compress(&vec![("{b=\"2\"}".into(), vec!["x".into()]), ("{}".into(), vec!["y".into()])])).expect("a push");
        let external = ExternalLabels::new([("a", "1")]).expect("there is one");
        let want: Lines = vec![("{a=\"1\", b=\"2\"}".into(), vec!["x".into()]), ("{a=\"1\"}".into(), vec!["y".into()])];
        assert_eq!(read(&push.encode(0..2, Some(&external))), want);
    }

    #[test]
    fn what_is_no_push_is_an_error() {
        assert!(matches!(Push::open(b"\xff\xff\xff\xff\xff\xff"), Err(PushError::Snappy(_))));
        let no_message = snap::raw::Encoder::new().compress_vec(b"\x0a\x7f").expect("small");
        assert!(matches!(Push::open(&no_message), Err(PushError::Wire(WireError::Truncated))));
    }
}
