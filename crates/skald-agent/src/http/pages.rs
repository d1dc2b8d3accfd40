//! The pages for people.

use crate::source::{SourceStatus, TargetStatus};
use skald_pipeline::LabelSet;
use std::fmt::Write;

const STYLE: &str = "body{font-family:sans-serif;margin:1em}table{border-collapse:collapse;width:100%}\
                     td,th{border:1px solid #ccc;padding:.3em;text-align:left;vertical-align:top;word-break:break-all}\
                     .ready{color:#070}.waiting{color:#a00}nav a{margin-right:1em}code{font-size:90%}";

/// `/targets`: what is read.
pub(super) fn targets(sources: &[SourceStatus]) -> String {
    let mut page = Page::new("Targets");
    for source in sources {
        page.heading(source, source.active.len());
        page.table(&["Labels", "Details"], &source.active, |target| vec![labels(&target.labels), details(target)]);
    }
    page.end()
}

/// `/service-discovery`: what was found, and what of it is not read.
pub(super) fn discovery(sources: &[SourceStatus]) -> String {
    let mut page = Page::new("Service discovery");
    for source in sources {
        page.heading(source, source.active.len() + source.dropped.len());
        let all: Vec<TargetStatus> = source.active.iter().chain(&source.dropped).cloned().collect();
        page.table(&["Found", "Labels", "Not read because"], &all, |target| {
            vec![labels(&target.discovered), labels(&target.labels), escaped(&target.reason)]
        });
    }
    page.end()
}

struct Page(String);

impl Page {
    fn new(title: &str) -> Self {
        let nav = "<nav><a href=\"targets\">Targets</a><a href=\"service-discovery\">Service discovery</a><a href=\"config\">Configuration</a></nav>";
        Page(format!("<!doctype html><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>{nav}<h1>{title}</h1>\n"))
    }

    fn heading(&mut self, source: &SourceStatus, count: usize) {
        let (class, state) = if source.ready { ("ready", "ready") } else { ("waiting", "not ready") };
        let job = escaped(&source.job);
        self.push(format_args!("<h2>{job} <small>({}, <span class=\"{class}\">{state}</span>, {count})</small></h2>\n", source.kind));
    }

    fn table(&mut self, heads: &[&str], targets: &[TargetStatus], cells: impl Fn(&TargetStatus) -> Vec<String>) {
        let head: String = heads.iter().map(|head| format!("<th>{head}</th>")).collect();
        self.push(format_args!("<table><tr>{head}</tr>\n"));
        for target in targets {
            let row: String = cells(target).iter().map(|cell| format!("<td>{cell}</td>")).collect();
            self.push(format_args!("<tr>{row}</tr>\n"));
        }
        self.push(format_args!("</table>\n"));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("writing to a string succeeds");
    }

    fn end(self) -> String {
        self.0
    }
}

fn labels(labels: &LabelSet) -> String {
    let one = |(name, value): (&str, &str)| format!("<code>{}=&quot;{}&quot;</code>", escaped(name), escaped(value));
    labels.iter().map(one).collect::<Vec<_>>().join("<br>")
}

fn details(target: &TargetStatus) -> String {
    let one = |(name, value): &(String, String)| format!("{}: {}", escaped(name), escaped(value));
    target.details.iter().map(one).collect::<Vec<_>>().join("<br>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
