//! `-stdin`: lines of standard input, sent and done.

use super::agent::{Agent, AgentError, Outlet};
use super::plan::Plan;
use super::{Job, World};
use crate::config::{Loaded, SourceConfig};
use crate::sink::{EntrySink, SinkParts};
use crate::sources::Stamps;
use skald_pipeline::{LabelSet, Pipeline, Relabel};
use std::io::{BufRead, Read};
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::{info, warn};

/// Lines that wait to be sent.
const QUEUE_LEN_MAX: usize = 1024;
/// Longer lines are sent in pieces.
const LINE_BYTES_MAX: u64 = 2 << 20;

/// Sends what `lines` gives, by the labels and the stages of the first scrape config, and ends when all of it is sent.
///
/// What waits is kept in a directory of its own, which is removed at the end: it is not mixed with what an agent that runs as a service has to send.
pub(super) async fn run(world: Arc<World>, mut loaded: Loaded, lines: fn(mpsc::Sender<String>)) -> Result<(), AgentError> {
    let spool_is_set = world.flags.sets("spool.dir");
    let dir = std::env::temp_dir().join(format!("skald-agent-{:032x}", world.seams.random.next_id()));
    loaded.config.positions.filename = dir.join("positions.yaml").display().to_string();
    if !spool_is_set {
        loaded.config.spool.dir = dir.join("spool").display().to_string();
    }
    let result = send(&world, loaded, lines).await;
    match world.seams.disk.remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => warn!(%error, dir = %dir.display(), "directory not removed"),
        _ => {}
    }
    result
}

async fn send(world: &Arc<World>, loaded: Loaded, lines: fn(mpsc::Sender<String>)) -> Result<(), AgentError> {
    let plan = Plan::new(&loaded.config, &world.context)?;
    let (labels, pipeline) = match plan.jobs.first() {
        Some(job) => (labels_of(job), job.pipeline.clone()),
        None => (LabelSet::new(), Pipeline::new(&[], &world.context).expect("no stages have nothing wrong with them")),
    };
    let labels = if labels.is_empty() { default_labels(&world.hostname) } else { labels };
    let agent = Agent::open(Arc::clone(world), loaded).await?;
    let config = agent.config();
    let delivery = agent.start_delivery(&config, agent.open_clients(&config).await?);
    let clock = Arc::clone(agent.clock());
    let sink = SinkParts { relabel: Arc::new(Relabel::default()), pipeline, intake: agent.intake(), clock: Arc::clone(&clock) };
    let (mut sink, stamps) = (EntrySink::new(&sink), Stamps::default());
    let (send, mut receive) = mpsc::channel(QUEUE_LEN_MAX);
    world.seams.spawner.spawn_thread("standard input", Box::new(move || lines(send)));
    let mut count = 0_u64;
    while let Some(line) = receive.recv().await {
        sink.push(labels.clone(), stamps.next(clock.now()), line, Vec::new(), None).await;
        count += 1;
    }
    sink.flush().await;
    if let Outlet::Spool(spool) = &agent.outlet {
        spool.drained().await;
    }
    if let Some(delivery) = delivery {
        delivery.stop().await;
    }
    agent.stop().await;
    info!(lines = count, "standard input has ended");
    Ok(())
}

/// Labels of the first of its static targets.
fn labels_of(job: &Job) -> LabelSet {
    let SourceConfig::Files(discovery) = &job.config.source else { return LabelSet::new() };
    let labels = discovery.static_configs.first().map(|target| &target.labels);
    labels.into_iter().flatten().filter(|(name, _)| !name.starts_with("__")).map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn default_labels(hostname: &str) -> LabelSet {
    [("job", "stdin"), ("hostname", hostname)].into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// Lines of standard input, as they come. Blocks.
pub(super) fn lines(send: mpsc::Sender<String>) {
    read_lines(std::io::stdin().lock(), &send);
}

fn read_lines(mut input: impl BufRead, send: &mpsc::Sender<String>) {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => return warn!(%error, "standard input cannot be read"),
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        // Nobody receives any more once the process stops.
        if send.blocking_send(String::from_utf8_lossy(&bytes).into_owned()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_their_ends_and_at_the_bound() {
        let mut input = b"one\n\nbad \xff\r\n".to_vec();
        input.extend(vec![b'x'; LINE_BYTES_MAX as usize + 1]);
        let (send, mut receive) = mpsc::channel(16);
        read_lines(&input[..], &send);
        drop(send);
        let mut lines = Vec::new();
        while let Some(line) = receive.blocking_recv() {
            lines.push(if line.len() > 100 { line.len().to_string() } else { line });
        }
        assert_eq!(lines, ["one", "", "bad \u{fffd}\r", "2097152", "x"]);
    }
}
