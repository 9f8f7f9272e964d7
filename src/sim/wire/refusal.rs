//! How AWS says no: one shape for EC2, another for ELB.

use axum::http::StatusCode;

use super::xml::Xml;
use crate::sim::world::LOST_REPLY;
use tidegate_engine::model::fault::Fault;

/// Which of the three services was spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Ec2,
    Elb,
    ElbV2,
    Sts,
}

impl Service {
    /// By the `Version` of the request, which is the date of the service's API.
    pub(super) fn of(version: &str) -> Option<Self> {
        match version {
            "2016-11-15" => Some(Self::Ec2),
            "2012-06-01" => Some(Self::Elb),
            "2015-12-01" => Some(Self::ElbV2),
            "2011-06-15" => Some(Self::Sts),
            _ => None,
        }
    }

    pub(super) fn namespace(self) -> &'static str {
        match self {
            Self::Ec2 => "http://ec2.amazonaws.com/doc/2016-11-15/",
            Self::Elb => "http://elasticloadbalancing.amazonaws.com/doc/2012-06-01/",
            Self::ElbV2 => "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }
}

/// A call that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// AWS's error code.
    pub(super) code: String,
    pub(super) message: String,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { code: fault.code, message: fault.message }
    }
}

impl Refusal {
    pub(super) fn new(code: &str, message: &str) -> Self {
        Self { code: code.to_owned(), message: message.to_owned() }
    }

    /// The answer to a dry run of a call that is allowed.
    pub(super) fn dry_run() -> Self {
        Self::new("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
    }

    /// The answer to a launch whose metadata service cannot show the tag `key`; `None`: it can.
    pub(super) fn of_metadata_tag(key: &str) -> Option<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_+=,.@:".contains(c);
        let reserved = matches!(key, "." | ".." | "_index");
        let shown = !key.is_empty() && key.len() <= 255 && key.chars().all(fits) && !reserved;
        let message = format!(
            "'{key}' is not a valid tag key. Tag keys must match pattern \
             ([0-9a-zA-Z\\-_+=,.@:]{{1,255}}), and must not be a reserved name \
             ('.', '..', '_index')"
        );
        (!shown).then(|| Self::new("InvalidParameterValue", &message))
    }

    /// The call took effect, but nobody will be told.
    pub(super) fn is_lost(&self) -> bool {
        self.code == LOST_REPLY
    }

    /// The HTTP status and the body.
    pub(super) fn answer(&self, service: Service, request_id: &str) -> (StatusCode, String) {
        // The world speaks EC2; ELB has a word of its own for being throttled.
        let (code, message) = match (service, self.code.as_str()) {
            (Service::Elb | Service::ElbV2 | Service::Sts, "RequestLimitExceeded") => {
                ("Throttling", "Rate exceeded")
            }
            (_, code) => (code, self.message.as_str()),
        };
        let body = match service {
            Service::Ec2 => Xml::document("Response", "", |xml| {
                xml.element("Errors", |xml| {
                    xml.element("Error", |xml| {
                        xml.text("Code", code).text("Message", message);
                    });
                })
                .text("RequestID", request_id);
            }),
            Service::Elb | Service::ElbV2 | Service::Sts => {
                let status = status(code);
                let blame = if status.is_server_error() { "Receiver" } else { "Sender" };
                Xml::document("ErrorResponse", service.namespace(), |xml| {
                    xml.element("Error", |xml| {
                        xml.text("Type", blame).text("Code", code).text("Message", message);
                    })
                    .text("RequestId", request_id);
                })
            }
        };
        (status(code), body)
    }
}

/// Capacity is, to EC2, an error of the server.
fn status(code: &str) -> StatusCode {
    match code {
        "RequestLimitExceeded" | "Unavailable" | "ServiceUnavailable" => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        "InsufficientInstanceCapacity" | "InternalError" | "InternalFailure" => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        "DryRunOperation" => StatusCode::PRECONDITION_FAILED,
        "UnauthorizedOperation" => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_says_no_in_its_own_shape() {
        let throttled = Refusal::new("RequestLimitExceeded", "Request limit exceeded.");
        let (status, body) = throttled.answer(Service::Ec2, "r-1");
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.ends_with(
            "<Response><Errors><Error><Code>RequestLimitExceeded</Code>\
             <Message>Request limit exceeded.</Message></Error></Errors>\
             <RequestID>r-1</RequestID></Response>"
        ));
        let (status, body) = throttled.answer(Service::ElbV2, "r-2");
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(body.contains("<Error><Type>Sender</Type><Code>Throttling</Code>"), "{body}");
        assert!(body.ends_with("<RequestId>r-2</RequestId></ErrorResponse>"), "{body}");
    }

    #[test]
    fn metadata_service_shows_keys_without_slash_or_blank() {
        for key in ["Name", "tidegate:drain", "a-b_c+d=e,f.g@h", "index"] {
            assert_eq!(Refusal::of_metadata_tag(key), None, "{key}");
        }
        for key in ["Patch Group", "kubernetes.io/role", ".", "..", "_index", "é", ""] {
            let refusal = Refusal::of_metadata_tag(key).unwrap();
            assert_eq!(refusal.code, "InvalidParameterValue");
            assert!(refusal.message.starts_with(&format!("'{key}' is not a valid tag key.")));
        }
    }

    #[test]
    fn statuses_are_aws_own() {
        let cases = [
            ("InsufficientInstanceCapacity", 500),
            ("InternalError", 500),
            ("InvalidInstanceID.NotFound", 400),
            ("IdempotentParameterMismatch", 400),
            ("IdempotentInstanceTerminated", 400),
            ("DryRunOperation", 412),
        ];
        for (code, expected) in cases {
            assert_eq!(status(code).as_u16(), expected, "{code}");
        }
    }
}
