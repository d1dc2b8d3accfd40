use super::*;
use proptest::prelude::*;

/// 2026-11-22T00:00:00Z
const NOW: Timestamp = Timestamp(1_795_305_600_000_000_000);

/// All that was read, in one line.
fn read(message: &str) -> String {
    let read = Message::read(message, NOW);
    let texts = [read.facility(), read.severity(), read.hostname, read.app_name, read.proc_id, read.msg_id];
    let mut out = texts.map(|text| text.unwrap_or("-")).join(" ");
    let data = read.data.iter().map(|element| {
        let params: Vec<_> = element.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!(" {}({})", element.id, params.join(","))
    });
    out.extend(data);
    if let Some(at) = read.timestamp {
        out += &format!(" @{}", at.0 / 1_000_000);
    }
    if let Some(flaw) = read.flaw {
        out += &format!(" !{flaw}");
    }
    format!("{out} |{}", read.text)
}

#[track_caller]
fn check(message: &str, want: &str) {
    assert_eq!(read(message), want, "{message:?}");
}

#[test]
fn messages_of_rfc_5424_are_read() {
    check(
        "<34>1 2003-10-11T22:14:15.003Z host su 12 ID47 - \u{feff}'su root' failed",
        "auth critical host su 12 ID47 @1065910455003 |'su root' failed",
    );
    check("<165>1 - - - - - - text", "local4 notice - - - - |text");
    check("<0>1 2003-10-11T22:14:15Z h a p m -", "kern emergency h a p m @1065910455000 |");
    check("<191>1 - h a p m - two  spaces\nand a line ", "local7 debug h a p m |two  spaces\nand a line ");
}

#[test]
fn structured_data_is_read_without_escapes() {
    check(r#"<13>1 - h a p m [x@1 a="1" b=""][y] t"#, "user notice h a p m x@1(a=1,b=) y() |t");
    check(r#"<13>1 - h a p m [x a="q\"b\\c\]d\e" ] t"#, r#"user notice h a p m x(a=q"b\c]d\e) |t"#);
    check("<13>1 - h a p m [x a=\"\u{e9}\"]", "user notice h a p m x(a=\u{e9}) |");
}

#[test]
fn what_is_wrong_with_a_header_costs_only_itself() {
    check("<13>1 yesterday h a p m - t", "user notice h a p m !no timestamp |t");
    check("<13>1 - h a", "user notice h a - - !it ends early |");
    check("<13>1 - h a p m", "user notice h a p m !it ends early |");
    check("<13>1 - h a p m [x a=1] t", "user notice h a p m !malformed structured data |[x a=1] t");
    check("<13>1 - h a p m [x a=\"1\" t", "user notice h a p m !malformed structured data |[x a=\"1\" t");
    check("<13>1 - h a p m -t", "user notice h a p m !malformed structured data |-t");
    check("<13>1 - h a p m no data", "user notice h a p m !malformed structured data |no data");
    for no_priority in ["", "<", "<13", "<>a", "<192>a", "<0000>a", "<+1>a", "a"] {
        check(no_priority, &format!("- - - - - - !no priority in front |{no_priority}"));
    }
}

#[test]
fn messages_of_rfc_3164_are_read() {
    check("<34>Oct 11 22:14:15 host su: 'su root' failed", "auth critical host su - - @1791756855000 |'su root' failed");
    check("<34>Oct  1 22:14:15 host su[12]: x: y", "auth critical host su 12 - @1790892855000 |x: y");
    check("<34>Oct 11 22:14:15 host su:x", "auth critical host su - - @1791756855000 |x");
    check("<34>Oct 11 22:14:15 host just words", "auth critical host - - - @1791756855000 |just words");
    check("<34>Oct 11 22:14:15 fe80::1 a: x", "auth critical fe80::1 a - - @1791756855000 |x");
    check("<34>Oct 11 22:14:15 ::1 a: x", "auth critical ::1 a - - @1791756855000 |x");
    check("<34> 2026-10-11T22:14:15Z host a[b c]: x", "auth critical host - - - @1791756855000 |a[b c]: x");
}

#[test]
fn a_local_message_has_no_host() {
    check("<13>Oct 11 22:14:15 logger: text", "user notice - logger - - @1791756855000 |text");
    check("<13>Oct 11 22:14:15 cron[7]: text", "user notice - cron 7 - @1791756855000 |text");
}

#[test]
fn without_a_time_all_is_text() {
    check("<13>text: here", "user notice - - - - !no timestamp |text: here");
    check("<13>", "user notice - - - - !no timestamp |");
    check("<13>0 - - - - - - t", "user notice - - - - !no timestamp |0 - - - - - - t");
}

proptest! {
    #![proptest_config(skald_testkit::property(256))]

    #[test]
    fn any_text_is_read(text in r#"(<[0-9]{1,3}>)?(1 |Oct 11 )?[-a1:<>\[\]"=\\ \u{e9}]{0,40}"#) {
        let read = Message::read(&text, NOW);
        prop_assert!(text.ends_with(read.text), "{:?}", read);
    }

    #[test]
    fn values_of_structured_data_come_back(value in r#"[a\]"\\ =]{0,12}"#) {
        let escaped: String = value.chars().flat_map(|c| matches!(c, '"' | '\\' | ']').then_some('\\').into_iter().chain([c])).collect();
        let text = format!("<13>1 - - - - - [x a=\"{escaped}\"] t");
        let read = Message::read(&text, NOW);
        prop_assert_eq!(&*read.data[0].params[0].1, value.as_str());
    }
}
