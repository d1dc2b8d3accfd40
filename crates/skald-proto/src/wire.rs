use skald_model::ErrorKind;

/// Why bytes are not a protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field reaches past the end of its message.
    #[error("unexpected EOF")]
    Truncated,
    /// A variable-length number has more than 64 bits.
    #[error("protobuf varint overflows 64 bits")]
    Varint,
    /// Field number 0, or a wire type that is unknown or no longer in use.
    #[error("invalid protobuf tag {0}")]
    Tag(u64),
    /// A known field comes with another wire type.
    #[error("protobuf field {0} has the wrong wire type")]
    WireType(u32),
    /// Nanoseconds of a timestamp outside of one second.
    #[error("timestamp has {0} nanoseconds")]
    Nanos(i64),
}

impl WireError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Truncated | Self::Varint | Self::Tag(_) | Self::WireType(_) | Self::Nanos(_) => ErrorKind::InvalidInput,
        }
    }
}

/// The fields of one message, read in place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(&'a [u8]);

/// A field's value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
    Fixed64(u64),
}

/// A field: number and value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub number: u32,
    pub value: Value<'a>,
}

impl<'a> Field<'a> {
    #[inline]
    pub fn bytes(self) -> Result<&'a [u8], WireError> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError::WireType(self.number)),
        }
    }

    #[inline]
    pub fn varint(self) -> Result<u64, WireError> {
        match self.value {
            Value::Varint(number) => Ok(number),
            _ => Err(WireError::WireType(self.number)),
        }
    }

    #[inline]
    pub fn fixed64(self) -> Result<u64, WireError> {
        match self.value {
            Value::Fixed64(number) => Ok(number),
            _ => Err(WireError::WireType(self.number)),
        }
    }

    #[inline]
    pub fn fixed32(self) -> Result<u32, WireError> {
        match self.value {
            Value::Fixed32(number) => Ok(number),
            _ => Err(WireError::WireType(self.number)),
        }
    }
}

impl<'a> Fields<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        Fields(message)
    }

    /// The next field, `None` at the end.
    #[inline]
    pub fn next(&mut self) -> Result<Option<Field<'a>>, WireError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = take_varint(&mut self.0)?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number)).ok_or(WireError::Tag(tag))?;
        let value = match tag & 7 {
            0 => Value::Varint(take_varint(&mut self.0)?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            2 => {
                let len = usize::try_from(take_varint(&mut self.0)?).map_err(|_| WireError::Truncated)?;
                Value::Bytes(self.0.split_off(..len).ok_or(WireError::Truncated)?)
            }
            _ => return Err(WireError::Tag(tag)),
        };
        Ok(Some(Field { number, value }))
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(*array)
    }
}

/// The messages in the repeated field `number`; ends after the first error.
pub(crate) fn submessages(message: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], WireError>> {
    let mut fields = Some(Fields::new(message));
    std::iter::from_fn(move || {
        let found = next_of(fields.as_mut()?, number).transpose();
        if !matches!(found, Some(Ok(_))) {
            fields = None;
        }
        found
    })
}

#[inline]
fn next_of<'a>(fields: &mut Fields<'a>, number: u32) -> Result<Option<&'a [u8]>, WireError> {
    while let Some(field) = fields.next()? {
        if field.number == number {
            return field.bytes().map(Some);
        }
    }
    Ok(None)
}

/// Takes a variable-length number off the front of `bytes`.
#[inline]
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Result<u64, WireError> {
    if let [first, rest @ ..] = *bytes
        && *first < 0x80
    {
        *bytes = rest;
        return Ok(u64::from(*first));
    }
    let mut number = 0;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        if i == 9 && *byte > 1 {
            return Err(WireError::Varint);
        }
        number |= u64::from(byte & 0x7f) << (7 * i);
        if *byte < 0x80 {
            *bytes = &bytes[i + 1..];
            return Ok(number);
        }
    }
    Err(if bytes.len() < 10 { WireError::Truncated } else { WireError::Varint })
}
