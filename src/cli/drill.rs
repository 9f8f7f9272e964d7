//! drill
use crate::settings::Settings;
#[derive(Debug, clap::Args)]
pub(crate) struct Drill {}
pub(crate) fn run(_: &Drill, _: &Settings, _: bool) -> Result<(), super::Failure> {
    Ok(())
}
