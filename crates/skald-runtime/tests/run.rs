//! A whole process, with real signals and ports. Alone in its file, because signals and logging belong to a process.

use skald_config::{Mode, Source};
use skald_runtime::run;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};

fn source() -> Source {
    let source = Source { environment: Vec::new(), ..Source::new(Mode::SingleProcess) };
    source.flag("--http-listen", "server.http_listen_port", 0).flag("--grpc-listen", "server.grpc_listen_port", 0)
}

#[test]
fn a_process_serves_until_it_is_terminated() {
    static STOPPED: AtomicBool = AtomicBool::new(false);
    let code = run("test", source(), async |runtime| {
        runtime.on_stop("part", async { STOPPED.store(true, Ordering::SeqCst) });
        let serving = runtime.serve(axum::Router::new(), tonic::service::Routes::default()).await?;
        let mut connection = runtime.seams().network.connect(&serving.http.to_string()).await?;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        connection.write_all(b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        assert!(answer.ends_with("\r\n\r\nready\n"), "{answer}");
        let killed = Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status()?;
        assert!(killed.success());
        Ok(())
    });
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(STOPPED.load(Ordering::SeqCst));
}

#[test]
fn a_wrong_configuration_is_a_usage_error() {
    let wrong = source().flag("--log-level", "server.log_level", "loud");
    assert_eq!(run("test", wrong, async |_| Ok(())), ExitCode::from(2));
}
