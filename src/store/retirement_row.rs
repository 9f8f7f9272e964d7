//! The stored shape of a retirement, its drain and what a fleet remembers of its drains. Fields are
//! only ever added, with a default. A retirement without a drain is stored as in earlier versions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use tidegate_engine::model::drain::{
    BusyDrains, Carrier, Delivery, Drain, DrainEnd, DrainRecord, DrainTerms, Receiver, Resume,
    Undelivered,
};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::reading::SecretHeader;
use tidegate_engine::model::retirement::{RetireReason, Retirement, Stage, Termination};
use tidegate_engine::model::time::Timestamp;

/// The stage is told by the fields that are present: `terminate_asks` above zero, else `resuming`,
/// else `draining`, else `deregistered_at`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RetirementRow {
    why: RetireRow,
    begun_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    begun_at_ec2: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deregistered_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terminate_asked_at: Option<Timestamp>,
    terminate_asks: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    terminate_refusals: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drain: Option<TermsRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    draining: Option<DrainRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resuming: Option<ResumeRow>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RetireRow {
    ScaleIn,
    NeverHealthy {
        waited: Duration,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<String>,
    },
    Sick {
        since: Timestamp,
    },
    StuckPending {
        waited: Duration,
    },
    Operator {
        who: String,
        why: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct TermsRow {
    via: CarrierRow,
    deadline: Duration,
    cancel: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CarrierRow {
    Tag,
    Http {
        url: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        header: Option<HeaderRow>,
    },
}

/// A header by the name of its secret; the secret itself is never stored.
#[derive(Debug, Serialize, Deserialize)]
struct HeaderRow {
    name: String,
    secret: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct DrainRow {
    begun_at: Timestamp,
    deadline: Timestamp,
    signalled_at: Timestamp,
    delivery: DeliveryRow,
    may_be_tagged: bool,
    /// A word of [`DrainEnd::as_str`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DeliveryRow {
    Pending {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_fault: Option<String>,
    },
    Refused {
        why: String,
    },
    Received {
        at: Timestamp,
        #[serde(default)]
        nothing_runs: bool,
    },
}

fn yes() -> bool {
    true
}

#[derive(Debug, Serialize, Deserialize)]
struct ResumeRow {
    deadline: Timestamp,
    cancelled_at: Timestamp,
    asked_at: Timestamp,
    /// Of a row without it, the server may have received the signal.
    #[serde(default = "yes")]
    received: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undelivered: Option<String>,
}

/// What a fleet remembers of its drains.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DrainRecordRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    terms: Option<TermsRow>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    took: VecDeque<Duration>,
    #[serde(default)]
    heeded: bool,
    #[serde(default)]
    ignored: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undelivered: Option<UndeliveredRow>,
    /// Seconds, and drains that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    busy: Option<(f64, f64)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct UndeliveredRow {
    at: Timestamp,
    instance: String,
    why: String,
}

impl From<&Retirement> for RetirementRow {
    fn from(retirement: &Retirement) -> Self {
        let Retirement { why, begun_at, begun_at_ec2, drain, stage: _ } = retirement.clone();
        let termination = retirement.termination();
        let why = match why {
            RetireReason::ScaleIn => RetireRow::ScaleIn,
            RetireReason::NeverHealthy { waited, last } => RetireRow::NeverHealthy { waited, last },
            RetireReason::Sick { since } => RetireRow::Sick { since },
            RetireReason::StuckPending { waited } => RetireRow::StuckPending { waited },
            RetireReason::Operator { who, why } => RetireRow::Operator { who, why },
        };
        Self {
            why,
            begun_at,
            begun_at_ec2,
            deregistered_at: retirement.deregistered_at(),
            terminate_asked_at: termination.map(|calls| calls.last_asked_at),
            terminate_asks: termination.map_or(0, |calls| calls.asks),
            terminate_refusals: termination.map_or(0, |calls| calls.refusals),
            drain: drain.as_deref().map(TermsRow::from),
            draining: retirement.draining().map(DrainRow::from),
            resuming: retirement.resuming().map(ResumeRow::from),
        }
    }
}

impl RetirementRow {
    pub(super) fn into_retirement(self) -> Result<Retirement, String> {
        let why = match self.why {
            RetireRow::ScaleIn => RetireReason::ScaleIn,
            RetireRow::NeverHealthy { waited, last } => RetireReason::NeverHealthy { waited, last },
            RetireRow::Sick { since } => RetireReason::Sick { since },
            RetireRow::StuckPending { waited } => RetireReason::StuckPending { waited },
            RetireRow::Operator { who, why } => RetireReason::Operator { who, why },
        };
        let deregistered_at = self.deregistered_at;
        let stage = if self.terminate_asks > 0 {
            Stage::Terminating(Termination {
                deregistered_at,
                last_asked_at: self.terminate_asked_at.unwrap_or(self.begun_at),
                asks: self.terminate_asks,
                refusals: self.terminate_refusals,
            })
        } else if let Some(resuming) = self.resuming {
            Stage::Resuming(resuming.into())
        } else if let Some(draining) = self.draining {
            Stage::Draining(draining.into_drain(deregistered_at)?)
        } else {
            deregistered_at.map_or(Stage::Begun, |at| Stage::Deregistered { at })
        };
        Ok(Retirement {
            why,
            begun_at: self.begun_at,
            begun_at_ec2: self.begun_at_ec2,
            drain: self.drain.map(|terms| Arc::new(terms.into())),
            stage,
        })
    }
}

impl From<&DrainTerms> for TermsRow {
    fn from(terms: &DrainTerms) -> Self {
        let DrainTerms { carrier, deadline, cancel } = terms.clone();
        let via = match carrier {
            Carrier::Tag => CarrierRow::Tag,
            Carrier::Http(Receiver { url, header }) => {
                let row = |SecretHeader { name, secret }| HeaderRow { name, secret };
                CarrierRow::Http { url, header: header.map(row) }
            }
        };
        Self { via, deadline, cancel }
    }
}

impl From<TermsRow> for DrainTerms {
    fn from(row: TermsRow) -> Self {
        let TermsRow { via, deadline, cancel } = row;
        let carrier = match via {
            CarrierRow::Tag => Carrier::Tag,
            CarrierRow::Http { url, header } => {
                let header = header.map(|HeaderRow { name, secret }| SecretHeader { name, secret });
                Carrier::Http(Receiver { url, header })
            }
        };
        Self { carrier, deadline, cancel }
    }
}

impl From<&Drain> for DrainRow {
    fn from(drain: &Drain) -> Self {
        let Drain {
            // Stored with the retirement, where it was before there were drains.
            deregistered_at: _,
            begun_at,
            deadline,
            signalled_at,
            delivery,
            may_be_tagged,
            end,
        } = drain.clone();
        let delivery = match delivery {
            Delivery::Pending { last_fault } => DeliveryRow::Pending { last_fault },
            Delivery::Refused { why } => DeliveryRow::Refused { why },
            Delivery::Received { at, nothing_runs } => DeliveryRow::Received { at, nothing_runs },
        };
        let end = end.map(|end| end.as_str().to_owned());
        Self { begun_at, deadline, signalled_at, delivery, may_be_tagged, end }
    }
}

impl DrainRow {
    fn into_drain(self, deregistered_at: Option<Timestamp>) -> Result<Drain, String> {
        let Self { begun_at, deadline, signalled_at, delivery, may_be_tagged, end } = self;
        let known = |word: String| {
            let end = DrainEnd::ALL.into_iter().find(|end| end.as_str() == word);
            end.ok_or_else(|| format!("unknown end of a drain `{word}`"))
        };
        let delivery = match delivery {
            DeliveryRow::Pending { last_fault } => Delivery::Pending { last_fault },
            DeliveryRow::Refused { why } => Delivery::Refused { why },
            DeliveryRow::Received { at, nothing_runs } => Delivery::Received { at, nothing_runs },
        };
        let end = end.map(known).transpose()?;
        Ok(Drain {
            deregistered_at,
            begun_at,
            deadline,
            signalled_at,
            delivery,
            may_be_tagged,
            end,
        })
    }
}

impl From<&Resume> for ResumeRow {
    fn from(resume: &Resume) -> Self {
        let Resume { deadline, cancelled_at, asked_at, received, done_at, undelivered } =
            resume.clone();
        Self { deadline, cancelled_at, asked_at, received, done_at, undelivered }
    }
}

impl From<ResumeRow> for Resume {
    fn from(row: ResumeRow) -> Self {
        let ResumeRow { deadline, cancelled_at, asked_at, received, done_at, undelivered } = row;
        Self { deadline, cancelled_at, asked_at, received, done_at, undelivered }
    }
}

impl From<&DrainRecord> for DrainRecordRow {
    fn from(record: &DrainRecord) -> Self {
        let DrainRecord { terms, took, heeded, ignored, undelivered, busy } = record.clone();
        let undelivered = undelivered.map(|Undelivered { at, instance, why }| UndeliveredRow {
            at,
            instance: instance.to_string(),
            why,
        });
        let terms = terms.as_deref().map(TermsRow::from);
        let BusyDrains { seconds, ended } = busy;
        let busy = (ended > 0.0 || seconds > 0.0).then_some((seconds, ended));
        Self { terms, took, heeded, ignored, undelivered, busy }
    }
}

impl From<DrainRecordRow> for DrainRecord {
    fn from(row: DrainRecordRow) -> Self {
        let DrainRecordRow { terms, took, heeded, ignored, undelivered, busy } = row;
        let (seconds, ended) = busy.unwrap_or_default();
        let undelivered = undelivered.map(|UndeliveredRow { at, instance, why }| Undelivered {
            at,
            instance: InstanceId::new(&instance),
            why,
        });
        Self {
            terms: terms.map(|terms| Arc::new(terms.into())),
            took,
            heeded,
            ignored,
            undelivered,
            busy: BusyDrains { seconds, ended },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What version 0.1.0 wrote.
    const PLAIN: &str = r#"{"why":"scale_in","begun_at":"2026-03-02T18:00:00Z","begun_at_ec2":"2026-03-02T18:00:00Z","deregistered_at":"2026-03-02T18:00:00Z","terminate_asks":0}"#;

    #[test]
    fn retirement_without_drain_is_stored_as_before() {
        let row: RetirementRow = serde_json::from_str(PLAIN).unwrap();
        let retirement = row.into_retirement().unwrap();
        assert_eq!(retirement.drain, None);
        assert!(matches!(retirement.stage, Stage::Deregistered { .. }), "{retirement:?}");
        let again = serde_json::to_string(&RetirementRow::from(&retirement)).unwrap();
        assert_eq!(again, PLAIN);
    }

    #[test]
    fn unknown_end_of_drain_is_unreadable() {
        let draining = r#","draining":{"begun_at":"2026-03-02T18:00:00Z","deadline":"2026-03-02T18:30:00Z","signalled_at":"2026-03-02T18:00:00Z","delivery":{"pending":{}},"may_be_tagged":true,"end":"sunset"}}"#;
        let text = PLAIN.replace('}', draining);
        let row: RetirementRow = serde_json::from_str(&text).unwrap();
        let why = row.into_retirement().unwrap_err();
        assert!(why.contains("`sunset`"), "{why}");
        let row: RetirementRow = serde_json::from_str(&text.replace("sunset", "deadline")).unwrap();
        let retirement = row.into_retirement().unwrap();
        assert_eq!(retirement.draining().unwrap().end, Some(DrainEnd::Deadline));
    }
}
