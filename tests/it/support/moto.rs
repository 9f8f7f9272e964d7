//! moto: an AWS that others wrote. It judges our requests, not our idea of AWS.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use aws_sdk_ec2::config::Credentials;

use super::wait_for;

pub(crate) struct Moto {
    pub endpoint: String,
    child: Child,
    pub ec2: aws_sdk_ec2::Client,
    pub elb: aws_sdk_elasticloadbalancing::Client,
    pub elbv2: aws_sdk_elasticloadbalancingv2::Client,
    pub sns: aws_sdk_sns::Client,
    /// Two subnets in two zones, their network, and an image.
    pub subnets: [String; 2],
    pub vpc: String,
    pub image: String,
}

impl Moto {
    /// Starts a server; `tests/run` says where it is.
    pub(crate) async fn start() -> Self {
        let program = std::env::var("TIDEGATE_MOTO")
            .expect("TIDEGATE_MOTO names the moto_server program; run the tests by tests/run");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for("moto answers", || TcpStream::connect(("127.0.0.1", port)).ok());
        let endpoint = format!("http://127.0.0.1:{port}");
        let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .endpoint_url(&endpoint)
            .region(aws_config::Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
            .load()
            .await;
        let ec2 = aws_sdk_ec2::Client::new(&config);
        let subnets = ec2.describe_subnets().send().await.unwrap();
        let subnet = |n: usize| subnets.subnets()[n].subnet_id().unwrap().to_owned();
        let images = ec2.describe_images().owners("amazon").send().await.unwrap();
        Self {
            subnets: [subnet(0), subnet(1)],
            vpc: subnets.subnets()[0].vpc_id().unwrap().to_owned(),
            image: images.images()[0].image_id().unwrap().to_owned(),
            elb: aws_sdk_elasticloadbalancing::Client::new(&config),
            elbv2: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            sns: aws_sdk_sns::Client::new(&config),
            endpoint,
            child,
            ec2,
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
