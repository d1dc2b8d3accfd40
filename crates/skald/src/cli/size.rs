//! Sizes for people.

/// Bytes with a decimal unit, two digits where the first is the only one before the point.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit > 0 && value < 9.95 {
        true => format!("{value:.1} {}", UNITS[unit]),
        false => format!("{value:.0} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::human_bytes;

    #[test]
    fn bytes_are_rounded_to_a_fitting_unit() {
        let check = |bytes: u64, want: &str| assert_eq!(human_bytes(bytes), want);
        check(0, "0 B");
        check(999, "999 B");
        check(1000, "1.0 kB");
        check(9_949, "9.9 kB");
        check(9_951, "10 kB");
        check(82_854_982, "83 MB");
        check(999_499, "999 kB");
        check(999_500, "1.0 MB");
        check(u64::MAX, "18 EB");
    }
}
