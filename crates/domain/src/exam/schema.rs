//! JSON Schema of the exam file, generated from the table that the check walks.
//!
//! It covers the rules of single values (types, ranges, keys). Only the validator
//! checks that ids are unique and that answers name existing options. The number of
//! decimals is left out as well: `multipleOf` fails for binary fractions in most
//! schema libraries.

use serde_json::{Map, Value, json};

use super::{
    shape::{ShapeField, TextRule, ValueShape},
    table::EXAM,
};

/// Returns the JSON Schema (2020-12) of the exam file.
pub fn exam_schema() -> Value {
    let mut schema = schema_of(&EXAM);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["$id"] = "/schemas/exam.json".into();
    schema["title"] = "Exam".into();
    schema["description"] = "An exam file of Invigil, in YAML or JSON.".into();
    schema
}

fn schema_of(shape: &ValueShape) -> Value {
    match shape {
        ValueShape::Nothing => json!({"type": "null"}),
        ValueShape::Flag => json!({"type": "boolean"}),
        ValueShape::Text { min, max, rule } => text_schema(*min, *max, rule),
        ValueShape::Word(words) => json!({"type": "string", "enum": words}),
        ValueShape::Whole { min, max } => {
            json!({"type": "integer", "minimum": min, "maximum": max})
        }
        ValueShape::Decimal { min, max, over, .. } => {
            let minimum = if *over { "exclusiveMinimum" } else { "minimum" };
            json!({"type": "number", minimum: min, "maximum": max})
        }
        ValueShape::List { of: item, min, max } => {
            json!({"type": "array", "items": schema_of(item), "minItems": min, "maxItems": max})
        }
        ValueShape::Tuple(items) => json!({
            "type": "array",
            "prefixItems": items.iter().map(schema_of).collect::<Vec<_>>(),
            "minItems": items.len(),
            "maxItems": items.len(),
        }),
        ValueShape::Lookup { of: item, max } => json!({
            "type": "object",
            "additionalProperties": schema_of(item),
            "minProperties": 1,
            "maxProperties": max,
        }),
        ValueShape::Record(fields) => record_schema(fields.iter(), None),
        ValueShape::Variants { tag, common, own } => json!({
            "oneOf": own
                .iter()
                .map(|(name, fields)| {
                    record_schema(common.iter().chain(*fields), Some((tag, name)))
                })
                .collect::<Vec<_>>(),
        }),
        ValueShape::Either(shapes) => {
            json!({"anyOf": shapes.iter().map(schema_of).collect::<Vec<_>>()})
        }
    }
}

fn text_schema(min: usize, max: usize, rule: &TextRule) -> Value {
    let mut schema = json!({"type": "string", "minLength": min, "maxLength": max});
    for (key, value) in [("pattern", rule.pattern), ("format", rule.format)] {
        if !value.is_empty() {
            schema[key] = value.into();
        }
    }
    schema
}

fn record_schema<'a>(
    fields: impl Iterator<Item = &'a ShapeField>,
    tag: Option<(&str, &str)>,
) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    if let Some((key, name)) = tag {
        properties.insert(key.to_owned(), json!({"const": name}));
        required.push(Value::from(key));
    }
    for field in fields {
        let mut schema = schema_of(&field.shape);
        schema["description"] = field.description.into();
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
