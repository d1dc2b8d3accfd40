use crate::logging::chain;
use crate::{Common, LogControl, Logging, Metrics, Readiness, Runtime, StdDisk, seams};
use futures::future::{Either, select};
use futures::stream::{self, Stream, StreamExt};
use skald_config::{ConfigError, Loaded, Source};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::error::Error;
use std::io::{self, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

/// Exit code of a configuration or arguments that are wrong.
const EXIT_USAGE: u8 = 2;

/// Runs a process named `name` until it is told to stop.
///
/// Loads the configuration of `source`, starts logging and the tokio runtime, and has `start` build the parts; `start` returns once they run, having
/// registered by [`Runtime::on_stop`] what is to be stopped. On SIGTERM or SIGINT, also while `start` still runs, the process says that it is not ready
/// and stops the parts, last first, within `server.graceful_shutdown_timeout`. A second signal ends it at once.
///
/// Exits with 0 after an orderly stop, 2 for a wrong configuration, and 1 for anything else.
pub fn run<F, Fut>(name: &'static str, source: Source, start: F) -> ExitCode
where
    F: FnOnce(Runtime) -> Fut,
    Fut: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
{
    let loaded = match skald_config::load(&source, &StdDisk) {
        Ok(loaded) => loaded,
        Err(error) => return refuse_configuration(name, &error),
    };
    let server = &loaded.config.server;
    let logging = Logging::new(server.log_level, server.log_format, io::stderr);
    if tracing::subscriber::set_global_default(logging.subscriber).is_ok() {
        log_panics();
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let tokio = match builder.enable_all().thread_name(name).max_blocking_threads(server.blocking_threads).build() {
        Ok(tokio) => tokio,
        Err(error) => return failed(&error, "cannot start the asynchronous runtime"),
    };
    let code = tokio.block_on(async {
        match signals() {
            Ok(signals) => supervise(name, loaded, logging.control, signals, start).await,
            Err(error) => failed(&error, "cannot wait for signals"),
        }
    });
    // Jobs that still block on the disk must not keep the process.
    tokio.shutdown_background();
    code
}

/// Before there is a log, the operator at the terminal is told.
fn refuse_configuration(name: &str, error: &ConfigError) -> ExitCode {
    // When even that fails there is nobody to tell.
    let _ = writeln!(io::stderr(), "{name}: configuration refused\n{}", chain(error));
    ExitCode::from(EXIT_USAGE)
}

fn failed(cause: &(dyn Error + 'static), message: &str) -> ExitCode {
    error!(error = %chain(cause), "{message}");
    ExitCode::FAILURE
}

/// Panics are logged like everything else.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("no text");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
        error!(panic = text, place, backtrace, thread = std::thread::current().name(), "panic");
    }));
}

async fn supervise<F, Fut>(
    name: &'static str,
    loaded: Loaded,
    log_control: LogControl,
    mut signals: impl Stream<Item = &'static str> + Unpin,
    start: F,
) -> ExitCode
where
    F: FnOnce(Runtime) -> Fut,
    Fut: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
{
    let metrics = Metrics::new(name);
    let seams = match seams(loaded.config.server.cpu_threads, &metrics) {
        Ok(seams) => seams,
        Err(error) => return failed(&error, "the system gives no threads or no randomness"),
    };
    info!(name, version = env!("CARGO_PKG_VERSION"), memory_limit = %loaded.config.memory_limit, "starting");
    let bound = loaded.config.server.graceful_shutdown_timeout;
    let common = Common { loaded: Arc::new(loaded), metrics, readiness: Readiness::new(), log_control };
    let runtime = Runtime::new(common, seams);
    let mut code = until_told_to_stop(&runtime, &mut signals, start).await;
    runtime.set_stopping();
    match select(pin!(stop_parts(&runtime, bound)), pin!(signals.next())).await {
        Either::Left((true, _)) => info!("stopped"),
        Either::Left((false, _)) => code = ExitCode::FAILURE,
        Either::Right(_) => {
            warn!("second signal, ending at once");
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// Starts the parts and waits for a reason to stop them.
async fn until_told_to_stop<F, Fut>(runtime: &Runtime, signals: &mut (impl Stream<Item = &'static str> + Unpin), start: F) -> ExitCode
where
    F: FnOnce(Runtime) -> Fut,
    Fut: Future<Output = Result<(), Box<dyn Error + Send + Sync>>>,
{
    let running = async {
        if let Err(error) = start(runtime.clone()).await {
            return failed(&*error, "start failed");
        }
        let why = runtime.asked_to_stop().await;
        error!(why, "a part asked to stop");
        ExitCode::FAILURE
    };
    match select(pin!(running), pin!(signals.next())).await {
        Either::Left((code, _)) => code,
        Either::Right((signal, _)) => {
            info!(signal = signal.unwrap_or("none"), "stopping");
            ExitCode::SUCCESS
        }
    }
}

/// Stops the parts, last first; false when that took longer than `bound`, and what is left was left.
async fn stop_parts(runtime: &Runtime, bound: Duration) -> bool {
    let mut over = runtime.seams().clock.sleep(bound);
    while let Some((name, stop)) = runtime.next_stop() {
        match select(stop, over).await {
            Either::Left((_, rest)) => over = rest,
            Either::Right(_) => {
                warn!(part = name, ?bound, "not stopped within the bound");
                return false;
            }
        }
    }
    true
}

/// The signals that stop a process, as they come.
fn signals() -> io::Result<impl Stream<Item = &'static str> + Unpin> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(stream::poll_fn(move |context| match terminate.poll_recv(context) {
        Poll::Ready(_) => Poll::Ready(Some("SIGTERM")),
        Poll::Pending => interrupt.poll_recv(context).map(|_| Some("SIGINT")),
    }))
}

#[cfg(test)]
mod tests;
