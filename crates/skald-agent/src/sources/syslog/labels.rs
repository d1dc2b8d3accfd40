use super::message::Message;
use skald_pipeline::{LabelSet, Text};
use std::net::IpAddr;
use std::sync::LazyLock;

/// Names of the labels that messages have, so that they are not made anew for each.
struct Names {
    severity: Text,
    facility: Text,
    hostname: Text,
    app_name: Text,
    proc_id: Text,
    msg_id: Text,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| Names {
    severity: "__syslog_message_severity".into(),
    facility: "__syslog_message_facility".into(),
    hostname: "__syslog_message_hostname".into(),
    app_name: "__syslog_message_app_name".into(),
    proc_id: "__syslog_message_proc_id".into(),
    msg_id: "__syslog_message_msg_id".into(),
});

/// Labels of everything that `address` sends.
pub(super) fn of_sender(configured: &LabelSet, address: IpAddr, hostname: &str) -> LabelSet {
    let mut labels = configured.clone();
    labels.set("__syslog_connection_ip_address", address.to_canonical().to_string());
    if !hostname.is_empty() {
        labels.set("__syslog_connection_hostname", hostname);
    }
    labels
}

/// Labels of a message, on top of those of its sender.
pub(super) fn of_message(sender: &LabelSet, message: &Message<'_>, with_data: bool) -> LabelSet {
    let mut labels = sender.clone();
    let names = &*NAMES;
    let fields = [
        (&names.severity, message.severity()),
        (&names.facility, message.facility()),
        (&names.hostname, message.hostname),
        (&names.app_name, message.app_name),
        (&names.proc_id, message.proc_id),
        (&names.msg_id, message.msg_id),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            labels.set(Text::clone(name), value);
        }
    }
    if with_data {
        for element in &message.data {
            let id = element.id.replace('@', "_");
            for (name, value) in &element.params {
                labels.set(format!("__syslog_message_sd_{id}_{name}"), &**value);
            }
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use skald_model::Timestamp;

    #[test]
    fn what_a_message_says_becomes_labels() {
        let configured = [("job", "syslog")].into_iter().collect();
        let sender = of_sender(&configured, "::ffff:10.0.0.1".parse().unwrap(), "a.example,b.example");
        let text = r#"<165>1 - host app 12 id [x@32473 a="1"][y b="2"] t"#;
        let message = Message::read(text, Timestamp(0));
        let plain = concat!(
            r#"{__syslog_connection_hostname="a.example,b.example", __syslog_connection_ip_address="10.0.0.1", __syslog_message_app_name="app", "#,
            r#"__syslog_message_facility="local4", __syslog_message_hostname="host", __syslog_message_msg_id="id", __syslog_message_proc_id="12", "#
        );
        let last = r#"__syslog_message_severity="notice", job="syslog"}"#;
        assert_eq!(of_message(&sender, &message, false).to_string(), format!("{plain}{last}"));
        let data = r#"__syslog_message_sd_x_32473_a="1", __syslog_message_sd_y_b="2", "#;
        assert_eq!(of_message(&sender, &message, true).to_string(), format!("{plain}{data}{last}"));
    }

    #[test]
    fn what_is_not_there_is_no_label() {
        let sender = of_sender(&LabelSet::new(), "::1".parse().unwrap(), "");
        let message = Message::read("no priority", Timestamp(0));
        assert_eq!(of_message(&sender, &message, true).to_string(), r#"{__syslog_connection_ip_address="::1"}"#);
    }
}
