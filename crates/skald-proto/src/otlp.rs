//! An export of OpenTelemetry logs, read in place: what is not looked at is not taken apart, and nothing is allocated.
//!
//! Texts are bytes as they came, not checked for UTF-8. Unknown fields are skipped. Of a field that comes twice where it should come once, the last counts.

use crate::WireError;
use crate::wire::{Fields, submessages};

/// The logs of one resource.
#[derive(Debug, Clone, Copy)]
pub struct ResourceLogs<'a> {
    resource: &'a [u8],
    message: &'a [u8],
}

/// The logs of one instrumentation scope within a resource.
#[derive(Debug, Clone, Copy)]
pub struct ScopeLogs<'a> {
    /// Name of the scope.
    pub name: &'a [u8],
    /// Version of the scope.
    pub version: &'a [u8],
    /// Attributes that were left out before.
    pub dropped_attributes_count: u32,
    /// Number of records.
    pub records_len: usize,
    scope: &'a [u8],
    message: &'a [u8],
}

/// One log record.
#[derive(Debug, Clone, Copy)]
pub struct LogRecord<'a> {
    /// When it happened, in nanoseconds since 1970; 0 is unknown.
    pub time: u64,
    /// When it was seen, in nanoseconds since 1970; 0 is unknown.
    pub observed_time: u64,
    /// Severity, 0 is unknown.
    pub severity_number: i32,
    /// Severity as the source says it.
    pub severity_text: &'a [u8],
    /// The body.
    pub body: AnyValue<'a>,
    /// Attributes that were left out before.
    pub dropped_attributes_count: u32,
    /// Flags of the trace.
    pub flags: u32,
    /// Id of the trace; 16 bytes if it is one.
    pub trace_id: &'a [u8],
    /// Id of the span; 8 bytes if it is one.
    pub span_id: &'a [u8],
    /// Which kind of event it is.
    pub event_name: &'a [u8],
    message: &'a [u8],
}

/// A name and its value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attribute<'a> {
    /// Name.
    pub key: &'a [u8],
    /// Value.
    pub value: AnyValue<'a>,
}

/// A value; what it contains is read when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AnyValue<'a> {
    /// None.
    Empty,
    /// A text.
    String(&'a [u8]),
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// A list.
    Array(Array<'a>),
    /// Names and values.
    Map(Map<'a>),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// A list of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Array<'a>(&'a [u8]);

/// A list of attributes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Map<'a>(&'a [u8]);

/// Reads the resources of an export, `ExportLogsServiceRequest`. Ends after the first error.
///
/// # Errors
/// Items are errors where the body is not a message.
pub fn read_export(body: &[u8]) -> impl Iterator<Item = Result<ResourceLogs<'_>, WireError>> {
    submessages(body, 1).map(|message| ResourceLogs::read(message?))
}

fn attributes(message: &[u8], number: u32) -> impl Iterator<Item = Result<Attribute<'_>, WireError>> {
    submessages(message, number).map(|message| Attribute::read(message?))
}

impl<'a> ResourceLogs<'a> {
    fn read(message: &'a [u8]) -> Result<Self, WireError> {
        let mut logs = ResourceLogs { resource: &[], message };
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            if field.number == 1 {
                logs.resource = field.bytes()?;
            }
        }
        Ok(logs)
    }

    /// Attributes of the resource.
    pub fn attributes(&self) -> impl Iterator<Item = Result<Attribute<'a>, WireError>> + use<'a> {
        attributes(self.resource, 1)
    }

    /// Logs by scope.
    pub fn scopes(&self) -> impl Iterator<Item = Result<ScopeLogs<'a>, WireError>> + use<'a> {
        submessages(self.message, 2).map(|message| ScopeLogs::read(message?))
    }
}

impl<'a> ScopeLogs<'a> {
    fn read(message: &'a [u8]) -> Result<Self, WireError> {
        let mut logs = ScopeLogs { name: &[], version: &[], dropped_attributes_count: 0, records_len: 0, scope: &[], message };
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => logs.scope = field.bytes()?,
                2 => logs.records_len += 1,
                _ => {}
            }
        }
        let mut fields = Fields::new(logs.scope);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => logs.name = field.bytes()?,
                2 => logs.version = field.bytes()?,
                4 => logs.dropped_attributes_count = field.varint()? as u32,
                _ => {}
            }
        }
        Ok(logs)
    }

    /// Attributes of the scope.
    pub fn attributes(&self) -> impl Iterator<Item = Result<Attribute<'a>, WireError>> + use<'a> {
        attributes(self.scope, 3)
    }

    /// Its records in the order sent.
    pub fn records(&self) -> impl Iterator<Item = Result<LogRecord<'a>, WireError>> + use<'a> {
        submessages(self.message, 2).map(|message| LogRecord::read(message?))
    }
}

impl<'a> LogRecord<'a> {
    fn read(message: &'a [u8]) -> Result<Self, WireError> {
        let mut record = LogRecord {
            time: 0,
            observed_time: 0,
            severity_number: 0,
            severity_text: &[],
            body: AnyValue::Empty,
            dropped_attributes_count: 0,
            flags: 0,
            trace_id: &[],
            span_id: &[],
            event_name: &[],
            message,
        };
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => record.time = field.fixed64()?,
                2 => record.severity_number = field.varint()? as i32,
                3 => record.severity_text = field.bytes()?,
                5 => record.body = AnyValue::read(field.bytes()?)?,
                7 => record.dropped_attributes_count = field.varint()? as u32,
                8 => record.flags = field.fixed32()?,
                9 => record.trace_id = field.bytes()?,
                10 => record.span_id = field.bytes()?,
                11 => record.observed_time = field.fixed64()?,
                12 => record.event_name = field.bytes()?,
                _ => {}
            }
        }
        Ok(record)
    }

    /// Its attributes in the order sent.
    pub fn attributes(&self) -> impl Iterator<Item = Result<Attribute<'a>, WireError>> + use<'a> {
        attributes(self.message, 6)
    }
}

impl<'a> Attribute<'a> {
    #[inline]
    fn read(message: &'a [u8]) -> Result<Self, WireError> {
        let mut attribute = Attribute { key: &[], value: AnyValue::Empty };
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => attribute.key = field.bytes()?,
                2 => attribute.value = AnyValue::read(field.bytes()?)?,
                _ => {}
            }
        }
        Ok(attribute)
    }
}

impl<'a> AnyValue<'a> {
    #[inline]
    fn read(message: &'a [u8]) -> Result<Self, WireError> {
        let mut value = AnyValue::Empty;
        let mut fields = Fields::new(message);
        while let Some(field) = fields.next()? {
            value = match field.number {
                1 => AnyValue::String(field.bytes()?),
                2 => AnyValue::Bool(field.varint()? != 0),
                3 => AnyValue::Int(field.varint()? as i64),
                4 => AnyValue::Double(f64::from_bits(field.fixed64()?)),
                5 => AnyValue::Array(Array(field.bytes()?)),
                6 => AnyValue::Map(Map(field.bytes()?)),
                7 => AnyValue::Bytes(field.bytes()?),
                _ => value,
            };
        }
        Ok(value)
    }
}

impl<'a> Array<'a> {
    /// The values.
    pub fn values(&self) -> impl Iterator<Item = Result<AnyValue<'a>, WireError>> + use<'a> {
        submessages(self.0, 1).map(|message| AnyValue::read(message?))
    }
}

impl<'a> Map<'a> {
    /// Names and values; a name may come several times.
    pub fn attributes(&self) -> impl Iterator<Item = Result<Attribute<'a>, WireError>> + use<'a> {
        attributes(self.0, 1)
    }
}

#[cfg(test)]
mod tests;
