//! What servers cost an hour: the policy's own `prices`, else the list prices of the region. A type
//! without a price stays without one, and so does a sum that it is part of.
#![warn(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]

mod cost;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use self::cost::{Cost, Unpriced};

/// The region whose list prices count where none is known.
const REGION_ASSUMED: &str = "us-east-1";

/// The prices of on-demand Linux servers in one region, in US dollars an hour.
#[derive(Debug, Clone)]
pub struct PriceList {
    region: String,
    /// Whether no region was given.
    region_assumed: bool,
    own: BTreeMap<String, f64>,
    listed: BTreeMap<&'static str, f64>,
    as_of: &'static str,
}

impl PriceList {
    /// Returns the list prices of `region`, under the prices that a policy names itself. Without a
    /// region it is us-east-1, and [`Self::source`] says so.
    pub fn new(region: Option<&str>, own: &BTreeMap<String, f64>) -> Self {
        let known = region.unwrap_or(REGION_ASSUMED);
        Self {
            region: known.to_owned(),
            region_assumed: region.is_none(),
            own: own.clone(),
            listed: table::of(known),
            as_of: table::as_of(),
        }
    }

    /// Returns these prices with another policy's for the types that this one does not name.
    #[must_use]
    pub fn or(mut self, other: &BTreeMap<String, f64>) -> Self {
        for (instance_type, price) in other {
            self.own.entry(instance_type.clone()).or_insert(*price);
        }
        self
    }

    /// Returns the dollars an hour of an instance type, if they are known.
    pub fn per_hour(&self, instance_type: &str) -> Option<f64> {
        let own = self.own.get(instance_type);
        own.or_else(|| self.listed.get(instance_type)).copied()
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    pub fn region_assumed(&self) -> bool {
        self.region_assumed
    }

    /// The day of the list, as `2025-03-02`.
    pub fn as_of(&self) -> &'static str {
        self.as_of
    }

    /// Returns where the prices come from, for people: `list prices of us-east-1 as of 2025-03-02`.
    pub fn source(&self) -> String {
        let Self { region, listed, own, .. } = self;
        let own = if own.is_empty() { "" } else { "`prices` of the policy, else " };
        let listed = if listed.is_empty() {
            format!("list prices, of which {region} has none here")
        } else {
            format!("list prices of {region} as of {}", self.as_of())
        };
        let assumed =
            if self.region_assumed { " (assumed: the policy names no `region`)" } else { "" };
        format!("{own}{listed}{assumed}")
    }

    /// Returns what is missing for `cost` to be whole, with what to do; one line for the types that
    /// the policy names, one for launch templates.
    pub fn missing(&self, cost: &Cost) -> Vec<String> {
        let unpriced = cost.unpriced();
        let named: Vec<&str> = unpriced.iter().filter_map(Unpriced::instance_type).collect();
        let mut lines = Vec::new();
        if let Some(types) = listed(&named) {
            let them = if named.len() == 1 { "it" } else { "them" };
            let region = &self.region;
            lines.push(format!("no price known for {types} in {region}: add {them} to `prices:`"));
        }
        if unpriced.contains(&Unpriced::OfTemplate) {
            let what = "no price known for servers whose launch template names the instance type";
            lines.push(format!("{what}: name it in `launch.types` too"));
        }
        lines
    }
}

/// `a`, `a and b`, `a, b and c`; nothing of nothing.
fn listed(words: &[&str]) -> Option<String> {
    match words {
        [] => None,
        [one] => Some((*one).to_owned()),
        [first @ .., last] => Some(format!("{} and {last}", first.join(", "))),
    }
}
