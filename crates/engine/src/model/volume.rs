//! Volumes that outlive their servers.

use super::fleet::FleetName;

/// A volume of ours that no server uses, and that EC2 bills until somebody deletes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub id: String,
    pub gib: u32,
    /// The fleet whose server it was of.
    pub fleet: Option<FleetName>,
}
