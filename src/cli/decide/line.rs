//! A line of input to `tidegate decide`. Keys that are not known are left alone: the next version may
//! know them.

use serde_json::{Map, Value};

use tidegate_engine::model::fault::printable;
use tidegate_engine::model::time::Timestamp;

const INSTANT: &str = "an instant like \"2026-03-02T08:00:00Z\"";
const WHOLE: &str = "a whole number, 0 or more";
const STATES: &str = "\"booting\", \"in_service\" or \"draining\"";

#[derive(Debug)]
pub(super) struct Line {
    pub now: Timestamp,
    /// `None`: not readable.
    pub queue: Option<u64>,
    pub running: Option<u64>,
    pub oldest_wait_s: Option<f64>,
    pub arrived: Option<u64>,
    pub completed: Option<u64>,
    pub instances: Vec<Server>,
}

#[derive(Debug)]
pub(super) struct Server {
    pub id: String,
    pub launched_at: Timestamp,
    pub state: State,
    pub busy: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum State {
    Booting,
    InService,
    Draining,
}

impl Line {
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(line).map_err(|error| {
            format!("not JSON from column {} on: write one object a line", error.column())
        })?;
        let Value::Object(object) = &value else {
            return Err(format!("{} is no object: write {{\"now\": …}}", shown(&value)));
        };
        let keys = Keys { object, within: String::new() };
        Ok(Self {
            now: keys.instant("now")?,
            // Asked for by name, so that a misspelt one is not taken for an unreadable queue.
            queue: {
                keys.needed("queue", "the number of waiting jobs, or null if it was not readable")?;
                keys.whole("queue")?
            },
            running: keys.whole("running")?,
            oldest_wait_s: keys.optional("oldest_wait_s", "a number of seconds", Value::as_f64)?,
            arrived: keys.whole("arrived")?,
            completed: keys.whole("completed")?,
            instances: keys.servers()?,
        })
    }
}

/// The keys of an object, and where that is in the line.
struct Keys<'a> {
    object: &'a Map<String, Value>,
    within: String,
}

impl Keys<'_> {
    fn needed(&self, key: &str, form: &str) -> Result<&Value, String> {
        let missing = || format!("{}`{key}` is missing: give {form}", self.within);
        self.object.get(key).ok_or_else(missing)
    }

    /// Reads a key that may be missing or null.
    fn optional<'v, T>(
        &'v self,
        key: &str,
        form: &str,
        read: impl Fn(&'v Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(value) = self.object.get(key).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let wrong = || format!("{}`{key}` cannot be {}: write {form}", self.within, shown(value));
        read(value).map(Some).ok_or_else(wrong)
    }

    fn required<'v, T>(
        &'v self,
        key: &str,
        form: &str,
        read: impl Fn(&'v Value) -> Option<T>,
    ) -> Result<T, String> {
        self.needed(key, form)?;
        let none = || format!("{}`{key}` cannot be null: write {form}", self.within);
        self.optional(key, form, read)?.ok_or_else(none)
    }

    fn whole(&self, key: &str) -> Result<Option<u64>, String> {
        self.optional(key, WHOLE, Value::as_u64)
    }

    fn instant(&self, key: &str) -> Result<Timestamp, String> {
        self.required(key, INSTANT, |value| value.as_str()?.parse().ok())
    }

    fn servers(&self) -> Result<Vec<Server>, String> {
        let form = "a list of objects, or [] for none";
        let listed = self.required("instances", form, Value::as_array)?;
        listed
            .iter()
            .enumerate()
            .map(|(index, value)| {
                let within = format!("instance {}: ", index.saturating_add(1));
                let Value::Object(object) = value else {
                    return Err(format!("{within}{} is no object", shown(value)));
                };
                let keys = Keys { object, within };
                Ok(Server {
                    id: keys.required("id", "its id in quotes", Value::as_str)?.to_owned(),
                    launched_at: keys.instant("launched_at")?,
                    state: keys.required("state", STATES, state)?,
                    busy: keys.optional("busy", WHOLE, |value| {
                        value.as_u64().and_then(|jobs| u32::try_from(jobs).ok())
                    })?,
                })
            })
            .collect()
    }
}

fn state(value: &Value) -> Option<State> {
    match value.as_str()? {
        "booting" => Some(State::Booting),
        "in_service" => Some(State::InService),
        "draining" => Some(State::Draining),
        _ => None,
    }
}

fn shown(value: &Value) -> String {
    printable(&value.to_string(), 60)
}
