//! Time zones by their IANA names. An abbreviation says neither where nor when: EST is not what New
//! York keeps in July. The zone database is the one thing that this module reads from the host.

use jiff::tz::{TimeZone, db};

use super::section::{nearest, text};
use crate::policy::file::Entry;
use crate::policy::problem::{Problem, Problems, quote};

/// What people who write these mean, as a rule.
const ABBREVIATIONS: &[(&[&str], &str)] = &[
    (&["EST", "EDT", "EST5EDT", "ET", "EASTERN"], "America/New_York"),
    (&["CST", "CDT", "CST6CDT", "CT", "CENTRAL"], "America/Chicago"),
    (&["MST", "MDT", "MST7MDT", "MT", "MOUNTAIN"], "America/Denver"),
    (&["PST", "PDT", "PST8PDT", "PT", "PACIFIC"], "America/Los_Angeles"),
    (&["GMT", "GMT0", "GMT+0", "GMT-0", "UCT", "Z", "ZULU", "GREENWICH", "UNIVERSAL"], "UTC"),
    (&["BST", "GB"], "Europe/London"),
    (&["WET", "WEST"], "Europe/Lisbon"),
    (&["CET", "CEST", "MET", "MEZ"], "Europe/Berlin"),
    (&["EET", "EEST"], "Europe/Helsinki"),
    (&["IST"], "Asia/Kolkata"),
    (&["JST"], "Asia/Tokyo"),
    (&["HST"], "Pacific/Honolulu"),
];

/// Reads `timezone`.
pub(super) fn read(entry: &Entry, out: &mut Problems) -> Option<TimeZone> {
    let name = text(entry, out)?;
    let at = entry.value.at;
    if !name.contains('/') && !name.eq_ignore_ascii_case("utc") {
        let upper = name.to_uppercase();
        let meant = ABBREVIATIONS.iter().find(|(short, _)| short.contains(&upper.as_str()));
        let meant = meant.map(|(_, zone)| (*zone).to_owned()).or_else(|| city(name));
        let message = format!("{} is not the name of a time zone", quote(name));
        let problem = match meant {
            Some(meant) => Problem::error(at, message, format!("did you mean `{meant}`?")),
            None => Problem::error(at, message, "an abbreviation, or no zone at all"),
        };
        out.push(problem.remedy(REMEDY));
        return None;
    }
    let zone = TimeZone::get(name).ok();
    if zone.is_none() {
        let names: Vec<String> = db().available().map(|zone| zone.to_string()).collect();
        let label = match nearest(name, names.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "no such zone".to_owned(),
        };
        let message = format!("unknown time zone {}", quote(name));
        out.push(Problem::error(at, message, label).remedy(REMEDY));
    }
    zone
}

const REMEDY: &str = "use an IANA name: `America/Winnipeg`, `Europe/Berlin`, `UTC`";

/// The zone whose city this is.
fn city(name: &str) -> Option<String> {
    let ending = format!("/{}", name.to_lowercase().replace(' ', "_"));
    db().available()
        .map(|zone| zone.to_string())
        .find(|zone| zone.to_lowercase().ends_with(&ending))
}
