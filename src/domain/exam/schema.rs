//! The JSON Schema of the exam file, written from the table that the check walks.
//!
//! It says what one place alone can say (types, ranges, keys); that ids are
//! unique and answers name what there is, only the validator can tell. How many
//! decimals a number may have is left out too: `multipleOf` trips over binary
//! fractions in most schema libraries.

use serde_json::{Map, Value, json};

use super::{
    shape::{Field, Rule, Shape},
    table::EXAM,
};

/// JSON Schema (2020-12) of the exam file.
pub fn exam_schema() -> Value {
    let mut schema = of(&EXAM);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["$id"] = "/schemas/exam.json".into();
    schema["title"] = "Exam".into();
    schema["description"] = "An exam file of Invigil, in YAML or JSON.".into();
    schema
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Nothing => json!({"type": "null"}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Text { min, max, rule } => text(*min, *max, rule),
        Shape::Word(words) => json!({"type": "string", "enum": words}),
        Shape::Whole { min, max } => json!({"type": "integer", "minimum": min, "maximum": max}),
        Shape::Decimal { min, max, over, .. } => {
            let minimum = if *over { "exclusiveMinimum" } else { "minimum" };
            json!({"type": "number", minimum: min, "maximum": max})
        }
        Shape::List { of: item, min, max } => {
            json!({"type": "array", "items": of(item), "minItems": min, "maxItems": max})
        }
        Shape::Tuple(items) => json!({
            "type": "array",
            "prefixItems": items.iter().map(of).collect::<Vec<_>>(),
            "minItems": items.len(),
            "maxItems": items.len(),
        }),
        Shape::Lookup { of: item, max } => json!({
            "type": "object",
            "additionalProperties": of(item),
            "minProperties": 1,
            "maxProperties": max,
        }),
        Shape::Record(fields) => record(fields.iter(), None),
        Shape::Variants { tag, common, own } => json!({
            "oneOf": own
                .iter()
                .map(|(name, fields)| record(common.iter().chain(*fields), Some((tag, name))))
                .collect::<Vec<_>>(),
        }),
        Shape::Either(shapes) => json!({"anyOf": shapes.iter().map(of).collect::<Vec<_>>()}),
    }
}

fn text(min: usize, max: usize, rule: &Rule) -> Value {
    let mut schema = json!({"type": "string", "minLength": min, "maxLength": max});
    for (key, value) in [("pattern", rule.pattern), ("format", rule.format)] {
        if !value.is_empty() {
            schema[key] = value.into();
        }
    }
    schema
}

fn record<'a>(fields: impl Iterator<Item = &'a Field>, tag: Option<(&str, &str)>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    if let Some((key, name)) = tag {
        properties.insert(key.to_owned(), json!({"const": name}));
        required.push(Value::from(key));
    }
    for field in fields {
        let mut schema = of(&field.shape);
        schema["description"] = field.about.into();
        properties.insert(field.key.to_owned(), schema);
        if field.required {
            required.push(field.key.into());
        }
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests;
