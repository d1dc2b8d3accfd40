//! Protobuf bodies, once decompressed.

use crate::error::PushFailure;
use crate::intake::Intake;
use crate::metadata::Pairs;
use skald_proto::read_push;

/// Reads a body into `intake`; lines are copied once, into their stream's column.
///
/// # Errors
/// When the body is malformed, or the intake refuses it as a whole.
pub fn read(body: &[u8], intake: &mut Intake<'_>) -> Result<(), PushFailure> {
    let mut pairs = Pairs::new(intake.metadata_len_max());
    for stream in read_push(body) {
        let stream = stream?;
        intake.stream(stream.labels, stream.entries_len, stream.line_bytes)?;
        for entry in stream.entries() {
            let entry = entry?;
            pairs.clear();
            if entry.has_metadata {
                for pair in entry.metadata() {
                    let (name, value) = pair?;
                    pairs.push(name, value);
                }
            }
            intake.entry(entry.timestamp, entry.line, &pairs)?;
        }
    }
    Ok(())
}
