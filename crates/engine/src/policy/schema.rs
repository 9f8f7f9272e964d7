//! The policy file as a JSON Schema, for editors: completion, hover, and red lines under what is
//! misspelt. It knows the form of each value; what only the whole file can tell (`min` over `max`, a
//! cron line that never fires) is for `tidegate check`.
//!
//! Draft 7, which is what the YAML language server understands.

use serde_json::{Map, Value, json};

use super::keys::Shape::{
    AnySpan, Either, Flag, Formed, List, Named, Prices, Section, Span, Text, Texts, Whole, Words,
};
use super::keys::form::{SPAN, TYPE};
use super::keys::{Key, Shape};
use super::reference::sections;

/// Of these a section has one, or its default does.
const ONE_OF: &[(&str, [&str; 2])] = &[
    ("launch", ["image", "template"]),
    ("load_balancer", ["classic", "target_group"]),
    ("load_balancer", ["deregistration_delay", "drain"]),
];

/// A JSON object.
type Object = Map<String, Value>;

/// The schema, with the reference's words for what is hovered over.
pub fn schema() -> Value {
    let (file, others): (Vec<_>, Vec<_>) = sections().partition(|(section, _)| *section == "file");
    let definitions: Object = others
        .into_iter()
        .map(|(section, keys)| (section.to_owned(), Value::Object(of_section(section, keys))))
        .collect();
    let mut out: Object =
        file.iter().flat_map(|(section, keys)| of_section(section, keys)).collect();
    add(&mut out, "$schema", json!("http://json-schema.org/draft-07/schema#"));
    add(&mut out, "title", json!("tidegate's policy file"));
    add(&mut out, "required", json!(["version"]));
    add(&mut out, "definitions", Value::Object(definitions));
    Value::Object(out)
}

fn add(to: &mut Object, key: &str, value: Value) {
    to.insert(key.to_owned(), value);
}

fn of_section(section: &str, keys: &[Key]) -> Object {
    let properties: Object =
        keys.iter().map(|key| (key.name.to_owned(), Value::Object(of_key(key)))).collect();
    let mut out = Object::new();
    // A section left empty undoes what `defaults` say.
    add(&mut out, "type", json!(["object", "null"]));
    add(&mut out, "additionalProperties", json!(false));
    add(&mut out, "properties", Value::Object(properties));
    let pairs = ONE_OF.iter().filter(|(of, _)| *of == section);
    let both: Vec<Value> =
        pairs.map(|(_, pair)| json!({ "type": "object", "required": pair })).collect();
    if !both.is_empty() {
        add(&mut out, "not", json!({ "anyOf": both }));
    }
    if section == "schedule" {
        let kinds = ["cron", "during", "dates"].map(|kind| json!({ "required": [kind] }));
        add(&mut out, "type", json!("object"));
        add(&mut out, "required", json!(["capacity"]));
        add(&mut out, "oneOf", json!(kinds));
    }
    out
}

fn of_key(key: &Key) -> Object {
    let mut out = match of_shape(&key.shape) {
        Value::Object(out) => out,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Object::new()
        }
    };
    add(&mut out, "description", json!(key.described()));
    out
}

fn of_shape(shape: &Shape) -> Value {
    match shape {
        Span(..) | AnySpan => json!({ "type": "string", "pattern": SPAN, "minLength": 2 }),
        Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Flag => json!({ "type": "boolean" }),
        Words(words) => json!({ "enum": words }),
        Formed(pattern, _) => json!({ "type": "string", "pattern": pattern }),
        Text => json!({ "type": ["string", "number", "boolean"] }),
        Texts => json!({ "type": ["object", "null"], "additionalProperties": of_shape(&Text) }),
        Prices => json!({
            "type": ["object", "null"],
            "propertyNames": { "pattern": TYPE },
            "additionalProperties": { "type": "number", "exclusiveMinimum": 0, "maximum": 1000 },
        }),
        List(of) => json!({ "type": ["array", "null"], "items": of_shape(of) }),
        Either(shapes) => {
            let shapes: Vec<Value> = shapes.iter().map(of_shape).collect();
            json!({ "anyOf": shapes })
        }
        Section(name) => json!({ "allOf": [{ "$ref": format!("#/definitions/{name}") }] }),
        Named(name, section) => json!({
            "type": ["object", "null"],
            "propertyNames": { "pattern": name },
            "additionalProperties": of_shape(&Section(section)),
        }),
    }
}
