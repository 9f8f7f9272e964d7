//! Joins the ports of the real world: here, and only here, AWS, HTTP, SQL and the clock meet.

use std::sync::Arc;

use anyhow::Context as _;

use super::{Failure, check};
use crate::aws::Aws;
use crate::ports::{Clock, Ports, Store, Tally, Topics};
use crate::probe::HttpProbe;
use crate::settings::Settings;
use tidegate_engine::model::time::Timestamp;
use tidegate_engine::policy::Policy;

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        check::now()
    }
}

/// The real world.
pub(super) struct World {
    pub ports: Ports,
    pub topics: Arc<dyn Topics>,
}

/// The real world, with a journal; `once`: for one tick alone.
pub(super) async fn world(
    settings: &Settings,
    policy: &Policy,
    store: Arc<dyn Store>,
    tally: Option<Arc<dyn Tally>>,
    once: bool,
) -> Result<World, Failure> {
    let aws = Arc::new(Aws::connect(policy.region.as_deref(), tally).await);
    let probe = HttpProbe::new(settings.secret_dirs.clone()).context("failed to prepare HTTP")?;
    let probe = if once { probe.once() } else { probe };
    let ports = Ports {
        cloud: aws.clone(),
        balancers: aws.clone(),
        probe: Arc::new(probe),
        store,
        clock: Arc::new(SystemClock),
    };
    Ok(World { ports, topics: aws })
}
