//! Names of connectors, as small numbers that counters can be indexed by.

use std::{fmt, sync::LazyLock};

use parking_lot::RwLock;

static NAMES: LazyLock<RwLock<Vec<&'static str>>> = LazyLock::new(|| RwLock::new(vec!["gateway"]));

/// A connector's identity: its name in configuration, metrics and origins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Connector(u8);

impl Connector {
    /// How many connectors one process can hold.
    pub const MAX: usize = 16;
    /// The gateway itself, which publishes statistics and monitor events.
    pub const GATEWAY: Self = Self(0);

    /// The connector of that name, registered when first asked for. Past [`Connector::MAX`] names, the last is shared.
    pub fn register(name: &'static str) -> Self {
        let mut names = NAMES.write();
        let found = names.iter().position(|known| *known == name).unwrap_or_else(|| {
            if names.len() < Self::MAX {
                names.push(name);
            }
            names.len() - 1
        });
        Self(u8::try_from(found).unwrap_or(0))
    }

    /// Every connector registered so far.
    pub fn all() -> impl Iterator<Item = Self> {
        let count = u8::try_from(NAMES.read().len()).unwrap_or(0);
        (0..count).map(Self)
    }

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.read().get(usize::from(self.0)).copied().unwrap_or("unknown")
    }

    /// A number below [`Connector::MAX`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
