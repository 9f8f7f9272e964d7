//! Joins the ports of the real world: here, and only here, AWS, HTTP, SQL and the clock meet.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::check::{self, Read};
use super::{Failure, POLICY_INVALID};
use crate::aws::Aws;
use crate::model::time::Timestamp;
use crate::policy::Policy;
use crate::ports::{Clock, Ports, Store};
use crate::probe::HttpProbe;
use crate::settings::Settings;

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        check::now()
    }
}

/// The real world, with a journal.
pub(super) async fn ports(
    settings: &Settings,
    policy: &Policy,
    store: Arc<dyn Store>,
) -> Result<Ports, Failure> {
    let aws = Arc::new(Aws::connect(policy.region.as_deref()).await);
    let probe = HttpProbe::new(settings.secret_dirs.clone()).context("failed to prepare HTTP")?;
    Ok(Ports {
        cloud: aws.clone(),
        balancers: aws,
        probe: Arc::new(probe),
        store,
        clock: Arc::new(SystemClock),
    })
}

/// The policy, or every error of the file on stderr.
pub(super) fn policy(path: &Path, settings: &Settings) -> Result<Policy, Failure> {
    let read: Read =
        check::read(path, check::now()).map_err(|error| Failure::Error(POLICY_INVALID, error))?;
    if read.loaded.policy.is_none() {
        let color = std::io::IsTerminal::is_terminal(&std::io::stderr()) && !settings.plain;
        eprint!("{}", read.rendered(color));
    }
    read.loaded.policy.ok_or(Failure::Told(POLICY_INVALID))
}
