//! Who someone is: the `channel_data` of a presence subscription and the `user_data` of a sign-in.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{policy::Limits, text};

/// One user of a presence channel, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The id, a number written as text.
    pub user_id: String,
    /// `user_info` as the exact JSON that was signed, `None` where there was none.
    pub user_info: Option<String>,
}

/// A signed-in user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who it is on presence channels without a `channel_data`.
    pub member: Member,
    /// Whose coming and going it wants to know, without itself and without repeats.
    pub watchlist: Vec<String>,
    /// Whether the watchlist was longer than allowed and was cut.
    pub watchlist_cut: bool,
}

/// Why the data about a user is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberFault {
    /// Not an object, or a field of the wrong type.
    #[error("{0} must be the JSON of an object")]
    Shape(&'static str),
    /// No usable id.
    #[error("{0} must have a non-empty {1}")]
    NoId(&'static str, &'static str),
    /// An id over the limit.
    #[error("the user id has more than {0} characters")]
    LongId(usize),
    /// A sign-in id that could not name a channel.
    #[error("the user id may have letters, digits and _ - = @ , . ; only")]
    IdAlphabet,
    /// `user_info` over the limit.
    #[error("user_info has more than {0} bytes")]
    LongInfo(usize),
}

#[derive(Deserialize)]
struct ChannelData {
    user_id: Option<Box<RawValue>>,
    user_info: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct UserData {
    id: Option<Box<RawValue>>,
    user_info: Option<Box<RawValue>>,
    watchlist: Option<Box<RawValue>>,
}

impl Member {
    /// Reads the `channel_data` of a presence subscription.
    ///
    /// # Errors
    /// See [`MemberFault`].
    pub fn from_channel_data(data: &str, limits: &Limits) -> Result<Self, MemberFault> {
        const WHAT: &str = "channel_data";
        let data: ChannelData = serde_json::from_str(data).map_err(|_| MemberFault::Shape(WHAT))?;
        Self::new(WHAT, "user_id", data.user_id, data.user_info, limits)
    }

    fn new(
        what: &'static str,
        field: &'static str,
        id: Option<Box<RawValue>>,
        info: Option<Box<RawValue>>,
        limits: &Limits,
    ) -> Result<Self, MemberFault> {
        let id = id.and_then(|raw| text::as_id(&raw)).filter(|id| !id.is_empty());
        let user_id = id.ok_or(MemberFault::NoId(what, field))?;
        if user_id.chars().count() > limits.user_id_chars {
            return Err(MemberFault::LongId(limits.user_id_chars));
        }
        let user_info = info.map(|raw| raw.get().to_owned()).filter(|raw| raw != "null");
        if user_info.as_ref().is_some_and(|info| info.len() > limits.presence_info_bytes) {
            return Err(MemberFault::LongInfo(limits.presence_info_bytes));
        }
        Ok(Self { user_id, user_info })
    }
}

impl User {
    /// Reads the `user_data` of a sign-in.
    ///
    /// # Errors
    /// See [`MemberFault`].
    pub fn from_user_data(data: &str, limits: &Limits) -> Result<Self, MemberFault> {
        const WHAT: &str = "user_data";
        let data: UserData = serde_json::from_str(data).map_err(|_| MemberFault::Shape(WHAT))?;
        let member = Member::new(WHAT, "id", data.id, data.user_info, limits)?;
        let channel = format!("{}{}", super::name::USER_PREFIX, member.user_id);
        super::name::Kind::of(&channel, usize::MAX).map_err(|_| MemberFault::IdAlphabet)?;
        let listed: Vec<Box<RawValue>> = match data.watchlist {
            Some(raw) => serde_json::from_str(raw.get()).map_err(|_| MemberFault::Shape("watchlist"))?,
            None => Vec::new(),
        };
        let watchlist_cut = listed.len() > limits.watchlist_users;
        let mut watchlist: Vec<String> = Vec::new();
        for id in listed.iter().take(limits.watchlist_users).filter_map(|raw| text::as_id(raw)) {
            if id != member.user_id && id.len() <= 4 * limits.user_id_chars && !watchlist.contains(&id) {
                watchlist.push(id);
            }
        }
        Ok(Self { member, watchlist, watchlist_cut })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn member(data: &str) -> Result<Member, MemberFault> {
        Member::from_channel_data(data, &Limits::default())
    }

    #[test]
    fn numbers_become_text() {
        assert_eq!(member(r#"{"user_id":10}"#).unwrap().user_id, "10");
        assert_eq!(
            member(r#"{"user_id":"a","user_info":{"n": 1}}"#).unwrap().user_info.as_deref(),
            Some(r#"{"n": 1}"#)
        );
        assert_eq!(member(r#"{"user_id":"a","user_info":null}"#).unwrap().user_info, None);
    }

    #[test]
    fn faulty_data_is_named() {
        for data in ["", "[]", "1", "null", r#"{"user_id":"#] {
            assert!(matches!(member(data), Err(MemberFault::Shape(_))), "{data}");
        }
        for data in ["{}", r#"{"user_id":""}"#, r#"{"user_id":null}"#, r#"{"user_id":{}}"#, r#"{"user_id":true}"#] {
            assert!(matches!(member(data), Err(MemberFault::NoId(..))), "{data}");
        }
        let long = format!(r#"{{"user_id":"{}"}}"#, "x".repeat(129));
        assert_eq!(member(&long), Err(MemberFault::LongId(128)));
        let long = format!(r#"{{"user_id":"x","user_info":"{}"}}"#, "x".repeat(1024));
        assert_eq!(member(&long), Err(MemberFault::LongInfo(1024)));
    }

    #[test]
    fn a_watchlist_is_cut_and_cleaned() {
        let ids: Vec<String> = (0..150).map(|n| n.to_string()).collect();
        let data = serde_json::json!({"id": "3", "watchlist": ids}).to_string();
        let user = User::from_user_data(&data, &Limits::default()).unwrap();
        assert!(user.watchlist_cut);
        assert_eq!(user.watchlist.len(), 99, "the first hundred, without the user itself");
        let user = User::from_user_data(r#"{"id":"a","watchlist":["b","b",7]}"#, &Limits::default()).unwrap();
        assert_eq!((user.watchlist, user.watchlist_cut), (vec!["b".to_owned(), "7".to_owned()], false));
        assert_eq!(User::from_user_data(r#"{"id":"a b"}"#, &Limits::default()), Err(MemberFault::IdAlphabet));
    }
}
