//! The page in a real browser: headless Chromium lays it out at the width of a desk and of a phone.
#![expect(clippy::panic, reason = "a browser that is missing or stuck fails the test")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Desk, album};

/// A page of a few hundred kB takes two seconds; a machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// Written into a copy of the page, which is then laid out like the page itself, and tells how. The
/// copy is in a frame: a window is never as narrow as a phone.
const MEASURE: &str = "<script>
const all = [...document.querySelectorAll('h1, h2, h3, p, dl, figure, svg text, .legend li')];
const shown = all.filter(e => getComputedStyle(e).display != 'none');
const boxes = shown.map(e => [e, e.getBoundingClientRect()]);
const out = boxes.filter(([, b]) => b.width > 0 && (b.left < -0.5 || b.right > innerWidth + 0.5));
const labels = svg => [...svg.querySelectorAll('text.time')].filter(e => shown.includes(e))
  .map(e => e.getBoundingClientRect());
const crowded = [...document.querySelectorAll('figure svg[role=img]')].filter(svg => {
  const at = labels(svg);
  return at.some((b, n) => n > 0 && b.left < at[n - 1].right + 2);
});
const path = document.querySelector('path.waiting').getBoundingClientRect();
parent.document.body.textContent = 'MEASURED' + JSON.stringify({
  width: innerWidth,
  needs: document.documentElement.scrollWidth,
  outside: out.map(([e]) => e.textContent.slice(0, 40)),
  letters: Math.min(...shown.map(e => parseFloat(getComputedStyle(e).fontSize))),
  columns: getComputedStyle(document.querySelector('.policies')).gridTemplateColumns.split(' ').length,
  crowded: crowded.length,
  drawn: path.width > 20 && path.height > 20,
  back: getComputedStyle(document.body).backgroundColor,
}).replace(/[<&>]/g, '') + 'MEASURED';
</script>";

/// Runs Chromium on a page for a bounded time, and gives its stdout.
#[track_caller]
fn chromium(desk: &Desk, page: &Path, args: &[&str]) -> String {
    let program = std::env::var_os("TIDEGATE_CHROMIUM").unwrap_or_else(|| "chromium".into());
    let profile = desk.path("profile");
    std::fs::remove_dir_all(&profile).ok();
    std::fs::create_dir_all(&profile).unwrap();
    let told = desk.path("told");
    let mut child = Command::new(&program)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg("--hide-scrollbars")
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(args)
        .arg(format!("file://{}", page.display()))
        .env("HOME", &profile)
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&told).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}. As root, on Debian: apt-get install chromium (tests/run does so); \
                 TIDEGATE_CHROMIUM names another browser of its kind",
                program.display()
            )
        });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{args:?}: not done within {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{args:?}: {status}");
    std::fs::read_to_string(told).unwrap()
}

#[test]
fn a_browser_shows_it_at_a_desk_and_on_a_phone() {
    let desk = Desk::new();
    let (page, _) = desk.both();
    let path = desk.path("page.html");
    let dom = chromium(&desk, &path, &["--dump-dom"]);
    assert_eq!(dom.matches("<figure").count(), 8);
    assert_eq!(dom.matches("<script").count(), 0);
    assert!(
        dom.contains("<h2>a&lt;b&gt;&amp;'\"--&gt;&lt;script&gt;x.yaml</h2>"),
        "as it was written"
    );
    // The words of the policy may not run; those of the test may.
    let strict = "style-src 'unsafe-inline'";
    let measured = page.replace(strict, &format!("{strict}; script-src 'unsafe-inline'"));
    let measured = measured.replace("</body>", &format!("{MEASURE}</body>"));
    let measured = measured.replace('&', "&amp;").replace('"', "&quot;");
    for (width, height, columns) in [(1280, 2400, 2), (390, 4200, 1)] {
        for (scheme, dark) in [("light", false), ("dark", true)] {
            let size = format!("--window-size={width},{height}");
            let colours = format!("--blink-settings=preferredColorScheme={}", u8::from(!dark));
            let picture = album().join(format!("backtest-{width}-{scheme}.png"));
            std::fs::remove_file(&picture).ok();
            let shoot = format!("--screenshot={}", picture.display());
            chromium(&desk, &path, &[&size, &colours, &shoot]);
            let bytes = std::fs::read(&picture).expect("a screenshot");
            assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 50_000, "{}", picture.display());
            let framed = format!(
                "<!DOCTYPE html><body><iframe width={width} height={height} frameborder=0 srcdoc=\"{measured}\"></iframe>"
            );
            desk.put("framed.html", &framed);
            let told = chromium(&desk, &desk.path("framed.html"), &[&colours, "--dump-dom"]);
            let told = told.split("MEASURED").nth(1);
            let told: Value = serde_json::from_str(told.expect("the measures")).unwrap();
            assert_eq!(told["width"], width, "{told}");
            assert_eq!(told["needs"], width, "no scrolling sideways: {told}");
            assert_eq!(told["outside"], serde_json::json!([]), "{told}");
            assert_eq!(told["columns"], columns, "{told}");
            assert_eq!(told["crowded"], 0, "times on the axes keep apart: {told}");
            assert!(told["letters"].as_f64().unwrap() >= 12.0, "{told}");
            assert_eq!(told["drawn"], true, "{told}");
            let back = if dark { "rgb(15, 20, 26)" } else { "rgb(255, 255, 255)" };
            assert_eq!(told["back"], back, "{told}");
        }
    }
}
