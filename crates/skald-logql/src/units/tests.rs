use super::*;
use std::time::Duration;

fn text<T: ToString, E: ToString>(result: Result<T, E>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(err) => err.to_string(),
    }
}

#[track_caller]
fn check_duration(input: &str, want: &str) {
    assert_eq!(text(parse_duration(input).map(format_duration)), want, "{input:?}");
}

#[test]
fn prometheus_durations_are_read_and_normalised() {
    check_duration("0", "0s");
    check_duration("0s", "0s");
    check_duration("90s", "1m30s");
    check_duration("36h", "1d12h");
    check_duration("7d", "1w");
    check_duration("9d", "9d");
    check_duration("365d", "1y");
    check_duration("500000h", "20833d8h");
    check_duration("1y2w3d4h5m6s7ms", "382d4h5m6s7ms");
    check_duration("", "empty duration string");
    check_duration(" 1m ", "not a valid duration string: \" 1m \"");
    check_duration("5", "not a valid duration string: \"5\"");
    check_duration("-5m", "not a valid duration string: \"-5m\"");
    check_duration("1h30", "not a valid duration string: \"1h30\"");
    check_duration("1m2h", "not a valid duration string: \"1m2h\"");
    check_duration("1m1m", "not a valid duration string: \"1m1m\"");
    check_duration("1.5m", "unknown unit \".\" in duration \"1.5m\"");
    check_duration("1m:10s", "unknown unit \"m:\" in duration \"1m:10s\"");
    check_duration("5minutes", "unknown unit \"minutes\" in duration \"5minutes\"");
    check_duration("1M", "unknown unit \"M\" in duration \"1M\"");
    check_duration("300y", "duration out of range");
    check_duration("99999999999999999999y", "duration out of range");
}

#[track_caller]
fn check_go_duration(input: &str, want: &str) {
    assert_eq!(text(parse_go_duration(input).map(format_go_duration)), want, "{input:?}");
}

#[test]
fn go_durations_are_read_and_printed_as_go_does() {
    check_go_duration("0", "0s");
    check_go_duration("-0", "0s");
    check_go_duration("90m", "1h30m0s");
    check_go_duration("24h", "24h0m0s");
    check_go_duration("1.5h", "1h30m0s");
    check_go_duration("-5m", "-5m0s");
    check_go_duration("5µs", "5µs");
    check_go_duration("5us", "5µs");
    check_go_duration("1500us", "1.5ms");
    check_go_duration("1.5s", "1.5s");
    check_go_duration("61.001s", "1m1.001s");
    check_go_duration(".5s", "500ms");
    check_go_duration("1s1h", "1h0m1s");
    check_go_duration("7ns", "7ns");
    check_go_duration("9223372036854775807ns", "2562047h47m16.854775807s");
    check_go_duration("-9223372036854775808ns", "-2562047h47m16.854775808s");
    check_go_duration("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\"");
    check_go_duration("1d", "time: unknown unit \"d\" in duration \"1d\"");
    check_go_duration("5", "time: missing unit in duration \"5\"");
    check_go_duration("x", "time: invalid duration \"x\"");
    check_go_duration("björn", r#"time: invalid duration "bj\xc3\xb6rn""#);
    check_go_duration("1m0.1s", "1m0.1s");
    check_go_duration("1.5.5s", "time: missing unit in duration \"1.5.5s\"");
    check_go_duration("", "time: invalid duration \"\"");
    check_go_duration(".s", "time: invalid duration \".s\"");
    check_go_duration("3000000h", "time: invalid duration \"3000000h\"");
}

#[track_caller]
fn check_size(input: &str, want: &str) {
    assert_eq!(text(parse_size(input)), want, "{input:?}");
}

#[test]
fn sizes_are_read_in_any_case() {
    check_size("5", "5");
    check_size("1k", "1000");
    check_size("1KiB", "1024");
    check_size("5 kb", "5000");
    check_size("1,024B", "1024");
    check_size("1.5Ki", "1536");
    check_size("0.7B", "0");
    check_size("2eb", "2000000000000000000");
    check_size("5kbps", "unhandled size name: kbps");
    check_size("-5kb", "strconv.ParseFloat: parsing \"\": invalid syntax");
    check_size("x", "strconv.ParseFloat: parsing \"\": invalid syntax");
    check_size("99eb", "too large: 99eb");
}

#[test]
fn sizes_are_printed_with_two_or_three_digits() {
    for (bytes, want) in [(0, "0B"), (9, "9B"), (10, "10B"), (999, "999B"), (1000, "1.0kB"), (1024, "1.0kB"), (12_345, "12kB")] {
        assert_eq!(format_size(bytes), want);
    }
    assert_eq!(format_size(123_456_789), "124MB");
    assert_eq!(format_size(u64::MAX), "18EB");
}

#[track_caller]
fn check_float(input: &str, want: &str) {
    assert_eq!(text(parse_float(input).map(format_float)), want, "{input:?}");
}

#[test]
fn numbers_are_read_and_printed_as_go_does() {
    check_float("010", "10");
    check_float("-1_000.5", "-1000.5");
    check_float("1_", "strconv.ParseFloat: parsing \"1_\": invalid syntax");
    check_float("+nan", "strconv.ParseFloat: parsing \"+nan\": invalid syntax");
    check_float("1e", "strconv.ParseFloat: parsing \"1e\": invalid syntax");
    check_float("5 ", "strconv.ParseFloat: parsing \"5 \": invalid syntax");
    check_float("1_000", "1000");
    check_float(".990", "0.99");
    check_float("5.", "5");
    check_float("1e3", "1000");
    check_float("-1.5e-7", "-1.5e-07");
    check_float("100000000", "1e+08");
    check_float("1234567", "1.234567e+06");
    check_float("123456.5", "123456.5");
    check_float("0.0001", "0.0001");
    check_float("inf", "+Inf");
    check_float("-Infinity", "-Inf");
    check_float("nan", "NaN");
    check_float("0x1p4", "16");
    check_float("0x1.8p1", "3");
    check_float("0x.8p-1", "0.25");
    check_float("0x10", "strconv.ParseFloat: parsing \"0x10\": invalid syntax");
    check_float("0B", "strconv.ParseFloat: parsing \"0B\": invalid syntax");
    check_float("1__0", "strconv.ParseFloat: parsing \"1__0\": invalid syntax");
    check_float("_1", "strconv.ParseFloat: parsing \"_1\": invalid syntax");
    check_float("x", "strconv.ParseFloat: parsing \"x\": invalid syntax");
    check_float("", "strconv.ParseFloat: parsing \"\": invalid syntax");
    check_float("+-1", "strconv.ParseFloat: parsing \"+-1\": invalid syntax");
    check_float("1e400", "strconv.ParseFloat: parsing \"1e400\": value out of range");
    check_float("0x1p5000", "strconv.ParseFloat: parsing \"0x1p5000\": value out of range");
}

#[test]
fn fixed_numbers_have_no_exponent() {
    for (value, want) in [(1e21, "1000000000000000000000"), (0.1, "0.1"), (1e-7, "0.0000001"), (-2.0, "-2"), (f64::INFINITY, "+Inf")] {
        assert_eq!(format_fixed(value), want);
    }
}

#[test]
fn what_is_printed_reads_back() {
    for millis in [0, 1, 999, 1000, 86_400_000, 604_800_000, 31_536_000_000, 123_456_789_012] {
        let duration = Duration::from_millis(millis);
        assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
    }
    for nanos in [0, 1, -1, 1500, 1_500_000, 61_000_000_001, i64::MAX, i64::MIN] {
        assert_eq!(parse_go_duration(&format_go_duration(nanos)), Ok(nanos));
    }
}
