//! How much memory the SDK needs for the rows of an answer. `<item/>` has seven bytes as text and
//! three thousand as a parsed instance, so a limit on bytes alone is none.

use xmlparser::{ElementEnd, Token, Tokenizer};

/// The most memory that the rows of one answer may take, in bytes.
pub(super) const AT_MOST: usize = 12 << 20;

/// Deeper than any answer of AWS.
const DEPTH_AT_MOST: usize = 64;

/// Rows of lists by the element around them, with the size in bytes of the type that they are parsed
/// to. A test holds them to the SDK's types.
const ROWS: &[(&str, usize)] = &[
    ("instancesSet", 3072),
    ("networkInterfaceSet", 1280),
    ("imagesSet", 1536),
    ("instanceStatusSet", 1024),
    ("volumeSet", 1024),
    ("subnetSet", 1024),
    ("LoadBalancerDescriptions", 1024),
    ("TargetGroups", 1024),
    ("tagSet", 64),
    ("groupSet", 64),
];

/// A row of any other list, in bytes.
const OTHER_ROW: usize = 512;

/// Returns the memory in bytes that parsing `answer` takes for rows; `None` where it is nested too
/// deep. What is not XML has no rows.
pub(super) fn of(answer: &[u8]) -> Option<usize> {
    let Ok(text) = std::str::from_utf8(answer) else { return Some(0) };
    let (mut open, mut weight): (Vec<&str>, usize) = (Vec::new(), 0);
    // Where the tokenizer fails, the SDK's parser stops too: it is the same one.
    for token in Tokenizer::from(text).map_while(Result::ok) {
        match token {
            Token::ElementStart { local, .. } => {
                if matches!(local.as_str(), "item" | "member") {
                    let list = open.last().copied().unwrap_or_default();
                    let row = ROWS.iter().find(|(name, _)| *name == list);
                    weight = weight.saturating_add(row.map_or(OTHER_ROW, |(_, size)| *size));
                }
                open.push(local.as_str());
                (open.len() <= DEPTH_AT_MOST).then_some(())?;
            }
            Token::ElementEnd { end: ElementEnd::Close(..) | ElementEnd::Empty, .. } => {
                open.pop();
            }
            Token::Declaration { .. }
            | Token::ProcessingInstruction { .. }
            | Token::Comment { .. }
            | Token::DtdStart { .. }
            | Token::EmptyDtd { .. }
            | Token::EntityDeclaration { .. }
            | Token::DtdEnd { .. }
            | Token::Attribute { .. }
            | Token::ElementEnd { end: ElementEnd::Open, .. }
            | Token::Text { .. }
            | Token::Cdata { .. } => {}
        }
    }
    Some(weight)
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use aws_sdk_ec2::types as ec2;
    use aws_sdk_elasticloadbalancing::types as elb;
    use aws_sdk_elasticloadbalancingv2::types as elbv2;

    use super::*;

    #[test]
    fn rows_weigh_no_less_than_the_types_they_become() {
        let sizes = [
            ("instancesSet", size_of::<ec2::Instance>()),
            ("networkInterfaceSet", size_of::<ec2::InstanceNetworkInterface>()),
            ("imagesSet", size_of::<ec2::Image>()),
            ("instanceStatusSet", size_of::<ec2::InstanceStatus>()),
            ("volumeSet", size_of::<ec2::Volume>()),
            ("subnetSet", size_of::<ec2::Subnet>()),
            ("LoadBalancerDescriptions", size_of::<elb::LoadBalancerDescription>()),
            ("TargetGroups", size_of::<elbv2::TargetGroup>()),
            ("tagSet", size_of::<ec2::Tag>()),
            ("groupSet", size_of::<ec2::GroupIdentifier>()),
            ("reservationSet", size_of::<ec2::Reservation>()),
            ("blockDeviceMapping", size_of::<ec2::InstanceBlockDeviceMapping>()),
            ("privateIpAddressesSet", size_of::<ec2::InstancePrivateIpAddress>()),
            ("attachmentSet", size_of::<ec2::VolumeAttachment>()),
            ("eventsSet", size_of::<ec2::InstanceStatusEvent>()),
            ("InstanceStates", size_of::<elb::InstanceState>()),
            ("ListenerDescriptions", size_of::<elb::ListenerDescription>()),
            ("TargetHealthDescriptions", size_of::<elbv2::TargetHealthDescription>()),
            ("Attributes", size_of::<elbv2::TargetGroupAttribute>()),
        ];
        for (list, size) in sizes {
            let row = ROWS.iter().find(|(name, _)| *name == list).map_or(OTHER_ROW, |row| row.1);
            assert!(row >= size, "{list}: a row takes {size} bytes, and counts as {row}");
        }
    }

    #[test]
    fn rows_count_by_the_list_around_them() {
        let answer = "<?xml version='1.0'?><R><reservationSet><item><instancesSet><item/>\
                      <x:item><tagSet><item><key>a</key></item></tagSet></x:item>\
                      </instancesSet></item></reservationSet></R>";
        assert_eq!(of(answer.as_bytes()), Some(OTHER_ROW + 2 * 3072 + 64));
        assert_eq!(of(b"{\"item\": 1}"), Some(0));
        assert_eq!(of(&"<a>".repeat(1000).into_bytes()), None);
    }
}
