//! The page in a real browser, at the width of a desk and of a phone.

use super::Desk;
use crate::browser::{Browser, SCREENS, album};

#[test]
fn a_browser_shows_it_at_a_desk_and_on_a_phone() {
    let desk = Desk::new();
    desk.both();
    let mut browser = Browser::open();
    let url = format!("file://{}", desk.path("page.html").display());
    for (width, scheme) in SCREENS {
        browser.screen(width, scheme);
        browser.go(&url);
        browser.is_readable((width, scheme));
        assert_eq!(browser.complaints(), [""; 0]);
        assert_eq!(browser.ask("document.querySelectorAll('figure').length"), 8);
        assert_eq!(browser.ask("document.scripts.length"), 0);
        let heading = "a<b>&'\"--><script>x.yaml";
        let headings = "[...document.querySelectorAll('h2')].map(e => e.textContent)";
        let headings = browser.ask(headings);
        assert!(headings.as_array().unwrap().iter().any(|h| h == heading), "as it was written");
        let columns = "getComputedStyle(document.querySelector('.policies')).gridTemplateColumns.split(' ').length";
        assert_eq!(browser.ask(columns), if width > 1000 { 2 } else { 1 });
        let drawn = "(b => b.width > 20 && b.height > 20)(document.querySelector('path.waiting').getBoundingClientRect())";
        assert_eq!(browser.ask(drawn), true);
        browser.picture(&album().join(format!("backtest-{width}-{scheme}.png")));
    }
}
