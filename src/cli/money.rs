//! Prices and costs in the output of commands.

use serde_json::{Value, json};

use crate::prices::{Cost, PriceList};
use crate::settings::Settings;
use tidegate_engine::policy::Policy;

/// Returns what servers of this policy cost: in its own region, else in that of the environment.
pub(super) fn prices(policy: &Policy, settings: &Settings) -> PriceList {
    let region = policy.region.as_deref().or(settings.region.as_deref());
    PriceList::new(region, &policy.prices)
}

/// Returns dollars for `--json`, in whole cents; `None` where a price is missing.
pub(super) fn cents(cost: &Cost) -> Option<f64> {
    cost.whole().map(|dollars| (dollars * 100.0).round() / 100.0)
}

/// Returns the types without a price for `--json`.
pub(super) fn without_price(cost: &Cost) -> Vec<String> {
    cost.unpriced().iter().map(ToString::to_string).collect()
}

/// Returns where prices come from for `--json`.
pub(super) fn source(prices: &PriceList) -> Value {
    json!({
        "region": prices.region(),
        "region_assumed": prices.region_assumed(),
        "as_of": prices.as_of(),
    })
}
