//! Whose credentials these are. Asked now and then: they may change under a running daemon, and a
//! list of another account's servers is empty without a word.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::once;
use tidegate_engine::model::account::Account;

/// How long an answer is good for.
const GOOD_FOR: Duration = Duration::from_mins(10);

/// How long no other try is made after one that failed: a network may let EC2 through and no STS.
const PATIENCE: Duration = Duration::from_hours(1);

/// GetCallerIdentity needs no permission, and answers at once or not at all.
const ANSWER: Duration = Duration::from_secs(5);

/// More characters than the number of an account has.
const LONGEST: usize = 64;

#[derive(Debug)]
pub(super) struct Identity {
    sts: aws_sdk_sts::Client,
    region: Option<Arc<str>>,
    known: Mutex<Option<(Instant, Option<Account>)>>,
}

impl Identity {
    pub(super) fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            sts: aws_sdk_sts::Client::new(config),
            region: config.region().map(|region| region.as_ref().into()),
            known: Mutex::default(),
        }
    }

    pub(super) async fn account(&self) -> Option<Account> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, account)) = known {
            let span = if account.is_some() { GOOD_FOR } else { PATIENCE };
            if at.elapsed() < span {
                return account;
            }
        }
        let account = self.ask().await;
        let now = (Instant::now(), account.clone());
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        account
    }

    async fn ask(&self) -> Option<Account> {
        let config = aws_sdk_sts::config::Builder::new().retry_config(once());
        let asked = self.sts.get_caller_identity().customize().config_override(config).send();
        let answer = tokio::time::timeout(ANSWER, asked).await.ok()?.ok()?;
        let id = answer.account().filter(|id| !id.is_empty() && id.len() <= LONGEST)?.into();
        Some(Account { id, region: self.region.clone()? })
    }
}
