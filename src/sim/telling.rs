//! What the queue endpoint of a fleet tells besides the queue's length.

use tidegate_engine::model::reading::{Depth, JsonFields, QueueSource, Reading, Work};

/// The fields that a queue endpoint answers beside the number of waiting jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each field that a queue may tell")]
pub struct Telling {
    /// `oldest_seconds`.
    pub oldest: bool,
    pub running: bool,
    pub arrived: bool,
    pub completed: bool,
    pub busy: bool,
}

impl Telling {
    pub const NONE: Self =
        Self { oldest: false, running: false, arrived: false, completed: false, busy: false };
    pub const ALL: Self =
        Self { oldest: true, running: true, arrived: true, completed: true, busy: true };

    /// Returns what the queue behind `source` may tell: of a plain number the length alone, and of JSON
    /// the fields of its map. Without a map, JSON is taken to have every field.
    pub fn of(source: &QueueSource) -> Self {
        match &source.json {
            None => Self::NONE,
            Some(JsonFields::Named(_)) => Self::ALL,
            Some(JsonFields::Mapped(map)) => Self {
                oldest: map.oldest_seconds.is_some(),
                running: map.running.is_some(),
                arrived: map.arrived.is_some(),
                completed: map.completed.is_some(),
                busy: map.busy.is_some(),
            },
        }
    }

    /// Returns the fields that any of these readings has.
    pub fn recorded(readings: &[Reading]) -> Self {
        let depths = || readings.iter().flat_map(|reading| &reading.depth);
        Self {
            oldest: depths().any(|depth| depth.oldest.is_some()),
            running: depths().any(|depth| depth.work.running.is_some()),
            arrived: depths().any(|depth| depth.work.arrived.is_some()),
            completed: depths().any(|depth| depth.work.completed.is_some()),
            busy: depths().any(|depth| depth.work.busy.is_some()),
        }
    }

    /// Returns the fields that both tell.
    pub fn and(self, other: Self) -> Self {
        Self {
            oldest: self.oldest && other.oldest,
            running: self.running && other.running,
            arrived: self.arrived && other.arrived,
            completed: self.completed && other.completed,
            busy: self.busy && other.busy,
        }
    }

    /// Returns what the endpoint answers where `truth` is the queue's state.
    pub fn limit(self, truth: Depth) -> Depth {
        let Depth { waiting, oldest, work } = truth;
        let work = Work {
            running: work.running.filter(|_| self.running),
            arrived: work.arrived.filter(|_| self.arrived),
            completed: work.completed.filter(|_| self.completed),
            busy: work.busy.filter(|_| self.busy),
        };
        Depth { waiting, oldest: oldest.filter(|_| self.oldest), work }
    }

    /// Returns the names of the fields, as the JSON of a queue has them.
    pub fn fields(self) -> Vec<&'static str> {
        let fields = [
            (self.oldest, "oldest_seconds"),
            (self.running, "running"),
            (self.arrived, "arrived"),
            (self.completed, "completed"),
            (self.busy, "busy"),
        ];
        fields.into_iter().filter(|(told, _)| *told).map(|(_, name)| name).collect()
    }
}
