use super::*;
use crate::inflight::InFlight;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use http::HeaderValue;
use prometheus_client::metrics::gauge::Gauge;
use proptest::prelude::*;
use skald_config::ByteSize;
use std::io::Write;
use std::sync::Arc;

fn headers(content_type: &str, encoding: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [(header::CONTENT_TYPE, content_type), (header::CONTENT_ENCODING, encoding)] {
        if !value.is_empty() {
            headers.insert(name, HeaderValue::from_str(value).expect("a header value"));
        }
    }
    headers
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("to memory");
    encoder.finish().expect("to memory")
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("to memory");
    encoder.finish().expect("to memory")
}

fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("small")
}

const MAX: u64 = 1 << 20;

fn open(content_type: &str, encoding: &str, body: &[u8]) -> Result<Vec<u8>, String> {
    let config = DistributorConfig { max_decompressed_size: ByteSize(MAX), ..DistributorConfig::default() };
    let owner = Arc::new(InFlight::new(4 * MAX, Gauge::default()));
    let format = Format::of_push(&headers(content_type, encoding), Schema::V1).map_err(|error| error.to_string())?;
    format.open(body, &config, &mut Reservation::new(&owner)).map(Cow::into_owned).map_err(|error| error.to_string())
}

#[track_caller]
fn check(content_type: &str, encoding: &str, body: &[u8], want: Result<&[u8], &str>) {
    let want = want.map(<[u8]>::to_vec).map_err(str::to_owned);
    assert_eq!(open(content_type, encoding, body), want, "{content_type} {encoding}");
}

#[test]
fn headers_say_what_a_body_is() {
    let (json, proto) = ("application/json", "application/x-protobuf");
    check(json, "", b"{}", Ok(b"{}"));
    check("Application/JSON; charset=utf-8", "", b"{}", Ok(b"{}"));
    check(json, "gzip", &gzip(b"{}"), Ok(b"{}"));
    check(json, "gzip", &[gzip(b"{"), gzip(b"}")].concat(), Ok(b"{}"));
    check(json, "deflate", &deflate(b"{}"), Ok(b"{}"));
    check(json, "snappy", &snappy(b"{}"), Ok(&snappy(b"{}")));
    check(proto, "", &snappy(b"x"), Ok(b"x"));
    check(proto, "snappy", &snappy(b"x"), Ok(b"x"));
    check("text/plain", "snappy", &snappy(b"x"), Ok(b"x"));
    check(proto, "gzip", &gzip(&snappy(b"x")), Ok(b"x"));
    check(proto, "deflate", &deflate(&snappy(b"x")), Ok(b"x"));
}

#[test]
fn other_headers_are_refused() {
    check("application/json", "zstd", b"", Err("Content-Encoding \"zstd\" not supported"));
    check("application/json", "GZIP", b"", Err("Content-Encoding \"GZIP\" not supported"));
    check("", "", b"", Err("mime: no media type"));
    check(" ; a=b", "", b"", Err("mime: no media type"));
    check("text/", "", b"", Err("mime: expected token after slash"));
    check("a b/c", "", b"", Err("mime: unexpected content after media subtype"));
}

#[test]
fn bodies_that_are_not_what_they_should_be_are_refused() {
    check("application/json", "gzip", b"not gzip", Err("unexpected EOF"));
    check("application/json", "gzip", b"not gzip at all", Err("gzip: invalid header"));
    check("application/json", "gzip", &gzip(b"{}")[..12], Err("unexpected EOF"));
    check("application/x-protobuf", "", b"\xff\xff", Err("snappy: corrupt input"));
    check("application/x-protobuf", "", b"", Err("snappy: corrupt input"));
    check("application/x-protobuf", "", &snappy(&[0; 100])[..3], Err("snappy: corrupt input"));
    assert!(open("application/json", "deflate", b"\xff\xff\xff").is_err());
}

#[test]
fn bombs_are_stopped_at_the_limit() {
    let zeros = vec![0; 3 << 20];
    for (encoding, bomb) in [("gzip", gzip(&zeros)), ("deflate", deflate(&zeros))] {
        let error = open("application/json", encoding, &bomb).expect_err("too large");
        assert!(error.starts_with("request body too large: decompressed message size too large than max (1"), "{error}");
        assert!(error.ends_with(" vs 1048576)"), "{error}");
    }
    check(
        "application/x-protobuf",
        "",
        &snappy(&zeros),
        Err("request body too large: decompressed message size too large than max (3145728 vs 1048576)"),
    );
    // Declares 1,000,000 bytes and holds one.
    check("application/x-protobuf", "", &[0xc0, 0x84, 0x3d, 0, b'x'], Err("snappy: corrupt input"));
    let owner = Arc::new(InFlight::new(STEP as u64, Gauge::default()));
    let format = Format::of_push(&headers("application/json", "gzip"), Schema::V1).expect("known");
    let bomb = gzip(&zeros);
    let busy = format.open(&bomb, &DistributorConfig::default(), &mut Reservation::new(&owner));
    assert!(matches!(busy, Err(PushFailure::Busy)));
}

#[tokio::test]
async fn bodies_on_the_wire_are_bounded() {
    let config = DistributorConfig { max_recv_msg_size: ByteSize(4), ..DistributorConfig::default() };
    let owner = Arc::new(InFlight::new(6, Gauge::default()));
    let read = async |declared: Option<&str>, body: &'static str, before: u64| {
        let mut headers = HeaderMap::new();
        if let Some(declared) = declared {
            headers.insert(header::CONTENT_LENGTH, declared.parse().expect("a header value"));
        }
        let mut held = Reservation::new(&owner);
        held.grow(before).expect("room");
        receive(&headers, Body::from(body), &config, &mut held).await.map_err(|error| error.to_string())
    };
    assert_eq!(read(None, "abcd", 0).await, Ok(b"abcd".to_vec()));
    let want = Err("request body too large: message size too large than max (5 vs 4)".to_owned());
    assert_eq!(read(None, "abcde", 0).await, want);
    assert_eq!(read(Some("5"), "", 0).await, want);
    assert_eq!(read(None, "abcd", 3).await, Err("The server cannot accept more requests at this time.".to_owned()));
}

proptest! {
    #![proptest_config(skald_testkit::property(128))]

    #[test]
    fn mutated_bodies_never_panic_nor_pass_the_limit(
        at in any::<prop::sample::Index>(), byte in any::<u8>(), which in 0..3usize,
    ) {
        let plain = vec![b'a'; 2000];
        let (content_type, encoding, mut body) = match which {
            0 => ("application/json", "gzip", gzip(&plain)),
            1 => ("application/json", "deflate", deflate(&plain)),
            _ => ("application/x-protobuf", "", snappy(&plain)),
        };
        let at = at.index(body.len());
        body[at] = byte;
        if let Ok(opened) = open(content_type, encoding, &body) {
            prop_assert!(opened.len() as u64 <= MAX);
        }
    }
}
