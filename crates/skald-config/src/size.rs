use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// A number of bytes.
///
/// Reads `256KB`, `1GB`, `64MiB`, `1.5M` or a plain number; every unit is a power of 1024, as in Loki. Prints with the largest unit that divides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ByteSize(pub u64);

const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];

impl ByteSize {
    /// `count` MiB.
    pub const fn mib(count: u64) -> Self {
        ByteSize(count << 20)
    }

    /// `count` GiB.
    pub const fn gib(count: u64) -> Self {
        ByteSize(count << 30)
    }

    /// The number as `usize`, saturating.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut count, mut unit) = (self.0, 0);
        while count > 0 && count.is_multiple_of(1024) && unit + 1 < UNITS.len() {
            count /= 1024;
            unit += 1;
        }
        write!(f, "{count}{}", UNITS[unit])
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("'{text}' is not a size such as 256KB or 1GB");
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let shift = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => return Err(refused()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(1 << shift).map(ByteSize).ok_or_else(refused);
        }
        let bytes = number.parse::<f64>().map_err(|_| refused())? * (1u64 << shift) as f64;
        if bytes < u64::MAX as f64 { Ok(ByteSize(bytes as u64)) } else { Err(refused()) }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as 256KB or 1GB")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes).map(ByteSize).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, bytes: Option<u64>) {
        assert_eq!(text.parse::<ByteSize>().ok(), bytes.map(ByteSize), "{text}");
    }

    #[test]
    fn sizes_read_as_loki_reads_them() {
        check("0", Some(0));
        check("200B", Some(200));
        check("256KB", Some(262_144));
        check("256kb", Some(262_144));
        check("1GB", Some(1 << 30));
        check("64MiB", Some(64 << 20));
        check("64 MiB", Some(64 << 20));
        check("1.5MB", Some(3 << 19));
        check("2T", Some(2 << 40));
        for wrong in ["", "KB", "-1KB", "1XB", "1e3", "1..5MB", "99999999999999GB", "99999999999999.5GB", "nan"] {
            check(wrong, None);
        }
    }

    #[test]
    fn sizes_print_in_the_largest_unit_that_divides_them() {
        for (bytes, text) in [(0, "0B"), (3 << 20, "3MB"), (1536 << 10, "1536KB"), (12_345, "12345B"), (5 << 50, "5120TB")] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    proptest! {
        #![proptest_config(skald_testkit::property(128))]

        #[test]
        fn printed_sizes_read_back(bytes in any::<u64>()) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }

        #[test]
        fn any_text_is_a_size_or_refused(text in "\\PC{0,20}") {
            let _ = text.parse::<ByteSize>();
        }
    }
}
