//! What a page must say to be the right one.

use crate::model::fault::printable;

/// As much of a page as is searched.
pub const SEARCHED: usize = 64 * 1024;

/// Whether the page says `expect`, without regard to case; else why not.
pub fn says(page: &[u8], expect: &str) -> Result<(), String> {
    let page = String::from_utf8_lossy(page).to_lowercase();
    if page.contains(&expect.to_lowercase()) {
        Ok(())
    } else {
        Err(format!("HTTP 200, but the page does not say \"{}\"", printable(expect, 40)))
    }
}
