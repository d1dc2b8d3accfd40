use crate::config::{Config, ScrapeConfig, SourceConfig};
use skald_model::ErrorKind;
use skald_pipeline::{Pipeline, PipelineContext, PipelineError, Relabel, RelabelError};
use skald_tail::{Decompression, Format};
use std::sync::Arc;

/// All scrape configs, compiled: what can be refused without touching the world.
pub struct Plan {
    /// In the order of the file.
    pub jobs: Vec<Job>,
}

/// One scrape config, compiled.
pub struct Job {
    /// As it is written.
    pub config: ScrapeConfig,
    /// Its `relabel_configs`.
    pub relabel: Arc<Relabel>,
    /// Its `pipeline_stages`.
    pub pipeline: Pipeline,
    /// Longest line that the configuration allows; 0 where it says nothing.
    pub max_line_size: usize,
}

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A rule.
    #[error("scrape config \"{job}\"")]
    Relabel {
        /// Whose.
        job: String,
        /// Cause.
        #[source]
        source: RelabelError,
    },
    /// A stage.
    #[error("scrape config \"{job}\"")]
    Pipeline {
        /// Whose.
        job: String,
        /// Cause.
        #[source]
        source: PipelineError,
    },
}

impl PlanError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Relabel { source, .. } => source.kind(),
            Self::Pipeline { source, .. } => source.kind(),
        }
    }
}

impl Plan {
    /// Compiles rules and stages; `context` is what all pipelines share.
    ///
    /// # Errors
    /// A rule or a stage that cannot be. Those of a configuration that was loaded were tried already.
    pub fn new(config: &Config, context: &PipelineContext) -> Result<Self, PlanError> {
        let max_line_size = config.limits_config.max_line_size.as_usize();
        let jobs = config.scrape_configs.iter().map(|config| Job::new(config, max_line_size, context)).collect::<Result<_, _>>()?;
        Ok(Plan { jobs })
    }
}

impl Job {
    fn new(config: &ScrapeConfig, max_line_size: usize, context: &PipelineContext) -> Result<Self, PlanError> {
        let job = || config.job_name.clone();
        let context = PipelineContext { job: config.job_name.as_str().into(), ..context.clone() };
        let relabel = Relabel::new(&config.relabel_configs).map_err(|source| PlanError::Relabel { job: job(), source })?;
        let pipeline = Pipeline::new(&config.pipeline_stages, &context).map_err(|source| PlanError::Pipeline { job: job(), source })?;
        Ok(Job { config: config.clone(), relabel: Arc::new(relabel), pipeline, max_line_size })
    }

    /// How its files are compressed.
    pub fn decompression(&self) -> Option<Decompression> {
        let settings = &self.config.decompression;
        let format = Format::named(&settings.format).filter(|_| settings.enabled)?;
        Some(Decompression { format, initial_delay: settings.initial_delay.0 })
    }

    /// Whether it reads files.
    pub fn reads_files(&self) -> bool {
        matches!(self.config.source, SourceConfig::Files(_))
    }
}
