//! Ids: newtypes, so that a session never passes for a client, parsed at every boundary.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new random id.
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                // Only the hyphenated form: one spelling per id.
                let id = Uuid::try_parse(text)?;
                if text.len() == 36 { Ok(Self(id)) } else { Uuid::try_parse("").map(Self) }
            }
        }
    };
}

uuid_id! {
    /// A session, for its whole life.
    SessionId
}
uuid_id! {
    /// A client: one connection, or the several that proved with a resume token to be the same.
    ClientId
}

/// The number of a record in its session; the first is 1 and there are no holes.
pub type Seq = u64;
/// The store's continuity number: raised only when what was written may have been lost.
pub type Epoch = u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_parses() {
        let id = SessionId::random();
        assert_eq!(id.to_string().parse::<SessionId>().ok(), Some(id));
        assert!(id.0.simple().to_string().parse::<SessionId>().is_err());
        assert!("../x".parse::<SessionId>().is_err());
        assert!("".parse::<SessionId>().is_err());
    }
}
