//! The one table from AWS's error codes to what they mean for us. Nothing else reads a code.

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};

use super::bounded::TooLarge;
use tidegate_engine::model::fault::{Fault, FaultKind};

/// The code of an answer that is not read to its end.
pub(super) const TOO_LARGE: &str = "AnswerTooLarge";

/// Codes as AWS documents them in "Error codes for the Amazon EC2 API" and in the API references of
/// Elastic Load Balancing, grouped by what may be done next.
const CODES: &[(FaultKind, &[&str])] = &[
    (
        FaultKind::Throttled,
        &[
            "RequestLimitExceeded",
            "EC2ThrottledException",
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "RequestThrottled",
            "RequestThrottledException",
            "TooManyRequestsException",
            "SlowDown",
            "PriorRequestNotComplete",
            "BandwidthLimitExceeded",
            "ConcurrentTagAccess",
        ],
    ),
    (
        FaultKind::Ambiguous,
        &[
            "InternalError",
            "InternalFailure",
            "ServerInternal",
            "ServiceUnavailable",
            "Unavailable",
        ],
    ),
    (
        FaultKind::NoCapacity,
        &[
            "InsufficientInstanceCapacity",
            "InsufficientHostCapacity",
            "InsufficientCapacityOnHost",
            "InsufficientReservedInstanceCapacity",
            "InsufficientReservedInstancesCapacity",
            "InsufficientAddressCapacity",
            "InsufficientVolumeCapacity",
            "InsufficientCapacity",
            "UnfulfillableCapacity",
            "SpotMaxPriceTooLow",
            "ReservationCapacityExceeded",
            "Unsupported",
            "VolumeTypeNotAvailableInZone",
        ],
    ),
    (FaultKind::SubnetFull, &["InsufficientFreeAddressesInSubnet"]),
    (
        FaultKind::Quota,
        &[
            "InstanceLimitExceeded",
            "VcpuLimitExceeded",
            "MaxSpotInstanceCountExceeded",
            "DedicatedHostLimitExceeded",
        ],
    ),
    (
        FaultKind::AccountQuota,
        &[
            "VolumeLimitExceeded",
            "MaxIOPSLimitExceeded",
            "ResourceLimitExceeded",
            "ResourceCountExceeded",
            "NetworkInterfaceLimitExceeded",
            "TooManyTargets",
            "TooManyRegistrationsForTargetId",
        ],
    ),
    (
        FaultKind::Permission,
        &[
            "UnauthorizedOperation",
            "AccessDenied",
            "AccessDeniedException",
            "AuthFailure",
            "OptInRequired",
            "Blocked",
            "PendingVerification",
            "TagPolicyViolation",
            "AccountDisabled",
        ],
    ),
    (
        FaultKind::Credentials,
        &[
            "RequestExpired",
            "InvalidSecurity.RequestHasExpired",
            "SignatureDoesNotMatch",
            "InvalidClientTokenId",
            "MissingAuthenticationToken",
            "IncompleteSignature",
            "ExpiredToken",
            "ExpiredTokenException",
            "UnrecognizedClientException",
        ],
    ),
    (
        FaultKind::NotFound,
        &[
            "InvalidAMIID.NotFound",
            "InvalidAMIID.Unavailable",
            "InvalidAMIID.Malformed",
            "InvalidKeyPair.NotFound",
            "InvalidGroup.NotFound",
            "InvalidGroupId.Malformed",
            "InvalidSecurityGroupID.NotFound",
            "InvalidIamInstanceProfileArn.NotFound",
            "InvalidSnapshot.NotFound",
            "InvalidLaunchTemplateId.Malformed",
            "InvalidLaunchTemplateId.NotFound",
            "InvalidLaunchTemplateId.VersionNotFound",
            "InvalidLaunchTemplateName.NotFoundException",
        ],
    ),
    (
        FaultKind::SubnetNotFound,
        &["InvalidSubnetID.NotFound", "InvalidSubnetID.Malformed", "InvalidSubnet"],
    ),
    (FaultKind::TokenMismatch, &["IdempotentParameterMismatch"]),
    (FaultKind::TokenSpent, &["IdempotentInstanceTerminated"]),
    (
        FaultKind::InstanceNotFound,
        &[
            "InvalidInstanceID.NotFound",
            "InvalidInstance",
            "InvalidInstanceID.Malformed",
            // CreateTags and DeleteTags of an id that no resource has.
            "InvalidID",
        ],
    ),
    (
        FaultKind::BalancerNotFound,
        &["AccessPointNotFound", "LoadBalancerNotFound", "TargetGroupNotFound"],
    ),
    (
        FaultKind::Refused,
        &["OperationNotPermitted", "IncorrectInstanceState", "IncorrectState", "TagLimitExceeded"],
    ),
];

/// Returns the kind of a refusal. EC2 reports an unknown instance profile as an invalid value, and only
/// the message names the profile. A profile that was created seconds ago may be unknown too.
fn refusal(code: &str, status: u16, message: &str) -> FaultKind {
    let profile = ["iamInstanceProfile", "IAM Instance Profile"];
    if code == "InvalidParameterValue" && profile.iter().any(|name| message.contains(name)) {
        return FaultKind::NotFound;
    }
    kind(code, status)
}

/// What a code means; a code that is not in the table is judged by the status: an unknown refusal of
/// the client is a request that cannot succeed as it is, an unknown failure of the server may have
/// taken effect.
fn kind(code: &str, status: u16) -> FaultKind {
    let known = CODES.iter().find(|(_, codes)| codes.contains(&code)).map(|(kind, _)| *kind);
    known.unwrap_or(if (400..500).contains(&status) {
        FaultKind::Config
    } else {
        FaultKind::Ambiguous
    })
}

/// An SDK error as a fault. Whatever is not an answer of the service leaves open whether the call
/// took effect.
pub(super) fn fault<E>(error: &SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    if let Some(large) = TooLarge::of(error) {
        // Of a dispatch that failed, the answer was a credential provider's.
        let kind = if matches!(error, SdkError::DispatchFailure(_)) {
            FaultKind::Credentials
        } else {
            FaultKind::Ambiguous
        };
        return Fault::new(kind, TOO_LARGE, &large.to_string());
    }
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let said = answer.err();
            let code = said.code().unwrap_or("NoCode");
            let message = said.message().unwrap_or("no message");
            Fault::new(refusal(code, status, message), code, message)
        }
        SdkError::TimeoutError(_) => {
            Fault::new(FaultKind::Ambiguous, "Timeout", "no answer in time")
        }
        SdkError::DispatchFailure(failure) => {
            let text = failure.as_connector_error().map(|error| chain(error)).unwrap_or_default();
            // The SDK has no kind of its own for this; the request never left.
            if failure.is_other() && text.contains("credential") {
                let text = "no AWS credentials were found: set AWS_PROFILE or AWS_ACCESS_KEY_ID, or give the host an instance role";
                return Fault::new(FaultKind::Credentials, "NoCredentials", text);
            }
            if failure.is_other() && text.contains("missing signing region") {
                let text = "no AWS region is known: set `region` in the policy file, AWS_REGION, or the region of the profile";
                return Fault::new(FaultKind::Config, "NoRegion", text);
            }
            Fault::new(FaultKind::Ambiguous, "NoConnection", &text)
        }
        SdkError::ResponseError(_) => {
            Fault::new(FaultKind::Ambiguous, "BadAnswer", "the answer could not be understood")
        }
        // The request never left: no credentials, most likely.
        SdkError::ConstructionFailure(_) => {
            Fault::new(FaultKind::Credentials, "NotSent", &chain(error))
        }
        other => Fault::new(FaultKind::Ambiguous, "Unknown", &chain(other)),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_means_one_thing() {
        let mut seen = std::collections::BTreeSet::new();
        for code in CODES.iter().flat_map(|(_, codes)| *codes) {
            assert!(seen.insert(code), "{code} stands in the table twice");
        }
    }

    #[test]
    fn unknown_instance_profile_is_not_found() {
        let kind = |code, message| refusal(code, 400, message);
        let message = "Value (workers) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name";
        assert_eq!(kind("InvalidParameterValue", message), FaultKind::NotFound);
        let other = "Invalid availability zone: [eu-central-1z]";
        assert_eq!(kind("InvalidParameterValue", other), FaultKind::Config);
        assert_eq!(kind("InvalidSubnetID.NotFound", "gone"), FaultKind::SubnetNotFound);
        assert_eq!(kind("InvalidKeyPair.NotFound", "gone"), FaultKind::NotFound);
    }

    #[test]
    fn unknown_codes_are_judged_by_the_status() {
        assert_eq!(kind("InvalidParameterValue", 400), FaultKind::Config);
        assert_eq!(kind("SomethingNew", 503), FaultKind::Ambiguous);
        // Documented among the server's errors, and an answer all the same.
        assert_eq!(kind("InsufficientInstanceCapacity", 500), FaultKind::NoCapacity);
    }

    #[test]
    fn tagging_refusals_are_told_apart() {
        for (code, means) in [
            ("UnauthorizedOperation", FaultKind::Permission),
            ("TagPolicyViolation", FaultKind::Permission),
            ("TagLimitExceeded", FaultKind::Refused),
            ("ConcurrentTagAccess", FaultKind::Throttled),
            ("InvalidInstanceID.NotFound", FaultKind::InstanceNotFound),
            ("InvalidID", FaultKind::InstanceNotFound),
            ("InvalidParameterValue", FaultKind::Config),
        ] {
            assert_eq!(kind(code, 400), means, "{code}");
        }
    }
}
