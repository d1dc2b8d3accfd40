//! The functions that format values; gotmpl has them.

use super::strings::bounded;
use super::value::Value;
use gotmpl::Template;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One template of gotmpl for each printing function and number of arguments.
#[derive(Default)]
pub(super) struct Printers(HashMap<(String, usize), Template>);

impl Printers {
    pub(super) fn new(used: &[(String, usize)]) -> Self {
        let printer = |(name, count): &(String, usize)| {
            let arguments: String = (0..*count).map(|at| format!(" .a{at}")).collect();
            let template = Template::new(name).parse(&format!("{{{{{name}{arguments}}}}}")).ok()?;
            Some(((name.clone(), *count), template))
        };
        Printers(used.iter().filter_map(printer).collect())
    }

    pub(super) fn print(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        let template = self.0.get(&(name.to_owned(), arguments.len())).ok_or("no such form")?;
        let members: BTreeMap<Arc<str>, gotmpl::Value> =
            arguments.iter().enumerate().map(|(at, value)| (format!("a{at}").into(), value.for_printing())).collect();
        let text = template.execute_to_string(&gotmpl::Value::Map(Arc::new(members))).map_err(|error| error.to_string())?;
        bounded(text.len())?;
        Ok(Value::text(&text))
    }
}
