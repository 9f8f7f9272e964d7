//! Notices over SNS, by the real SDK: moto hands on what is published to whoever has subscribed.

use serde_json::Value;

use crate::notices::Server;
use crate::support::binary::Daemon;
use crate::support::moto::Moto;
use crate::support::wait_for;

/// What a subscriber got, parsed: subject and text.
fn got(subscriber: &Server) -> Vec<(String, String)> {
    let parsed = |(_, body): (String, String)| {
        let told: Value = serde_json::from_str(&body).ok()?;
        let text = |key: &str| told[key].as_str().map(str::to_owned);
        Some((text("Subject")?, text("Message")?))
    };
    subscriber.asked().into_iter().filter_map(parsed).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_is_told_by_trial_and_by_the_daemon() {
    let moto = Moto::start().await;
    let subscriber = Server::http(&["200 OK"]);
    let topic = moto.sns.create_topic().name("ops").send().await.unwrap();
    let topic = topic.topic_arn().unwrap();
    let endpoint = format!("http://{}/", subscriber.address);
    let call = moto.sns.subscribe().topic_arn(topic).protocol("http").endpoint(endpoint);
    call.send().await.unwrap();
    let missing = topic.replace(":ops", ":nobody");
    let policy = format!(
        "version: 1\nregion: us-east-1\nmode: act\ntick: 1s\n\
         notify:\n  ops: {{ sns: \"{topic}\", send: all }}\n  gone: {{ sns: \"{missing}\", send: policy }}\n\
         fleets:\n  app: {{ launch: {{ image: {}, types: [t3.small] }}, max: 2 }}\n",
        moto.image
    );
    let mut daemon = Daemon::new(&moto.endpoint, &policy);
    let tried = daemon.ask(&["notify", "ops"]);
    assert!(tried.status.success(), "{tried:?}");
    let (subject, text) = wait_for("the trial", || got(&subscriber).pop());
    assert!(subject.starts_with("[tidegate main in us-east-1] Test"), "{subject}");
    assert!(text.contains("tidegate status"), "{text}");
    let refused = daemon.ask(&["notify", "gone"]);
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(why.contains("problem  gone: sns: "), "{why}");

    daemon.start();
    wait_for("the first tick", || daemon.status());
    daemon.order(&["hold", "app", "1", "--for", "1h", "a look"]);
    wait_for("the order is told", || {
        got(&subscriber).iter().any(|(_, text)| text.contains("a look")).then_some(())
    });
    assert_eq!(daemon.stop(), 0);
}
