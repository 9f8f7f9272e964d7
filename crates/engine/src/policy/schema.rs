//! The policy file as a JSON Schema, for editors: completion, hover, and red lines under what is
//! misspelt. It knows the form of each value; what only the whole file can tell (`min` over `max`, a
//! cron line that never fires) is for `tidegate check`.
//!
//! Draft 7, which is what the YAML language server understands.

use serde_json::{Map, Value, json};

use super::reference::{Key, sections};

/// The form of a value.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// `1h30m`.
    Span,
    Whole(u64, u64),
    Flag,
    Words(&'static [&'static str]),
    /// Text of that form, as a regular expression.
    Formed(&'static str),
    /// Any text, a number that is meant as one included.
    Text,
    /// A map of names of one's own to text.
    Texts,
    /// A map of instance types to dollars.
    Prices,
    List(&'static Self),
    Either(&'static [Self]),
    Section(&'static str),
    /// Sections by names that are like this.
    Named(&'static str, &'static str),
}

use Shape::{Either, Flag, Formed, List, Named, Prices, Section, Span, Text, Texts, Whole, Words};

const JOBS_MAX: u64 = 1_000_000_000;

const SPAN: &str = "^ *([0-9]+ *d)? *([0-9]+ *h)? *([0-9]+ *m)? *([0-9]+ *s)? *$";
const RATE: &str = "^[0-9]+ per ([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$";
const NAME: &str = "^[a-z][a-z0-9-]{0,31}$";
const INSTALL: &str = "^[a-z0-9-]{1,16}$";
const IMAGE: &str = "^(ami-[0-9A-Fa-f]{8,17}|resolve:ssm:\\S+)$";
const TYPE: &str = "^[a-z0-9-]+\\.[a-z0-9-]+$";
const SUBNET: Shape = Formed("^subnet-\\S+$");
const GROUP: Shape = Formed("^sg-\\S+$");
const URL: &str = "^https?://";
const CRON: &str = "^\\s*\\S+(\\s+\\S+){4}\\s*$";
const DATES: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}( *\\.\\. *[0-9]{4}-[0-9]{2}-[0-9]{2})?$";
const ROUTE: &str = "^[a-z0-9-]{1,32}$";
const SECRET: Shape = Formed("^secret:[A-Za-z0-9/_][A-Za-z0-9._/-]*$");
const PLACE: Shape = Formed("^(https?://|secret:[A-Za-z0-9/_])");
const MAIL: Shape = Formed("^[^@\\s]+@[^@\\s]+$");
const SENT: Shape =
    Words(&["scaled", "problem", "recovered", "emergency", "override", "policy", "all"]);
const TOPIC: &str = "^arn:aws(-[a-z]+)*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}$";
const POINTER: &str = "^/";
const MODES: Shape = Words(&["observe", "act"]);
const LEARNED: Shape = Either(&[Span, Words(&["auto"])]);

/// The form of every key, by section.
const SHAPES: &[(&str, &[(&str, Shape)])] = &[
    (
        "file",
        &[
            ("version", Whole(1, 1)),
            ("install", Formed(INSTALL)),
            ("region", Text),
            ("timezone", Text),
            ("mode", MODES),
            ("tick", Span),
            ("limits", Section("limits")),
            ("defaults", Section("fleet")),
            ("fleets", Named(NAME, "fleet")),
            ("notify", Named(ROUTE, "notify")),
            ("prices", Prices),
        ],
    ),
    (
        "limits",
        &[("instances", Whole(1, 100_000)), ("launch", Formed(RATE)), ("terminate", Formed(RATE))],
    ),
    (
        "fleet",
        &[
            ("mode", MODES),
            ("launch", Section("launch")),
            ("load_balancer", Section("load_balancer")),
            ("health", Section("health")),
            ("min", Whole(0, 10_000)),
            ("max", Whole(0, 10_000)),
            ("schedule", List(&Section("schedule"))),
            ("queue", Section("queue")),
            ("drain", Either(&[Words(&["none"]), Section("drain")])),
            ("minimum_uptime", Span),
            ("billing", Words(&["hour", "second"])),
            ("keep_attached", Flag),
        ],
    ),
    (
        "launch",
        &[
            ("image", Formed(IMAGE)),
            ("template", Text),
            ("types", List(&Text)),
            ("subnets", List(&SUBNET)),
            ("security_groups", List(&GROUP)),
            ("key_pair", Text),
            ("instance_profile", Text),
            ("user_data", Either(&[Texts, Text])),
            ("tags", Texts),
            ("role", Text),
        ],
    ),
    (
        "load_balancer",
        &[
            ("classic", Text),
            ("target_group", Text),
            ("deregistration_delay", Span),
            ("drain", Span),
        ],
    ),
    (
        "health",
        &[
            ("http", Formed(URL)),
            ("expect", Text),
            ("timeout", Span),
            ("every", Span),
            ("grace", Span),
        ],
    ),
    (
        "schedule",
        &[
            ("cron", Formed(CRON)),
            ("during", Text),
            ("dates", Formed(DATES)),
            ("capacity", Whole(0, 10_000)),
            ("ready", Flag),
        ],
    ),
    (
        "queue",
        &[
            ("read", Section("queue.read")),
            ("every", Span),
            ("scale_out", Section("queue.scale_out")),
            ("scale_in", Section("queue.scale_in")),
            ("start_within", Span),
            ("job_takes", LEARNED),
            ("jobs_at_once", Whole(1, 1_000)),
            ("boot_takes", LEARNED),
            ("if_unreadable", Either(&[Words(&["hold"]), Whole(0, 10_000)])),
        ],
    ),
    (
        "queue.read",
        &[
            ("http", Formed(URL)),
            ("json", Either(&[Formed(POINTER), Section("queue.read.json")])),
            ("header", Section("queue.read.header")),
        ],
    ),
    (
        "queue.read.json",
        &[
            ("waiting", Formed(POINTER)),
            ("running", Formed(POINTER)),
            ("oldest_seconds", Formed(POINTER)),
            ("busy", Formed(POINTER)),
            ("arrived", Formed(POINTER)),
            ("completed", Formed(POINTER)),
        ],
    ),
    ("queue.read.header", &[("name", Text), ("secret", Text)]),
    ("queue.scale_out", &[("above", Whole(0, JOBS_MAX)), ("add", Whole(1, 1_000))]),
    (
        "queue.scale_in",
        &[("below", Whole(0, JOBS_MAX)), ("remove", Whole(1, 1_000)), ("after", Span)],
    ),
    (
        "drain",
        &[
            ("via", Either(&[Words(&["tag"]), Section("drain.via")])),
            ("deadline", Span),
            ("cancel", Flag),
        ],
    ),
    ("drain.via", &[("http", Formed(URL)), ("header", Section("queue.read.header"))]),
    (
        "notify",
        &[
            ("slack", SECRET),
            ("webhook", PLACE),
            ("pagerduty", SECRET),
            ("email", Either(&[MAIL, List(&MAIL)])),
            ("sns", Formed(TOPIC)),
            ("ping", PLACE),
            ("send", Either(&[SENT, List(&SENT)])),
            ("url", Formed(URL)),
            ("from", MAIL),
            ("via", Formed("^\\S+:[0-9]+$")),
            ("tls", Words(&["starttls", "implicit", "none"])),
            ("user", Text),
            ("password", SECRET),
            ("every", Span),
        ],
    ),
];

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
        .map(|(section, keys)| (section.to_owned(), Value::Object(of_section(section, &keys))))
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
        keys.iter().map(|key| (key.name.to_owned(), Value::Object(of_key(section, key)))).collect();
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

fn of_key(section: &str, key: &Key) -> Object {
    let known = SHAPES.iter().find(|(of, _)| *of == section).map(|(_, keys)| *keys);
    let shape = known.and_then(|keys| keys.iter().find(|(name, _)| *name == key.name));
    let mut out = match shape.map(|(_, shape)| of_shape(shape)) {
        Some(Value::Object(out)) => out,
        Some(_) | None => Object::new(),
    };
    add(&mut out, "description", json!(key.described()));
    out
}

fn of_shape(shape: &Shape) -> Value {
    match shape {
        Span => json!({ "type": "string", "pattern": SPAN, "minLength": 2 }),
        Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Flag => json!({ "type": "boolean" }),
        Words(words) => json!({ "enum": words }),
        Formed(pattern) => json!({ "type": "string", "pattern": pattern }),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::file::SECTIONS;

    #[test]
    fn every_key_has_its_form_and_no_other_has() {
        let shaped = |keys: &[(&'static str, Shape)]| -> Vec<&'static str> {
            keys.iter().map(|(name, _)| *name).collect()
        };
        let formed: Vec<_> =
            SHAPES.iter().map(|(section, keys)| (*section, shaped(keys))).collect();
        let known: Vec<_> =
            SECTIONS.iter().map(|(section, keys)| (*section, keys.to_vec())).collect();
        assert_eq!(formed, known);
    }
}
