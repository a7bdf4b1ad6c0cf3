//! What nobody may see.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A password or a token. Printing it shows that there is one, and nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("•••")
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// A user with a password, or with an access token in its place.
    Password {
        /// The user's name.
        user: Secret,
        /// The password.
        password: Secret,
    },
    /// A token that the token service takes for a password: Docker's identity token, OAuth 2's refresh token.
    Identity(Secret),
    /// A token that the registry itself takes.
    Bearer(Secret),
}

impl Credentials {
    /// The `Authorization` of the user and the password; `None` where there are none.
    pub(crate) fn basic(&self) -> Option<Secret> {
        let Self::Password { user, password } = self else { return None };
        let pair = format!("{}:{}", user.expose(), password.expose());
        Some(Secret::new(format!("Basic {}", STANDARD.encode(pair))))
    }

    /// All that must not be shown.
    pub(crate) fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Anonymous => Vec::new(),
            Self::Password { password, .. } => vec![password.expose()],
            Self::Identity(token) | Self::Bearer(token) => vec![token.expose()],
        }
    }
}
