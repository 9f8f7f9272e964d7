//! Files that mean harm, or nothing at all.
#![expect(clippy::arithmetic_side_effects, reason = "tests of small numbers")]

use std::sync::mpsc;

use proptest::prelude::*;

use super::*;
use crate::model::fault::is_hidden;

#[test]
fn urls_never_lead_to_the_metadata_service() {
    let bad = [
        "http://169.254.169.254/latest",
        "http://169.254.1.1:80/",
        "http://[fd00:ec2::254]/",
        "http://[FD00:EC2:0::254]:80/",
        "http://[::ffff:169.254.169.254]/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
        "http://169.254.169.254./",
        "http://１６９.２５４.１６９.２５４/latest",
        "http://169。254。169。254/",
        "http://%31%36%39.254.169.254/",
        "http://169%2e254%2e169%2e254:80/",
        "http://169.254.170.2/v2/credentials",
        "http://[fd00:ec2::23]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[64:ff9b:1:a9fe:a9:fe00::]/",
        "http://[2002:a9fe:a9fe::]/",
        "http://[2001:0:102:304::5601:5601]/",
        "http://[::169.254.169.254]/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1]/",
        "http://instance-data.ec2.internal./",
        "http://0.0.0.0/",
        "http://user:word@169.254.169.254/",
        "http://h@169.254.169.254/",
        "http://169.254.169.254{instance_id}:80:80/",
        "http://user:word@h/",
        "http://h/#x",
        "http://",
        "http://h:0/",
        "http://h:port/",
        "http://[::1/",
        "ftp://h/",
        "http://h/a b",
    ];
    for url in bad {
        let problems = list(&format!("{BASE}    health: {{ http: \"{url}\" }}\n"));
        assert!(problems.len() == 1 && problems[0].contains("error `http`"), "{url} {problems:?}");
    }
    for url in [
        "http://{private_ip}:8080/up?x=1",
        "http://{private_dns}/",
        "http://app-{instance_id}.example/",
        "https://h",
        "http://[::1]:80/",
        "http://10.0.0.1/",
        "http://[64:ff9b::10.0.0.1]/",
    ] {
        good(&format!("{BASE}    health: {{ http: \"{url}\" }}\n"));
    }
}

#[test]
fn nothing_from_the_file_steers_the_terminal() {
    let dangerous = |c: char| (c.is_control() && c != '\n') || is_hidden(c);
    for added in [
        "\"x\\e[31m\\u202E\": 1 # \u{202e}",
        "billing: \"\\e]0;x\\a\"",
        "a: \"\u{9b}\"",
        "b: \u{7f}",
        "schedule: [{ cron: \"\\e[31m 8 * * *\", capacity: 2 }]",
        "schedule: [{ cron: \"0 0 8 * * \\u009b\", capacity: 2 }]",
        "health: { http: \"http://{\\e[2J}/\" }",
        "minimum_uptime: \"5\\e[2J\"",
        "c: \u{1b}[2J",
        "\"x\\u061c\\u2028\\u2029\\U000E0041\": 1 # \u{61c}\u{e0041}\u{ad}",
        "d: \"\\u2029\\uFEFF\"",
    ] {
        let text = format!("{BASE}    {added}\n");
        for problem in read(&text).problems {
            let texts = [problem.message, problem.label, problem.remedy.unwrap_or_default()];
            assert!(!texts.iter().any(|text| text.contains(dangerous)), "{texts:?}");
        }
        let shown = render(&read(&text).problems, "a\u{1b}b.yaml", &text, false);
        assert!(!shown.is_empty() && !shown.contains(dangerous), "{shown:?}");
    }
}

#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let item = format!("*a{}, ", n - 1);
        text.push_str(&format!("a{n}: &a{n} [{}]\n", item.repeat(9)));
    }
    // As deep as the longest file allows: work that grows with its square takes hours.
    let deep = "[".repeat(1_000_000);
    let long = format!("# {}\n", "x".repeat(1 << 20));
    for (bomb, expected) in [(text, "too large or too deep"), (deep, "not valid"), (long, "1 MiB")]
    {
        let (done, result) = mpsc::channel();
        std::thread::spawn(move || done.send(list(&bomb)).ok());
        // A bomb that goes off is a hang.
        let problems = result.recv_timeout(Duration::from_mins(4)).unwrap();
        assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
    }
}

/// Each field more once doubled the work.
#[test]
fn cron_line_of_many_fields_is_refused_at_once() {
    for fields in [6, 7, 40, 5000] {
        let (done, judged) = mpsc::channel();
        std::thread::spawn(move || {
            let line = vec!["mon"; fields].join(" ");
            let text = BASE.replace(
                "min: 1",
                &format!("min: 1\n    schedule: [{{ cron: \"{line}\", capacity: 1 }}]"),
            );
            done.send(list(&text)).ok()
        });
        let problems = judged.recv_timeout(Duration::from_mins(4)).unwrap();
        let expected = format!("{fields} fields where cron has five");
        assert!(problems.iter().any(|problem| problem.contains(&expected)), "{problems:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_the_reader(text in "\\PC{0,200}") {
        let loaded = read(&text);
        prop_assert!(loaded.policy.is_some() || !loaded.problems.is_empty());
        show(&text, &loaded);
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        show(&text, &read(&text));
    }

    /// The shipped file with a piece cut out or doubled, which gets further than noise.
    #[test]
    fn no_edit_breaks_the_reader(at in 0..SHIPPED.len(), length in 0..40_usize, with in "[-a-z0-9:{}\\[\\]&*\"', \\n\\t]{0,6}") {
        let mut bytes = SHIPPED.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, with.bytes());
        let text = String::from_utf8_lossy(&bytes);
        let loaded = read(&text);
        let errors = loaded.problems.iter().any(|problem| problem.severity == Severity::Error);
        prop_assert_eq!(loaded.policy.is_none(), errors);
        show(&text, &loaded);
    }
}
