//! Who is in a presence channel, as a client knows it: kept over a reconnect, so that what is told afterwards are true
//! joins and leaves.

use std::collections::BTreeMap;

use super::member::Member;

/// The state of one channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presence {
    members: BTreeMap<String, Option<String>>,
    me: Option<String>,
}

/// What changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Who joined.
    pub joined: Vec<Member>,
    /// Who left.
    pub left: Vec<String>,
}

impl Presence {
    /// The subscription is live (again), and these are there.
    pub fn succeeded(&mut self, members: Vec<Member>, me: Option<String>) -> Changes {
        let before = std::mem::take(&mut self.members);
        let mut changes = Changes::default();
        for member in members {
            if !before.contains_key(&member.user_id) {
                changes.joined.push(member.clone());
            }
            self.members.insert(member.user_id, member.user_info);
        }
        changes.left = before.into_keys().filter(|id| !self.members.contains_key(id)).collect();
        self.me = me;
        changes
    }

    /// One joined. Whether that is news.
    pub fn added(&mut self, member: Member) -> bool {
        self.members.insert(member.user_id, member.user_info).is_none()
    }

    /// One left. Whether that is news.
    pub fn removed(&mut self, user_id: &str) -> bool {
        self.members.remove(user_id).is_some()
    }

    /// How many are there.
    #[must_use]
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// Their ids.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// Their `user_info` by id, as JSON.
    pub fn hash(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.members.iter().map(|(id, info)| (id.as_str(), info.as_deref()))
    }

    /// Who we are there.
    #[must_use]
    pub fn me(&self) -> Option<&str> {
        self.me.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str) -> Member {
        Member { user_id: id.into(), user_info: None }
    }

    #[test]
    fn a_reconnect_tells_what_happened_meanwhile_and_nothing_else() {
        let mut presence = Presence::default();
        let first = presence.succeeded(vec![member("a"), member("b")], Some("a".into()));
        assert_eq!((first.joined.len(), first.left.len()), (2, 0));
        assert!(presence.added(member("c")) && !presence.added(member("c")));
        assert!(presence.removed("c") && !presence.removed("c"));
        let again = presence.succeeded(vec![member("a"), member("d")], Some("a".into()));
        assert_eq!(again, Changes { joined: vec![member("d")], left: vec!["b".into()] });
        assert_eq!(presence.ids().collect::<Vec<_>>(), ["a", "d"]);
        assert_eq!((presence.count(), presence.me()), (2, Some("a")));
    }
}
