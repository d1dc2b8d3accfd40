use crate::StageError;
use crate::stage::{Build, Compiled, Options};
use serde::{Deserialize, Serialize};

/// Labels by a database of addresses: known, but not built in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Geoip {}

impl Options for Geoip {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        Err(StageError::Unsupported)
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::refused;

    #[test]
    fn it_is_refused_by_name() {
        refused("- decolorize:\n- geoip: {db: /x.mmdb, source: ip, db_type: city}", "stage 2 (geoip): not supported by this build");
    }
}
