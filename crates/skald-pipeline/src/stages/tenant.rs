use super::options;
use crate::memo::LabelMemo;
use crate::stage::{Build, Compiled, Options, Stage, Verdict, Work};
use crate::{Now, StageError, Text};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The label that says to which tenant an entry goes.
pub(crate) const TENANT: &str = "__tenant_id__";

/// Says to which tenant an entry goes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tenant {
    /// Extracted value that has it.
    source: Option<String>,
    /// Label that has it.
    label: Option<String>,
    /// The tenant.
    value: Option<String>,
}

impl Options for Tenant {
    fn compile(&self, _build: &Build<'_>) -> Result<Compiled, StageError> {
        let option = |name, text: &Option<String>| Ok(options::not_empty(name, text.as_deref())?.map(Text::from));
        let from = match (option("source", &self.source)?, option("label", &self.label)?, option("value", &self.value)?) {
            (Some(name), None, None) => From::Extracted(name),
            (None, Some(name), None) => From::Label(name),
            (None, None, Some(tenant)) => From::Fixed(tenant),
            _ => return Err(StageError::Choice("exactly one of source, label and value is required")),
        };
        Ok(Compiled::each(Set { from, name: TENANT.into(), memo: LabelMemo::default() }))
    }
}

#[derive(Clone)]
enum From {
    Extracted(Text),
    Label(Text),
    Fixed(Text),
}

#[derive(Clone)]
struct Set {
    from: From,
    name: Text,
    memo: LabelMemo,
}

impl Stage for Set {
    fn process(&mut self, work: &mut Work, _now: Now) -> Verdict {
        let before = work.entry.labels.clone();
        let tenant = match &self.from {
            From::Extracted(name) => work.extracted.text(name),
            From::Label(name) => before.get(name).map(Cow::Borrowed),
            From::Fixed(tenant) => Some(Cow::Borrowed(&**tenant)),
        };
        if let Some(tenant) = tenant.filter(|tenant| !tenant.is_empty()) {
            self.memo.set(&mut work.entry.labels, std::iter::once((&self.name, tenant)));
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use crate::stages::testing::{check, refused};

    #[test]
    fn the_tenant_is_a_reserved_label() {
        check("- tenant: {value: t1}", &["x", "{__tenant_id__=old} y"], &[r#"{__tenant_id__="t1"} x"#, r#"{__tenant_id__="t1"} y"#]);
        check("- static_labels: {a: new}\n- tenant: {source: a}", &["{a=old} x"], &[r#"{__tenant_id__="old", a="new"} x"#]);
        check("- static_labels: {a: new}\n- tenant: {label: a}", &["{a=old} x"], &[r#"{__tenant_id__="new", a="new"} x"#]);
    }

    #[test]
    fn no_value_is_no_change() {
        check(
            "- tenant: {source: a}",
            &["{__tenant_id__=old} x", "{__tenant_id__=old, a=} x"],
            &[r#"{__tenant_id__="old"} x"#, r#"{__tenant_id__="old", a=""} x"#],
        );
        check("- tenant: {label: a}", &["x"], &["{} x"]);
    }

    #[test]
    fn it_comes_from_one_place() {
        refused("- tenant:", "stage 1 (tenant): exactly one of source, label and value is required");
        refused("- tenant: {source: a, value: b}", "exactly one of source, label and value is required");
        refused("- tenant: {source: ''}", "option source: may be left out, but not be empty");
    }
}
