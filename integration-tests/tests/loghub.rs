//! Real log files through the command line, into the real server and back: counts and lines are those of the files, from memory,
//! after a kill, from data objects, and after another start.
//!
//! The files of `samples/` always; also every `*.log` of the folder that `SKALD_LOGHUB_DIR` names.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test on real processes and files")]

use integration_tests::{GENEROUS, Server, run_skald};
use regex::Regex;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Substrings asked of every file, beside some of its own.
const NEEDLES: [&str; 12] =
    ["error", "ERROR", " ", "a", "10.", "the same line again", "\r", "\t", "ошибка", "ß", "\u{fffd}", "no such text"];

/// Expressions that mean the same to the query language, to `grep -E` and to the regex crate.
const EXPRESSIONS: [&str; 9] = [
    "error|ERROR|Error",
    "[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+",
    "^[A-Z]",
    "[a-z]$",
    "x[0-9a-f]{8}",
    "^$",
    "(fail|stop|drift)(ed|ped|s)?",
    "needle-at-the-far-end$",
    "no such (text|thing)",
];

/// A file and its lines as the server must have them: bytes that are not UTF-8 are replaced.
struct LogFile {
    name: String,
    path: PathBuf,
    lines: Vec<String>,
    is_utf8: bool,
}

impl LogFile {
    fn read(path: PathBuf) -> Self {
        let bytes = std::fs::read(&path).unwrap();
        let mut lines: Vec<String> = bytes.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        if bytes.ends_with(b"\n") {
            lines.pop();
        }
        let is_utf8 = std::str::from_utf8(&bytes).is_ok();
        LogFile { name: path.file_stem().unwrap().to_str().unwrap().to_owned(), path, lines, is_utf8 }
    }

    fn selector(&self) -> String {
        format!("{{file={}}}", quoted(&self.name))
    }

    /// Parts of its first, middle and last line.
    fn own_needles(&self) -> Vec<String> {
        let middle = [0, self.lines.len() / 3, self.lines.len() / 2, self.lines.len() - 1].map(|at| &self.lines[at]);
        let part = |line: &String| line.chars().skip(line.chars().count() / 2).take(9).collect::<String>();
        middle.into_iter().map(part).filter(|part| !part.is_empty()).collect()
    }
}

/// All files of one folder, by name.
fn log_files(folder: &Path) -> Vec<LogFile> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no *.log in {}", folder.display());
    paths.into_iter().map(LogFile::read).collect()
}

/// A string literal of the query language. JSON's escapes are among its own.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// What `grep` itself counts, where there is one.
fn grep(arguments: &[&str], path: &Path) -> Option<usize> {
    let output = Command::new("grep").env("LC_ALL", "C").arg("-a").args(arguments).arg(path).output().ok()?;
    Some(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap())
}

/// Lines of the file that contain `needle`, by this test and by grep.
#[track_caller]
fn lines_with(file: &LogFile, needle: &str) -> usize {
    let count = file.lines.iter().filter(|line| line.contains(needle)).count();
    if !needle.contains('\u{fffd}')
        && let Some(found) = grep(&["-cF", "-e", needle], &file.path)
    {
        assert_eq!(found, count, "grep -cF {needle:?} {}", file.name);
    }
    count
}

/// Lines of the file that match `expression`, by this test and by grep.
#[track_caller]
fn lines_matching(file: &LogFile, expression: &str) -> usize {
    let regex = Regex::new(expression).unwrap();
    let count = file.lines.iter().filter(|line| regex.is_match(line)).count();
    if file.is_utf8
        && let Some(found) = grep(&["-cE", "-e", expression], &file.path)
    {
        assert_eq!(found, count, "grep -cE {expression:?} {}", file.name);
    }
    count
}

/// The one number of an instant query through the command line; 0 when it has no sample.
#[track_caller]
fn count(server: &Server, query: &str) -> usize {
    let text = server.cli(&["instant-query", query]).text();
    let samples: serde_json::Value = serde_json::from_str(&text).unwrap();
    let samples = samples.as_array().unwrap();
    assert!(samples.len() <= 1, "{text}");
    samples.first().map_or(0, |sample| sample["value"][1].as_str().unwrap().parse().unwrap())
}

fn printed(lines: &[impl AsRef<str>]) -> String {
    lines.iter().flat_map(|line| [line.as_ref(), "\n"]).collect()
}

/// Everything that is asked of one file, however the server holds it at the time.
#[track_caller]
fn check(server: &Server, file: &LogFile, when: &str) {
    let selector = file.selector();
    let raw = |query: &str, arguments: &[&str]| {
        let arguments: Vec<&str> = ["query", "-o", "raw", "--since", "2h"].iter().chain(arguments).chain(&[query]).copied().collect();
        server.cli(&arguments).text()
    };
    let all = raw(&selector, &["--limit", "0", "--forward"]);
    assert!(all == printed(&file.lines), "the lines of {} {when} are not those of the file", file.name);
    let backward: Vec<&String> = file.lines.iter().rev().collect();
    assert!(raw(&selector, &["--limit", "0", "--batch", "333"]) == printed(&backward), "{} backward {when}", file.name);
    assert_eq!(raw(&selector, &["--limit", "1", "--forward"]), printed(&file.lines[..1]), "head -1 {} {when}", file.name);
    assert_eq!(raw(&selector, &["--limit", "1"]), printed(&backward[..1]), "tail -1 {} {when}", file.name);

    assert_eq!(count(server, &format!("sum(count_over_time({selector}[2h]))")), file.lines.len(), "grep -c '' {} {when}", file.name);
    for needle in NEEDLES.iter().map(|needle| (*needle).to_owned()).chain(file.own_needles()) {
        let query = format!("sum(count_over_time({selector} |= {} [2h]))", quoted(&needle));
        assert_eq!(count(server, &query), lines_with(file, &needle), "{query} {when}");
    }
    for expression in EXPRESSIONS {
        let query = format!("sum(count_over_time({selector} |~ {} [2h]))", quoted(expression));
        assert_eq!(count(server, &query), lines_matching(file, expression), "{query} {when}");
    }
    let needle = file.own_needles().pop().unwrap();
    let with: Vec<&String> = file.lines.iter().filter(|line| line.contains(&needle)).collect();
    let found = raw(&format!("{selector} |= {}", quoted(&needle)), &["--limit", "0", "--forward"]);
    assert!(found == printed(&with), "lines with {needle:?} of {} {when}", file.name);
    let without: Vec<&String> = file.lines.iter().filter(|line| !line.contains('e')).collect();
    let found = raw(&format!("{selector} != \"e\""), &["--limit", "0", "--forward"]);
    assert!(found == printed(&without), "lines without an e of {} {when}", file.name);
}

fn show(files: &[LogFile]) {
    let mut server = Server::start(GENEROUS);
    for file in files {
        let (path, label) = (file.path.display().to_string(), format!("file={}", file.name));
        let ran = run_skald(["push", "--addr", server.address(), &path, "--label", &label]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("sent {} lines", file.lines.len())), "{}", ran.stderr);
        assert_eq!(ran.stderr.contains("were not UTF-8"), !file.is_utf8, "{}", ran.stderr);
    }
    let check_all = |server: &Server, when: &str| files.iter().for_each(|file| check(server, file, when));
    check_all(&server, "in memory");
    server.kill();
    server.restart();
    check_all(&server, "after kill -9");
    server.flush();
    check_all(&server, "after a flush");
    server.terminate();
    server.restart();
    check_all(&server, "after the next start");
    let mut names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(server.cli(&["labels", "file"]).text(), printed(&names));
}

#[test]
fn lines_and_counts_of_the_samples_are_those_of_the_files() {
    let mut files = log_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("samples"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.log");
    // Of several frames, and near the longest that is taken.
    let long: String = (0_u64..25_000).map(|i| format!("{:08x}. ", i * 2_654_435_761_u64 % 4_294_967_291)).collect();
    std::fs::write(&path, format!("before an error\n{long}x12345678 failed\n\nafter")).unwrap();
    files.push(LogFile::read(path));
    show(&files);
}

#[test]
fn lines_and_counts_of_the_loghub_collection_are_those_of_the_files() {
    let Some(folder) = std::env::var_os("SKALD_LOGHUB_DIR") else {
        eprintln!("skipped: SKALD_LOGHUB_DIR names no folder");
        return;
    };
    show(&log_files(Path::new(&folder)));
}
