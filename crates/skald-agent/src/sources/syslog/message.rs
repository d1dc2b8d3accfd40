//! What a syslog message says.

mod timestamp;

use skald_model::Timestamp;
use std::borrow::Cow;

/// A message, as far as it could be read. Texts point into what came.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Message<'a> {
    /// `<facility * 8 + severity>` in front.
    pub priority: Option<u8>,
    /// Version of RFC 5424; none is RFC 3164.
    pub version: Option<u16>,
    /// When it was written, by its sender.
    pub timestamp: Option<Timestamp>,
    /// Who wrote it.
    pub hostname: Option<&'a str>,
    /// Which program.
    pub app_name: Option<&'a str>,
    /// Which process.
    pub proc_id: Option<&'a str>,
    /// Which kind.
    pub msg_id: Option<&'a str>,
    /// Structured data in the order of the message.
    pub data: Vec<Element<'a>>,
    /// The text.
    pub text: &'a str,
    /// The first thing that was wrong; what could be read behind it is there nevertheless.
    pub flaw: Option<Flaw>,
}

/// An element of structured data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its id.
    pub id: &'a str,
    /// Names and values.
    pub params: Vec<(&'a str, Cow<'a, str>)>,
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// No `<0>` to `<191>` at its beginning.
    #[error("no priority in front")]
    Priority,
    /// The time is missing or none.
    #[error("no timestamp")]
    Timestamp,
    /// It ends within the header.
    #[error("it ends early")]
    Short,
    /// Structured data does not end, or is none.
    #[error("malformed structured data")]
    Data,
}

/// Largest priority.
const PRIORITY_MAX: u8 = 191;

impl<'a> Message<'a> {
    /// Reads a message of RFC 5424 or RFC 3164, told apart by the version behind the priority. Whatever is no header is text.
    ///
    /// `now` decides the year of times that have none.
    pub fn read(message: &'a str, now: Timestamp) -> Self {
        let Some((priority, rest)) = read_priority(message) else {
            return Message { text: message, flaw: Some(Flaw::Priority), ..Message::default() };
        };
        let mut read = match read_version(rest) {
            Some((version, rest)) => Message { version: Some(version), ..read_5424(rest) },
            None => read_3164(rest, now),
        };
        read.priority = Some(priority);
        read
    }

    /// Name of the facility.
    pub fn facility(&self) -> Option<&'static str> {
        self.priority.map(|priority| FACILITIES[usize::from(priority >> 3)])
    }

    /// Name of the severity.
    pub fn severity(&self) -> Option<&'static str> {
        self.priority.map(|priority| SEVERITIES[usize::from(priority & 7)])
    }

    fn flawed(&mut self, flaw: Flaw) {
        self.flaw.get_or_insert(flaw);
    }
}

const SEVERITIES: [&str; 8] = ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"];

const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];

fn read_priority(message: &str) -> Option<(u8, &str)> {
    let (digits, rest) = message.strip_prefix('<')?.split_once('>')?;
    let is_number = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let priority = digits.parse().ok().filter(|priority| is_number && *priority <= PRIORITY_MAX)?;
    Some((priority, rest))
}

/// A number and a space, such as no message of RFC 3164 has in this place.
fn read_version(rest: &str) -> Option<(u16, &str)> {
    let (digits, rest) = rest.split_once(' ')?;
    let is_number = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let version = digits.parse().ok().filter(|version| is_number && *version > 0)?;
    Some((version, rest))
}

fn read_5424(header: &str) -> Message<'_> {
    let mut message = Message::default();
    let mut rest = header;
    let mut field = |message: &mut Message<'_>| {
        let (field, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = tail;
        if field.is_empty() {
            message.flawed(Flaw::Short);
        }
        Some(field).filter(|field| !matches!(*field, "" | "-"))
    };
    if let Some(time) = field(&mut message) {
        message.timestamp = timestamp::rfc3339(time);
        if message.timestamp.is_none() {
            message.flawed(Flaw::Timestamp);
        }
    }
    message.hostname = field(&mut message);
    message.app_name = field(&mut message);
    message.proc_id = field(&mut message);
    message.msg_id = field(&mut message);
    let text = match read_data(rest) {
        Some((data, text)) => {
            message.data = data;
            text
        }
        None => {
            message.flawed(if rest.is_empty() { Flaw::Short } else { Flaw::Data });
            rest
        }
    };
    message.text = text.strip_prefix('\u{feff}').unwrap_or(text);
    message
}

/// Structured data, and the text behind it.
fn read_data(rest: &str) -> Option<(Vec<Element<'_>>, &str)> {
    let behind = |rest: &str| rest.is_empty() || rest.starts_with(' ');
    if let Some(rest) = rest.strip_prefix('-') {
        return behind(rest).then(|| (Vec::new(), rest.strip_prefix(' ').unwrap_or(rest)));
    }
    let (mut elements, mut rest) = (Vec::new(), rest);
    while let Some(inner) = rest.strip_prefix('[') {
        let (element, tail) = read_element(inner)?;
        elements.push(element);
        rest = tail;
    }
    (!elements.is_empty() && behind(rest)).then(|| (elements, rest.strip_prefix(' ').unwrap_or(rest)))
}

/// An element behind its `[`, and what follows its `]`.
fn read_element(inner: &str) -> Option<(Element<'_>, &str)> {
    let (id, mut rest) = inner.split_at(inner.find([' ', ']']).filter(|len| *len > 0)?);
    let mut params = Vec::new();
    loop {
        if let Some(rest) = rest.strip_prefix(']') {
            return Some((Element { id, params }, rest));
        }
        let param = rest.trim_start_matches(' ');
        if param.starts_with(']') {
            rest = param;
            continue;
        }
        let (name, tail) = param.split_once("=\"").filter(|(name, _)| !name.is_empty() && !name.contains([' ', ']', '"', '=']))?;
        let (value, tail) = read_value(tail)?;
        params.push((name, value));
        rest = tail;
    }
}

/// A value behind its `"`, without escapes, and what follows its closing `"`.
fn read_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut unescaped: Option<String> = None;
    let mut from = 0;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                let value = match unescaped {
                    Some(value) => Cow::Owned(value + &text[from..at]),
                    None => Cow::Borrowed(&text[..at]),
                };
                return Some((value, &text[at + 1..]));
            }
            // Of all else that a backslash stands before, the backslash is a part.
            b'\\' if matches!(text.as_bytes().get(at + 1), Some(b'"' | b'\\' | b']')) => {
                unescaped.get_or_insert_default().push_str(&text[from..at]);
                from = at + 1;
                bytes.next();
            }
            _ => {}
        }
    }
    None
}

fn read_3164(rest: &str, now: Timestamp) -> Message<'_> {
    let mut message = Message::default();
    let rest = rest.trim_start_matches(' ');
    let Some((time, rest)) = timestamp::legacy(rest, now) else {
        message.flawed(Flaw::Timestamp);
        message.text = rest;
        return message;
    };
    message.timestamp = Some(time);
    let rest = rest.trim_start_matches(' ');
    // Local senders leave the host out, so that the tag follows the time. A host may be an address of IPv6, which has colons with no space behind.
    let rest = if read_tag(rest).is_some_and(|(_, _, text)| text.is_empty() || text.starts_with(' ')) {
        rest
    } else {
        let (hostname, tail) = rest.split_once(' ').unwrap_or((rest, ""));
        message.hostname = Some(hostname).filter(|hostname| !hostname.is_empty());
        tail.trim_start_matches(' ')
    };
    message.text = rest;
    if let Some((app_name, proc_id, text)) = read_tag(rest) {
        (message.app_name, message.proc_id) = (Some(app_name), proc_id);
        message.text = text.strip_prefix(' ').unwrap_or(text);
    }
    message
}

/// `app:` or `app[process]:`, or the latter without the colon; and what follows.
fn read_tag(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let (app, rest) = text.split_at(text.find([':', '[', ' ']).filter(|len| *len > 0)?);
    if let Some(text) = rest.strip_prefix(':') {
        return Some((app, None, text));
    }
    let (process, text) = rest.strip_prefix('[')?.split_once(']')?;
    let is_process = !process.is_empty() && !process.contains([' ', '[']);
    is_process.then(|| (app, Some(process), text.strip_prefix(':').unwrap_or(text)))
}

#[cfg(test)]
mod tests;
