//! What a page must say to be the right one.

use tidegate_engine::model::fault::printable;

/// As much of a page as is searched.
pub const SEARCHED: usize = 64 * 1024;

/// Whether the page says `expect`, without regard to case; else why not.
pub fn says(page: &[u8], expect: &str) -> Result<(), String> {
    if folded(&String::from_utf8_lossy(page)).contains(&folded(expect)) {
        Ok(())
    } else {
        Err(format!("HTTP 200, but the page does not say \"{}\"", printable(expect, 40)))
    }
}

/// Letter by letter: as a whole, a Σ becomes one of two letters by what stands behind it, and what
/// stands behind the word is the page's business.
fn folded(text: &str) -> String {
    let lower = text.chars().flat_map(char::to_lowercase);
    lower.map(|letter| if letter == 'ς' { 'σ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_in_any_case_wherever_it_stands() {
        let pages = ["<p>Welcome</p>", "WELCOMED", "\u{fffd}welcome"];
        assert!(pages.iter().all(|page| says(page.as_bytes(), "welCome").is_ok()));
        for page in ["ΟΔΟΣ", "οδος", "οδοσx", "\u{212a}οδοΣ!"] {
            assert_eq!(says(page.as_bytes(), "ΟΔΟΣ"), Ok(()), "{page}");
        }
        assert!(says(b"wel<b>come</b>", "welcome").is_err());
        assert!(says(b"\xffwelcome\xff", "welcome").is_ok(), "whatever stands around it");
    }
}
