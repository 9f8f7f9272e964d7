//! A line of input to `tidegate decide`. Keys that are not known are left alone: the next version may
//! know them.

use serde_json::{Map, Value};

use tidegate_engine::model::fault::printable;
use tidegate_engine::model::time::Timestamp;

const INSTANT: &str = "an instant like \"2026-03-02T08:00:00Z\"";
const WHOLE: &str = "a whole number, 0 or more";
const STATES: &str = "\"booting\", \"in_service\", \"unhealthy\" or \"draining\"";
const INVENTORIES: &str = "\"complete\", \"degraded\" or \"unusable\"";
const FAILURES: &str = "\"never_healthy\", \"refused\" or \"no_capacity\"";
const PROGRESS: &str = "\"signalled\", \"received\" or \"finished\"";
const TEXT: &str = "a text in quotes";
const FLAG: &str = "true or false";

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
    pub hold: Option<Order>,
    pub pause: Option<Order>,
    pub failed_launches: Vec<FailedLaunch>,
    pub inventory: Inventory,
}

/// A hold or a pause. `capacity`: 0 for a pause.
#[derive(Debug)]
pub(super) struct Order {
    pub capacity: u32,
    pub until: Timestamp,
    pub owner: Option<String>,
    pub reason: Option<String>,
}

#[derive(Debug)]
pub(super) struct FailedLaunch {
    pub at: Timestamp,
    pub failure: Failure,
    pub place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    NeverHealthy,
    Refused,
    NoCapacity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inventory {
    Complete,
    Degraded,
    Unusable,
}

/// Where a server was launched, as far as the input says.
#[derive(Debug)]
pub(super) struct Place {
    pub instance_type: Option<String>,
    pub subnet: Option<String>,
    pub zone: Option<String>,
}

#[derive(Debug)]
pub(super) struct Server {
    pub id: String,
    pub launched_at: Timestamp,
    pub state: State,
    pub busy: Option<u32>,
    pub unhealthy_since: Option<Timestamp>,
    pub drain: Option<Drain>,
    pub kept: bool,
    pub listed: bool,
    pub place: Place,
}

#[derive(Debug)]
pub(super) struct Drain {
    pub since: Timestamp,
    pub deadline: Option<Timestamp>,
    pub progress: Progress,
}

/// How far a drain has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Signalled,
    Received,
    Finished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Booting,
    InService,
    Unhealthy,
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
            hold: keys.object("hold")?.map(|keys| keys.hold()).transpose()?,
            pause: keys.object("pause")?.map(|keys| keys.order(0)).transpose()?,
            failed_launches: keys.failed_launches()?,
            inventory: keys
                .optional("inventory", INVENTORIES, inventory)?
                .unwrap_or(Inventory::Complete),
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

    fn optional_instant(&self, key: &str) -> Result<Option<Timestamp>, String> {
        self.optional(key, INSTANT, |value| value.as_str()?.parse().ok())
    }

    fn text(&self, key: &str) -> Result<Option<String>, String> {
        self.optional(key, TEXT, |value| value.as_str().map(str::to_owned))
    }

    fn flag(&self, key: &str, usual: bool) -> Result<bool, String> {
        Ok(self.optional(key, FLAG, Value::as_bool)?.unwrap_or(usual))
    }

    fn count(&self, key: &str) -> Result<Option<u32>, String> {
        self.optional(key, WHOLE, |value| u32::try_from(value.as_u64()?).ok())
    }

    /// The keys of an object in this one; `None`: there is none.
    fn object<'v>(&'v self, key: &str) -> Result<Option<Keys<'v>>, String> {
        let object = self.optional(key, "an object", Value::as_object)?;
        let within = format!("{}{key}: ", self.within);
        Ok(object.map(|object| Keys { object, within }))
    }

    /// The objects of a list; `kind`: what the messages call one.
    fn objects<'v>(&self, listed: &'v [Value], kind: &str) -> Result<Vec<Keys<'v>>, String> {
        let numbered = listed.iter().enumerate();
        let objects = numbered.map(|(index, value)| {
            let within = format!("{}{kind} {}: ", self.within, index.saturating_add(1));
            let object = value.as_object();
            let wrong = || format!("{within}{} is no object", shown(value));
            Ok(Keys { object: object.ok_or_else(wrong)?, within })
        });
        objects.collect()
    }

    fn servers(&self) -> Result<Vec<Server>, String> {
        let form = "a list of objects, or [] for none";
        let listed = self.required("instances", form, Value::as_array)?;
        self.objects(listed, "instance")?.iter().map(Keys::server).collect()
    }

    fn server(&self) -> Result<Server, String> {
        let server = Server {
            id: self.required("id", "its id in quotes", Value::as_str)?.to_owned(),
            launched_at: self.instant("launched_at")?,
            state: self.required("state", STATES, state)?,
            busy: self.count("busy")?,
            unhealthy_since: self.optional_instant("unhealthy_since")?,
            drain: self.object("drain")?.map(|keys| keys.drain()).transpose()?,
            kept: self.flag("kept", false)?,
            listed: self.flag("listed", true)?,
            place: self.place()?,
        };
        let within = &self.within;
        for (key, given, state) in [
            ("drain", server.drain.is_some(), State::Draining),
            ("unhealthy_since", server.unhealthy_since.is_some(), State::Unhealthy),
        ] {
            if given && server.state != state {
                return Err(format!("{within}`{key}` does not go with this `state`"));
            }
        }
        Ok(server)
    }

    fn drain(&self) -> Result<Drain, String> {
        let progress = self.optional("progress", PROGRESS, progress)?;
        Ok(Drain {
            since: self.instant("since")?,
            deadline: self.optional_instant("deadline")?,
            progress: progress.unwrap_or(Progress::Signalled),
        })
    }

    fn hold(&self) -> Result<Order, String> {
        self.needed("capacity", WHOLE)?;
        let none = || format!("{}`capacity` cannot be null: write {WHOLE}", self.within);
        self.order(self.count("capacity")?.ok_or_else(none)?)
    }

    fn order(&self, capacity: u32) -> Result<Order, String> {
        let (owner, reason) = (self.text("owner")?, self.text("reason")?);
        Ok(Order { capacity, until: self.instant("until")?, owner, reason })
    }

    fn failed_launches(&self) -> Result<Vec<FailedLaunch>, String> {
        let listed = self.optional("failed_launches", "a list of objects", Value::as_array)?;
        let listed = listed.map(Vec::as_slice).unwrap_or_default();
        let read = |keys: &Keys<'_>| {
            Ok(FailedLaunch {
                at: keys.instant("at")?,
                failure: keys.required("failure", FAILURES, failure)?,
                place: keys.place()?,
            })
        };
        self.objects(listed, "failed launch")?.iter().map(read).collect()
    }

    fn place(&self) -> Result<Place, String> {
        let (instance_type, subnet) = (self.text("type")?, self.text("subnet")?);
        Ok(Place { instance_type, subnet, zone: self.text("zone")? })
    }
}

fn state(value: &Value) -> Option<State> {
    match value.as_str()? {
        "booting" => Some(State::Booting),
        "in_service" => Some(State::InService),
        "unhealthy" => Some(State::Unhealthy),
        "draining" => Some(State::Draining),
        _ => None,
    }
}

fn inventory(value: &Value) -> Option<Inventory> {
    match value.as_str()? {
        "complete" => Some(Inventory::Complete),
        "degraded" => Some(Inventory::Degraded),
        "unusable" => Some(Inventory::Unusable),
        _ => None,
    }
}

fn failure(value: &Value) -> Option<Failure> {
    match value.as_str()? {
        "never_healthy" => Some(Failure::NeverHealthy),
        "refused" => Some(Failure::Refused),
        "no_capacity" => Some(Failure::NoCapacity),
        _ => None,
    }
}

fn progress(value: &Value) -> Option<Progress> {
    match value.as_str()? {
        "signalled" => Some(Progress::Signalled),
        "received" => Some(Progress::Received),
        "finished" => Some(Progress::Finished),
        _ => None,
    }
}

fn shown(value: &Value) -> String {
    printable(&value.to_string(), 60)
}
