//! How values of the model are spelled in the documents on the socket. The model itself knows no
//! document, so each spelling is given here, with its way back.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use tidegate_engine::model::fleet::FleetName;
use tidegate_engine::model::ledger::OverrideKind;
use tidegate_engine::model::phase::PhaseKind;
use tidegate_engine::policy::Mode;

/// A value that documents spell in one word.
pub trait Word: Copy + 'static {
    const ALL: &'static [Self];

    fn as_str(self) -> &'static str;
}

impl Word for PhaseKind {
    const ALL: &'static [Self] = &Self::ALL;

    fn as_str(self) -> &'static str {
        self.as_str()
    }
}

impl Word for OverrideKind {
    const ALL: &'static [Self] = &Self::ALL;

    fn as_str(self) -> &'static str {
        self.as_str()
    }
}

impl Word for Mode {
    const ALL: &'static [Self] = &[Self::Act, Self::Observe];

    fn as_str(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Observe => "observe",
        }
    }
}

/// A word of a document. The daemon may be newer than the program that reads the document, so that
/// an unknown word is kept and shown as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known<T> {
    Word(T),
    Other(String),
}

impl<T: Word> Known<T> {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Word(word) => word.as_str(),
            Self::Other(text) => text,
        }
    }

    pub fn is(&self, word: T) -> bool
    where
        T: PartialEq,
    {
        *self == Self::Word(word)
    }
}

impl<T> From<T> for Known<T> {
    fn from(word: T) -> Self {
        Self::Word(word)
    }
}

impl<T: Word> fmt::Display for Known<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<T: Word> Serialize for Known<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, T: Word> Deserialize<'de> for Known<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let word = T::ALL.iter().copied().find(|word| word.as_str() == text);
        Ok(word.map_or(Self::Other(text), Self::Word))
    }
}

/// The name of a fleet.
pub mod fleet {
    use super::{Deserialize, Deserializer, FleetName, Serializer};

    pub fn serialize<S: Serializer>(name: &FleetName, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FleetName, D::Error> {
        super::name(&String::deserialize(deserializer)?)
    }
}

/// The name of a fleet, or null.
pub mod fleet_or_null {
    use super::{Deserialize, Deserializer, FleetName, Serialize as _, Serializer};

    #[expect(clippy::ref_option, reason = "serde passes fields by reference")]
    pub fn serialize<S: Serializer>(
        name: &Option<FleetName>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        name.as_ref().map(FleetName::as_str).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<FleetName>, D::Error> {
        let name = Option::<String>::deserialize(deserializer)?;
        name.map(|text| super::name(&text)).transpose()
    }
}

fn name<E: serde::de::Error>(text: &str) -> Result<FleetName, E> {
    FleetName::new(text).ok_or_else(|| E::custom(format_args!("`{text}` is no name of a fleet")))
}

/// A server: its instance id, or the client token of its launch.
pub mod server {
    use super::{Deserialize, Deserializer, Serializer};
    use tidegate_engine::model::instance::InstanceId;
    use tidegate_engine::model::launch::Token;
    use tidegate_engine::model::server::ServerName;

    pub fn serialize<S: Serializer>(name: &ServerName, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ServerName, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(if text.starts_with("i-") {
            ServerName::Instance(InstanceId::new(&text))
        } else {
            ServerName::Launch(Token::from_stored(&text))
        })
    }
}

/// A span in whole seconds, or null.
pub mod seconds_or_null {
    use std::time::Duration;

    use super::{Deserialize, Deserializer, Serialize as _, Serializer};

    #[expect(clippy::ref_option, reason = "serde passes fields by reference")]
    pub fn serialize<S: Serializer>(
        span: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        span.as_ref().map(Duration::as_secs).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_secs))
    }
}
