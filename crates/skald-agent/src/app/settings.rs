//! From settings to parts.

use super::agent::{AgentError, Outlet};
use super::losses::ClientLosses;
use super::{PrintIntake, World};
use crate::batcher::{BatchLimits, Losses};
use crate::config::{Config, Loaded};
use crate::delivery::host_of;
use crate::intake::Intake;
use crate::limit::Rate;
use crate::positions::{PositionsConfig, StartPositions};
use crate::spool::{Spool, SpoolConfig, SpoolParts};
use skald_config::ByteSize;
use skald_model::seam::run_blocking;
use skald_tail::TailConfig;
use std::sync::Arc;
use tracing::warn;

/// Opens what takes entries, and reads where sources begin.
pub(super) async fn open_outlet(world: &Arc<World>, config: &Config) -> Result<(Outlet, Arc<dyn Intake>, StartPositions), AgentError> {
    let positions = positions(config, world.flags.dry_run);
    if world.flags.dry_run {
        let seams = &world.seams;
        let positions =
            StartPositions::read(positions, Arc::clone(&seams.disk), Arc::clone(&seams.clock)).map_err(AgentError::Positions)?;
        return Ok((Outlet::Print, Arc::new(PrintIntake::new(Box::new(std::io::stdout()))), positions));
    }
    let (world, config) = (Arc::clone(world), config.clone());
    let spawner = Arc::clone(&world.seams.spawner);
    let open = move || {
        let clients: Vec<String> = config.clients.iter().map(|client| client.id()).collect();
        let parts = SpoolParts {
            config: SpoolConfig { dir: config.spool.dir.clone().into(), max_size: config.spool.max_size.0 },
            positions,
            limits: limits(&config),
            losses: losses(&config, &world),
            clients: &clients,
            seams: &world.seams,
        };
        world.metrics.register_unprefixed(|registry| Spool::open(parts, registry))
    };
    let spool = run_blocking(&*spawner, open).await.map_err(|_| AgentError::Stopping)??;
    spool.start();
    let positions = spool.start_positions().await?;
    let intake = Arc::new(spool.intake());
    Ok((Outlet::Spool(spool), intake, positions))
}

fn positions(config: &Config, read_only: bool) -> PositionsConfig {
    PositionsConfig {
        filename: config.positions.filename.clone().into(),
        sync_period: config.positions.sync_period.0,
        ignore_invalid_yaml: config.positions.ignore_invalid_yaml,
        read_only,
    }
}

/// Batches are cut once for all clients: so that none gets more at once, or later, than it is configured to.
pub(super) fn limits(config: &Config) -> BatchLimits {
    let default = BatchLimits::default();
    let limits = &config.limits_config;
    BatchLimits {
        batch_size: config.clients.iter().map(|client| client.batchsize.as_usize()).min().unwrap_or(default.batch_size),
        batch_wait: config.clients.iter().map(|client| client.batchwait.0).min().unwrap_or(default.batch_wait),
        max_streams: ByteSize(limits.max_streams).as_usize(),
        max_line_size: limits.max_line_size.as_usize(),
        truncate_lines: limits.max_line_size_truncate,
    }
}

pub(super) fn losses(config: &Config, world: &World) -> Arc<dyn Losses> {
    let clients = config.clients.iter().map(|client| (host_of(client), client.tenant_id.clone())).collect();
    Arc::new(ClientLosses { clients, metrics: Arc::clone(&world.delivery) })
}

pub(super) fn rate(config: &Config) -> Option<Rate> {
    let limits = &config.limits_config;
    let rate = Rate { per_second: limits.readline_rate, burst: limits.readline_burst, drop: limits.readline_rate_drop };
    limits.readline_rate_enabled.then_some(rate)
}

pub(super) fn tail_config(config: &Config) -> TailConfig {
    let watch = &config.global.file_watch_config;
    TailConfig {
        sync_period: config.target_config.sync_period.0,
        poll_min: watch.min_poll_frequency.0,
        poll_max: watch.max_poll_frequency.0.max(watch.min_poll_frequency.0),
        ..TailConfig::default()
    }
}

pub(super) fn log_warnings(loaded: &Loaded) {
    for warning in &loaded.warnings {
        warn!(%warning, "odd configuration");
    }
}
