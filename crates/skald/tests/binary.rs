//! The binary itself: its exit codes, its streams and its other name.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a real process, real files and a real socket are what these tests are about"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A server that answers every request with `body`.
fn serve(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut line, mut len) = (String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    len = value.trim().parse().unwrap();
                }
                line.clear();
            }
            reader.read_exact(&mut vec![0; len]).unwrap();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

fn skald(program: &Path, address: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LOKI_ADDR", address);
    command
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_skald"))
}

fn output(address: &str, args: &[&str]) -> Output {
    skald(binary(), address).args(args).output().unwrap()
}

#[test]
fn the_environment_is_enough_and_the_data_is_alone_on_standard_output() {
    let address = serve(r#"{"status":"success","data":["app","env"]}"#);
    let output = output(&address, &["labels"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"app\nenv\n"[..]));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains(&format!(" {address}/loki/api/v1/labels?end=")), "{stderr}");
    let stamp = stderr.get(..20).unwrap();
    assert!(stamp.bytes().zip(*b"0000/00/00 00:00:00 ").all(|(a, b)| if b == b'0' { a.is_ascii_digit() } else { a == b }), "{stamp}");
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let address = serve("{}");
    for (args, code) in
        [(&["--version"][..], 0), (&["push", "--help"], 0), (&[], 2), (&["follow", "{}"], 2), (&["labels", "--since=1x"], 2)]
    {
        assert_eq!(output(&address, args).status.code(), Some(code), "{args:?}");
    }
    assert_eq!(output("http://127.0.0.1:1", &["labels"]).status.code(), Some(4));
    assert_eq!(output(&serve("no JSON"), &["labels"]).status.code(), Some(1));
}

#[cfg(unix)]
#[test]
fn under_the_name_logcli_it_is_the_same_program() {
    let dir = tempfile::tempdir().unwrap();
    let logcli = dir.path().join("logcli");
    std::os::unix::fs::symlink(binary(), &logcli).unwrap();
    let address = serve(r#"{"status":"success","data":["x"]}"#);
    let found = skald(&logcli, &address).args(["-q", "labels", "app"]).output().unwrap();
    assert_eq!((found.status.code(), found.stdout.as_slice(), found.stderr.as_slice()), (Some(0), &b"x\n"[..], &b""[..]));
    let usage = skald(&logcli, &address).arg("query").output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
    assert!(String::from_utf8(usage.stderr).unwrap().contains("Usage: logcli query"));
}

#[test]
fn a_reader_that_has_enough_ends_the_program_quietly() {
    let values: Vec<String> = (0..20_000).map(|i| format!("\"value {i} of a long list that fills every pipe\"")).collect();
    let address = serve(format!("{{\"status\":\"success\",\"data\":[{}]}}", values.join(",")).leak());
    let mut child = skald(binary(), &address).args(["-q", "labels", "x"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("value 0 "));
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn lines_from_a_pipe_are_sent_before_waiting_for_more() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut child = skald(binary(), &address).args(["push", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for line in ["one\n", "two\n"] {
        stdin.write_all(line.as_bytes()).unwrap();
        // Standard input stays open: this returns only if the line is sent now.
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = BufReader::new(stream.try_clone().unwrap());
        let mut first = String::new();
        head.read_line(&mut first).unwrap();
        assert!(first.starts_with("POST /loki/api/v1/push "), "{first}");
        write!(stream, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8(output.stderr).unwrap().contains("sent 2 lines"));
}

#[test]
fn fsck_names_everything_that_is_bad_and_what_it_did_not_check() {
    let dir = tempfile::tempdir().unwrap();
    let fsck = |dir: &Path| {
        let output = Command::new(binary()).arg("fsck").arg("--data-dir").arg(dir).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = fsck(&dir.path().join("nowhere"));
    assert!(code == Some(1) && text.contains("nowhere"), "{text}");

    std::fs::write(dir.path().join("skald"), format!("format 1\ndisk {:032x}\n", 1)).unwrap();
    let (code, text) = fsck(dir.path());
    assert!(code == Some(0) && text.matches("not checked: there is no '").count() == 2, "{text}");
    assert!(!dir.path().join("wal").exists(), "it makes nothing");

    let day = dir.path().join("objects/fake/2026-01-15/incoming");
    std::fs::create_dir_all(&day).unwrap();
    std::fs::write(day.join(format!("{:032x}-0000000001-0-default", 1)), "no object").unwrap();
    std::fs::write(dir.path().join("objects/~lock"), "").unwrap();
    std::fs::create_dir(dir.path().join("wal")).unwrap();
    std::fs::write(dir.path().join("wal/next-generation"), "no number").unwrap();
    let (code, text) = fsck(dir.path());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("-0000000001-0-default: ") && text.contains("bad: the log: ") && !text.contains("~lock"), "{text}");
}

#[test]
fn a_store_that_a_process_uses_is_not_used_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let serve = |data_dir: &str| {
        let mut command = Command::new(binary());
        command
            .args(["serve", "--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path().join(data_dir));
        command.stderr(Stdio::piped());
        command
    };
    // The first line by which a process says that it runs, or that it does not.
    let outcome = |command: &mut Command| {
        let mut process = command.spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let line = log.lines().map(Result::unwrap).find(|line| line.contains("listening") || line.contains("failed"));
        (process, line.unwrap_or_default())
    };
    let (mut first, said) = outcome(&mut serve("a"));
    assert!(said.contains("listening"), "{said}");
    let url = format!("file://{}", dir.path().join("a/objects").display());
    let (mut second, said) = outcome(serve("b").args(["--storage", &url]));
    for process in [&mut first, &mut second] {
        let _ = process.kill();
        process.wait().unwrap();
    }
    assert!(said.contains("cannot lock the store"), "{said}");
}

#[test]
fn fsck_checks_a_store_that_lies_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (data, elsewhere) = (dir.path().join("data"), dir.path().join("elsewhere"));
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("skald"), format!("format 1\ndisk {}\n", "0".repeat(32))).unwrap();
    let data = data.display().to_string();
    let fsck = || output("", &["fsck", "--data-dir", &data, "--storage", &format!("file://{}", elsewhere.display())]);
    let found = fsck();
    assert_eq!(found.status.code(), Some(1), "a store that is not there cannot be well");
    std::fs::create_dir_all(elsewhere.join("fake")).unwrap();
    std::fs::write(elsewhere.join("fake/junk"), "junk").unwrap();
    let found = fsck();
    assert!(found.status.code() == Some(1) && String::from_utf8_lossy(&found.stdout).contains("fake/junk"));
}

#[test]
fn fsck_checks_a_log_that_lies_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (data, wal) = (dir.path().join("data"), dir.path().join("wal"));
    std::fs::create_dir_all(&data).unwrap();
    std::fs::create_dir_all(&wal).unwrap();
    std::fs::write(data.join("skald"), format!("format 1\ndisk {}\n", "0".repeat(32))).unwrap();
    std::fs::write(wal.join("next-generation"), "no number").unwrap();
    let found = output("", &["fsck", "--data-dir", &data.display().to_string(), "--wal-dir", &wal.display().to_string()]);
    assert!(found.status.code() == Some(1) && String::from_utf8_lossy(&found.stdout).contains("bad: the log: "));
}

#[test]
fn fsck_makes_manifests_and_indexes_anew_from_the_objects() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("skald"), format!("format 1\ndisk {:032x}\n", 1)).unwrap();
    let table = dir.path().join("objects/fake/2026-01-15");
    std::fs::create_dir_all(table.join("incoming")).unwrap();
    for generation in 1..3 {
        let object = one_entry(generation, 1_768_435_200_000_000_000 + generation as i64);
        std::fs::write(table.join(format!("incoming/{:032x}-{generation:010}-0-default", 1)), object).unwrap();
    }
    std::fs::write(table.join("incoming/junk"), "junk").unwrap();
    let data = dir.path().display().to_string();
    let fsck = |extra: &[&str]| {
        let output = output("", &[&["fsck", "--data-dir", &data], extra].concat());
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, text) = fsck(&["--rebuild"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("fake/2026-01-15: 2 data objects, 1 streams, 2 entries: manifest 1"), "{text}");
    assert!(
        text.contains("not ours: fake/2026-01-15/incoming/junk") && text.contains("1 tables of 2 data objects with 2 entries"),
        "{text}"
    );
    std::fs::remove_file(table.join("incoming/junk")).unwrap();
    let (code, text) = fsck(&[]);
    assert!(code == Some(0) && text.contains("2 data objects") && text.contains("1 tables") && text.ends_with(": 0 bad\n"), "{text}");

    let index = std::fs::read_dir(table.join("index")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&index).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&index, bytes).unwrap();
    let (code, text) = fsck(&[]);
    assert!(code == Some(1) && text.contains("bad: fake/2026-01-15/index/"), "{text}");
    std::fs::write(table.join(format!("incoming/{:032x}-{:010}-0-default", 1, 9)), "no object").unwrap();
    let (code, text) = fsck(&["--rebuild"]);
    assert!(code == Some(1) && text.contains(": manifest 2\n") && text.contains("-0000000009-0-default: "), "{text}");

    let lock = skald_model::seam::Disk::lock(&skald_runtime::StdDisk, &dir.path().join("objects/~lock")).unwrap();
    let (code, text) = fsck(&["--rebuild"]);
    assert!(code == Some(1) && text.contains("another process may use it"), "{text}");
    drop(lock);
}

/// A data object of one stream with one entry.
fn one_entry(generation: u64, at: i64) -> Vec<u8> {
    let info = skald_block::ObjectInfo {
        tenant: skald_model::TenantId::parse("fake").unwrap(),
        day: skald_model::Day::of(skald_model::Timestamp(at)),
        class: "default".to_owned(),
        disk: skald_model::DiskId(1),
        generation: skald_model::Generation(generation),
        part: 0,
        replaces: Vec::new(),
    };
    let mut writer = skald_block::ObjectWriter::new(info, skald_block::WriterOptions::default()).unwrap();
    writer.add_stream(&skald_testkit::labels(&[("app", "a")]), &skald_testkit::rows(&[(at, "line")])).unwrap();
    writer.finish().unwrap().bytes.to_vec()
}
