//! A real browser: headless Chromium, driven by its debugging protocol over a pair of pipes, so that
//! there is no port to be found and none left open.
#![expect(clippy::panic, reason = "a browser that is missing or stuck fails the test")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::hang::{HANG, wait_for};

/// Every page must fit these: the width of a desk and of a phone, and how the colours are wanted.
pub(crate) const SCREENS: [(u32, &str); 4] =
    [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")];

/// What a reader would trip over on the page as it is laid out. `outside` reaches over the edge;
/// `crowded` are charts whose times run into each other; `faint` is text with less contrast than
/// WCAG 2.2 asks (1.4.3, level AA); `nameless` are pictures and links that a screen reader has no
/// word for; `leaps` are headings that skip a level.
const LOOK: &str = "(() => {
  const all = [...document.querySelectorAll('h1, h2, h3, p, dl, li, td, th, summary, figure, svg text')];
  const shown = all.filter(e => e.checkVisibility() && !e.closest('.unseen, .skip, details:not([open]) > :not(summary)'));
  const sideways = e => e.closest('.scroll');
  const out = shown.filter(e => !sideways(e)).map(e => [e, e.getBoundingClientRect()])
    .filter(([, b]) => b.width > 0 && (b.left < -0.5 || b.right > innerWidth + 0.5));
  const crowded = [...document.querySelectorAll('svg')].filter(svg => {
    const at = [...svg.querySelectorAll('text.time')].filter(e => e.checkVisibility()).map(e => e.getBoundingClientRect());
    return at.some((b, n) => n > 0 && b.left < at[n - 1].right + 2);
  });
  const parts = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, n) => sum + c * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const back = parts(getComputedStyle(e).backgroundColor);
      if (back.length == 3 || back[3] == 1) return back;
    }
    return [255, 255, 255];
  };
  const faint = shown.filter(e => !e.closest('svg') && e.innerText).filter(e => {
    const [a, b] = [light(parts(getComputedStyle(e).color)), light(behind(e))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
  });
  const named = e => e.getAttribute('aria-label') || e.textContent.trim()
    || (e.getAttribute('aria-labelledby') || '').split(' ').some(id => document.getElementById(id)?.textContent);
  const levels = [...document.querySelectorAll('h1, h2, h3')].map(e => Number(e.tagName[1]));
  const words = e => e.outerHTML.slice(0, 120);
  return {
    width: innerWidth,
    needs: document.documentElement.scrollWidth,
    outside: out.map(([e]) => words(e)),
    crowded: crowded.map(words),
    faint: faint.map(words),
    nameless: [...document.querySelectorAll('a, [role=img], summary')].filter(e => !named(e)).map(words),
    leaps: levels.filter((level, n) => level > (levels[n - 1] ?? 0) + 1).length,
    letters: Math.min(...shown.filter(e => /\\w/.test(e.textContent)).map(e => parseFloat(getComputedStyle(e).fontSize))),
    back: getComputedStyle(document.body).backgroundColor,
  };
})()";

/// The browser with one page open; gone with it.
pub(crate) struct Browser {
    child: Child,
    to: File,
    from: Receiver<Value>,
    last: u64,
    session: Option<String>,
    /// What happened, and was not asked for yet.
    events: Vec<Value>,
    profile: PathBuf,
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.profile).ok();
    }
}

impl Browser {
    #[track_caller]
    pub(crate) fn open() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let profile =
            std::env::temp_dir().join(format!("tidegate-browser-{}-{n}", std::process::id()));
        std::fs::remove_dir_all(&profile).ok();
        std::fs::create_dir_all(&profile).unwrap();
        let (orders, answers) = (profile.join("orders"), profile.join("answers"));
        let made = Command::new("mkfifo").args([&orders, &answers]).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo");
        let program = std::env::var_os("TIDEGATE_CHROMIUM").unwrap_or_else(|| "chromium".into());
        // It reads on its fourth descriptor and writes on its fifth.
        let child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<\"$ORDERS\" 4>\"$ANSWERS\""])
            .arg(&program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--hide-scrollbars", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .env("HOME", &profile)
            .env("ORDERS", &orders)
            .env("ANSWERS", &answers)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let to = File::options().write(true).open(&orders).unwrap();
        let answers = BufReader::new(File::open(&answers).unwrap());
        let (sender, from) = mpsc::channel();
        std::thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).unwrap();
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let events = Vec::new();
        let mut browser = Self { child, to, from, last: 0, session: None, events, profile };
        let targets = browser.call("Target.getTargets", &json!({}));
        let page = targets["targetInfos"].as_array().unwrap().iter().find(|t| t["type"] == "page");
        let page = &page.expect("a page")["targetId"];
        let attach = json!({ "targetId": page, "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            browser.call(domain, &json!({}));
        }
        browser
    }

    #[track_caller]
    fn hear(&self, begun: Instant) -> Value {
        self.from.recv_timeout(HANG.saturating_sub(begun.elapsed())).unwrap_or_else(|error| {
            panic!(
                "no browser: {error}. As root, on Debian: apt-get install chromium (tests/run does \
                 so); TIDEGATE_CHROMIUM names another of its kind"
            )
        })
    }

    #[track_caller]
    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        let begun = Instant::now();
        loop {
            let mut heard = self.hear(begun);
            if heard["id"] == self.last {
                assert!(heard.get("error").is_none(), "{method}: {heard}");
                return heard["result"].take();
            }
            self.events.push(heard);
        }
    }

    /// A screen so wide, and how its owner wants the colours.
    pub(crate) fn screen(&mut self, width: u32, scheme: &str) {
        let metrics = json!({
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
        let wish = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": wish }));
    }

    /// From the next page on: whether the page's own scripts run.
    pub(crate) fn scripts(&mut self, run: bool) {
        self.call("Emulation.setScriptExecutionDisabled", &json!({ "value": !run }));
    }

    /// Opens an address, and waits until all of it is there. The daemon gives up a page that takes
    /// too long to draw, as a slow machine may: it is opened again.
    #[track_caller]
    pub(crate) fn go(&mut self, url: &str) {
        wait_for(url, || {
            self.events.clear();
            let went = self.call("Page.navigate", &json!({ "url": url }));
            assert!(went.get("errorText").is_none(), "{url}: {went}");
            self.loaded();
            let given_up = "document.body?.textContent?.startsWith('this took too long')";
            (self.ask(given_up) != true).then_some(())
        });
    }

    /// Does what leads to another page, and waits until all of that is there. Asked in between, the
    /// browser may answer that the page has gone.
    #[track_caller]
    pub(crate) fn leave(&mut self, deed: &str) {
        self.events.clear();
        self.ask(&format!("setTimeout(() => {{ {deed} }}, 0)"));
        self.loaded();
    }

    /// Waits for the end of a loading.
    #[track_caller]
    fn loaded(&mut self) {
        let done = |event: &Value| event["method"] == "Page.loadEventFired";
        let begun = Instant::now();
        while !self.events.iter().any(done) {
            let heard = self.hear(begun);
            self.events.push(heard);
        }
    }

    /// What an expression says of the page.
    #[track_caller]
    pub(crate) fn ask(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true });
        let mut told = self.call("Runtime.evaluate", &asked);
        assert!(told.get("exceptionDetails").is_none(), "{expression}: {told}");
        told["result"]["value"].take()
    }

    #[track_caller]
    pub(crate) fn wait(&mut self, expression: &str) {
        wait_for(expression, || (self.ask(expression) == true).then_some(()));
    }

    /// What it complained of since the page was opened: refused by the content security policy, not
    /// found, or thrown.
    pub(crate) fn complaints(&mut self) -> Vec<Value> {
        // What was said before this answer is heard before it.
        self.ask("true");
        let bad = ["Log.entryAdded", "Runtime.exceptionThrown"];
        let told = self.events.iter();
        told.filter(|e| bad.iter().any(|bad| e["method"] == *bad)).cloned().collect()
    }

    /// Takes a picture of the whole page.
    #[track_caller]
    pub(crate) fn picture(&mut self, path: &Path) {
        std::fs::remove_file(path).ok();
        let size = self.call("Page.getLayoutMetrics", &json!({}))["cssContentSize"].take();
        // Larger ones are more than a picture holds.
        let height = size["height"].as_f64().unwrap().min(8_000.0);
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1 });
        let shot = json!({ "captureBeyondViewport": true, "clip": clip });
        let data = self.call("Page.captureScreenshot", &shot);
        let bytes = BASE64_STANDARD.decode(data["data"].as_str().unwrap()).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 20_000, "{}", path.display());
        std::fs::write(path, bytes).unwrap();
    }

    /// Looks at the page as a reader would, on a screen that was set before.
    #[track_caller]
    pub(crate) fn is_readable(&mut self, (width, scheme): (u32, &str)) {
        let told = self.ask(LOOK);
        assert_eq!(told["width"], width, "{told}");
        assert_eq!(told["needs"], width, "no scrolling sideways: {told}");
        for what in ["outside", "crowded", "faint", "nameless"] {
            assert_eq!(told[what], json!([]), "{what} on {width} {scheme}: {told}");
        }
        assert_eq!(told["leaps"], 0, "{told}");
        assert!(told["letters"].as_f64().unwrap() >= 12.0, "{told}");
        let back = if scheme == "dark" { "rgb(15, 20, 26)" } else { "rgb(255, 255, 255)" };
        assert_eq!(told["back"], back, "{told}");
    }
}

/// The folder where screenshots stay, to be looked at.
pub(crate) fn album() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}
