use skald_model::{Labels, Rows, TenantId};
use std::ops::Range;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_secret, xxh3_128_with_seed};

/// Number of entries and the sum of their keyed hashes: equal for equal sets of entries, in any order and split in any way.
///
/// An entry's hash covers labels, timestamp, line and pushed metadata; derived metadata are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowDigest {
    /// Entries.
    pub count: u64,
    /// Sum of their hashes, modulo 2^128.
    pub sum: u128,
}

impl RowDigest {
    /// The digest of both sets together.
    #[must_use]
    pub fn plus(self, other: RowDigest) -> RowDigest {
        RowDigest { count: self.count + other.count, sum: self.sum.wrapping_add(other.sum) }
    }
}

/// Digests entries of one tenant. The tenant is the key, so that equal lines of two tenants have different hashes.
#[derive(Clone)]
pub struct RowHasher {
    secret: [u8; 192],
}

impl RowHasher {
    /// The hasher of `tenant`; the same on every machine.
    pub fn new(tenant: &TenantId) -> Self {
        let mut secret = [0; 192];
        for (i, part) in secret.chunks_exact_mut(16).enumerate() {
            part.copy_from_slice(&xxh3_128_with_seed(tenant.as_str().as_bytes(), i as u64 + 1).to_le_bytes());
        }
        RowHasher { secret }
    }

    /// Digest of the entries of stream `labels` in `rows[range]`. Panics when the range passes the rows.
    pub fn digest(&self, labels: &Labels, rows: &Rows, range: Range<usize>) -> RowDigest {
        let count = range.len() as u64;
        RowDigest { count, sum: self.hashes(labels, rows, range).fold(0, u128::wrapping_add) }
    }

    /// The hash of each of these entries.
    pub(crate) fn hashes(&self, labels: &Labels, rows: &Rows, range: Range<usize>) -> impl Iterator<Item = u128> {
        let (metadata, fingerprint) = (metadata_hashes(rows, range.clone()), labels.fingerprint().0);
        range.enumerate().map(move |(i, row)| {
            let mut entry = [0; 40];
            entry[..16].copy_from_slice(&xxh3_128_with_secret(rows.line(row), &self.secret).to_le_bytes());
            entry[16..24].copy_from_slice(&rows.timestamps()[row].to_le_bytes());
            entry[24..32].copy_from_slice(&fingerprint.to_le_bytes());
            entry[32..].copy_from_slice(&metadata.get(i).copied().unwrap_or(0).to_le_bytes());
            xxh3_128_with_secret(&entry, &self.secret)
        })
    }
}

/// Per row the sum of the hashes of its pushed pairs, whatever the order of columns; empty without pushed columns.
pub(crate) fn metadata_hashes(rows: &Rows, range: Range<usize>) -> Vec<u64> {
    let mut sums = Vec::new();
    for column in rows.columns().iter().filter(|column| !column.is_derived()) {
        sums.resize(range.len(), 0u64);
        let seed = xxh3_64_with_seed(column.name().as_bytes(), 1);
        for (row, value) in column.present(range.clone()) {
            let sum = &mut sums[row - range.start];
            *sum = sum.wrapping_add(xxh3_64_with_seed(value, seed));
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_model::{RowsBuilder, Timestamp};

    fn rows(entries: &[(i64, &str, &[(&str, &str)])]) -> Rows {
        let mut builder = RowsBuilder::default();
        for (at, line, metadata) in entries {
            builder.push(Timestamp(*at), line.as_bytes());
            metadata.iter().for_each(|(name, value)| builder.set_metadata(name, value.as_bytes(), *name == "detected_level"));
        }
        builder.finish()
    }

    fn digest(tenant: &str, app: &str, rows: &Rows) -> RowDigest {
        let labels = Labels::from_pairs([("app", app)]).expect("one label");
        RowHasher::new(&TenantId::parse(tenant).expect("valid")).digest(&labels, rows, 0..rows.len())
    }

    #[test]
    fn order_and_derived_metadata_do_not_matter() {
        let one = rows(&[(1, "x", &[("a", "1"), ("b", "2")]), (2, "y", &[("detected_level", "info")])]);
        let two = rows(&[(2, "y", &[]), (1, "x", &[("b", "2"), ("a", "1")])]);
        assert_eq!(digest("t", "app", &one), digest("t", "app", &two));
    }

    #[test]
    fn everything_of_the_identity_matters() {
        let base = digest("t", "app", &rows(&[(1, "x", &[("a", "1")])]));
        for other in [
            digest("u", "app", &rows(&[(1, "x", &[("a", "1")])])),
            digest("t", "other", &rows(&[(1, "x", &[("a", "1")])])),
            digest("t", "app", &rows(&[(2, "x", &[("a", "1")])])),
            digest("t", "app", &rows(&[(1, "z", &[("a", "1")])])),
            digest("t", "app", &rows(&[(1, "x", &[("a", "2")])])),
            digest("t", "app", &rows(&[(1, "x", &[("b", "1")])])),
            digest("t", "app", &rows(&[(1, "x", &[])])),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn parts_add_up() {
        let all = rows(&[(1, "x", &[]), (2, "y", &[])]);
        let (one, two) = (rows(&[(1, "x", &[])]), rows(&[(2, "y", &[])]));
        assert_eq!(digest("t", "a", &all), digest("t", "a", &one).plus(digest("t", "a", &two)));
    }
}
