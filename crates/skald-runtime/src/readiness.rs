use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// Whether the process can serve. Parts register by name and say how they are; a cheap handle.
#[derive(Clone)]
pub struct Readiness(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    parts: Vec<(&'static str, PartState)>,
    stopping: bool,
}

/// How a part is. Prints as `/services` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartState {
    /// Not yet at work.
    Starting,
    /// At work.
    Running,
    /// At work, and not to be sent requests, for this reason.
    NotReady(String),
    /// Ending.
    Stopping,
    /// Ended.
    Terminated,
    /// Ended by an error.
    Failed(String),
}

impl fmt::Display for PartState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PartState::Starting => "Starting",
            PartState::Running | PartState::NotReady(_) => "Running",
            PartState::Stopping => "Stopping",
            PartState::Terminated => "Terminated",
            PartState::Failed(_) => "Failed",
        })
    }
}

impl Readiness {
    /// Nothing is registered; that is ready.
    pub fn new() -> Self {
        Readiness(Arc::new(Inner { state: Mutex::default(), changes: watch::channel(()).0 }))
    }

    /// Adds a part, which is starting until it says otherwise.
    pub fn register(&self, name: &'static str) -> Part {
        let mut state = self.0.state.lock();
        state.parts.push((name, PartState::Starting));
        let index = state.parts.len() - 1;
        drop(state);
        self.0.changes.send_replace(());
        Part { readiness: self.clone(), index }
    }

    /// Ready, or the text that `/ready` answers with 503.
    ///
    /// # Errors
    /// The process stops, a part is not running, or a running part says why it is not ready.
    pub fn check(&self) -> Result<(), String> {
        let state = self.0.state.lock();
        if state.stopping {
            return Err("Application is stopping".to_owned());
        }
        let mut counts: Vec<(String, usize)> = Vec::new();
        for (_, part) in state.parts.iter().filter(|(_, part)| !matches!(part, PartState::Running | PartState::NotReady(_))) {
            let name = part.to_string();
            match counts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += 1,
                None => counts.push((name, 1)),
            }
        }
        if !counts.is_empty() {
            let lines: Vec<_> = counts.iter().map(|(name, count)| format!("{name}: {count}")).collect();
            return Err(format!("Some services are not Running:\n{}", lines.join("\n")));
        }
        let waiting = state.parts.iter().find_map(|(name, part)| match part {
            PartState::NotReady(why) => Some(format!("{} not ready: {why}", title(name))),
            _ => None,
        });
        waiting.map_or(Ok(()), Err)
    }

    /// The parts in the order in which they registered.
    pub fn parts(&self) -> Vec<(&'static str, PartState)> {
        self.0.state.lock().parts.clone()
    }

    /// From now on nothing is ready.
    pub fn set_stopping(&self) {
        self.0.state.lock().stopping = true;
        self.0.changes.send_replace(());
    }

    /// Sees every change.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

/// The name as a title: `query frontend` is `Query Frontend`.
fn title(name: &str) -> String {
    let word = |word: &str| {
        let mut chars = word.chars();
        chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
    };
    name.split(' ').map(word).collect::<Vec<String>>().join(" ")
}

/// By what a part says how it is; a cheap handle.
#[derive(Clone)]
pub struct Part {
    readiness: Readiness,
    index: usize,
}

impl Part {
    /// At work, and ready.
    pub fn ready(&self) {
        self.set(PartState::Running);
    }

    /// At work, and not to be sent requests.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.set(PartState::NotReady(why.into()));
    }

    /// Ending.
    pub fn stopping(&self) {
        self.set(PartState::Stopping);
    }

    /// Ended.
    pub fn stopped(&self) {
        self.set(PartState::Terminated);
    }

    /// Ended by an error.
    pub fn failed(&self, why: impl Into<String>) {
        self.set(PartState::Failed(why.into()));
    }

    fn set(&self, state: PartState) {
        self.readiness.0.state.lock().parts[self.index].1 = state;
        self.readiness.0.changes.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(readiness: &Readiness, want: Result<(), &str>) {
        assert_eq!(readiness.check(), want.map_err(str::to_owned));
    }

    #[test]
    fn ready_once_every_part_is_and_until_the_process_stops() {
        let readiness = Readiness::new();
        check(&readiness, Ok(()));
        let (ingester, querier) = (readiness.register("ingester"), readiness.register("query frontend"));
        check(&readiness, Err("Some services are not Running:\nStarting: 2"));
        ingester.not_ready("replaying the write-ahead log");
        check(&readiness, Err("Some services are not Running:\nStarting: 1"));
        querier.ready();
        check(&readiness, Err("Ingester not ready: replaying the write-ahead log"));
        ingester.ready();
        check(&readiness, Ok(()));
        querier.not_ready("no ingester");
        check(&readiness, Err("Query Frontend not ready: no ingester"));
        querier.failed("gone");
        ingester.stopping();
        check(&readiness, Err("Some services are not Running:\nStopping: 1\nFailed: 1"));
        readiness.set_stopping();
        check(&readiness, Err("Application is stopping"));
        ingester.stopped();
        let parts: Vec<_> = readiness.parts().into_iter().map(|(name, state)| format!("{name} => {state}")).collect();
        assert_eq!(parts, ["ingester => Terminated", "query frontend => Failed"]);
    }
}
