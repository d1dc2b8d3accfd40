//! Labels of a container before relabeling: one set for each network and port.

use super::api::{Container, Endpoint, Network, Port};
use super::config::DockerSdConfig;
use skald_pipeline::LabelSet;
use std::collections::{BTreeMap, HashMap};

const META: &str = "__meta_docker_";
/// Says which of its streams a line was written to.
pub(super) const STREAM_LABEL: &str = "__meta_docker_container_log_stream";
/// Most containers that one after the other use the network of the next.
const BORROWED_MAX: usize = 8;

/// What an engine listed at one time.
pub(super) struct Listing {
    containers: Vec<Container>,
    networks: HashMap<String, Network>,
}

impl Listing {
    pub(super) fn new(containers: Vec<Container>, networks: Vec<Network>) -> Self {
        Listing { containers, networks: networks.into_iter().map(|network| (network.id.clone(), network)).collect() }
    }

    pub(super) fn containers(&self) -> &[Container] {
        &self.containers
    }

    /// The label sets of one container, the best first; there is always one.
    pub(super) fn targets(&self, container: &Container, config: &DockerSdConfig) -> Vec<LabelSet> {
        let common = common_labels(container);
        let endpoints = self.endpoints(container);
        let wanted = if config.match_first_network { 1 } else { usize::MAX };
        let mut targets = Vec::new();
        for (name, endpoint) in endpoints.iter().take(wanted) {
            let mut labels = common.clone();
            self.add_network(&mut labels, name, endpoint);
            let tcp: Vec<&Port> = container.ports.iter().filter(|port| port.protocol == "tcp").collect();
            for port in &tcp {
                let mut labels = labels.clone();
                add_port(&mut labels, endpoint, port);
                targets.push(labels);
            }
            if tcp.is_empty() {
                let is_host = container.host_config.network_mode == "host";
                let host = if is_host { &config.host_networking_host } else { &endpoint.ip };
                labels.set("__address__", address(host, config.port));
                targets.push(labels);
            }
        }
        if targets.is_empty() {
            targets.push(common);
        }
        targets
    }

    /// Networks of a container, or of the one whose network it uses.
    fn endpoints<'a>(&'a self, container: &'a Container) -> &'a BTreeMap<String, Endpoint> {
        let mut owner = container;
        for _ in 0..BORROWED_MAX {
            let lender = owner.host_config.network_mode.strip_prefix("container:").filter(|_| owner.network_settings.networks.is_empty());
            match lender.and_then(|id| self.containers.iter().find(|other| other.id == id)) {
                Some(lender) => owner = lender,
                None => break,
            }
        }
        &owner.network_settings.networks
    }

    fn add_network(&self, labels: &mut LabelSet, name: &str, endpoint: &Endpoint) {
        let mut set = |name: &str, value: &str| labels.set(format!("{META}network_{name}"), value);
        set("ip", &endpoint.ip);
        set("id", &endpoint.network_id);
        // Without more of it the name is known from the container.
        let Some(network) = self.networks.get(&endpoint.network_id) else { return set("name", name) };
        set("name", &network.name);
        set("scope", &network.scope);
        set("ingress", if network.ingress { "true" } else { "false" });
        set("internal", if network.internal { "true" } else { "false" });
        for (name, value) in &network.labels {
            set(&format!("label_{}", sanitized(name)), value);
        }
    }
}

fn common_labels(container: &Container) -> LabelSet {
    let mut labels = LabelSet::new();
    let mut set = |name: &str, value: &str| labels.set(format!("{META}container_{name}"), value);
    set("id", &container.id);
    set("name", container.names.first().map_or("", String::as_str));
    set("image", &container.image);
    set("image_id", &container.image_id);
    set("network_mode", &container.host_config.network_mode);
    for (name, value) in &container.labels {
        set(&format!("label_{}", sanitized(name)), value);
    }
    labels
}

fn add_port(labels: &mut LabelSet, endpoint: &Endpoint, port: &Port) {
    labels.set("__address__", address(&endpoint.ip, port.private));
    labels.set(format!("{META}port_private"), port.private.to_string());
    if port.public > 0 {
        labels.set(format!("{META}port_public"), port.public.to_string());
        labels.set(format!("{META}port_public_ip"), port.ip.as_str());
    }
}

fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A name with `_` for all that cannot stand in a label's.
fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn listing(containers: serde_json::Value) -> Listing {
        let networks = json!([
            {"Id": "n1", "Name": "front", "Scope": "local", "Ingress": false, "Internal": true, "Labels": {"a.b/c-d": "x"}},
            {"Id": "n2", "Name": "back", "Scope": "swarm", "Ingress": true, "Labels": null},
        ]);
        Listing::new(serde_json::from_value(containers).unwrap(), serde_json::from_value(networks).unwrap())
    }

    fn targets(listing: &Listing, at: usize, config: &str) -> Vec<LabelSet> {
        listing.targets(&listing.containers[at], &serde_saphyr::from_str(config).unwrap())
    }

    /// A web server in two networks, and one that uses its network.
    fn web() -> Listing {
        listing(json!([
            {
                "Id": "c1", "Names": ["/web-1", "/other/alias"], "Image": "nginx:1", "ImageID": "sha256:1", "State": "running",
                "Labels": {"com.docker.compose.project": "shop"}, "HostConfig": {"NetworkMode": "front"},
                "Ports": [
                    {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                    {"PrivatePort": 53, "Type": "udp"},
                    {"PrivatePort": 443, "Type": "tcp"},
                ],
                "NetworkSettings": {"Networks": {
                    "front": {"NetworkID": "n1", "IPAddress": "10.0.0.2"},
                    "back": {"NetworkID": "n2", "IPAddress": "fd00::2"},
                }},
            },
            {
                "Id": "c2", "Names": ["/side"], "Image": "i", "ImageID": "s", "State": "exited", "Labels": null, "Ports": null,
                "HostConfig": {"NetworkMode": "container:c1"}, "NetworkSettings": {"Networks": {}},
            },
            {
                "Id": "c3", "Names": ["/host"], "Ports": [], "HostConfig": {"NetworkMode": "host"},
                "NetworkSettings": {"Networks": {"host": {"NetworkID": "n9", "IPAddress": ""}}},
            },
            {"Id": "c4", "Names": null, "HostConfig": {"NetworkMode": "container:gone"}, "NetworkSettings": null},
        ]))
    }

    #[test]
    fn a_container_has_the_labels_of_its_first_network_and_port() {
        let first = targets(&web(), 0, "host: tcp://h").remove(0);
        let want = [
            ("__address__", "[fd00::2]:80"),
            ("__meta_docker_container_id", "c1"),
            ("__meta_docker_container_image", "nginx:1"),
            ("__meta_docker_container_image_id", "sha256:1"),
            ("__meta_docker_container_label_com_docker_compose_project", "shop"),
            ("__meta_docker_container_name", "/web-1"),
            ("__meta_docker_container_network_mode", "front"),
            ("__meta_docker_network_id", "n2"),
            ("__meta_docker_network_ingress", "true"),
            ("__meta_docker_network_internal", "false"),
            ("__meta_docker_network_ip", "fd00::2"),
            ("__meta_docker_network_name", "back"),
            ("__meta_docker_network_scope", "swarm"),
            ("__meta_docker_port_private", "80"),
            ("__meta_docker_port_public", "8080"),
            ("__meta_docker_port_public_ip", "0.0.0.0"),
        ];
        assert_eq!(first.iter().collect::<Vec<_>>(), want);
    }

    #[test]
    fn there_is_a_target_for_each_network_if_asked_for_and_each_port() {
        let addresses = |at, config: &str| -> Vec<String> {
            targets(&web(), at, config).iter().map(|labels| labels.get("__address__").unwrap_or("none").to_owned()).collect()
        };
        assert_eq!(addresses(0, "{}"), ["[fd00::2]:80", "[fd00::2]:443"]);
        let all = "match_first_network: false";
        assert_eq!(addresses(0, all), ["[fd00::2]:80", "[fd00::2]:443", "10.0.0.2:80", "10.0.0.2:443"]);
        assert_eq!(addresses(1, "port: 99"), ["[fd00::2]:99"]);
        assert_eq!(addresses(2, "host_networking_host: here"), ["here:80"]);
        assert_eq!(addresses(3, "{}"), ["none"]);
    }

    #[test]
    fn names_of_labels_are_made_ones_of_labels() {
        let all = targets(&web(), 0, "match_first_network: false");
        assert_eq!(all[2].get("__meta_docker_network_label_a_b_c_d"), Some("x"));
        let host = targets(&web(), 2, "{}").remove(0);
        assert_eq!((host.get("__meta_docker_network_name"), host.get("__meta_docker_network_scope")), (Some("host"), None));
    }
}
