use crate::WireError;
use crate::wire::{Fields, take_varint};
use bytes::Bytes;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use skald_model::{Column, ErrorKind, Labels, LabelsError, Rows, RowsError, TenantId, TenantIdError};
use std::collections::HashSet;

/// Why bytes are not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Not a protobuf message.
    #[error("frame is no message")]
    Wire(#[from] WireError),
    /// A name, label or tenant is not UTF-8.
    #[error("{0} is not UTF-8")]
    Utf8(&'static str),
    /// The tenant is missing or not valid.
    #[error("frame has no valid tenant")]
    Tenant(#[source] TenantIdError),
    /// Labels are not a set.
    #[error("labels of stream {stream} are no label set")]
    Labels {
        /// Its place in the frame.
        stream: usize,
        /// Why.
        #[source]
        source: LabelsError,
    },
    /// Columns do not fit together.
    #[error("columns of stream {stream} do not fit together")]
    Columns {
        /// Its place in the frame.
        stream: usize,
        /// Why.
        #[source]
        source: RowsError,
    },
    /// Something that would break a promise of [`Rows`] or of a batch.
    #[error("stream {stream}: {what}")]
    Invalid {
        /// Its place in the frame.
        stream: usize,
        /// What is wrong.
        what: &'static str,
    },
}

impl FrameError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Wire(_) | Self::Utf8(_) | Self::Tenant(_) | Self::Labels { .. } | Self::Columns { .. } | Self::Invalid { .. } => {
                ErrorKind::Corrupt
            }
        }
    }
}

/// The bytes of one tenant's rows; label sets come once each, and each has at least one row.
///
/// Cost: one copy of the columns, and two passes over the lengths.
pub fn encode_frame(tenant: &TenantId, streams: &[(Labels, &Rows)]) -> Vec<u8> {
    let sizes: Vec<StreamSize> = streams.iter().map(|(labels, rows)| StreamSize::of(labels, rows)).collect();
    let total = field_len(1, tenant.as_str().len()) + sizes.iter().map(|size| field_len(2, size.total)).sum::<usize>();
    let mut out = Vec::with_capacity(total);
    put_bytes(&mut out, 1, tenant.as_str().as_bytes());
    for ((labels, rows), size) in streams.iter().zip(&sizes) {
        put_header(&mut out, 2, size.total);
        put_stream(&mut out, labels, rows, size);
    }
    debug_assert_eq!(out.len(), total, "sizes were computed right");
    out
}

/// Encoded bytes of a stream and of the parts whose lengths come before them.
struct StreamSize {
    total: usize,
    line_lengths: usize,
    columns: Vec<ColumnSize>,
}

struct ColumnSize {
    total: usize,
    value_lengths: usize,
    values: usize,
}

impl StreamSize {
    fn of(labels: &Labels, rows: &Rows) -> Self {
        let columns: Vec<ColumnSize> = rows.columns().iter().map(ColumnSize::of).collect();
        let line_lengths = lengths(rows.line_ends()).map(encoded_len_varint).sum();
        let total = labels.iter().map(|label| field_len(1, label_len(label))).sum::<usize>()
            + field_len(2, 8 * rows.len())
            + field_len(3, line_lengths)
            + field_len(4, rows.line_bytes().len())
            + columns.iter().map(|column| field_len(5, column.total)).sum::<usize>();
        StreamSize { total, line_lengths, columns }
    }
}

impl ColumnSize {
    fn of(column: &Column) -> Self {
        // The length of a row without a value is one byte.
        let (mut value_lengths, mut values) = (column.len(), 0);
        for (_, value) in column.present(0..column.len()) {
            value_lengths += encoded_len_varint(value.len() as u64) - 1;
            values += value.len();
        }
        let derived = if column.is_derived() { 2 } else { 0 };
        let total = field_len(1, column.name().len()) + derived + field_len(3, value_lengths) + field_len(4, values);
        ColumnSize { total, value_lengths, values }
    }
}

fn put_stream(out: &mut Vec<u8>, labels: &Labels, rows: &Rows, size: &StreamSize) {
    for (name, value) in labels.iter() {
        put_header(out, 1, label_len((name, value)));
        put_bytes(out, 1, name.as_bytes());
        put_bytes(out, 2, value.as_bytes());
    }
    put_header(out, 2, 8 * rows.len());
    rows.timestamps().iter().for_each(|timestamp| out.extend_from_slice(&timestamp.to_le_bytes()));
    put_header(out, 3, size.line_lengths);
    lengths(rows.line_ends()).for_each(|len| encode_varint(len, out));
    put_bytes(out, 4, rows.line_bytes());
    for (column, size) in rows.columns().iter().zip(&size.columns) {
        put_header(out, 5, size.total);
        put_bytes(out, 1, column.name().as_bytes());
        if column.is_derived() {
            encode_key(2, WireType::Varint, out);
            out.push(1);
        }
        put_header(out, 3, size.value_lengths);
        put_value_lengths(out, column);
        put_header(out, 4, size.values);
        match column.value_bytes() {
            Some(bytes) => out.extend_from_slice(bytes),
            None => column.present(0..column.len()).for_each(|(_, value)| out.extend_from_slice(value)),
        }
    }
}

/// A length for each row, nought for one without a value.
fn put_value_lengths(out: &mut Vec<u8>, column: &Column) {
    let mut next = 0;
    for (row, value) in column.present(0..column.len()) {
        if row > next {
            out.resize(out.len() + row - next, 0);
        }
        encode_varint(value.len() as u64, out);
        next = row + 1;
    }
    out.resize(out.len() + column.len() - next, 0);
}

fn lengths(ends: &[u32]) -> impl Iterator<Item = u64> {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    ends.iter().zip(starts).map(|(end, start)| u64::from(end - start))
}

fn label_len((name, value): (&str, &str)) -> usize {
    field_len(1, name.len()) + field_len(2, value.len())
}

fn field_len(number: u32, len: usize) -> usize {
    key_len(number) + encoded_len_varint(len as u64) + len
}

fn put_header(out: &mut Vec<u8>, number: u32, len: usize) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(len as u64, out);
}

fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_header(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

/// The rows in a frame, and whose they are. What it takes in memory is a small multiple of `frame`.
///
/// # Errors
/// See [`FrameError`]; every promise of [`Rows`] is checked, so that hostile bytes cost only themselves.
pub fn decode_frame(frame: Bytes) -> Result<(TenantId, Vec<(Labels, Rows)>), FrameError> {
    let (mut tenant, mut streams, mut seen) = ("", Vec::new(), HashSet::new());
    let mut fields = Fields::new(&frame);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => tenant = text(field.bytes()?, "tenant")?,
            2 => {
                let stream = streams.len();
                let (labels, rows) = read_stream(field.bytes()?, stream)?;
                if !seen.insert(labels.clone()) {
                    return Err(FrameError::Invalid { stream, what: "its labels came before" });
                }
                streams.push((labels, rows));
            }
            _ => {}
        }
    }
    Ok((TenantId::parse(tenant).map_err(FrameError::Tenant)?, streams))
}

fn read_stream(message: &[u8], stream: usize) -> Result<(Labels, Rows), FrameError> {
    let (mut labels, mut columns) = (Vec::new(), Vec::new());
    let (mut timestamps, mut line_lengths, mut lines) = (&[][..], &[][..], &[][..]);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => labels.push(read_label(field.bytes()?)?),
            2 => timestamps = field.bytes()?,
            3 => line_lengths = field.bytes()?,
            4 => lines = field.bytes()?,
            5 => columns.push(field.bytes()?),
            _ => {}
        }
    }
    let labels = Labels::from_pairs(labels).map_err(|source| FrameError::Labels { stream, source })?;
    let (timestamps, rest) = timestamps.as_chunks::<8>();
    if timestamps.is_empty() || !rest.is_empty() {
        return Err(FrameError::Invalid { stream, what: "timestamps are missing or torn" });
    }
    let rows = timestamps.len();
    let columns: Vec<Column> = columns.into_iter().map(|column| read_column(column, stream, rows)).collect::<Result<_, _>>()?;
    check_columns(&columns, stream, rows)?;
    let timestamps = timestamps.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
    let line_ends = read_ends(line_lengths, lines.len(), stream, rows)?;
    let rows =
        Rows::from_columns(timestamps, line_ends, lines.to_vec(), columns).map_err(|source| FrameError::Columns { stream, source })?;
    Ok((labels, rows))
}

fn read_label(message: &[u8]) -> Result<(&str, &str), FrameError> {
    let mut label = ("", "");
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => label.0 = text(field.bytes()?, "label name")?,
            2 => label.1 = text(field.bytes()?, "label value")?,
            _ => {}
        }
    }
    Ok(label)
}

fn read_column(message: &[u8], stream: usize, rows: usize) -> Result<Column, FrameError> {
    let (mut name, mut derived, mut value_lengths, mut values) = ("", false, &[][..], &[][..]);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => name = text(field.bytes()?, "metadata name")?,
            2 => derived = field.varint()? != 0,
            3 => value_lengths = field.bytes()?,
            4 => values = field.bytes()?,
            _ => {}
        }
    }
    if name.is_empty() {
        return Err(FrameError::Invalid { stream, what: "a metadata column has no name" });
    }
    let ends = read_ends(value_lengths, values.len(), stream, rows)?;
    Ok(Column::plain(name.into(), derived, ends, values.to_vec()))
}

/// Where each of `rows` values ends, from their packed lengths; together they must cover exactly `bytes_len` bytes.
fn read_ends(mut packed: &[u8], bytes_len: usize, stream: usize, rows: usize) -> Result<Vec<u32>, FrameError> {
    let mismatch = FrameError::Invalid { stream, what: "lengths do not match the rows or bytes" };
    // Every length takes at least a byte, so that the allocation is bounded by what was sent.
    if packed.len() < rows || u32::try_from(bytes_len).is_err() {
        return Err(mismatch);
    }
    let (mut ends, mut end) = (Vec::with_capacity(rows), 0u64);
    while !packed.is_empty() && ends.len() < rows {
        let len = take_varint(&mut packed)?;
        end = end
            .checked_add(len)
            .filter(|end| *end <= bytes_len as u64)
            .ok_or(FrameError::Invalid { stream, what: "lengths reach past the bytes" })?;
        ends.push(end as u32);
    }
    if ends.len() != rows || !packed.is_empty() || end != bytes_len as u64 {
        return Err(mismatch);
    }
    Ok(ends)
}

/// A name comes at most once pushed and once derived, and no row has it twice.
fn check_columns(columns: &[Column], stream: usize, rows: usize) -> Result<(), FrameError> {
    let mut sorted: Vec<&Column> = columns.iter().collect();
    sorted.sort_by_key(|column| (column.name().clone(), column.is_derived()));
    for pair in sorted.windows(2).filter(|pair| pair[0].name() == pair[1].name()) {
        let [one, two] = [pair[0], pair[1]];
        let twice = one.present(0..rows).any(|(row, _)| !two.value(row).is_empty());
        if one.is_derived() == two.is_derived() || twice {
            return Err(FrameError::Invalid { stream, what: "a metadata name comes twice" });
        }
    }
    Ok(())
}

fn text<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str, FrameError> {
    str::from_utf8(bytes).map_err(|_| FrameError::Utf8(what))
}

#[cfg(test)]
mod tests;
