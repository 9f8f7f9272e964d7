//! Delivery for real: HTTP and SMTP. One try each, with the prober's rules for URLs: no redirects, no
//! proxies, never a metadata address.

mod smtp;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::{Courier, Letter, Now, Then, Undelivered, words};
use crate::custody::{Secret, secret};
use crate::ports::Topics;
use crate::probe::http::{allowed, cause, client};
use tidegate_engine::model::time;
use tidegate_engine::policy::notify::{Address, SecretName, Target};

/// For the whole exchange.
const LIMIT: Duration = Duration::from_secs(10);

/// Delivers to the routes of a policy.
pub struct Post {
    client: reqwest::Client,
    /// Where secrets are looked for, in order.
    secret_dirs: Vec<PathBuf>,
    now: Now,
    /// Where there is AWS.
    topics: Option<Arc<dyn Topics>>,
}

impl Post {
    pub fn new(secret_dirs: Vec<PathBuf>, now: Now) -> Result<Self, reqwest::Error> {
        Ok(Self { client: client()?, secret_dirs, now, topics: None })
    }

    /// Over SNS too.
    #[must_use]
    pub fn over(self, topics: Arc<dyn Topics>) -> Self {
        Self { topics: Some(topics), ..self }
    }

    /// Tries a route whatever the loop does: a test notice, which an incident's end follows where one
    /// was begun.
    pub async fn try_out(&self, target: &Target, letter: &Letter) -> Result<(), Undelivered> {
        self.deliver(target, letter).await?;
        if !matches!(target, Target::PagerDuty { .. }) {
            return Ok(());
        }
        let mut over = letter.clone();
        over.notices.iter_mut().for_each(|notice| notice.kind = super::Kind::Recovered);
        self.deliver(target, &over).await
    }

    fn secret(&self, name: &SecretName) -> Result<Secret, Undelivered> {
        secret(&self.secret_dirs, name.as_str()).map_err(Undelivered::again)
    }

    /// The URL, from wherever it stands. What is wrong with a secret one is told without it.
    fn url(&self, address: &Address) -> Result<reqwest::Url, Undelivered> {
        let url = match address {
            Address::Open(url) => allowed(url),
            Address::Secret(name) => allowed(self.secret(name)?.reveal()),
        };
        url.map_err(Undelivered::again)
    }

    async fn post(&self, address: &Address, body: &Value) -> Result<(), Undelivered> {
        send(self.client.post(self.url(address)?).json(body)).await
    }

    async fn publish(&self, topic: &str, letter: &Letter) -> Result<(), Undelivered> {
        let Some(topics) = &self.topics else {
            return Err(Undelivered::again("this program was built without AWS"));
        };
        let (subject, text) = words::sns(letter);
        let sent = tokio::time::timeout(LIMIT, topics.publish(topic, &subject, &text)).await;
        let sent = sent
            .map_err(|_| Undelivered::again(format!("no answer within {}", time::text(LIMIT))))?;
        sent.map_err(|fault| Undelivered::again(fault.to_string()))
    }

    async fn pagerduty(
        &self,
        key: &SecretName,
        url: &str,
        letter: &Letter,
    ) -> Result<(), Undelivered> {
        let key = self.secret(key)?;
        let address = Address::Open(url.to_owned());
        for event in letter.notices.iter().filter_map(|notice| words::pagerduty(letter, notice)) {
            let mut event = event;
            if let Some(event) = event.as_object_mut() {
                event.insert("routing_key".to_owned(), json!(key.reveal()));
            }
            self.post(&address, &event).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Courier for Post {
    async fn deliver(&self, target: &Target, letter: &Letter) -> Result<(), Undelivered> {
        match target {
            Target::Slack { url } => {
                self.post(&Address::Secret(url.clone()), &words::slack(letter)).await
            }
            Target::Webhook { url } => self.post(url, &words::webhook(letter, (self.now)())).await,
            Target::PagerDuty { key, url } => self.pagerduty(key, url, letter).await,
            Target::Email(email) => {
                let login = email.login.as_ref();
                let login = login.map(|(user, password)| Ok((user, self.secret(password)?)));
                smtp::send(email, login.transpose()?, letter).await
            }
            Target::Sns { topic } => self.publish(topic, letter).await,
            Target::Ping { url, .. } => send(self.client.get(self.url(url)?)).await,
        }
    }
}

/// Asks once, and reads nothing but the status: a body may repeat what was sent, the secret too.
async fn send(request: RequestBuilder) -> Result<(), Undelivered> {
    let answer = request.timeout(LIMIT).send().await;
    let answer = answer.map_err(|error| Undelivered::again(cause(&error, LIMIT)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let code = status.as_u16();
    let redirected = if status.is_redirection() { ": redirects are not followed" } else { "" };
    let then = match status {
        // The notices themselves are not liked, and will not be liked later.
        StatusCode::BAD_REQUEST
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Then::Never,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            pause(&answer).map_or(Then::Again, Then::After)
        }
        _ => Then::Again,
    };
    Err(Undelivered { why: format!("HTTP {code}{redirected}"), then })
}

/// How long the other side wants to be left alone; only in seconds, as nearly everybody says it.
fn pause(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("secret_dirs", &self.secret_dirs).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::http::endless;

    #[tokio::test(flavor = "multi_thread")]
    async fn endless_answers_of_a_receiver_are_not_read() {
        let client = client().unwrap();
        for (head, delivered) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 503 Busy\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\n", false),
        ] {
            let (url, taken) = endless::server(head, "a: b\r\n");
            assert_eq!(send(client.post(url)).await.is_ok(), delivered, "{head}");
            assert!(taken.recv().unwrap() < endless::BUFFERED, "{head}");
        }
    }
}
