//! The stored shape of a decision's reasons: JSON in the column `reasons`.
//!
//! Each enum here mirrors one of the model, which serde checks: a variant or a field without its row
//! does not compile. Names here are the stored ones. What is renamed in the model keeps its stored
//! name by `serde(rename)`; `stored_reasons_keep_their_form` holds every one of them.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use tidegate_engine::model::capacity::Capacity;
use tidegate_engine::model::decision::{GoalReason, JobsReason, Learned, Reason};
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::instance::Attachment;
use tidegate_engine::model::phase::Block;
use tidegate_engine::model::rate::{Exhausted, Rate};
use tidegate_engine::model::time::Timestamp;

#[derive(Serialize, Deserialize)]
struct Stored(#[serde(with = "ReasonRow")] Reason);

/// Reasons in the order in which the rules were applied.
pub(super) fn reasons_row(reasons: &[Reason]) -> serde_json::Result<String> {
    let rows: Vec<Stored> = reasons.iter().cloned().map(Stored).collect();
    serde_json::to_string(&rows)
}

/// The reasons of a row. None for one of version 0.1.0, which stored the names of rules alone, for one
/// that was pruned, and for one that this version cannot read. The event has them as text.
pub(super) fn reasons_of(row: Option<&str>) -> Vec<Reason> {
    let rows = row.and_then(|row| serde_json::from_str::<Vec<Stored>>(row).ok());
    rows.unwrap_or_default().into_iter().map(|Stored(reason)| reason).collect()
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Reason", tag = "kind", rename_all = "snake_case")]
enum ReasonRow {
    Hold {
        capacity: Capacity,
        owner: String,
        reason: String,
        until: Timestamp,
    },
    Paused {
        owner: String,
        reason: String,
        until: Timestamp,
    },
    Schedule {
        capacity: Capacity,
        cron: String,
        line: usize,
        early_by: Option<Duration>,
    },
    Floor {
        capacity: Capacity,
        cron: String,
        line: usize,
    },
    FloorFell {
        asked: Capacity,
        of: Capacity,
    },
    Minimum {
        min: Capacity,
        scheduled: bool,
    },
    Extra {
        add: Capacity,
        owner: String,
        until: Timestamp,
    },
    QueueAbove {
        waiting: u64,
        above: u64,
        add: Capacity,
    },
    QueueBelow {
        waiting: u64,
        below: u64,
        remove: Capacity,
    },
    QueueBetween {
        waiting: u64,
        below: u64,
        above: u64,
    },
    QueueAnswered {
        waiting: u64,
        read_at: Timestamp,
    },
    QueueUnreadable {
        why: String,
        since: Timestamp,
        at_least: Option<Capacity>,
    },
    QueueUnread,
    Stabilising {
        under_for: Duration,
        after: Duration,
        until: Timestamp,
    },
    Goal(#[serde(with = "GoalRow")] GoalReason),
    Jobs(#[serde(with = "JobsRow")] JobsReason),
    LostNotMissed {
        lost: Capacity,
    },
    Bounded {
        asked: Capacity,
        min: Capacity,
        max: Capacity,
    },
    AwaitsApproval {
        #[serde(with = "fleet_name")]
        fleet: FleetName,
        from: Capacity,
        to: Capacity,
    },
    AwaitsRename {
        #[serde(with = "fleet_name")]
        fleet: FleetName,
        #[serde(with = "fleet_name")]
        old: FleetName,
        servers: Capacity,
    },
    Kept {
        surplus: Capacity,
        free: Capacity,
        #[serde(with = "first")]
        first: Option<(String, Block)>,
    },
    AwaitsService {
        serving: Capacity,
        stay: Capacity,
    },
    LaunchesFail {
        why: String,
        until: Timestamp,
    },
    TerminationsLimited(#[serde(with = "ExhaustedRow")] Exhausted),
    InDoubt {
        why: String,
    },
    Frozen {
        why: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "GoalReason", tag = "reason", rename_all = "snake_case")]
enum GoalRow {
    Missed {
        waiting: u64,
        expected: u32,
        late: u32,
        within: Duration,
        capacity: Capacity,
        add: Capacity,
    },
    CanWait {
        waiting: u64,
        expected: u32,
        late: u32,
        within: Duration,
        capacity: Capacity,
    },
    Kept {
        waiting: u64,
        within: Duration,
        capacity: Capacity,
    },
    Spare {
        waiting: u64,
        capacity: Capacity,
        remove: Capacity,
    },
    Doubted {
        before: u64,
        waiting: u64,
    },
    TakenBack {
        servers: Capacity,
    },
    Foreseen {
        jobs: u32,
        within: Duration,
    },
    Terms {
        job_takes: Duration,
        #[serde(with = "LearnedRow")]
        learned: Learned,
        boot: Duration,
        late_per_mille: u32,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Learned", rename_all = "snake_case")]
enum LearnedRow {
    Completions(u32),
    Drains(u32),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "JobsReason", tag = "reason", rename_all = "snake_case")]
enum JobsRow {
    AtRisk { why: Cow<'static, str> },
    Run { jobs: u64 },
    Elsewhere { key: Option<String>, jobs: u64 },
    MayRun { takes: Duration, empty_for: Duration, until: Option<Timestamp> },
    DrainsIgnored { drains: u32 },
    DrainUndelivered { why: String, until: Timestamp },
    DrainsOneByOne { draining: Capacity },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Exhausted")]
struct ExhaustedRow {
    #[serde(with = "RateRow")]
    rate: Rate,
    until: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Rate")]
struct RateRow {
    count: Capacity,
    per: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Block", rename_all = "snake_case")]
enum BlockRow {
    MinimumUptime { uptime: Duration, minimum: Duration, until: Timestamp },
    PaidHour { paid_until: Timestamp, opens: Timestamp },
    Keep { by: String, until: Option<Timestamp> },
    Attached(#[serde(with = "attachment")] Attachment),
    Unsettled,
    NoDrain,
    Busy { jobs: u32 },
    Unasked,
    Undrainable(Cow<'static, str>),
    Coming,
    NotCapacity,
}

mod fleet_name {
    use super::{Deserialize, Deserializer, FleetName, Serializer};

    pub(super) fn serialize<S: Serializer>(
        name: &FleetName,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<FleetName, D::Error> {
        let name = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("not a fleet name");
        FleetName::new(&name).ok_or_else(wrong)
    }
}

mod attachment {
    use super::{Attachment, Deserialize, Deserializer, Duration, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Row {
        id: String,
        after: Duration,
    }

    pub(super) fn serialize<S: Serializer>(
        attached: &Attachment,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Attachment { id, after } = attached;
        Row { id: id.as_ref().to_owned(), after: *after }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Attachment, D::Error> {
        let Row { id, after } = Row::deserialize(deserializer)?;
        Ok(Attachment { id: id.into(), after })
    }
}

/// The first server that has to stay, and why.
mod first {
    use super::{Block, BlockRow, Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Row {
        server: String,
        #[serde(with = "BlockRow")]
        block: Block,
    }

    #[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
    pub(super) fn serialize<S: Serializer>(
        first: &Option<(String, Block)>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let row = first.clone().map(|(server, block)| Row { server, block });
        row.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<(String, Block)>, D::Error> {
        let row = Option::<Row>::deserialize(deserializer)?;
        Ok(row.map(|Row { server, block }| (server, block)))
    }
}
