use crate::WireError;
use crate::wire::{Field, Fields, submessages};
use skald_model::Timestamp;

/// One stream of a push, still as it came.
#[derive(Debug, Clone, Copy)]
pub struct PushStream<'a> {
    /// The text of its labels, `{name="value", …}`; not checked, not even for UTF-8.
    pub labels: &'a [u8],
    /// Number of entries.
    pub entries_len: usize,
    /// Upper bound of the bytes of their lines, for an allocation.
    pub line_bytes: usize,
    message: &'a [u8],
}

/// One entry of a push, still as it came.
#[derive(Debug, Clone, Copy)]
pub struct PushEntry<'a> {
    /// Its time; seconds that nanoseconds cannot say are cut to the first or last that they can.
    pub timestamp: Timestamp,
    /// The line.
    pub line: &'a [u8],
    /// Whether it has structured metadata.
    pub has_metadata: bool,
    message: &'a [u8],
}

/// Reads the streams of a push in place; nothing is allocated, whatever the body holds. Ends after the first error.
///
/// # Errors
/// Items are errors where the body is not a message. Unknown fields are skipped.
pub fn read_push(body: &[u8]) -> impl Iterator<Item = Result<PushStream<'_>, WireError>> {
    submessages(body, 1).map(|message| PushStream::read(message?))
}

impl<'a> PushStream<'a> {
    fn read(message: &'a [u8]) -> Result<Self, WireError> {
        let mut stream = PushStream { labels: &[], entries_len: 0, line_bytes: 0, message };
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => stream.labels = field.bytes()?,
                2 => {
                    stream.entries_len += 1;
                    stream.line_bytes += field.bytes()?.len();
                }
                _ => {}
            }
        }
        Ok(stream)
    }

    /// Its entries in the order sent; ends after the first error.
    pub fn entries(&self) -> impl Iterator<Item = Result<PushEntry<'a>, WireError>> + use<'a> {
        submessages(self.message, 2).map(|message| PushEntry::read(message?))
    }
}

impl<'a> PushEntry<'a> {
    /// The whole entry as it stands in the push.
    pub fn message(&self) -> &'a [u8] {
        self.message
    }

    #[inline]
    fn read(message: &'a [u8]) -> Result<Self, WireError> {
        let mut entry = PushEntry { timestamp: Timestamp(0), line: &[], has_metadata: false, message };
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => entry.timestamp = read_timestamp(field)?,
                2 => entry.line = field.bytes()?,
                3 => entry.has_metadata = true,
                _ => {}
            }
        }
        Ok(entry)
    }

    /// Names and values of its structured metadata in the order sent; ends after the first error.
    pub fn metadata(&self) -> impl Iterator<Item = Result<(&'a [u8], &'a [u8]), WireError>> + use<'a> {
        submessages(self.message, 3).map(|message| read_pair(message?))
    }
}

fn read_pair(message: &[u8]) -> Result<(&[u8], &[u8]), WireError> {
    let mut pair = (&[][..], &[][..]);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => pair.0 = field.bytes()?,
            2 => pair.1 = field.bytes()?,
            _ => {}
        }
    }
    Ok(pair)
}

#[inline]
fn read_timestamp(field: Field<'_>) -> Result<Timestamp, WireError> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut fields = Fields::new(field.bytes()?);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => seconds = field.varint()? as i64,
            2 => nanos = field.varint()? as i64,
            _ => {}
        }
    }
    if !(0..1_000_000_000).contains(&nanos) {
        return Err(WireError::Nanos(nanos));
    }
    let exact = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Ok(Timestamp(exact.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64))
}

#[cfg(test)]
mod tests;
