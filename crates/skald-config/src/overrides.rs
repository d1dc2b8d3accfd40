use crate::check::check_section;
use crate::setting::keys_of;
use crate::yaml::{YamlFile, read_bytes};
use crate::{Config, ConfigError, Limits, Problem, TenantLimits};
use arc_swap::ArcSwap;
use figment::Figment;
use figment::providers::Serialized;
use figment::value::{Dict, Value};
use skald_model::TenantId;
use skald_model::seam::{Clock, Disk, Spawner, run_blocking};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tracing::{info, warn};

/// Limits by tenant: `limits_config`, and over it what a file says of single tenants.
///
/// The file may change at any time ([`Overrides::watch`]); one that is not valid is reported, and what was in force stays.
pub struct Overrides {
    defaults: Arc<Limits>,
    file: Option<PathBuf>,
    period: Duration,
    disk: Arc<dyn Disk>,
    tenants: ArcSwap<HashMap<TenantId, Arc<Limits>>>,
    /// What the last look at the file found; held while looking.
    last: Mutex<LastLook>,
}

#[derive(Default)]
struct LastLook {
    bytes: Option<Vec<u8>>,
    error: Option<String>,
}

impl Overrides {
    /// Reads the file of `runtime_config`, if there is one. Blocks on the disk.
    ///
    /// # Errors
    /// As [`Overrides::reload`].
    pub fn load(config: &Config, disk: Arc<dyn Disk>) -> Result<Arc<Self>, ConfigError> {
        let overrides = Overrides {
            defaults: Arc::new(config.limits_config.clone()),
            file: config.runtime_config.file.clone(),
            period: config.runtime_config.period,
            disk,
            tenants: ArcSwap::default(),
            last: Mutex::default(),
        };
        overrides.reload()?;
        Ok(Arc::new(overrides))
    }

    /// Reads the file again and puts it in force; whether it had changed. Blocks on the disk.
    ///
    /// # Errors
    /// The file cannot be read, or every problem in it with its place. The limits in force stay.
    pub fn reload(&self) -> Result<bool, ConfigError> {
        let Some(path) = &self.file else { return Ok(false) };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = read_bytes(&*self.disk, path).and_then(|bytes| {
            if last.bytes.as_ref() == Some(&bytes) {
                return Ok(false);
            }
            let tenants = parse(&path.display().to_string(), &bytes, &self.defaults)?;
            self.tenants.store(Arc::new(tenants));
            last.bytes = Some(bytes);
            Ok(true)
        });
        last.error = outcome.as_ref().err().map(ToString::to_string);
        outcome
    }

    /// What was wrong with the file at the last look.
    pub fn last_error(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).error.clone()
    }

    /// Number of tenants with limits of their own.
    pub fn tenant_count(&self) -> usize {
        self.tenants.load().len()
    }

    /// Starts to look at the file every `runtime_config.period`, until these limits are dropped.
    pub fn watch(self: &Arc<Self>, clock: Arc<dyn Clock>, spawner: Arc<dyn Spawner>) {
        if self.file.is_none() {
            return;
        }
        let (overrides, period, own_spawner) = (Arc::downgrade(self), self.period, Arc::clone(&spawner));
        let task = async move {
            let mut reported = None;
            loop {
                clock.sleep(period).await;
                let Some(current) = Weak::upgrade(&overrides) else { return };
                let look = run_blocking(&*own_spawner, move || (current.reload(), current.tenant_count())).await;
                let Ok((outcome, tenants)) = look else { return };
                match outcome {
                    Ok(true) => info!(tenants, "limits of tenants reloaded"),
                    Ok(false) if reported.is_some() => info!(tenants, "limits of tenants can be read again"),
                    Ok(false) => {}
                    // The same problem is said once, not at every look.
                    Err(error) if reported.as_ref() == Some(&error.to_string()) => continue,
                    Err(error) => {
                        let error: &(dyn std::error::Error + 'static) = &error;
                        warn!(error, "limits of tenants not reloaded, the last good ones stay");
                        reported = Some(error.to_string());
                        continue;
                    }
                }
                reported = None;
            }
        };
        spawner.spawn("limits reload", Box::pin(task));
    }
}

impl std::fmt::Debug for Overrides {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overrides").field("file", &self.file).field("tenants", &self.tenant_count()).finish_non_exhaustive()
    }
}

impl TenantLimits for Overrides {
    fn limits(&self, tenant: &TenantId) -> Arc<Limits> {
        let tenants = self.tenants.load();
        Arc::clone(tenants.get(tenant).unwrap_or(&self.defaults))
    }
}

fn parse(name: &str, bytes: &[u8], defaults: &Limits) -> Result<HashMap<TenantId, Arc<Limits>>, ConfigError> {
    let file = YamlFile::parse(name, bytes)?;
    let (mut found, mut tenants) = (Vec::new(), HashMap::new());
    let mut refuse = |path: &[String], of_key: bool, message: String| {
        found.push(Problem { origin: file.origin(path, of_key), key: path.join("."), message });
    };
    for (key, value) in &file.dict {
        let path = [key.clone()];
        match (key.as_str(), value) {
            ("overrides", Value::Dict(_, overrides)) => {
                for (tenant, limits) in overrides {
                    if let Some((tenant, limits)) = parse_tenant(tenant, limits, defaults, &mut refuse) {
                        tenants.insert(tenant, Arc::new(limits));
                    }
                }
            }
            ("overrides", _) => refuse(&path, false, "expected tenants with their limits".to_owned()),
            _ => refuse(&path, true, "unknown key; known here: overrides".to_owned()),
        }
    }
    if found.is_empty() { Ok(tenants) } else { Err(ConfigError::Invalid(found)) }
}

fn parse_tenant(
    name: &str,
    value: &Value,
    defaults: &Limits,
    refuse: &mut dyn FnMut(&[String], bool, String),
) -> Option<(TenantId, Limits)> {
    let mut path = vec!["overrides".to_owned(), name.to_owned()];
    let tenant = TenantId::parse(name).map_err(|error| refuse(&path, true, error.to_string())).ok();
    let Value::Dict(_, dict) = value else {
        refuse(&path, false, "expected limits".to_owned());
        return None;
    };
    let limits = merged(dict, defaults, &mut path, refuse)?;
    tenant.map(|tenant| (tenant, limits))
}

fn merged(dict: &Dict, defaults: &Limits, path: &mut Vec<String>, refuse: &mut dyn FnMut(&[String], bool, String)) -> Option<Limits> {
    let mut good = true;
    check_section(&keys_of::<Limits>(), dict, path, &mut |path, _, message| {
        good = false;
        refuse(path, message.starts_with("unknown"), message);
    });
    if !good {
        return None;
    }
    let merged = Figment::from(Serialized::defaults(defaults)).merge(Serialized::defaults(dict)).extract::<Limits>();
    let limits = merged.map_err(|error| refuse(path, false, error.kind.to_string())).ok()?;
    let mut problems = Vec::new();
    limits.problems("", &mut problems);
    for problem in &problems {
        let at: Vec<String> =
            path.iter().cloned().chain(problem.key.split('.').filter(|part| !part.is_empty()).map(str::to_owned)).collect();
        refuse(&at, false, problem.message.clone());
    }
    problems.is_empty().then_some(limits)
}

#[cfg(test)]
mod tests;
