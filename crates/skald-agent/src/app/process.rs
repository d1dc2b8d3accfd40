use super::{Agent, AgentError, Printer, World, stdin};
use crate::config::{Flags, Loaded, load};
use crate::http::{RouteOptions, ServerError, routes, serve};
use futures::future::{Either, select};
use futures::stream::{self, Stream, StreamExt};
use skald_runtime::{HttpServer, Logging, Metrics, StdDisk, chain, seams};
use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::Poll;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

/// Exit code of a command line that is wrong.
const EXIT_USAGE: u8 = 2;
/// Threads for tasks: the work of an agent is in its threads for files and for the disk.
const WORKER_THREADS: usize = 2;
/// Threads for what blocks on the disk.
const BLOCKING_THREADS_MAX: usize = 8;

/// The whole process, from the arguments behind its name to its exit code: 0 after an orderly end, 2 for a wrong command line, 1 for anything else.
pub fn run(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let flags = match Flags::parse(arguments) {
        Ok(flags) => flags,
        Err(error) => return refuse(&error, EXIT_USAGE),
    };
    if flags.help {
        return print(&format!("{}\n{}", version(), Flags::help()));
    }
    if flags.version {
        return print(&version());
    }
    let loaded = match load(&flags, &StdDisk, &|name| std::env::var(name).ok()) {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error, if flags.files.is_empty() { EXIT_USAGE } else { 1 }),
    };
    if flags.check_syntax {
        let warnings: String = loaded.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
        return print(&format!("{warnings}{}: the configuration is valid\n", loaded.file));
    }
    let server = &loaded.config.server;
    let logging = Logging::new(server.log_level, server.log_format, io::stderr);
    if tracing::subscriber::set_global_default(logging.subscriber).is_err() {
        return refuse(&io::Error::other("there is another log already"), 1);
    }
    show(&flags, &loaded);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().worker_threads(WORKER_THREADS).max_blocking_threads(BLOCKING_THREADS_MAX).thread_name("agent");
    let tokio = match builder.build() {
        Ok(tokio) => tokio,
        Err(error) => return refuse(&error, 1),
    };
    let code = tokio.block_on(async {
        match live(flags, loaded).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                error!(error = %chain(&error), "agent ends");
                ExitCode::FAILURE
            }
        }
    });
    // Jobs that still block on the disk must not keep the process.
    tokio.shutdown_background();
    code
}

/// Why a process ends with a failure. Nobody asks of what kind: it is logged.
#[derive(Debug, thiserror::Error)]
enum ProcessError {
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("the system gives no threads, randomness or signals")]
    System(#[from] io::Error),
}

/// What a signal wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Stop,
    Reload,
}

async fn live(flags: Flags, loaded: Loaded) -> Result<(), ProcessError> {
    let mut wishes = signals()?;
    let metrics = Metrics::new("agent");
    let seams = seams(1, &metrics)?;
    let inspector = flags.inspect.then(|| Arc::new(Printer::new(Box::new(io::stderr()), io::stderr().is_terminal())) as _);
    info!(version = env!("CARGO_PKG_VERSION"), file = loaded.file, "starting");
    let from_stdin = loaded.config.target_config.stdin;
    let world = World::new(flags, seams, metrics, hostname(), inspector);
    if from_stdin {
        let reading = stdin::run(world, loaded, stdin::lines);
        let stopped = async { while wishes.next().await == Some(Wish::Reload) {} };
        return match select(pin!(reading), pin!(stopped)).await {
            Either::Left((result, _)) => Ok(result?),
            Either::Right(_) => Ok(()),
        };
    }
    let start = async {
        let agent = Agent::open(world, loaded).await?;
        let server = listen(&agent).await?;
        agent.begin().await?;
        Ok::<_, ProcessError>((agent, server))
    };
    let (agent, server) = match select(pin!(start), pin!(wishes.next())).await {
        Either::Left((started, _)) => started?,
        // Nothing that was read is lost: it is in the spool, or is read again.
        Either::Right(_) => return Ok(()),
    };
    info!("agent runs");
    while wishes.next().await == Some(Wish::Reload) {
        // Why it failed is logged there.
        let _ = agent.reload().await;
    }
    info!("stopping");
    stop(&agent, server, &mut wishes).await;
    Ok(())
}

/// Stops within the time that is configured, or at once with a second signal.
async fn stop(agent: &Arc<Agent>, server: Option<HttpServer>, wishes: &mut (impl Stream<Item = Wish> + Unpin)) {
    let bound = agent.config().server.graceful_shutdown_timeout.0;
    let stopping = async {
        agent.stop().await;
        if let Some(server) = server {
            server.stop(bound / 3).await;
        }
    };
    // A reload asks for nothing any more.
    let again = pin!(async { while wishes.next().await == Some(Wish::Reload) {} });
    let given_up = select(agent.clock().sleep(bound), again);
    match select(pin!(stopping), given_up).await {
        Either::Left(_) => info!("stopped"),
        Either::Right(_) => warn!("ended before everything was sent; it is in the spool, or is read again"),
    }
}

/// Serves what the agent shows of itself, unless it shall not.
async fn listen(agent: &Arc<Agent>) -> Result<Option<HttpServer>, ServerError> {
    let config = agent.config().server.clone();
    if config.disable {
        return Ok(None);
    }
    let options = RouteOptions {
        prefix: config.http_path_prefix.clone(),
        metrics: config.register_instrumentation,
        reload: config.enable_runtime_reload,
    };
    let server = serve(&config, routes(Arc::clone(agent) as _, &options), agent.seams()).await?;
    info!(http = %server.address(), "listening");
    Ok(Some(server))
}

fn show(flags: &Flags, loaded: &Loaded) {
    for warning in &loaded.warnings {
        warn!(%warning, "odd configuration");
    }
    if flags.print_config {
        // When even that fails there is nobody to tell.
        let _ = io::stderr().write_all(loaded.config.render().as_bytes());
    }
    if flags.log_config {
        loaded.config.render().lines().rev().for_each(|line| info!(line, "configuration"));
    }
}

/// The signals, as they come.
fn signals() -> io::Result<impl Stream<Item = Wish> + Unpin> {
    let mut stops = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(stream::poll_fn(move |context| {
        if stops.iter_mut().any(|stop| stop.poll_recv(context).is_ready()) {
            return Poll::Ready(Some(Wish::Stop));
        }
        hangup.poll_recv(context).map(|_| Some(Wish::Reload))
    }))
}

/// `HOSTNAME`, which is the node's name where Kubernetes runs the agent, or the name of the machine.
fn hostname() -> String {
    let of_system = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty()).unwrap_or_else(of_system)
}

fn version() -> String {
    format!("skald-agent {}\n", env!("CARGO_PKG_VERSION"))
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Before there is a log, the operator at the terminal is told.
fn refuse(error: &(dyn Error + 'static), code: u8) -> ExitCode {
    // When even that fails there is nobody to tell.
    let _ = writeln!(io::stderr(), "skald-agent: {}", chain(error));
    ExitCode::from(code)
}
