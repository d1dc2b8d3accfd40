//! The body of a push, written in place: `PushRequest`, its streams and entries.

use skald_model::Timestamp;
use skald_pipeline::Text;

const NANOS: i64 = 1_000_000_000;
/// Tags of fields that are texts or messages.
const FIELD_1: u8 = 1 << 3 | 2;
const FIELD_2: u8 = 2 << 3 | 2;
const FIELD_3: u8 = 3 << 3 | 2;
/// Tags of fields that are numbers.
const NUMBER_1: u8 = 1 << 3;
const NUMBER_2: u8 = 2 << 3;

/// Appends one entry as a stream has it.
pub(crate) fn put_entry(out: &mut Vec<u8>, timestamp: Timestamp, line: &str, metadata: &[(Text, Text)]) {
    let (seconds, nanos) = (timestamp.0.div_euclid(NANOS) as u64, timestamp.0.rem_euclid(NANOS) as u64);
    let time_len = number_len(seconds) + number_len(nanos);
    let pairs_len: usize = metadata.iter().map(|pair| field_len(pair_len(pair))).sum();
    let entry_len = field_len(time_len) + field_len(line.len()) + pairs_len;
    out.reserve(field_len(entry_len));
    put_header(out, FIELD_2, entry_len);
    put_header(out, FIELD_1, time_len);
    put_number(out, NUMBER_1, seconds);
    put_number(out, NUMBER_2, nanos);
    put_bytes(out, FIELD_2, line.as_bytes());
    for pair in metadata {
        put_header(out, FIELD_3, pair_len(pair));
        put_bytes(out, FIELD_1, pair.0.as_bytes());
        put_bytes(out, FIELD_2, pair.1.as_bytes());
    }
}

/// Appends one stream as a request has it; `entries` is what [`put_entry`] wrote.
pub(crate) fn put_stream(out: &mut Vec<u8>, labels: &str, entries: &[u8]) {
    put_header(out, FIELD_1, field_len(labels.len()) + entries.len());
    put_bytes(out, FIELD_1, labels.as_bytes());
    out.extend_from_slice(entries);
}

fn pair_len((name, value): &(Text, Text)) -> usize {
    field_len(name.len()) + field_len(value.len())
}

/// Bytes of a field with its tag and length.
fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// Bytes of a field that is a number; none for 0, which is what a missing field says.
fn number_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint_len(value) }
}

fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

fn put_number(out: &mut Vec<u8>, tag: u8, value: u64) {
    if value != 0 {
        out.push(tag);
        put_varint(out, value);
    }
}

fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    put_header(out, tag, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_header(out: &mut Vec<u8>, tag: u8, len: usize) {
    out.push(tag);
    put_varint(out, len as u64);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;
    use skald_proto::loki::v1;

    proptest! {
        #![proptest_config(skald_testkit::property(64))]

        #[test]
        fn a_request_reads_back_as_it_was_put(
            streams in prop::collection::vec((".{0,20}", prop::collection::vec((any::<i64>(), ".{0,200}", prop::collection::vec((".{0,5}", ".{0,140}"), 0..3)), 0..5)), 0..4)
        ) {
            let (mut body, mut want) = (Vec::new(), v1::PushRequest::default());
            for (labels, entries) in &streams {
                let mut encoded = Vec::new();
                let mut stream = v1::Stream { labels: labels.clone().into(), ..Default::default() };
                for (nanos, line, metadata) in entries {
                    let pairs: Vec<(Text, Text)> = metadata.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
                    put_entry(&mut encoded, Timestamp(*nanos), line, &pairs);
                    let timestamp = v1::Timestamp { seconds: nanos.div_euclid(NANOS), nanos: nanos.rem_euclid(NANOS) as i32 };
                    let pair = |(name, value): &(String, String)| v1::LabelPair { name: name.clone().into(), value: value.clone().into() };
                    stream.entries.push(v1::Entry {
                        timestamp: Some(timestamp),
                        line: line.clone().into(),
                        structured_metadata: metadata.iter().map(pair).collect(),
                        ..Default::default()
                    });
                }
                put_stream(&mut body, labels, &encoded);
                want.streams.push(stream);
            }
            prop_assert_eq!(v1::PushRequest::decode(&body[..]).unwrap(), want);
        }
    }
}
