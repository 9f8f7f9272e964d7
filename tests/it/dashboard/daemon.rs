//! The page of the daemon that ships, over the imagined cloud on the wire.

use tidegate::sim::faults::Troubles;

use crate::browser::Browser;
use crate::support::binary::Daemon;
use crate::support::cloud::Cloud;
use crate::support::http::{door, get, raw};
use crate::support::{HANG, wait_for};

const ANYWHERE: [&str; 2] = ["--listen", "127.0.0.1:0"];

#[test]
fn it_shows_servers_as_they_come_and_what_is_wrong_first() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (2, 3)));
    daemon.start_with(&ANYWHERE);
    let door = door(&daemon);
    let mut browser = Browser::open();
    browser.screen(1280, "light");
    browser.go(&format!("http://{door}/"));
    // From the first tick on, without being loaded again but for the fleets that it learns of.
    browser.wait("document.querySelector('#fleet-app dd')?.textContent == '2'");
    let ids = daemon.wait_in_service("app", 2);
    let listed =
        |id: &String| format!("document.querySelector('#instances').textContent.includes('{id}')");
    for id in &ids {
        browser.wait(&listed(id));
    }
    browser.wait("document.querySelector('.problems.calm') != null");
    // A queue that is not there: the policy names a port that nobody listens on.
    let policy = cloud.policy("classic", (2, 3)).replace("/queue/job", "/queue/nobody");
    daemon.write_policy(&policy);
    browser.wait("document.querySelector('.problems:not(.calm)')?.textContent.includes('job')");
    let first = "document.querySelector('main .part:has(.problems)').compareDocumentPosition(document.querySelector('#fleet-app')) == Node.DOCUMENT_POSITION_FOLLOWING";
    assert_eq!(browser.ask(first), true, "what is wrong stands before the fleets");
    assert_eq!(browser.complaints(), [""; 0]);
    // Whoever asks by another name learns nothing.
    let asked = raw(&door, "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert_eq!(asked.status, 421);
    assert!(!asked.body.contains("app"), "{}", asked.body);
    assert_eq!(daemon.stop(), 0);
}

/// However many look, the ticks go on, and one more is told that there are too many.
#[test]
fn many_watchers_hold_nothing_up() {
    let cloud = Cloud::new(Troubles::new());
    let mut daemon = Daemon::new(&cloud.endpoint, &cloud.policy("classic", (1, 2)));
    daemon.start_with(&ANYWHERE);
    daemon.wait_in_service("app", 1);
    let door = door(&daemon);
    let watch = || {
        let mut stream = std::net::TcpStream::connect(&door).unwrap();
        let asked = format!("GET /live HTTP/1.1\r\nHost: {door}\r\n\r\n");
        std::io::Write::write_all(&mut stream, asked.as_bytes()).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        let mut head = [0; 12];
        std::io::Read::read_exact(&mut stream, &mut head).unwrap();
        (stream, String::from_utf8_lossy(&head).into_owned())
    };
    // They read nothing after the first bytes, as a browser does that was put to sleep.
    let watchers: Vec<_> = (0..40).map(|_| watch()).collect();
    let served = watchers.iter().filter(|(_, head)| head.ends_with("200")).count();
    let refused = watchers.iter().filter(|(_, head)| head.ends_with("503")).count();
    assert_eq!((served, refused), (32, 8));
    // The loop goes on, and so do others at the door.
    let killed = daemon.in_phase("app", "in service").pop().unwrap();
    cloud.console_terminate(&killed);
    wait_for("it is replaced", || (cloud.launched() == 2).then_some(()));
    assert_eq!(get(&door, "/-/ready").status, 200);
    assert_eq!(daemon.stop(), 0, "it does not wait for those who look");
}

/// A held fleet is marked at its head and beside its schedule; a fleet without an order is not.
#[test]
fn held_fleet_is_marked_on_the_page() {
    let cloud = Cloud::new(Troubles::new());
    let schedule = "    min: 1\n    schedule: [{ cron: \"0 8 * * *\", capacity: 2 }, { cron: \"0 20 * * *\", capacity: 1 }]\n";
    let policy = cloud.policy("classic", (1, 3)).replacen("    min: 1\n", schedule, 1);
    let mut daemon = Daemon::new(&cloud.endpoint, &policy);
    daemon.start_with(&ANYWHERE);
    wait_for("the first tick", || daemon.status());
    let door = door(&daemon);
    let page = || get(&door, "/").body;
    let held = |page: &str| page.matches("held at 3 by ann").count();
    assert_eq!(held(&page()), 0);
    daemon.order(&["hold", "app", "3", "--for", "1h", "launch", "day"]);
    // Why it is held, its order, and the schedule that does not count.
    let marked = wait_for("the mark", || Some(page()).filter(|page| held(page) >= 3));
    assert!(marked.contains("The schedule of app does not count meanwhile: held at 3"), "{marked}");
    assert!(!marked.contains("The schedule of job"), "{marked}");
    assert_eq!(marked.matches(">held</span>").count(), 1, "{marked}");
    daemon.order(&["resume", "app"]);
    wait_for("the mark is gone", || (held(&page()) == 0).then_some(()));
    assert_eq!(daemon.stop(), 0);
}
