//! What an agent is sent (syslog, pushes, the output of journalctl) and the file that it is configured by.

use crate::Target;
use skald_agent::config::{Flags, load};
use skald_agent::sources::journal::JournalEntry;
use skald_agent::sources::push::{BadStream, Content, Receive, read};
use skald_agent::sources::syslog::{Framer, Message, split_datagram};
use skald_model::Timestamp;
use skald_pipeline::{LabelSet, Text};
use skald_testkit::SimDisk;
use std::borrow::Cow;
use std::path::Path;

/// 2026-01-15T00:00:00Z
const NOW: Timestamp = Timestamp(1_768_435_200_000_000_000);
/// Most bytes that are kept of a message.
const MESSAGE_MAX: usize = 1000;

pub(crate) const SYSLOG: Target = Target {
    name: "syslog",
    about: "what a syslog connection brings; it is cut into the same messages however its bytes come, and the text of each is its end",
    seeds: || {
        let one = "<165>1 2026-01-15T00:00:00.5Z host app 12 id [x@1 a=\"1\\]\" b=\"\"][y] \u{feff}text";
        let two = "<34>Oct 11 22:14:15 host su[9]: text";
        let lines = format!("{one}\n{two}\r\n<13>no time\n");
        let counted = format!("{} {one}{} {two}\n", one.len(), two.len());
        [lines.as_str(), &counted, one, two].map(|text| text.as_bytes().to_vec()).into()
    },
    tokens: &[
        "<",
        ">",
        "<13>",
        "<191>",
        "1 ",
        "- ",
        "[",
        "]",
        "=\"",
        "\"",
        "\\",
        "\\\"",
        ":",
        " ",
        "\n",
        "\r\n",
        "\0",
        "[1]: ",
        "Oct ",
        "Feb 29 ",
        "2026-01-15T00:00:00Z ",
        "23:59:60 ",
        "::1 ",
        "\u{feff}",
        "999999999 ",
    ],
    run: |bytes| {
        let whole = messages(bytes, usize::MAX);
        assert_eq!(whole, messages(bytes, 7));
        whole.iter().for_each(|message| check_message(message));
        let _ = split_datagram(bytes, MESSAGE_MAX, |frame| check_message(frame.bytes));
    },
};

fn messages(bytes: &[u8], step: usize) -> Vec<Vec<u8>> {
    let (mut framer, mut found) = (Framer::new(MESSAGE_MAX), Vec::new());
    for mut piece in bytes.chunks(step) {
        loop {
            match framer.next(&mut piece) {
                Ok(Some(frame)) => found.push(frame.bytes.to_vec()),
                Ok(None) => break,
                Err(_) => return found,
            }
        }
    }
    found.extend(framer.finish().map(|frame| frame.bytes.to_vec()));
    found
}

fn check_message(bytes: &[u8]) {
    assert!(bytes.len() <= MESSAGE_MAX);
    let text = String::from_utf8_lossy(bytes);
    let message = Message::read(&text, NOW);
    assert!(text.ends_with(message.text));
    let _ = (message.facility(), message.severity());
}

pub(crate) const JOURNAL: Target = Target {
    name: "journal",
    about: "a line of journalctl; the fields of an entry print as JSON that reads the same",
    seeds: || {
        let head = r#""__CURSOR":"s=1;t=64861e7e78001","__REALTIME_TIMESTAMP":"1768435200000001""#;
        let fields = r#""MESSAGE":[27,91,195,169],"PRIORITY":"3","_A":["x",[121],null],"_B":null,"_C":"\u00e9\ud83d\ude00""#;
        vec![format!("{{{head},{fields}}}").into_bytes()]
    },
    tokens: &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "null",
        "255",
        "-1",
        "256",
        "1e5",
        "\\u00e9",
        "\"__CURSOR\"",
        "\"PRIORITY\":\"8\"",
        "[[1]]",
    ],
    run: |bytes| {
        let Ok(mut entry) = JournalEntry::read(bytes) else { return };
        let _ = entry.labels(&LabelSet::new());
        let line = entry.line(true).expect("it has fields");
        let again: std::collections::BTreeMap<String, String> = serde_json::from_str(&line).expect("it was printed as JSON");
        assert_eq!(again, entry.fields);
    },
};

pub(crate) const AGENT_PUSH: Target = Target {
    name: "agent-push",
    about: "the body of a push to an agent, read as JSON and as protobuf",
    seeds: || {
        let json = r#"{"streams":[{"values":[["5","one",{"k":"v"}],["6","\u00e9"]],"stream":{"app":"a"}},{"stream":{"b-c":"1"}}]}"#;
        vec![json.as_bytes().to_vec(), b"one\r\n\ntwo\xff".to_vec()]
    },
    tokens: &["{", "}", "[", "]", ":", ",", "\"", "\\u00e9", "null", "\"streams\"", "\"stream\"", "\"values\"", "\"-1\"", "[[", "\n"],
    run: |bytes| {
        for content in [Content::Json, Content::Protobuf, Content::Raw] {
            let mut seen = Seen::default();
            let _ = read(content, bytes, &mut seen);
            // Whatever it says, it says it with bytes of its own.
            assert!(seen.streams + seen.entries <= bytes.len() + 1);
        }
    },
};

#[derive(Default)]
struct Seen {
    streams: usize,
    entries: usize,
}

impl Receive for Seen {
    fn stream(&mut self, labels: Result<LabelSet, BadStream>) {
        self.streams += 1;
        if let Err(bad) = labels {
            assert!(bad.to_string().len() < MESSAGE_MAX);
        }
    }

    fn entry(&mut self, _timestamp: Option<Timestamp>, _line: Cow<'_, str>, _metadata: Vec<(Text, Text)>) {
        self.entries += 1;
    }
}

pub(crate) const AGENT_CONFIG: Target = Target {
    name: "agent-config",
    about: "an agent's configuration file, with and without variables; one that was read can be shown, and a refusal names the file",
    seeds: || {
        let files = [
            include_str!("../../skald-agent/tests/configs/taken/everything.yaml"),
            include_str!("../../skald-agent/tests/configs/taken/file-discovery.yaml"),
            include_str!("../../skald-agent/tests/configs/taken/journal.yaml"),
            include_str!("../../skald-agent/tests/configs/taken/kubernetes.yaml"),
            include_str!("../../skald-agent/tests/configs/taken/push.yaml"),
            include_str!("../../skald-agent/tests/configs/taken/static.yaml"),
            include_str!("../../skald-agent/tests/configs/taken/syslog.yaml"),
        ];
        files.map(|text| text.as_bytes().to_vec()).into()
    },
    tokens: &[
        ":",
        "- ",
        "\n",
        "  ",
        "\"",
        "'",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "|",
        "null",
        "~",
        "1h",
        "1MB",
        "-1",
        "true",
        "<<: ",
        "${A}",
        "${A:-b}",
        "${#A}",
        "$$",
        "\\\\",
        "clients:",
        "scrape_configs:",
        "pipeline_stages:",
        "relabel_configs:",
        "job_name:",
        "journal:",
        "syslog:",
        "match:",
        "regex:",
        "stages:",
        "kafka:",
        "---",
        "? ",
    ],
    run: |bytes| {
        let disk = SimDisk::new();
        disk.plant(Path::new("agent.yaml"), bytes);
        for arguments in [&["-config.file=agent.yaml"][..], &["-config.file=agent.yaml", "-config.expand-env"]] {
            let flags = Flags::parse(arguments.iter().map(|argument| (*argument).to_owned())).expect("these flags are right");
            match load(&flags, &*disk, &|name| (name == "A").then(|| "value: [x]".to_owned())) {
                Ok(loaded) => drop(loaded.config.render()),
                Err(error) => assert!(error.to_string().contains("agent.yaml"), "{error}"),
            }
        }
    },
};
