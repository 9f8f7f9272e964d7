//! The list prices that ship with tidegate: a line for each type, a column for each region.

use std::collections::BTreeMap;

/// Made by `make_table.py`, which says from what.
const TABLE: &str = include_str!("table.txt");

/// The day of the list, as `2025-03-02`.
pub(super) fn as_of() -> &'static str {
    lines().find_map(|line| line.strip_prefix("as-of ")).unwrap_or_default()
}

/// Returns the regions of the table, in the order of its columns.
pub(super) fn regions() -> impl Iterator<Item = &'static str> {
    let heading = lines().find_map(|line| line.strip_prefix("type ")).unwrap_or_default();
    heading.split(' ')
}

/// Returns the prices of a region by instance type; none of a region that has no column.
pub(super) fn of(region: &str) -> BTreeMap<&'static str, f64> {
    let Some(column) = regions().position(|name| name == region) else { return BTreeMap::new() };
    let price = |line: &'static str| {
        let mut cells = line.split(' ');
        let instance_type = cells.next().filter(|name| name.contains('.'))?;
        Some((instance_type, cells.nth(column)?.parse().ok()?))
    };
    lines().filter_map(price).collect()
}

pub(super) fn lines() -> impl Iterator<Item = &'static str> {
    TABLE.lines().filter(|line| !line.starts_with('#'))
}
