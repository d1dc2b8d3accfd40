//! Role `pod`: one target for each port of each container, or one for a container that declares none.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::View;
use crate::config::AttachMetadata;
use crate::kubernetes::labels::Labels;
use crate::kubernetes::object::{Container, ContainerPort, Pod};

/// Label by which the pods of a deployment tell its replica sets apart; the replica set's name ends with its value.
const TEMPLATE_HASH: &str = "pod-template-hash";
/// A cron job's jobs end in minutes since 1970.
const CRON_MINUTES_LEN: std::ops::RangeInclusive<usize> = 8..=11;

pub(super) fn targets(pod: &Pod, view: View<'_>) -> Vec<Labels> {
    if pod.status.pod_ip.is_empty() {
        return Vec::new();
    }
    let mut common = view.namespace_labels(pod.metadata.namespace.as_deref());
    common.extend(&labels(pod, view.attach));
    common.extend(&view.node_labels(Some(&pod.spec.node_name)));

    let mut targets = Vec::new();
    for (container, is_init) in containers(pod) {
        let mut of_container = common.clone();
        of_container.extend(&container_labels(pod, container, is_init));
        if container.ports.is_empty() {
            of_container.plain("__address__", pod.status.pod_ip.as_str());
            targets.push(of_container);
            continue;
        }
        for port in &container.ports {
            let mut labels = of_container.clone();
            labels.address(&pod.status.pod_ip, port.container_port);
            labels.extend(&port_labels(port));
            targets.push(labels);
        }
    }
    targets
}

/// What any target carries of a pod, without its namespace.
pub(super) fn labels(pod: &Pod, attach: AttachMetadata) -> Labels {
    let mut labels = Labels::default();
    let ready = pod.status.conditions.iter().find(|condition| condition.kind == "Ready");
    labels.meta("pod_name", pod.metadata.name.clone().unwrap_or_default());
    labels.meta("pod_ip", pod.status.pod_ip.as_str());
    labels.meta("pod_ready", ready.map_or("unknown".to_owned(), |condition| condition.status.to_lowercase()));
    labels.meta("pod_phase", pod.status.phase.as_str());
    labels.meta("pod_node_name", pod.spec.node_name.as_str());
    labels.meta("pod_host_ip", pod.status.host_ip.as_str());
    labels.meta("pod_uid", pod.metadata.uid.clone().unwrap_or_default());
    labels.metadata("pod", &pod.metadata);
    let mut owners = pod.metadata.owner_references.iter().flatten();
    if let Some(controller) = owners.find(|owner| owner.controller == Some(true)) {
        labels.meta_if_any("pod_controller_kind", &controller.kind);
        labels.meta_if_any("pod_controller_name", &controller.name);
        labels.extend(&workload_labels(pod, controller, attach));
    }
    labels
}

/// What stands behind the controller, as far as it can be told from names.
fn workload_labels(pod: &Pod, controller: &OwnerReference, attach: AttachMetadata) -> Labels {
    let mut labels = Labels::default();
    match controller.kind.as_str() {
        "ReplicaSet" if attach.deployment => {
            let hash = pod.metadata.labels.as_ref().and_then(|labels| labels.get(TEMPLATE_HASH));
            let deployment = hash.and_then(|hash| controller.name.strip_suffix(hash.as_str())?.strip_suffix('-'));
            labels.meta_if_any("pod_deployment_name", deployment.unwrap_or_default());
        }
        "Job" => {
            if attach.job {
                labels.meta_if_any("pod_job_name", &controller.name);
            }
            let scheduled = controller.name.rsplit_once('-').filter(|(_, minutes)| is_minutes(minutes)).map(|(cron_job, _)| cron_job);
            if let Some(cron_job) = scheduled.filter(|_| attach.cronjob) {
                labels.meta_if_any("pod_cronjob_name", cron_job);
            }
        }
        _ => {}
    }
    labels
}

fn is_minutes(text: &str) -> bool {
    CRON_MINUTES_LEN.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// All containers but ephemeral ones, and whether they are init containers.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let own = pod.spec.containers.iter().map(|container| (container, false));
    own.chain(pod.spec.init_containers.iter().map(|container| (container, true)))
}

pub(super) fn container_labels(pod: &Pod, container: &Container, is_init: bool) -> Labels {
    let statuses = if is_init { &pod.status.init_container_statuses } else { &pod.status.container_statuses };
    let status = statuses.iter().find(|status| status.name == container.name);
    let mut labels = Labels::default();
    labels.meta("pod_container_name", container.name.as_str());
    labels.meta("pod_container_id", status.map_or("", |status| &status.container_id));
    labels.meta("pod_container_image", container.image.as_str());
    labels.meta("pod_container_init", is_init.to_string());
    labels
}

pub(super) fn port_labels(port: &ContainerPort) -> Labels {
    let mut labels = Labels::default();
    labels.meta("pod_container_port_name", port.name.as_str());
    labels.meta("pod_container_port_number", port.container_port.to_string());
    labels.meta("pod_container_port_protocol", port.protocol.0.as_str());
    labels
}
