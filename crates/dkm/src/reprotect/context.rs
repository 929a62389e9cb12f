//! The context of each line: pairs that are the same for all, and pairs from the line's own fields.

use dkm_core::Context;

use crate::json_lines::JsonPointer;

/// How the context of a line's blobs is made up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContextTemplate {
    constant: Context,
    fields: Vec<(String, JsonPointer)>,
}

impl ContextTemplate {
    /// The pairs that are the same for all lines.
    #[must_use]
    pub const fn new(constant: Context) -> Self {
        Self { constant, fields: Vec::new() }
    }

    /// Adds a pair whose value stands in a field of the line: a string's content, a number or truth value as it is
    /// written. A line without the field is not renewed.
    #[must_use]
    pub fn with_field(mut self, key: impl Into<String>, field: JsonPointer) -> Self {
        self.fields.push((key.into(), field));
        self
    }

    /// The context of a line's blobs.
    pub(super) fn resolve(&self, line: &str) -> Result<Context, String> {
        let mut context = self.constant.clone();
        for (key, field) in &self.fields {
            let value = field.find(line)?.and_then(|place| place.scalar());
            let value = value
                .ok_or_else(|| format!("the field {field}, which is part of the context, is missing"))?;
            context = context.with(key, value).map_err(|e| e.to_string())?;
        }
        Ok(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_from_the_template_and_the_line() {
        let constant = Context::new().with("app", "mail").unwrap();
        let template = ContextTemplate::new(constant)
            .with_field("user", "name".parse().unwrap())
            .with_field("id", "/deep/id".parse().unwrap());
        let context = template.resolve(r#"{"name":"b\u00f6b","deep":{"id":7}}"#).unwrap();
        let expected =
            Context::new().with("app", "mail").unwrap().with("user", "böb").unwrap().with("id", "7").unwrap();
        assert_eq!(context, expected);
        for line in
            [r#"{"name":"x"}"#, r#"{"name":null,"deep":{"id":7}}"#, r#"{"name":{},"deep":{"id":7}}"#, "x"]
        {
            assert!(template.resolve(line).is_err(), "{line}");
        }
        let twice = ContextTemplate::new(Context::new().with("a", "b").unwrap())
            .with_field("a", "n".parse().unwrap());
        assert!(twice.resolve(r#"{"n":1}"#).unwrap_err().contains("twice"));
    }
}
