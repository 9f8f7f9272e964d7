//! The page in a real browser: with three fleets and with fifty, at the width of a desk and of a
//! phone, in light and dark, with and without its script. The screenshots stay.

use super::{Demo, THREE, fifty};
use crate::browser::{Browser, SCREENS, album};

#[track_caller]
fn shows(demo: &Demo, path: &str, name: &str) {
    let mut browser = Browser::open();
    for (width, scheme) in SCREENS {
        browser.screen(width, scheme);
        browser.go(&demo.url(path));
        browser.wait("document.getElementById('link').textContent == 'Live.'");
        browser.is_readable((width, scheme));
        assert_eq!(browser.complaints(), [""; 0], "{name} {width} {scheme}");
        browser.picture(&album().join(format!("dashboard-{name}-{width}-{scheme}.png")));
        // What is folded up is as readable.
        browser.ask("document.querySelectorAll('details').forEach(e => { e.open = true })");
        browser.is_readable((width, scheme));
    }
}

#[test]
fn three_fleets_at_length() {
    let demo = Demo::over(THREE);
    shows(&demo, "/", "three");
    shows(&demo, "/?range=24h", "three-24h");
}

#[test]
fn fifty_fleets_in_short() {
    let demo = Demo::over(&fifty());
    shows(&demo, "/?range=24h", "fifty");
    shows(&demo, "/?range=7d&fleet=report-08", "one-of-fifty");
}

#[test]
fn without_scripts_it_is_whole() {
    let demo = Demo::over(THREE);
    let mut browser = Browser::open();
    browser.scripts(false);
    browser.screen(1280, "light");
    browser.go(&demo.url("/"));
    browser.is_readable((1280, "light"));
    assert_eq!(browser.ask("document.querySelectorAll('.fleets h2').length"), 3);
    assert_eq!(
        browser.ask("document.getElementById('link').textContent"),
        "As it was when the page was loaded."
    );
    // Its links lead on.
    for range in ["24h", "7d"] {
        browser.go(&demo.url(&format!("/?range={range}")));
        let current = browser.ask("document.querySelector('nav [aria-current]').textContent");
        assert_eq!(current, range);
    }
}

#[test]
fn it_follows_the_day_as_it_goes() {
    // Twelve minutes long, and three servers from half past midnight to the end: a browser that opens
    // late misses neither.
    let demo = Demo::begin(&THREE.replace("08:00-21:00", "00:30-23:59"), "120");
    let mut browser = Browser::open();
    browser.screen(1280, "light");
    browser.go(&demo.url("/"));
    browser.wait("document.getElementById('link').textContent == 'Live.'");
    // A mark that a page loaded anew would not have, and a table that a person opened.
    browser.ask("window.same = true; document.querySelector('#instances details').open = true;");
    let look = browser.ask("document.querySelector('#strip time').textContent");
    let later = format!("document.querySelector('#strip time').textContent != {look}");
    browser.wait(&later);
    assert_eq!(browser.ask("window.same"), true, "it was not loaded anew");
    let open = "document.querySelector('#instances details').open";
    assert_eq!(browser.ask(open), true, "what a person opened stays open");
    let three = "[...document.querySelectorAll('#fleet-app dd')][0].textContent == '3'";
    browser.wait(three);
    browser.wait("document.querySelectorAll('#timeline li').length > 0");
    assert_eq!(browser.complaints(), [""; 0]);
    // The day's end is the end of the process, and the page says so.
    drop(demo);
    browser
        .wait("document.getElementById('link').textContent.startsWith('The connection is lost')");
}

#[test]
fn a_mark_on_a_chart_is_a_link_to_its_story() {
    let demo = Demo::over(THREE);
    let mut browser = Browser::open();
    browser.screen(390, "light");
    browser.go(&demo.url("/?range=24h"));
    browser.wait("document.querySelectorAll('svg a').length > 0");
    let to = browser.ask("document.querySelector('svg a').getAttribute('href')");
    browser.leave("document.querySelector('svg a').dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))");
    assert_eq!(browser.ask(&format!("location.href.endsWith({to})")), true);
    browser.is_readable((390, "light"));
    let words = browser.ask("document.querySelector('main').innerText");
    assert!(words.as_str().unwrap().contains("because"), "{words}");
    browser.picture(&album().join("dashboard-story-390-light.png"));
}
