use super::*;
use proptest::prelude::*;

fn utf16(text: &str, big: bool) -> Vec<u8> {
    text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

#[test]
fn names_are_those_of_iana() {
    for name in ["utf-8", "UTF-16LE", "utf_16", "utf-32be", "windows-1252", "ISO-8859-15", "Shift_JIS", "gbk", "koi8-r", "us-ascii", ""] {
        assert!(Coding::named(name).is_ok(), "{name}");
    }
    for name in ["utf-9", "replacement", "iso-2022-kr"] {
        assert!(Coding::named(name).is_err(), "{name}");
    }
}

#[test]
fn an_end_of_line_is_a_character_and_not_a_byte() {
    let little = Coding::Utf16 { big: false };
    // U+0A0A, U+0A00, U+000A; and U+000A after U+0A41.
    assert_eq!(little.line_end(&[0x0a, 0x0a, 0x00, 0x0a, 0x0a, 0x00]), Some(4));
    assert_eq!(Coding::Utf16 { big: true }.line_end(&[0x0a, 0x00, 0x0a, 0x41, 0x00, 0x0a]), Some(4));
    assert_eq!(little.line_end(&[0x41, 0x0a, 0x00]), None);
    assert_eq!(Coding::Utf32 { big: false }.line_end(&[0, 0x0a, 0, 0, 0x0a, 0, 0, 0]), Some(4));
}

#[test]
fn long_lines_are_cut_between_characters() {
    assert_eq!(Coding::Utf8.cut("aäb".as_bytes(), 2), 1);
    assert_eq!(Coding::Utf8.cut("aäb".as_bytes(), 3), 3);
    assert_eq!(Coding::Utf8.cut(&[0x80; 9], 8), 8);
    assert_eq!(Coding::Utf16 { big: false }.cut(&utf16("a😀b", false), 5), 2);
    assert_eq!(Coding::Utf16 { big: true }.cut(&utf16("a😀b", true), 4), 2);
    assert_eq!(Coding::Utf32 { big: true }.cut(&[0; 16], 7), 4);
}

#[test]
fn the_mark_decides_and_tables_have_none() {
    let windows = Coding::named("windows-1252").unwrap();
    assert_eq!(windows.of_file(&[0xff, 0xfe, b'a']), (windows, 0));
    assert_eq!(Coding::Utf8.of_file(&[0xff, 0xfe, b'a', 0]), (Coding::Utf16 { big: false }, 2));
    assert_eq!(Coding::Utf8.of_file(&[0xff, 0xfe, 0, 0]), (Coding::Utf32 { big: false }, 4));
    assert_eq!(Coding::Utf16 { big: false }.of_file(b"ab"), (Coding::Utf16 { big: false }, 0));
}

proptest! {
    #![proptest_config(skald_testkit::property(64))]

    #[test]
    fn text_survives_its_encoding(text in "[^\\n]{0,40}", big: bool) {
        let coding = Coding::Utf16 { big };
        let bytes = utf16(&format!("{text}\n"), big);
        let end = coding.line_end(&bytes).unwrap();
        prop_assert_eq!(end + 2, bytes.len());
        prop_assert_eq!(coding.decode(&bytes[..end]).0, text);
    }
}
