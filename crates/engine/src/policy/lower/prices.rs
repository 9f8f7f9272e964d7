//! `prices`: dollars an hour by instance type. Nothing that acts reads them.

use std::collections::{BTreeMap, BTreeSet};

use super::Read;
use super::launch::is_type;
use super::section::{Section, map, nearest, text};
use crate::policy::file::Entry;
use crate::policy::problem::{Problem, Problems, quote};

/// No instance type costs as much: a larger number is cents, or the price of a month.
const PRICE_MAX: f64 = 1_000.0;

/// About as many as EC2 has types.
const ENTRIES_MAX: usize = 1_000;

/// Launched types that a misspelt one is compared with, so that no file takes long to read.
const COMPARED_MAX: usize = 100;

/// Reads the prices, and warns of those for types that no fleet launches.
pub(super) fn read(
    top: &Section<'_>,
    fleets: &[Read],
    out: &mut Problems,
) -> BTreeMap<String, f64> {
    let mut prices = BTreeMap::new();
    let Some(section) = top.get("prices") else { return prices };
    let entries = map("prices", &section.value, out);
    if entries.len() > ENTRIES_MAX {
        let message = format!("{} prices", entries.len());
        let problem = Problem::error(section.at, message, format!("at most {ENTRIES_MAX}"));
        out.push(problem.remedy("keep those of the types that the fleets launch"));
        return prices;
    }
    // A fleet that could not be read may launch any type.
    let all_read = !out.has_error_since(0);
    let launched: BTreeSet<&str> =
        fleets.iter().flat_map(|fleet| &fleet.policy.launch.types).map(String::as_str).collect();
    for entry in entries {
        if !is_type(&entry.key) {
            let message = format!("{} is no instance type", quote(&entry.key));
            let problem = Problem::error(entry.at, message, "not like `t3.small`");
            let remedy = "write dollars an hour by type: `prices: { t3.small: 0.0208 }`";
            out.push(problem.remedy(remedy));
            continue;
        }
        if all_read && !launched.contains(entry.key.as_str()) {
            out.push(unused(entry, &launched));
        }
        if let Some(price) = price(entry, out) {
            prices.insert(entry.key.clone(), price);
        }
    }
    prices
}

fn unused(entry: &Entry, launched: &BTreeSet<&str>) -> Problem {
    let message = format!("a price for {}, which no fleet launches", quote(&entry.key));
    let compared = launched.iter().copied().take(COMPARED_MAX);
    let label = match nearest(&entry.key, compared) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "never used".to_owned(),
    };
    let remedy = "add the type to `launch.types` of a fleet, or remove the price";
    Problem::warning(entry.at, message, label).remedy(remedy)
}

/// A plain number of dollars.
fn price(entry: &Entry, out: &mut Problems) -> Option<f64> {
    let written = text(entry, out)?.trim();
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-');
    let number = written.chars().all(plain).then(|| written.parse::<f64>().ok()).flatten();
    let (label, remedy) = match number {
        Some(price) if price > PRICE_MAX => {
            (format!("more than {PRICE_MAX} dollars an hour"), example(entry))
        }
        Some(price) if price > 0.0 => return Some(price),
        Some(_) => (
            "not more than 0".to_owned(),
            "write what an hour costs, or remove the line to use the list price".to_owned(),
        ),
        None => ("not a plain number".to_owned(), example(entry)),
    };
    let message = format!("the price of {} cannot be {}", quote(&entry.key), quote(written));
    out.push(Problem::error(entry.value.at, message, label).remedy(remedy));
    None
}

fn example(entry: &Entry) -> String {
    format!("write US dollars an hour, without a sign or unit: `{}: 0.0816`", entry.key)
}
