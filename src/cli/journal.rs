//! The journal as commands read it that change nothing: the file as it is, whether or not a daemon
//! writes to it meanwhile.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use jiff::tz::TimeZone;

use super::{FAILED, Failure, USAGE};
use crate::ports::StoreFault;
use crate::settings::Settings;
use crate::store::{self, DATABASE};
use crate::story::policy_at;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::history::{History, Told};
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy::Policy;

pub(super) struct JournalFile(PathBuf);

impl JournalFile {
    pub(super) fn of(settings: &Settings) -> Self {
        Self(settings.state_dir.join(DATABASE))
    }

    pub(super) fn history(
        &self,
        fleet: &FleetName,
        span: (Timestamp, Timestamp),
    ) -> Result<History, Failure> {
        self.there(store::history(&self.0, fleet, span))
    }

    /// Lines of one fleet, or of all.
    pub(super) fn told(
        &self,
        fleet: Option<&FleetName>,
        span: (Timestamp, Timestamp),
    ) -> Result<Vec<Told>, Failure> {
        self.there(store::told(&self.0, fleet, span))
    }

    /// The policy that was in force, with its zone, if a daemon noted it.
    pub(super) fn policy(&self, at: Timestamp) -> Result<Option<Policy>, Failure> {
        self.at(|path| policy_at(path, at))
    }

    /// The zone of the policy that was in force.
    pub(super) fn zone(&self, at: Timestamp) -> Result<TimeZone, Failure> {
        Ok(self.policy(at)?.map_or(TimeZone::UTC, |policy| policy.zone))
    }

    pub(super) fn failed(&self, why: &str) -> Failure {
        Failure::Error(FAILED, anyhow!("{}: {why}", self.0.display()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A look at the file, with what it says when it cannot be read.
    pub(super) fn at<T>(
        &self,
        look: impl FnOnce(&Path) -> Result<T, StoreFault>,
    ) -> Result<T, Failure> {
        look(&self.0).map_err(|fault| self.failed(&fault.to_string()))
    }

    pub(super) fn there<T>(&self, found: Result<Option<T>, StoreFault>) -> Result<T, Failure> {
        let found = found.map_err(|fault| self.failed(&fault.to_string()))?;
        found.ok_or_else(|| self.missing())
    }

    pub(super) fn missing(&self) -> Failure {
        let shown = self.0.display();
        let why = anyhow!("there is no journal at {shown}; name its folder with --state-dir");
        Failure::Error(FAILED, why)
    }
}

pub(super) fn fleet_named(name: &str) -> Result<FleetName, Failure> {
    let wrong = || anyhow!("`{}` is no fleet name", printable(name, 64));
    FleetName::new(name).ok_or_else(|| Failure::Error(USAGE, wrong()))
}
