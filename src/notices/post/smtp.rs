//! Mail, handed to the operator's own server.

use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls as Security, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use crate::custody::Secret;
use crate::notices::{Letter, Then, Undelivered, words};
use crate::probe::http::addresses;
use tidegate_engine::model::fault::printable;
use tidegate_engine::policy::notify::{Email, Tls};

/// For each step of the conversation.
const LIMIT: Duration = Duration::from_secs(10);

/// What a server refuses for good it may take once somebody has mended it.
const REFUSED: Duration = Duration::from_mins(15);

pub(super) async fn send(
    email: &Email,
    login: Option<(&String, Secret)>,
    letter: &Letter,
) -> Result<(), Undelivered> {
    let message = message(email, letter).map_err(Undelivered::again)?;
    // By address, so that the name cannot lead elsewhere between the look-up and the connection; the
    // certificate is held against the name.
    let address = addresses(&email.host, email.port).await.map_err(Undelivered::again)?;
    let Some(address) = address.first() else {
        return Err(Undelivered::again("the mail server has no address"));
    };
    let security = match email.tls {
        Tls::Off => Security::None,
        Tls::Upgraded => Security::Required(parameters(email)?),
        Tls::Implicit => Security::Wrapper(parameters(email)?),
    };
    let mut transport =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
            .port(email.port)
            .tls(security)
            .timeout(Some(LIMIT));
    if let Some((user, password)) = login {
        transport =
            transport.credentials(Credentials::new(user.clone(), password.reveal().to_owned()));
    }
    let sent = transport.build().send(message).await;
    sent.map(|_| ()).map_err(|error| {
        let then = if error.is_permanent() { Then::After(REFUSED) } else { Then::Again };
        Undelivered { why: told(&error), then }
    })
}

/// The status, or what the connection failed of. What a server says beyond that is its own, and may
/// be what we said to it.
fn told(error: &lettre::transport::smtp::Error) -> String {
    if let Some(status) = error.status() {
        return format!("the mail server answers {status}");
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    printable(&innermost.to_string(), 120)
}

fn parameters(email: &Email) -> Result<TlsParameters, Undelivered> {
    TlsParameters::new_rustls(email.host.clone())
        .map_err(|error| Undelivered::again(printable(&error.to_string(), 120)))
}

fn message(email: &Email, letter: &Letter) -> Result<Message, String> {
    let mailbox = |address: &String| {
        let address = address.parse().map_err(|_| "an address that is none".to_owned())?;
        Ok::<_, String>(Mailbox::new(None, address))
    };
    let (subject, text) = words::mail(letter);
    let mut message: MessageBuilder = Message::builder().from(mailbox(&email.from)?);
    for to in &email.to {
        message = message.to(mailbox(to)?);
    }
    let domain = email.from.rsplit('@').next().unwrap_or("localhost");
    // Nobody's holiday answers to it.
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    message
        .subject(subject)
        // The same for the same letter: a mail server knows one that it gets twice.
        .message_id(Some(format!("<{}.tidegate@{domain}>", letter.id())))
        .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
        .header(ContentType::TEXT_PLAIN)
        .body(text)
        .map_err(|error| printable(&error.to_string(), 120))
}
