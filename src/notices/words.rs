//! A letter in the words of those who get it. Pure: what comes out depends on the letter alone.
#![cfg_attr(
    not(any(feature = "net", test)),
    expect(dead_code, reason = "only what is sent needs words")
)]

use serde_json::{Value, json};

use super::{Kind, Letter, Notice};
use tidegate_engine::model::fault::printable;
use tidegate_engine::model::problem::ProblemKey;
use tidegate_engine::model::time::{self, Timestamp};

/// Of one notice, as much as is read in a chat.
const LINE_AT_MOST: usize = 600;

/// SNS's limit, in ASCII alone.
const SNS_SUBJECT_AT_MOST: usize = 100;

/// Mail programs show no more of a subject.
const SUBJECT_AT_MOST: usize = 120;

/// PagerDuty's limits.
const SUMMARY_AT_MOST: usize = 1000;
const DEDUP_AT_MOST: usize = 255;

/// What a notice is, in a word or two.
fn head(notice: &Notice) -> &'static str {
    match (notice.kind, notice.emergency) {
        (Kind::Problem, true) => "Emergency",
        (Kind::Problem, false) => "Problem",
        (Kind::Still, true) => "Still an emergency",
        (Kind::Still, false) => "Still a problem",
        (Kind::Recovered, _) => "Over",
        (Kind::Scaled, _) => "Scaling",
        (Kind::Override, _) => "Order",
        (Kind::Policy, _) => "Policy",
        (Kind::Test, _) => "Test",
    }
}

/// All of it behind the head: whose, since when, and what.
fn rest(notice: &Notice) -> String {
    let whose = notice.fleet.as_ref().map(|fleet| format!(", {fleet}")).unwrap_or_default();
    let lasted = time::text(time::since(notice.at, notice.since));
    let when = match notice.kind {
        Kind::Still => format!(", for {lasted}"),
        Kind::Recovered => format!(", after {lasted}"),
        Kind::Problem | Kind::Scaled | Kind::Override | Kind::Policy | Kind::Test => String::new(),
    };
    format!("{whose}{when}: {}", printable(&notice.text, LINE_AT_MOST))
}

fn left_out(letter: &Letter) -> Option<String> {
    let n = letter.left_out;
    (n > 0).then(|| format!("{n} older notices were left out; `tidegate history` has everything"))
}

/// For Slack and what takes the same.
pub(super) fn slack(letter: &Letter) -> Value {
    let mut lines = vec![format!("*{}*", escaped(&letter.sender.name()))];
    for notice in &letter.notices {
        lines.push(format!("*{}*{}", head(notice), escaped(&rest(notice))));
    }
    lines.extend(left_out(letter));
    json!({ "text": lines.join("\n") })
}

/// The three characters that are markup to Slack: no text from outside becomes a link or a mention.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Our own JSON, as `docs/policies.md` has it.
pub(super) fn webhook(letter: &Letter, now: Timestamp) -> Value {
    let notice = |notice: &Notice| {
        json!({
            "kind": notice.kind.as_str(),
            "key": notice.key,
            "fleet": notice.fleet,
            "instance": notice.instance,
            "emergency": notice.emergency,
            "since": notice.since,
            "at": notice.at,
            "text": notice.text,
        })
    };
    json!({
        "format_version": 1,
        "id": letter.id(),
        "install": letter.sender.install,
        "region": letter.sender.region,
        "route": letter.route,
        "sent_at": now,
        "left_out": letter.left_out,
        "notices": letter.notices.iter().map(notice).collect::<Vec<_>>(),
    })
}

/// One event for PagerDuty, less the key; `None` for what is no problem.
pub(super) fn pagerduty(letter: &Letter, notice: &Notice) -> Option<Value> {
    let sender = &letter.sender;
    let action = match notice.kind {
        Kind::Problem | Kind::Still | Kind::Test => "trigger",
        Kind::Recovered => "resolve",
        Kind::Scaled | Kind::Override | Kind::Policy => return None,
    };
    let key = notice.key.as_deref()?;
    let region = sender.region.as_deref().unwrap_or("-");
    let dedup = format!("tidegate/{}/{region}/{key}", sender.install);
    let dedup: String = dedup.chars().filter(char::is_ascii_graphic).take(DEDUP_AT_MOST).collect();
    let mut event = json!({ "event_action": action, "dedup_key": dedup, "client": "tidegate" });
    if action == "trigger" {
        let severity = match (notice.emergency, notice.kind) {
            (true, _) => "critical",
            (false, Kind::Test) => "info",
            (false, _) => "warning",
        };
        let whose = notice.fleet.as_ref().map(|fleet| format!("{fleet}: ")).unwrap_or_default();
        let text = format!("{}: {whose}{}", sender.name(), notice.text);
        let payload = json!({
            "summary": printable(&text, SUMMARY_AT_MOST),
            "source": sender.name(),
            "severity": severity,
            "timestamp": notice.since,
            "component": notice.fleet,
            "group": sender.install,
            "class": ProblemKey::parse(key).word(),
        });
        event.as_object_mut()?.insert("payload".to_owned(), payload);
    }
    Some(event)
}

/// Subject and text of a mail.
pub(super) fn mail(letter: &Letter) -> (String, String) {
    let sender = &letter.sender;
    let first = match letter.notices.as_slice() {
        [one] => format!("{}{}", head(one), rest(one)),
        many => {
            let emergency = many.iter().any(|notice| notice.emergency);
            let emergency = if emergency { ", with an emergency" } else { "" };
            format!("{} notices{emergency}", many.len())
        }
    };
    let subject = printable(&format!("[{}] {first}", sender.name()), SUBJECT_AT_MOST);
    let mut text = String::new();
    for notice in &letter.notices {
        let since = time::local(notice.since, &sender.zone);
        text.push_str(&format!("{}{}\r\n    since {since}\r\n\r\n", head(notice), rest(notice)));
    }
    if let Some(left_out) = left_out(letter) {
        text.push_str(&format!("{left_out}\r\n\r\n"));
    }
    text.push_str("-- \r\n");
    text.push_str(&format!("{}; `tidegate status` on its host has the rest\r\n", sender.name()));
    (subject, text)
}

/// As mail; subscribers by mail and by SMS get both, programs the text.
pub(super) fn sns(letter: &Letter) -> (String, String) {
    let (subject, text) = mail(letter);
    let ascii = subject.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' });
    (ascii.take(SNS_SUBJECT_AT_MOST).collect(), text.replace("\r\n", "\n"))
}
