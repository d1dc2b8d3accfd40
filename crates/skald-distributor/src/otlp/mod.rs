//! OpenTelemetry logs: what becomes of resources, scopes and records.
//!
//! Some attributes become labels of the stream, the others structured metadata of the entry, by the tenant's rules. Everything is read in place
//! ([`skald_proto::otlp`]); JSON is written as protobuf first ([`json`]), so that there is one reading of it.

pub mod answer;
mod found;
mod json;
mod labels;
mod value;

use crate::error::PushFailure;
use crate::identity::identify;
use crate::intake::Intake;
use crate::metadata::{Pairs, normalise_name};
use found::{Bounds, Found};
use labels::LabelSet;
use skald_config::AttributeAction::{Drop, IndexLabel, StructuredMetadata};
use skald_config::{AttributeAction, DistributorConfig, Limits, first_rule};
use skald_model::Timestamp;
use skald_proto::otlp::{AnyValue, Attribute, LogRecord, ResourceLogs, ScopeLogs, read_export};
use std::mem;

/// Reads a body of JSON into `intake`; records without a time happened `now`.
///
/// # Errors
/// When the body is malformed, or the intake refuses it as a whole.
pub fn read_json(body: &[u8], config: &DistributorConfig, now: Timestamp, intake: &mut Intake<'_>) -> Result<(), PushFailure> {
    intake.reserve(json::GROWTH_MAX * body.len() as u64)?;
    read(&json::to_protobuf(body)?, config, now, intake)
}

/// Reads a body of protobuf into `intake`; records without a time happened `now`.
///
/// # Errors
/// When the body is malformed, or the intake refuses it as a whole.
pub fn read(body: &[u8], config: &DistributorConfig, now: Timestamp, intake: &mut Intake<'_>) -> Result<(), PushFailure> {
    let mut reader = Reader::new(config, now, intake);
    read_export(body).try_for_each(|logs| reader.resource(logs?))
}

struct Reader<'r, 'i, 'b> {
    intake: &'r mut Intake<'i>,
    limits: &'i Limits,
    default_labels: &'r [String],
    now: Timestamp,
    resource: Found<'b>,
    scope: Found<'b>,
    record: Found<'b>,
    /// Labels that the record at hand adds to those of its resource, and those of the stream that was begun last.
    labels: LabelSet,
    begun: Option<LabelSet>,
    /// A line that is not in the body as it is.
    line: Vec<u8>,
    /// Memory for the pairs of an entry.
    pairs: Pairs<'static>,
    budget: Budget,
}

/// Bounds what a body may become: metadata of resource and scope is repeated for each record, and values are written as text.
struct Budget {
    left: u64,
    max: u64,
    /// Not yet reserved.
    pending: u64,
}

/// Bytes of texts between two reservations.
const PENDING_MAX: u64 = 64 << 10;

impl Budget {
    fn take(&mut self, bytes: u64, intake: &mut Intake<'_>) -> Result<(), PushFailure> {
        let max = self.max;
        let too_large = || PushFailure::TooLarge(format!("labels and metadata of all entries take more than {max} bytes"));
        self.left = self.left.checked_sub(bytes).ok_or_else(too_large)?;
        self.pending += bytes;
        if self.pending > PENDING_MAX { intake.reserve(mem::take(&mut self.pending)) } else { Ok(()) }
    }
}

impl<'r, 'i, 'b> Reader<'r, 'i, 'b> {
    fn new(config: &'r DistributorConfig, now: Timestamp, intake: &'r mut Intake<'i>) -> Self {
        let (limits, max) = (intake.limits(), config.max_decompressed_size.0);
        let len_max = intake.metadata_len_max();
        let bounds = Bounds { len_max, bytes_max: limits.max_structured_metadata_size.0, text_max: max as usize };
        let found = || Found::new(bounds);
        Reader {
            intake,
            limits,
            default_labels: &config.otlp_config.default_resource_attributes_as_index_labels,
            now,
            resource: found(),
            scope: found(),
            record: found(),
            labels: LabelSet::default(),
            begun: None,
            line: Vec::new(),
            pairs: Pairs::new(len_max),
            budget: Budget { left: max, max, pending: 0 },
        }
    }

    fn resource(&mut self, logs: ResourceLogs<'b>) -> Result<(), PushFailure> {
        self.resource.clear();
        let mut labels = LabelSet::default();
        for attribute in logs.attributes() {
            let attribute = attribute?;
            match self.resource_action(&attribute) {
                IndexLabel => labels.add(attribute, self.budget.max as usize)?,
                StructuredMetadata => self.resource.add(attribute)?,
                Drop => {}
            }
        }
        self.budget.take(labels.bytes() as u64, self.intake)?;
        self.begun = None;
        logs.scopes().try_for_each(|scope| self.scope(scope?, &labels))
    }

    fn resource_action(&self, attribute: &Attribute<'_>) -> AttributeAction {
        let rules = &self.limits.otlp_config.resource_attributes;
        let is_default = |name: &String| name.as_bytes() == attribute.key;
        if !rules.ignore_defaults && self.default_labels.iter().any(is_default) {
            return IndexLabel;
        }
        first_rule(&rules.attributes_config, attribute.key).unwrap_or_default()
    }

    fn scope(&mut self, logs: ScopeLogs<'b>, labels: &LabelSet) -> Result<(), PushFailure> {
        if logs.records_len == 0 {
            return Ok(());
        }
        self.intake.count_entries(logs.records_len)?;
        self.scope.clear();
        for attribute in logs.attributes() {
            let attribute = attribute?;
            if first_rule(&self.limits.otlp_config.scope_attributes, attribute.key) != Some(Drop) {
                self.scope.add(attribute)?;
            }
        }
        self.scope.add_text(b"scope_name", logs.name);
        self.scope.add_text(b"scope_version", logs.version);
        self.scope.add_number(b"scope_dropped_attributes_count", logs.dropped_attributes_count.into());
        let shared = self.resource.kept_bytes() + self.scope.kept_bytes();
        self.budget.take(shared.saturating_mul(logs.records_len as u64), self.intake)?;
        logs.records().try_for_each(|record| self.record(record?, labels, logs.records_len))
    }

    fn record(&mut self, record: LogRecord<'b>, labels: &LabelSet, records_len: usize) -> Result<(), PushFailure> {
        self.take_metadata(&record)?;
        self.begin_stream(labels, records_len)?;
        self.line.clear();
        let line = match record.body {
            AnyValue::String(text) => text,
            other => {
                value::write(other, &mut self.line, self.budget.max as usize)?;
                &self.line
            }
        };
        let mut pairs = mem::take(&mut self.pairs).reuse();
        self.record.append_to(&mut pairs);
        self.resource.append_to(&mut pairs);
        self.scope.append_to(&mut pairs);
        self.intake.entry(self.timestamp(&record), line, &pairs)?;
        self.pairs = pairs.reuse();
        self.budget.take((self.record.text_len() + self.line.len() + self.labels.bytes()) as u64, self.intake)
    }

    fn timestamp(&self, record: &LogRecord<'_>) -> Timestamp {
        match (record.time, record.observed_time) {
            (0, 0) => self.now,
            (0, nanos) | (nanos, _) => Timestamp(i64::try_from(nanos).unwrap_or(i64::MAX)),
        }
    }

    /// Labels and metadata of the record itself.
    fn take_metadata(&mut self, record: &LogRecord<'b>) -> Result<(), PushFailure> {
        self.record.clear();
        self.labels.clear();
        let config = &self.limits.otlp_config;
        for attribute in record.attributes() {
            let attribute = attribute?;
            if !record.event_name.is_empty() && normalise_name(attribute.key).is_ok_and(|name| name == EVENT_NAME) {
                continue;
            }
            match first_rule(&config.log_attributes, attribute.key).unwrap_or_default() {
                IndexLabel => self.labels.add(attribute, self.budget.max as usize)?,
                StructuredMetadata => self.record.add(attribute)?,
                Drop => {}
            }
        }
        let found = &mut self.record;
        if record.time != 0 {
            found.add_number(b"observed_timestamp", record.observed_time.into());
        }
        found.add_number(b"severity_number", record.severity_number.into());
        found.add_text(SEVERITY_TEXT, record.severity_text);
        if config.severity_text_as_label && !record.severity_text.is_empty() {
            self.labels.set(SEVERITY_TEXT, record.severity_text)?;
        }
        found.add_number(b"dropped_attributes_count", record.dropped_attributes_count.into());
        found.add_number(b"flags", record.flags.into());
        found.add_id(b"trace_id", record.trace_id, TRACE_ID_LEN);
        found.add_id(b"span_id", record.span_id, SPAN_ID_LEN);
        found.add_text(EVENT_NAME.as_bytes(), record.event_name);
        Ok(())
    }

    /// Begins the stream of the record at hand, unless it is that of the record before.
    fn begin_stream(&mut self, resource: &LabelSet, records_len: usize) -> Result<(), PushFailure> {
        if self.begun.as_ref() == Some(&self.labels) {
            return Ok(());
        }
        match resource.with(&self.labels).into_pairs() {
            Err(refused) => self.intake.begin_refused(refused),
            Ok(pairs) => {
                let identity = identify(pairs, &self.limits.discover_service_name);
                let entries = if self.labels.is_empty() { records_len } else { 1 };
                self.intake.begin(&identity, entries, 0)?;
            }
        }
        self.begun = Some(self.labels.clone());
        Ok(())
    }
}

const SEVERITY_TEXT: &[u8] = b"severity_text";
const EVENT_NAME: &str = "event_name";
const TRACE_ID_LEN: usize = 16;
const SPAN_ID_LEN: usize = 8;

#[cfg(test)]
mod tests;
