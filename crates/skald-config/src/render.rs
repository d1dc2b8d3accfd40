use crate::Config;
use serde::Serialize;
use serde_json::{Map, Value};

/// The configuration as YAML. Durations and sizes are in the form in which they are written.
pub fn render(config: &Config) -> String {
    yaml(config)
}

/// The keys of `config` that differ from `defaults`, as YAML.
pub fn render_diff(config: &Config, defaults: &Config) -> String {
    yaml(&difference(&json(config), &json(defaults)).unwrap_or_else(|| Value::Object(Map::new())))
}

/// Any settings as YAML.
pub fn render_value(value: &Value) -> String {
    yaml(value)
}

pub(crate) fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("settings are maps with text keys")
}

fn yaml(value: &impl Serialize) -> String {
    serde_saphyr::to_string(value).expect("settings are plain data")
}

/// What of `value` is not as in `from`.
fn difference(value: &Value, from: &Value) -> Option<Value> {
    match (value, from) {
        (Value::Object(values), Value::Object(from)) => {
            let changed = |(key, value): (&String, &Value)| {
                difference(value, from.get(key).unwrap_or(&Value::Null)).map(|value| (key.clone(), value))
            };
            let changed: Map<String, Value> = values.iter().filter_map(changed).collect();
            (!changed.is_empty()).then_some(Value::Object(changed))
        }
        (value, from) => (value != from).then(|| value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::YamlFile;
    use figment::Figment;
    use figment::providers::Serialized;
    use std::time::Duration;

    fn changed() -> Config {
        let mut config = Config::default();
        config.server.http_listen_port = 4100;
        config.limits_config.query_timeout = Duration::from_secs(90);
        config.limits_config.required_labels = vec!["app".to_owned()];
        config.limits_config.max_line_size_truncate_identifier = "… [cut]".to_owned();
        config.limits_config.block_ingestion_until = Some("2026-01-01T00:00:00Z".to_owned());
        config
    }

    #[test]
    fn what_is_rendered_loads_to_the_same() {
        for config in [Config::default(), changed()] {
            let Ok(file) = YamlFile::parse("rendered", render(&config).as_bytes()) else { panic!("rendered YAML parses") };
            let read: Config =
                Figment::from(Serialized::defaults(Config::default())).merge(file).extract().expect("rendered keys are known");
            assert_eq!(read, config);
        }
    }

    #[test]
    fn the_difference_has_only_what_was_changed() {
        let diff = render_diff(&changed(), &Config::default());
        assert_eq!(
            json_of(&diff),
            serde_json::json!({
                "server": {"http_listen_port": 4100},
                "limits_config": {
                    "max_line_size_truncate_identifier": "… [cut]",
                    "block_ingestion_until": "2026-01-01T00:00:00Z",
                    "query_timeout": "1m30s",
                    "required_labels": ["app"],
                }
            })
        );
        assert_eq!(render_diff(&changed(), &changed()).trim(), "{}");
    }

    fn json_of(yaml: &str) -> Value {
        serde_saphyr::from_str(yaml).expect("rendered YAML parses")
    }
}
