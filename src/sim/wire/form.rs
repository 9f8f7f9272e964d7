//! The query protocol's requests: `Action=…&Filter.1.Name=…`, and the RunInstances form as our own
//! [`LaunchRequest`].

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::refusal::Refusal;
use tidegate_engine::model::fleet::Pool;
use tidegate_engine::model::launch::{Image, LaunchRequest, Token};

/// EC2's cap on user data, before encoding.
const USER_DATA_MOST: usize = 16_384;

/// The parameters of one call.
#[derive(Debug)]
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    pub(super) fn parse(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// A parameter; an empty one is as good as none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn need(&self, name: &str) -> Result<&str, Refusal> {
        let missing = || {
            let message = format!("The request must contain the parameter {name}");
            Refusal::new("MissingParameter", &message)
        };
        self.get(name).ok_or_else(missing)
    }

    /// A whole number, if given.
    pub(super) fn number(&self, name: &str) -> Result<Option<usize>, Refusal> {
        let parse = |text: &str| {
            let message = format!("Invalid value '{text}' for {name}");
            text.parse().map_err(|_| Refusal::new("InvalidParameterValue", &message))
        };
        self.get(name).map(parse).transpose()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// The names `PREFIX.1`, `PREFIX.2`… as far as the request goes.
    pub(super) fn groups(&self, prefix: &str) -> impl Iterator<Item = String> {
        (1_u32..).map(move |n| format!("{prefix}.{n}")).take_while(|name| self.has(name))
    }

    /// The values of `PREFIX.1`, `PREFIX.2`…
    pub(super) fn list(&self, prefix: &str) -> Vec<&str> {
        self.groups(prefix).filter_map(|name| self.get(&name)).collect()
    }

    /// Whether `name` or anything below it was given.
    pub(super) fn has(&self, name: &str) -> bool {
        let below = |key: &str| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
        let next = self.0.range(name.to_owned()..).next();
        next.is_some_and(|(key, _)| key == name || below(key))
    }

    /// `PREFIX.N.Key` and `PREFIX.N.Value`.
    fn tags(&self, prefix: &str) -> BTreeMap<String, String> {
        let pair = |name: String| {
            let value = self.get(&format!("{name}.Value")).unwrap_or_default();
            Some((self.get(&format!("{name}.Key"))?.to_owned(), value.to_owned()))
        };
        self.groups(prefix).filter_map(pair).collect()
    }

    /// RunInstances. The same form gives the same request, whatever the order of its parameters.
    /// Settings that the simulated cloud has no use for (tokens of the metadata service) are accepted
    /// and forgotten.
    pub(super) fn launch(&self) -> Result<LaunchRequest, Refusal> {
        for name in ["MinCount", "MaxCount"] {
            self.need(name)?;
            if self.number(name)? != Some(1) {
                let message = "The imagined cloud launches one instance for each request.";
                return Err(Refusal::new("InvalidParameterValue", message));
            }
        }
        let owned = |name: &str| self.get(name).map(str::to_owned);
        // With a network interface, the subnet and the groups are told there.
        let subnet = owned("SubnetId").or_else(|| owned("NetworkInterface.1.SubnetId"));
        let mut security_groups = self.list("SecurityGroupId");
        security_groups.extend(self.list("NetworkInterface.1.SecurityGroupId"));
        let profile = owned("IamInstanceProfile.Name").or_else(|| owned("IamInstanceProfile.Arn"));
        let tags: BTreeMap<String, String> = self
            .groups("TagSpecification")
            .filter(|name| self.get(&format!("{name}.ResourceType")) == Some("instance"))
            .flat_map(|name| self.tags(&format!("{name}.Tag")))
            .collect();
        let shows_tags = self.get("MetadataOptions.InstanceMetadataTags") == Some("enabled");
        if let Some(refusal) = tags.keys().find_map(|key| Refusal::of_metadata_tag(key))
            && shows_tags
        {
            return Err(refusal);
        }
        // A launch template's own settings are not simulated: both have to be in the request.
        let is_final = self.get("InstanceInitiatedShutdownBehavior") == Some("terminate");
        Ok(LaunchRequest {
            token: Token::from_stored(self.get("ClientToken").unwrap_or_default()),
            image: self.image()?,
            pool: Pool {
                instance_type: self.get("InstanceType").map(Into::into),
                subnet: subnet.map(Into::into),
            },
            key_pair: owned("KeyName"),
            security_groups: security_groups.into_iter().map(str::to_owned).collect(),
            instance_profile: profile,
            user_data: self.user_data()?,
            tags: Arc::new(tags),
            drains: shows_tags && is_final,
        })
    }

    /// An image id overrides the launch template's.
    fn image(&self) -> Result<Image, Refusal> {
        if let Some(id) = self.get("ImageId") {
            return Ok(Image::Id(id.to_owned()));
        }
        let name = self
            .get("LaunchTemplate.LaunchTemplateName")
            .or_else(|| self.get("LaunchTemplate.LaunchTemplateId"))
            .ok_or_else(|| {
                let message = "The request must contain the parameter ImageId";
                Refusal::new("MissingParameter", message)
            })?;
        let version = self.get("LaunchTemplate.Version").unwrap_or("$Default");
        Ok(Image::Template { name: name.to_owned(), version: version.to_owned() })
    }

    fn user_data(&self) -> Result<String, Refusal> {
        let Some(encoded) = self.get("UserData") else { return Ok(String::new()) };
        let malformed =
            || Refusal::new("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.");
        let bytes = BASE64.decode(encoded).map_err(|_| malformed())?;
        if bytes.len() > USER_DATA_MOST {
            let message = format!("User data is limited to {USER_DATA_MOST} bytes");
            return Err(Refusal::new("InvalidParameterValue", &message));
        }
        String::from_utf8(bytes).map_err(|_| malformed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "Action=RunInstances&Version=2016-11-15&MinCount=1&MaxCount=1\
        &ImageId=ami-1&InstanceType=t3.small&SubnetId=subnet-a&KeyName=ops\
        &SecurityGroupId.1=sg-1&SecurityGroupId.2=sg-2&IamInstanceProfile.Name=app\
        &UserData=Uk9MRT1hcHA%3D&ClientToken=tg1.main.00\
        &TagSpecification.1.ResourceType=volume&TagSpecification.1.Tag.1.Key=x\
        &TagSpecification.2.ResourceType=instance\
        &TagSpecification.2.Tag.1.Key=tidegate%3Ainstall&TagSpecification.2.Tag.1.Value=main\
        &TagSpecification.2.Tag.2.Key=Name&TagSpecification.2.Tag.2.Value=a+b";

    #[test]
    fn the_launch_form_is_our_request_whatever_its_order() {
        let request = Form::parse(RUN.as_bytes()).launch().unwrap();
        assert_eq!(request.image, Image::Id("ami-1".to_owned()));
        assert_eq!(request.pool.subnet.as_deref(), Some("subnet-a"));
        assert_eq!(request.security_groups, ["sg-1", "sg-2"]);
        assert_eq!(request.user_data, "ROLE=app");
        let tags = [("Name", "a b"), ("tidegate:install", "main")];
        assert!(request.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(tags));
        let mut reversed: Vec<&str> = RUN.split('&').collect();
        reversed.reverse();
        let reversed = Form::parse(reversed.join("&").as_bytes()).launch().unwrap();
        assert_eq!(reversed, request);
    }

    #[test]
    fn templates_and_lists_longer_than_nine() {
        let template = RUN.replace("ImageId=ami-1", "LaunchTemplate.LaunchTemplateName=web");
        let image = Form::parse(template.as_bytes()).launch().unwrap().image;
        assert_eq!(image, Image::Template { name: "web".into(), version: "$Default".into() });
        let many: Vec<String> = (1..=12).map(|n| format!("InstanceId.{n}=i-{n}")).collect();
        let form = Form::parse(many.join("&").as_bytes());
        assert_eq!(form.list("InstanceId").len(), 12);
        assert_eq!(form.list("Instance").len(), 0);
    }

    #[test]
    fn draining_launch_shows_its_tags_and_ends_by_powering_off() {
        let shown = "&MetadataOptions.InstanceMetadataTags=enabled";
        let ends = "&InstanceInitiatedShutdownBehavior=terminate";
        let launched = |more: &str| Form::parse(format!("{RUN}{more}").as_bytes()).launch();
        let both = format!("{shown}{ends}");
        for (more, drains) in [("", false), (shown, false), (ends, false), (&*both, true)] {
            assert_eq!(launched(more).unwrap().drains, drains, "{more}");
        }
        let hidden = shown.replace("enabled", "disabled");
        assert!(!launched(&format!("{hidden}{ends}")).unwrap().drains);
        let blank = "&TagSpecification.2.Tag.3.Key=Patch+Group";
        assert!(launched(&format!("{ends}{blank}")).is_ok());
        let refused = launched(&format!("{shown}{ends}{blank}")).unwrap_err();
        assert_eq!(refused.code, "InvalidParameterValue");
        assert!(refused.message.contains("'Patch Group' is not a valid tag key"), "{refused:?}");
    }

    #[test]
    fn bad_launches_are_refused_with_ec2s_codes() {
        let code = |from: &str, to: &str| {
            Form::parse(RUN.replace(from, to).as_bytes()).launch().unwrap_err().code
        };
        assert_eq!(code("&ImageId=ami-1", ""), "MissingParameter");
        assert_eq!(code("&MinCount=1", ""), "MissingParameter");
        assert_eq!(code("MaxCount=1", "MaxCount=2"), "InvalidParameterValue");
        assert_eq!(code("Uk9MRT1hcHA%3D", "%21"), "InvalidUserData.Malformed");
    }
}
