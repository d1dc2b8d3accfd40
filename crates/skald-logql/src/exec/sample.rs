/// The text of a sample value: shortest digits that read back the same, never an exponent; `NaN`, `+Inf`, `-Inf`.
pub fn format_sample(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_notation_with_shortest_digits() {
        for (value, want) in [
            (4.0 / 60.0, "0.06666666666666667"),
            (123_456_789_012_345_680.0, "123456789012345680"),
            (1e-7, "0.0000001"),
            (1e21, "1000000000000000000000"),
            (-0.0, "-0"),
            (3.0, "3"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(format_sample(value), want);
        }
    }
}
