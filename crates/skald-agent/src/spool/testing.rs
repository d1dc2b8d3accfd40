use super::group::Compressor;
use crate::batcher::OpenGroup;
use prost::Message;
use skald_model::Timestamp;
use skald_proto::loki::v1;

/// What a group sends, a line for each stream: tenant, labels, lines with their metadata.
pub(crate) fn decode_group(open: &OpenGroup) -> Vec<String> {
    let group = Compressor::new().group(1, 0, Timestamp(0), open);
    let mut streams = Vec::new();
    for batch in &group.batches {
        let body = snap::raw::Decoder::new().decompress_vec(&batch.payload).unwrap();
        for stream in v1::PushRequest::decode(&body[..]).unwrap().streams {
            let lines: Vec<String> = stream.entries.iter().map(entry_text).collect();
            let tenant = batch.tenant.as_deref().unwrap_or("-");
            streams.push(format!("{tenant} {} {}", text(&stream.labels), lines.join(" ")));
        }
    }
    streams
}

fn entry_text(entry: &v1::Entry) -> String {
    let pairs = entry.structured_metadata.iter().map(|pair| format!("+{}={}", text(&pair.name), text(&pair.value)));
    std::iter::once(text(&entry.line)).chain(pairs).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
