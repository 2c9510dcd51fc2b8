//! Mounts and namespaces: which Pusher name of an application stands for which channel.

use ratatosk_core::{Channel, Filter, channel::has_wildcard};

use super::{MAX_NAME_BYTES, channel_name, pusher_name};
use crate::proto::name::{Class, Kind, NameFault};

/// Why a mount cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// The filter is neither exact nor fixed text with a final `#`.
    #[error("`{0}`: a mount's channel is an exact name or ends in `#`, with no other wildcard")]
    Channel(String),
    /// `as` is not a Pusher name, or its `*` is not the last character.
    #[error("`{0}`: `as` is a Pusher channel name, with a final `*` when `channel` ends in `#`")]
    Name(String),
    /// A wildcard on one side only.
    #[error("`{channel}` as `{name}`: both sides or neither end in a wildcard")]
    OneSided {
        /// The filter.
        channel: String,
        /// The Pusher pattern.
        name: String,
    },
    /// The class asked for is not what the name's prefix makes every client believe.
    #[error("`{name}` is {actual} by its prefix, not {wanted}: clients decide by the prefix whether to authorize")]
    Class {
        /// The Pusher pattern.
        name: String,
        /// By the prefix.
        actual: Class,
        /// By the configuration.
        wanted: Class,
    },
    /// Two mounts share a channel or a name.
    #[error("the mounts `{0}` and `{1}` overlap")]
    Overlap(String, String),
}

/// Why a Pusher name stands for no channel here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name breaks Pusher's grammar or is too long.
    #[error(transparent)]
    Fault(#[from] NameFault),
    /// The channel has another name, given by a mount; this one would go around its class.
    #[error("this channel is known as {0}")]
    Mounted(String),
    /// The name stands for a channel that is the gateway's own.
    #[error("this channel name is reserved")]
    Reserved,
}

/// A shared channel, or a tree of them, under a Pusher name chosen on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    filter: Filter,
    pattern: String,
    /// Text before `#` with its slash, or the whole name.
    channel: String,
    /// Text before `*`, or the whole name.
    name: String,
    tree: bool,
}

impl Mount {
    /// Checks both sides, and the class where one is asked for.
    ///
    /// # Errors
    /// See [`MountError`].
    pub fn new(filter: &Filter, pattern: &str, class: Option<Class>) -> Result<Self, MountError> {
        let bad_channel = || MountError::Channel(filter.to_string());
        let bad_name = || MountError::Name(pattern.to_owned());
        let tree = filter.levels().last() == Some("#");
        let channel = if tree { filter.as_str().strip_suffix('#').unwrap_or_default() } else { filter.as_str() };
        if channel.split('/').any(|level| level == "+") {
            return Err(bad_channel());
        }
        let name = pattern.strip_suffix('*').unwrap_or(pattern);
        if tree == (name.len() == pattern.len()) {
            return Err(MountError::OneSided { channel: filter.to_string(), name: pattern.to_owned() });
        }
        // A name that ends in its bare prefix (`private-*`) is still a name of that class.
        let kind = Kind::of(name, MAX_NAME_BYTES).map_err(|_| bad_name())?;
        if matches!(kind.class, Class::User) {
            return Err(bad_name());
        }
        if let Some(wanted) = class.filter(|wanted| *wanted != kind.class) {
            return Err(MountError::Class { name: pattern.to_owned(), actual: kind.class, wanted });
        }
        let (channel, name) = (channel.to_owned(), name.to_owned());
        Ok(Self { filter: filter.clone(), pattern: pattern.to_owned(), channel, name, tree })
    }

    /// The Pusher name of a channel, if it is below this mount.
    fn name_of(&self, channel: &Channel) -> Option<String> {
        if !self.filter.matches(channel) {
            return None;
        }
        if !self.tree {
            return Some(self.name.clone());
        }
        match channel.as_str().strip_prefix(self.channel.as_str()) {
            Some(rest) => Some(format!("{}{}", self.name, pusher_name(rest))),
            // `a/#` also matches its parent `a`, which is the mount's name without its last dot.
            None => self.name.strip_suffix('.').map(str::to_owned),
        }
    }

    /// The channel of a Pusher name, if it is below this mount.
    fn channel_of(&self, name: &str) -> Option<String> {
        if !self.tree {
            return (name == self.name).then(|| self.channel.clone());
        }
        if let Some(rest) = name.strip_prefix(self.name.as_str()) {
            let channel = format!("{}{}", self.channel, channel_name(rest));
            let wild_root = self.channel.is_empty() && channel.starts_with('$');
            return (!channel.is_empty() && !wild_root).then_some(channel);
        }
        let parent = self.name.strip_suffix('.') == Some(name);
        parent.then(|| self.channel.strip_suffix('/').map(str::to_owned)).flatten()
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.filter.overlaps(&other.filter) || self.shares_names(other)
    }

    fn shares_names(&self, other: &Self) -> bool {
        let below = |tree: &Self, name: &str| {
            tree.tree && (name.starts_with(&tree.name) || tree.name.strip_suffix('.') == Some(name))
        };
        self.name == other.name || below(self, &other.name) || below(other, &self.name)
    }
}

/// All the naming of one application: its mounts first, the codec for the rest.
///
/// With a namespace the application's channels live below `NAMESPACE/` on the bus, apart from those of other
/// applications and connectors; mounts are not affected, they name channels of the bus.
///
/// Per-user channels, and encrypted channels without a mount, live below `$pusher/APP/`, where no wildcard of another protocol
/// reaches: nobody there could make sense of ciphertext.
#[derive(Debug, Clone, Default)]
pub struct Names {
    mounts: Vec<Mount>,
    namespace: String,
    users: String,
    sealed: String,
}

impl Names {
    /// The naming of the application `app_id`.
    ///
    /// # Errors
    /// Two mounts that overlap.
    pub fn new(app_id: &str, namespace: Option<&str>, mounts: Vec<Mount>) -> Result<Self, MountError> {
        for (index, mount) in mounts.iter().enumerate() {
            if let Some(other) = mounts.iter().skip(index + 1).find(|other| other.overlaps(mount)) {
                return Err(MountError::Overlap(mount.pattern.clone(), other.pattern.clone()));
            }
        }
        let namespace = namespace.filter(|text| !text.is_empty()).map(|text| format!("{text}/")).unwrap_or_default();
        let (users, sealed) = (format!("$pusher/{app_id}/users/"), format!("$pusher/{app_id}/encrypted/"));
        Ok(Self { mounts, namespace, users, sealed })
    }

    /// The channel that a Pusher name stands for, and the kind of the name.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn channel(&self, name: &str, max_bytes: usize) -> Result<(Channel, Kind), NameError> {
        let kind = Kind::of(name, max_bytes)?;
        let reserved = |_| NameError::Reserved;
        if let Some(user) = kind.user(name) {
            let channel = Channel::new(format!("{}{user}", self.users)).map_err(reserved)?;
            return Ok((channel, kind));
        }
        if let Some(channel) = self.mounts.iter().find_map(|mount| mount.channel_of(name)) {
            if is_own(&channel) {
                return Err(NameError::Reserved);
            }
            return Ok((Channel::new(channel).map_err(reserved)?, kind));
        }
        let channel = channel_name(name);
        if kind.class == Class::Encrypted {
            let own = is_own(&channel);
            let channel = Channel::new(format!("{}{channel}", self.sealed)).map_err(reserved)?;
            return if own { Err(NameError::Reserved) } else { Ok((channel, kind)) };
        }
        let channel = Channel::new(format!("{}{channel}", self.namespace)).map_err(reserved)?;
        if let Some(other) = self.mounts.iter().find_map(|mount| mount.name_of(&channel)) {
            return Err(NameError::Mounted(other));
        }
        if is_own(channel.as_str()) {
            return Err(NameError::Reserved);
        }
        Ok((channel, kind))
    }

    /// Whether a Pusher name is that of a mount: its channel is another protocol's too.
    #[must_use]
    pub fn is_mounted(&self, name: &str) -> bool {
        self.mounts.iter().any(|mount| mount.channel_of(name).is_some())
    }

    /// The Pusher name of a channel, or `None` where it has none (too long, hidden behind a mount's names,
    /// outside the namespace).
    #[must_use]
    pub fn name(&self, channel: &Channel) -> Option<String> {
        let below = |own: &str| channel.as_str().strip_prefix(own).filter(|_| !own.is_empty());
        if let Some(user) = below(&self.users) {
            return Some(format!("{}{user}", crate::proto::name::USER_PREFIX));
        }
        if let Some(sealed) = below(&self.sealed) {
            return Some(pusher_name(sealed)).filter(|name| is_class(name, Class::Encrypted));
        }
        if is_own(channel.as_str()) {
            return None;
        }
        let name = match self.mounts.iter().find_map(|mount| mount.name_of(channel)) {
            Some(name) => name,
            None => {
                let name = pusher_name(channel.as_str().strip_prefix(self.namespace.as_str())?);
                let hidden = self.mounts.iter().any(|mount| mount.channel_of(&name).is_some());
                (!hidden).then_some(name)?
            }
        };
        let kind = Kind::of(&name, MAX_NAME_BYTES).ok()?;
        let mounted = || self.mounts.iter().any(|mount| mount.channel_of(&name).is_some());
        (kind.class != Class::Encrypted || mounted()).then_some(name)
    }
}

fn is_class(name: &str, class: Class) -> bool {
    Kind::of(name, MAX_NAME_BYTES).is_ok_and(|kind| kind.class == class)
}

/// Channels that no Pusher name reaches: per-user channels are guarded by sign-in, and a level that is a bare `+` or `#`
/// would make a subscription to one channel a subscription to many.
fn is_own(channel: &str) -> bool {
    channel.starts_with("$pusher/") || has_wildcard(channel)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;

    fn mount(channel: &str, name: &str) -> Result<Mount, MountError> {
        Mount::new(&Filter::new(channel).unwrap(), name, None)
    }
    fn names(pairs: &[(&str, &str)]) -> Names {
        Names::new("demo", None, pairs.iter().map(|(a, b)| mount(a, b).unwrap()).collect()).unwrap()
    }
    fn channel(names: &Names, name: &str) -> Result<String, NameError> {
        names.channel(name, MAX_NAME_BYTES).map(|(channel, _)| channel.to_string())
    }
    fn name(names: &Names, channel: &str) -> Option<String> {
        names.name(&Channel::new(channel).unwrap())
    }

    #[test]
    fn a_mount_names_a_tree_both_ways() {
        let names = names(&[("sensors/#", "private-sensors.*"), ("alarm", "presence-alarm")]);
        for (ours, theirs) in [
            ("sensors/kitchen/temp", "private-sensors.kitchen.temp"),
            ("sensors/a.b", "private-sensors.a=2Eb"),
            ("sensors/", "private-sensors."),
            ("sensors", "private-sensors"),
            ("alarm", "presence-alarm"),
            ("other/x", "other.x"),
        ] {
            assert_eq!(name(&names, ours).as_deref(), Some(theirs));
            assert_eq!(channel(&names, theirs).as_deref(), Ok(ours));
        }
    }

    #[test]
    fn a_mounted_channel_has_no_second_name() {
        let names = names(&[("sensors/#", "private-sensors.*")]);
        let known = NameError::Mounted("private-sensors.kitchen".into());
        assert_eq!(channel(&names, "sensors.kitchen"), Err(known));
        assert_eq!(name(&names, "private-sensors/kitchen"), None);
    }

    #[test]
    fn users_have_channels_of_their_own() {
        let names = names(&[]);
        assert_eq!(channel(&names, "#server-to-user-7").as_deref(), Ok("$pusher/demo/users/7"));
        assert_eq!(name(&names, "$pusher/demo/users/7").as_deref(), Some("#server-to-user-7"));
        assert_eq!(channel(&names, "=24pusher.demo.users.7"), Err(NameError::Reserved));
    }

    #[test]
    fn encrypted_channels_stay_apart_unless_mounted() {
        let names = names(&[("vault/#", "private-encrypted-vault.*")]);
        assert_eq!(
            channel(&names, "private-encrypted-a.b").as_deref(),
            Ok("$pusher/demo/encrypted/private-encrypted-a/b")
        );
        let back = name(&names, "$pusher/demo/encrypted/private-encrypted-a/b");
        assert_eq!(back.as_deref(), Some("private-encrypted-a.b"));
        assert_eq!(name(&names, "private-encrypted-a/b"), None);
        assert_eq!(channel(&names, "private-encrypted-vault.b").as_deref(), Ok("vault/b"));
        assert_eq!(name(&names, "vault/b").as_deref(), Some("private-encrypted-vault.b"));
    }

    #[test]
    fn a_namespace_keeps_applications_apart() {
        let names = Names::new("b", Some("tenant-b"), vec![mount("shared/#", "cache-shared.*").unwrap()]).unwrap();
        assert_eq!(channel(&names, "room.1").as_deref(), Ok("tenant-b/room/1"));
        assert_eq!(name(&names, "tenant-b/room/1").as_deref(), Some("room.1"));
        assert_eq!(name(&names, "room/1"), None);
        assert_eq!(channel(&names, "cache-shared.x").as_deref(), Ok("shared/x"));
    }

    #[test]
    fn faulty_mounts_are_refused() {
        let class = Mount::new(&Filter::new("a").unwrap(), "private-a", Some(Class::Presence));
        assert!(matches!(class, Err(MountError::Class { .. })));
        assert!(matches!(mount("a/+/b", "x"), Err(MountError::Channel(_))));
        assert!(matches!(mount("a/#", "x"), Err(MountError::OneSided { .. })));
        assert!(matches!(mount("a", "x*"), Err(MountError::OneSided { .. })));
        assert!(matches!(mount("a", "x y"), Err(MountError::Name(_))));
        assert!(matches!(mount("a/#", "x*y*"), Err(MountError::Name(_))));
        for pairs in [
            [("a/#", "x.*"), ("a/b", "y")],
            [("a/#", "x.*"), ("b/#", "x.y.*")],
            [("a/#", "x.*"), ("b", "x.y")],
            [("a/#", "x.*"), ("b", "x")],
            [("a", "x"), ("b", "x")],
        ] {
            let mounts = pairs.iter().map(|(a, b)| mount(a, b).unwrap()).collect();
            assert!(matches!(Names::new("demo", None, mounts), Err(MountError::Overlap(..))), "{pairs:?}");
        }
    }

    #[test]
    fn a_name_never_becomes_a_wildcard() {
        let names = names(&[("sensors/#", "private-sensors.*")]);
        for name in ["=2B", "a.=2B.b", "a.=23", "private-sensors.=23", "private-sensors.=2B.x"] {
            assert_eq!(channel(&names, name), Err(NameError::Reserved), "{name}");
        }
        assert_eq!(channel(&names, "a=2Bb").as_deref(), Ok("a+b"));
    }

    #[test]
    fn names_over_the_limit_are_refused() {
        let names = names(&[]);
        assert!(channel(&names, &"x".repeat(164)).is_ok());
        assert!(channel(&names, &"x".repeat(165)).is_err());
        assert!(name(&names, &"é".repeat(40)).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]
        #[test]
        fn names_and_channels_stay_one_to_one(text in "(private-|presence-|private-encrypted-)?(sensors|other|s)?[./=3D2Ea]{0,8}") {
            let names = names(&[("sensors/#", "private-sensors.*"), ("s", "presence-s"), ("#x/#", "other.*")]);
            if let Ok((channel, _)) = names.channel(&text, MAX_NAME_BYTES) {
                let back = names.name(&channel);
                prop_assert_eq!(back.as_deref(), Some(text.as_str()));
            }
            if let Ok(channel) = Channel::new(text.as_str()) && let Some(name) = names.name(&channel) {
                let back = names.channel(&name, MAX_NAME_BYTES).map(|(channel, _)| channel);
                prop_assert_eq!(back, Ok(channel));
            }
        }
    }
}
