//! The ports in terms of AWS. Credentials, region and endpoint come from the SDK's own chain.

mod bounded;
mod clock;
mod count;
mod drain;
mod ec2;
mod elb;
mod elbv2;
mod fault;
mod identity;
mod inventory;
mod launch;
mod listing;
mod preflight;
mod sns;
mod warnings;
mod weight;
mod whole;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_sdk_ec2::config::Credentials;

use crate::ports::{Balancers, Tally};
use tidegate_engine::model::balancer::{Balancer, Membership};
use tidegate_engine::model::fault::{Fault, FaultKind};
use tidegate_engine::model::instance::InstanceId;

use self::clock::Dated;
use self::count::Counted;
use self::identity::Identity;
pub use self::inventory::{Disk, HttpCheck, InUse, Inventory, Origins, Running, Setting, Unread};
pub use self::preflight::{Asked, Finding, Verdict, preflight};
use self::whole::Whole;

/// The SDK's own default has no time limit but for connecting: a half-open connection would hang a
/// tick for ever.
const CONNECT: Duration = Duration::from_secs(3);
const ATTEMPT: Duration = Duration::from_secs(20);
const OPERATION: Duration = Duration::from_secs(45);
/// How long one load balancer is waited for, since the fleets of others wait too.
const MEMBERS_WITHIN: Duration = Duration::from_secs(10);

/// EC2 and both kinds of load balancing in one account and region, and SNS.
#[derive(Debug)]
pub struct Aws {
    ec2: aws_sdk_ec2::Client,
    elb: aws_sdk_elasticloadbalancing::Client,
    elbv2: aws_sdk_elasticloadbalancingv2::Client,
    sns: aws_sdk_sns::Client,
    /// Target group names resolved to ARNs: a name never changes its ARN while it exists.
    arns: Mutex<BTreeMap<String, String>>,
    /// Full pages of instances were too large.
    small_pages: AtomicBool,
    dated: Dated,
    identity: Identity,
}

impl Aws {
    /// Clients by the SDK's own chain; `region` overrides what the chain says.
    /// `tally` counts every request.
    pub async fn connect(region: Option<&str>, tally: Option<Arc<dyn Tally>>) -> Self {
        let mut loader = loader();
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        Self::of(&loader.load().await, tally)
    }

    /// Clients of an imagined cloud at `endpoint`, with credentials that open nothing else.
    pub async fn imagined(endpoint: &str) -> Self {
        let loader = loader()
            .endpoint_url(endpoint)
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("imagined", "imagined", None, None, "drill"));
        Self::of(&loader.load().await, None)
    }

    fn of(config: &SdkConfig, tally: Option<Arc<dyn Tally>>) -> Self {
        let dated = Dated::default();
        let counted = Counted(tally);
        let ec2 = aws_sdk_ec2::config::Builder::from(config)
            .interceptor(Whole)
            .interceptor(counted.clone());
        let elb = aws_sdk_elasticloadbalancing::config::Builder::from(config)
            .interceptor(Whole)
            .interceptor(counted.clone());
        let elbv2 = aws_sdk_elasticloadbalancingv2::config::Builder::from(config)
            .interceptor(Whole)
            .interceptor(counted.clone());
        let sns = aws_sdk_sns::config::Builder::from(config).interceptor(counted);
        Self {
            // Asked at every tick: its dates will do.
            ec2: aws_sdk_ec2::Client::from_conf(ec2.interceptor(dated.clone()).build()),
            elb: aws_sdk_elasticloadbalancing::Client::from_conf(elb.build()),
            elbv2: aws_sdk_elasticloadbalancingv2::Client::from_conf(elbv2.build()),
            sns: aws_sdk_sns::Client::from_conf(sns.build()),
            arns: Mutex::default(),
            small_pages: AtomicBool::new(false),
            dated,
            identity: Identity::new(config),
        }
    }

    fn known_arn(&self, name: &str) -> Option<String> {
        self.arns.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn learn_arn(&self, name: &str, arn: &str) {
        let mut arns = self.arns.lock().unwrap_or_else(PoisonError::into_inner);
        arns.insert(name.to_owned(), arn.to_owned());
    }

    fn forget_arn(&self, name: &str) {
        self.arns.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// What every client and credential provider has in common.
fn loader() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts())
        .http_client(bounded::client())
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build()
}

/// Calls that change something are sent once: the journal decides whether and when to repeat them.
fn once() -> RetryConfig {
    RetryConfig::disabled()
}

#[async_trait]
impl Balancers for Aws {
    async fn members(
        &self,
        balancer: &Balancer,
    ) -> Result<BTreeMap<InstanceId, Membership>, Fault> {
        let members = async {
            match balancer {
                Balancer::Classic(name) => self.classic_members(name).await,
                Balancer::TargetGroup(name) => self.group_members(name).await,
            }
        };
        tokio::time::timeout(MEMBERS_WITHIN, members).await.unwrap_or_else(|_| {
            Err(Fault::new(FaultKind::Ambiguous, "Timeout", "no answer within 10s"))
        })
    }

    async fn drain(&self, balancer: &Balancer) -> Result<Option<Duration>, Fault> {
        match balancer {
            Balancer::Classic(name) => self.classic_drain(name).await,
            Balancer::TargetGroup(name) => self.group_drain(name).await,
        }
    }

    async fn register(&self, balancer: &Balancer, id: &InstanceId) -> Result<(), Fault> {
        match balancer {
            Balancer::Classic(name) => self.classic_register(name, id).await,
            Balancer::TargetGroup(name) => self.group_register(name, id).await,
        }
    }

    async fn deregister(&self, balancer: &Balancer, id: &InstanceId) -> Result<(), Fault> {
        match balancer {
            Balancer::Classic(name) => self.classic_deregister(name, id).await,
            Balancer::TargetGroup(name) => self.group_deregister(name, id).await,
        }
    }
}
