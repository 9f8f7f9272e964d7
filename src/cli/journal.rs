//! The journal as commands read it that change nothing: the one place that opens its file without a
//! daemon, and says so when there is none.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use jiff::tz::TimeZone;

use super::{FAILED, Failure, USAGE};
use crate::ports::{History, StoreFault};
use crate::settings::Settings;
use crate::store::{DATABASE, SqliteHistory};
use crate::story::policy_at;
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::time::Timestamp;

/// The journal of a state directory, if there is one.
pub(super) struct Journal {
    /// For messages alone.
    path: PathBuf,
    history: Option<Arc<dyn History>>,
}

impl Journal {
    /// Looks for the journal of the state directory.
    ///
    /// # Errors
    ///
    /// Fails for one that cannot be read; that there is none is no error yet.
    pub(super) fn of(settings: &Settings) -> Result<Self, Failure> {
        let path = settings.state_dir.join(DATABASE);
        let mut journal = Self { path, history: None };
        let found = journal.answer(SqliteHistory::look(&settings.state_dir))?;
        journal.history = found.map(|history| Arc::new(history) as Arc<dyn History>);
        Ok(journal)
    }

    /// What the journal tells, or that there is none.
    pub(super) fn history(&self) -> Result<&dyn History, Failure> {
        self.history.as_deref().ok_or_else(|| {
            let shown = self.path.display();
            let why = anyhow!("there is no journal at {shown}; name its folder with --state-dir");
            Failure::Error(FAILED, why)
        })
    }

    /// What the journal tells, for commands that need none.
    pub(super) fn history_if_any(&self) -> Option<&dyn History> {
        self.history.as_deref()
    }

    /// The zone of the policy that was in force at an instant; UTC where that is not known.
    pub(super) async fn zone(&self, at: Timestamp) -> Result<TimeZone, Failure> {
        let Some(history) = self.history_if_any() else { return Ok(TimeZone::UTC) };
        let policy = self.answer(policy_at(history, at).await)?;
        Ok(policy.map_or(TimeZone::UTC, |policy| policy.zone))
    }

    /// What was read, or why it could not be read from this file.
    pub(super) fn answer<T>(&self, read: Result<T, StoreFault>) -> Result<T, Failure> {
        read.map_err(|fault| self.failed(&fault.to_string()))
    }

    pub(super) fn failed(&self, why: &str) -> Failure {
        Failure::Error(FAILED, anyhow!("{}: {why}", self.path.display()))
    }

    #[cfg(feature = "aws")]
    pub(super) fn shown(&self) -> std::path::Display<'_> {
        self.path.display()
    }
}

pub(super) fn fleet_named(name: &str) -> Result<FleetName, Failure> {
    let wrong = || anyhow!("`{}` is no fleet name", printable(name, 64));
    FleetName::new(name).ok_or_else(|| Failure::Error(USAGE, wrong()))
}
