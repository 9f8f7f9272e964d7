//! The stored shapes of a server and of a fleet's memory, apart from the model's, so that a field
//! can be renamed there without breaking a row. Fields are only ever added, with a default. What is
//! empty is left out: there are tens of thousands of servers in a year.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::retirement_row::{DrainRecordRow, RetirementRow};
use super::work_row::WorkRow;
use tidegate_engine::model::balancer::Balancer;
use tidegate_engine::model::capacity::Capacity;
use tidegate_engine::model::drain::DrainRecord;
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::fleet::{FleetName, Pool};
use tidegate_engine::model::instance::InstanceId;
use tidegate_engine::model::launch::{Image, LaunchRequest, Token};
use tidegate_engine::model::ledger::{FleetMemory, LastDecision, SettingsRecord};
use tidegate_engine::model::server::{Asked, Gone, GoneHow, LaunchState, ServerRecord};
use tidegate_engine::model::time::Timestamp;

/// A stored row that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("row {key}: {why}")]
pub(super) struct Unreadable {
    pub key: String,
    pub why: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ServerRow {
    fleet: String,
    planned_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    planned_at_ec2: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestRow>,
    launch: LaunchRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    launched_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_service_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restarted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sick_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    absent_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retirement: Option<RetirementRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cleared_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gone: Option<GoneRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RequestRow {
    image: ImageRow,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subnet: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_pair: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    security_groups: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_profile: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    user_data: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    drains: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ImageRow {
    Id(String),
    Template { name: String, version: String },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LaunchRow {
    Asked {
        attempts: u32,
        last_attempt_at: Timestamp,
        in_doubt: bool,
        last_fault: Option<FaultRow>,
    },
    Launched(String),
    Refused(FaultRow),
}

#[derive(Debug, Serialize, Deserialize)]
struct FaultRow {
    kind: String,
    code: String,
    message: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct GoneRow {
    at: Timestamp,
    how: GoneHowRow,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum GoneHowRow {
    NeverWas,
    Retired,
    BehindOurBack(String),
    Vanished,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FleetRow {
    target: Option<Capacity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<Capacity>,
    stepped_at_reading: Option<Timestamp>,
    boots: Vec<Duration>,
    last_decision: Option<DecisionRow>,
    balancer: Option<BalancerRow>,
    #[serde(default)]
    decided_by: Option<String>,
    #[serde(default)]
    acting: Option<bool>,
    #[serde(default)]
    work: Option<WorkRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    drains: Option<DrainRecordRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<SettingsRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SettingsRow {
    digest: String,
    since: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct DecisionRow {
    at: Timestamp,
    from: Capacity,
    to: Capacity,
    marks: BTreeSet<String>,
    text: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct BalancerRow {
    /// `classic` or `target_group`.
    kind: String,
    name: String,
    drain: Duration,
}

impl From<&ServerRecord> for ServerRow {
    fn from(record: &ServerRecord) -> Self {
        Self {
            fleet: record.fleet.to_string(),
            planned_at: record.planned_at,
            planned_at_ec2: record.planned_at_ec2,
            request: record.request.as_deref().map(RequestRow::from),
            launch: LaunchRow::from(&record.launch),
            launched_at: record.launched_at,
            private_ip: record.private_ip.as_deref().map(str::to_owned),
            healthy_at: record.healthy_at,
            in_service_at: record.in_service_at,
            restarted_at: record.restarted_at,
            sick_since: record.sick_since,
            absent_since: record.absent_since,
            retirement: record.retirement.as_ref().map(RetirementRow::from),
            cleared_at: record.cleared_at,
            gone: record.gone.as_ref().map(GoneRow::from),
        }
    }
}

impl ServerRow {
    pub(super) fn into_record(self, token: &str) -> Result<ServerRecord, Unreadable> {
        let unreadable = |why: &str| Unreadable { key: token.to_owned(), why: why.to_owned() };
        let key = Token::from_stored(token);
        let launch = match self.launch {
            LaunchRow::Asked { attempts, last_attempt_at, in_doubt, last_fault } => {
                let last_fault = last_fault.map(FaultRow::into_fault).transpose();
                let last_fault = last_fault.map_err(|why| unreadable(&why))?;
                LaunchState::Asked(Asked { attempts, last_attempt_at, in_doubt, last_fault })
            }
            LaunchRow::Launched(id) => LaunchState::Launched(InstanceId::new(&id)),
            LaunchRow::Refused(fault) => {
                LaunchState::Refused(fault.into_fault().map_err(|why| unreadable(&why))?)
            }
        };
        let retirement = self.retirement.map(RetirementRow::into_retirement).transpose();
        Ok(ServerRecord {
            fleet: FleetName::new(&self.fleet).ok_or_else(|| unreadable("not a fleet name"))?,
            planned_at: self.planned_at,
            planned_at_ec2: self.planned_at_ec2,
            request: self.request.map(|request| Arc::new(request.into_request(key.clone()))),
            launch,
            launched_at: self.launched_at,
            private_ip: self.private_ip.map(Into::into),
            healthy_at: self.healthy_at,
            in_service_at: self.in_service_at,
            restarted_at: self.restarted_at,
            sick_since: self.sick_since,
            absent_since: self.absent_since,
            retirement: retirement.map_err(|why| unreadable(&why))?,
            cleared_at: self.cleared_at,
            gone: self.gone.map(GoneRow::into_gone),
            token: key,
        })
    }
}

impl From<&LaunchRequest> for RequestRow {
    fn from(request: &LaunchRequest) -> Self {
        let LaunchRequest {
            token: _,
            image,
            pool,
            key_pair,
            security_groups,
            instance_profile,
            user_data,
            tags,
            drains,
        } = request.clone();
        Self {
            image: match image {
                Image::Id(id) => ImageRow::Id(id),
                Image::Template { name, version } => ImageRow::Template { name, version },
            },
            instance_type: pool.instance_type.as_deref().map(str::to_owned),
            subnet: pool.subnet.as_deref().map(str::to_owned),
            key_pair,
            security_groups,
            instance_profile,
            user_data,
            tags: (*tags).clone(),
            drains,
        }
    }
}

impl RequestRow {
    fn into_request(self, token: Token) -> LaunchRequest {
        LaunchRequest {
            token,
            image: match self.image {
                ImageRow::Id(id) => Image::Id(id),
                ImageRow::Template { name, version } => Image::Template { name, version },
            },
            pool: Pool {
                instance_type: self.instance_type.map(Into::into),
                subnet: self.subnet.map(Into::into),
            },
            key_pair: self.key_pair,
            security_groups: self.security_groups,
            instance_profile: self.instance_profile,
            user_data: self.user_data,
            tags: self.tags.into(),
            drains: self.drains,
        }
    }
}

impl From<&LaunchState> for LaunchRow {
    fn from(launch: &LaunchState) -> Self {
        match launch {
            LaunchState::Asked(asked) => Self::Asked {
                attempts: asked.attempts,
                last_attempt_at: asked.last_attempt_at,
                in_doubt: asked.in_doubt,
                last_fault: asked.last_fault.as_ref().map(FaultRow::from),
            },
            LaunchState::Launched(id) => Self::Launched(id.to_string()),
            LaunchState::Refused(fault) => Self::Refused(FaultRow::from(fault)),
        }
    }
}

impl From<&Fault> for FaultRow {
    fn from(fault: &Fault) -> Self {
        Self {
            kind: fault.kind.as_str().to_owned(),
            code: fault.code.clone(),
            message: fault.message.clone(),
        }
    }
}

impl FaultRow {
    fn into_fault(self) -> Result<Fault, String> {
        let kind = FaultKind::ALL.into_iter().find(|kind| kind.as_str() == self.kind);
        let kind = kind.ok_or_else(|| format!("unknown kind of fault `{}`", self.kind))?;
        Ok(Fault { kind, code: self.code, message: self.message })
    }
}

impl From<&Gone> for GoneRow {
    fn from(gone: &Gone) -> Self {
        let how = match &gone.how {
            GoneHow::NeverWas => GoneHowRow::NeverWas,
            GoneHow::Retired => GoneHowRow::Retired,
            GoneHow::BehindOurBack(why) => GoneHowRow::BehindOurBack(why.clone()),
            GoneHow::Vanished => GoneHowRow::Vanished,
        };
        Self { at: gone.at, how }
    }
}

impl GoneRow {
    fn into_gone(self) -> Gone {
        let how = match self.how {
            GoneHowRow::NeverWas => GoneHow::NeverWas,
            GoneHowRow::Retired => GoneHow::Retired,
            GoneHowRow::BehindOurBack(why) => GoneHow::BehindOurBack(why),
            GoneHowRow::Vanished => GoneHow::Vanished,
        };
        Gone { at: self.at, how }
    }
}

impl From<&FleetMemory> for FleetRow {
    fn from(memory: &FleetMemory) -> Self {
        // Readings have a table of their own.
        let FleetMemory {
            target,
            asked,
            stepped_at_reading,
            readings: _,
            boots,
            last_decision,
            balancer,
            decided_by,
            acting,
            work,
            drains,
            settings,
        } = memory.clone();
        Self {
            target,
            asked,
            stepped_at_reading,
            boots: boots.times().collect(),
            last_decision: last_decision.map(|last| DecisionRow {
                at: last.at,
                from: last.from,
                to: last.to,
                marks: last.marks.clone(),
                text: last.text.clone(),
            }),
            balancer: balancer.map(|(balancer, drain)| {
                let (kind, name) = match balancer {
                    Balancer::Classic(name) => ("classic", name),
                    Balancer::TargetGroup(name) => ("target_group", name),
                };
                BalancerRow { kind: kind.to_owned(), name, drain }
            }),
            decided_by: decided_by.as_deref().map(str::to_owned),
            acting,
            work: work.map(|work| WorkRow::from((*work).clone())),
            // A fleet without a drain is stored as in earlier versions.
            drains: (*drains != DrainRecord::default()).then(|| DrainRecordRow::from(&*drains)),
            settings: settings.map(|SettingsRecord { digest, since }| SettingsRow {
                digest: digest.as_ref().to_owned(),
                since,
            }),
        }
    }
}

impl FleetRow {
    pub(super) fn into_memory(self, key: &str) -> Result<FleetMemory, Unreadable> {
        let balancer = match self.balancer {
            None => None,
            Some(BalancerRow { kind, name, drain }) => match kind.as_str() {
                "classic" => Some((Balancer::Classic(name), drain)),
                "target_group" => Some((Balancer::TargetGroup(name), drain)),
                other => {
                    let why = format!("unknown kind of balancer `{other}`");
                    return Err(Unreadable { key: key.to_owned(), why });
                }
            },
        };
        Ok(FleetMemory {
            target: self.target,
            asked: self.asked,
            stepped_at_reading: self.stepped_at_reading,
            readings: Arc::default(),
            boots: self.boots.into_iter().collect(),
            last_decision: self.last_decision.map(|last| {
                Arc::new(LastDecision {
                    at: last.at,
                    from: last.from,
                    to: last.to,
                    marks: last.marks,
                    text: last.text,
                })
            }),
            balancer,
            decided_by: self.decided_by.map(Into::into),
            acting: self.acting,
            work: self.work.map(|row| Arc::new(row.into())),
            drains: self.drains.map(|row| Arc::new(row.into())).unwrap_or_default(),
            settings: self.settings.map(|SettingsRow { digest, since }| SettingsRecord {
                digest: digest.into(),
                since,
            }),
        })
    }
}
