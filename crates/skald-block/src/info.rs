use crate::wire::{Reader, put_bytes, put_signed, put_varint};
use crate::{EncodeError, FormatError, RowDigest};
use skald_model::{Day, DiskId, Generation, TenantId, Timestamp};

/// Most replaced names that one object records, and most bytes of each.
const REPLACES_MAX: usize = 1 << 20;
const TEXT_MAX: usize = 4096;

/// Who wrote an object, and for what; its writer decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Owner.
    pub tenant: TenantId,
    /// UTC day of every entry.
    pub day: Day,
    /// Retention class.
    pub class: String,
    /// Disk of the writer.
    pub disk: DiskId,
    /// Generation on that disk from which the object was flushed.
    pub generation: Generation,
    /// Number among the objects of that generation, tenant, day and class.
    pub part: u32,
    /// Names of the objects whose entries this one takes over.
    pub replaces: Vec<String>,
}

/// What an object holds, all blocks together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectSummary {
    /// Number and digest of the entries.
    pub digest: RowDigest,
    /// Earliest entry.
    pub min_time: Timestamp,
    /// Latest entry.
    pub max_time: Timestamp,
    /// Raw bytes of all lines.
    pub line_bytes: u64,
}

impl ObjectSummary {
    /// Earliest and latest entry.
    pub fn time_span(&self) -> (Timestamp, Timestamp) {
        (self.min_time, self.max_time)
    }
}

impl ObjectInfo {
    pub(crate) fn validate(&self) -> Result<(), EncodeError> {
        if self.class.len() > TEXT_MAX || self.replaces.iter().any(|name| name.len() > TEXT_MAX) {
            return Err(EncodeError::ObjectTooLarge { what: "bytes in a name" });
        }
        if self.replaces.len() > REPLACES_MAX {
            return Err(EncodeError::ObjectTooLarge { what: "replaced objects" });
        }
        Ok(())
    }
}

pub(crate) fn encode(info: &ObjectInfo, summary: &ObjectSummary) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, info.tenant.as_str().as_bytes());
    put_signed(&mut out, i64::from(info.day.0));
    put_bytes(&mut out, info.class.as_bytes());
    out.extend_from_slice(&info.disk.0.to_le_bytes());
    put_varint(&mut out, info.generation.0);
    put_varint(&mut out, u64::from(info.part));
    put_varint(&mut out, info.replaces.len() as u64);
    info.replaces.iter().for_each(|name| put_bytes(&mut out, name.as_bytes()));
    put_varint(&mut out, summary.digest.count);
    out.extend_from_slice(&summary.digest.sum.to_le_bytes());
    put_signed(&mut out, summary.min_time.0);
    put_signed(&mut out, summary.max_time.0);
    put_varint(&mut out, summary.line_bytes);
    out
}

pub(crate) fn parse(mut reader: Reader<'_>) -> Result<(ObjectInfo, ObjectSummary), FormatError> {
    let tenant = TenantId::parse(reader.text()?).map_err(|_| reader.malformed("the tenant is no tenant id"))?;
    let day = Day(i32::try_from(reader.signed()?).map_err(|_| reader.malformed("the day is out of range"))?);
    let class = reader.text()?.to_owned();
    let disk = DiskId(u128::from_le_bytes(reader.array()?));
    let generation = Generation(reader.varint()?);
    let part = reader.at_most(u32::MAX as usize, "the part number is out of range")? as u32;
    let mut replaces = Vec::new();
    for _ in 0..reader.count()? {
        replaces.push(reader.text()?.to_owned());
    }
    let digest = RowDigest { count: reader.varint()?, sum: u128::from_le_bytes(reader.array()?) };
    let (min_time, max_time) = (Timestamp(reader.signed()?), Timestamp(reader.signed()?));
    let line_bytes = reader.varint()?;
    if min_time > max_time || Day::of(min_time) != day || Day::of(max_time) != day {
        return Err(reader.malformed("times are not of its day"));
    }
    reader.finish()?;
    let info = ObjectInfo { tenant, day, class, disk, generation, part, replaces };
    Ok((info, ObjectSummary { digest, min_time, max_time, line_bytes }))
}
