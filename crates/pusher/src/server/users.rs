//! Signed-in users, and who watches whom.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::{client::Client, packet::Packet};
use crate::proto::{frame, member::User, socket_id::SocketId};

type Clients = HashMap<SocketId, Arc<Client>>;

#[derive(Default)]
struct State {
    /// By user: the connections that signed in as it.
    online: HashMap<String, Clients>,
    /// By user: the connections that want to know about it.
    watchers: HashMap<String, Clients>,
}

/// See the module. News is sent under the lock, so that everyone hears it in order.
#[derive(Default)]
pub(super) struct Users(Mutex<State>);

impl Users {
    /// Enters a connection of a user. `before` is what the same connection signed in with earlier.
    pub(super) fn sign_in(&self, user: &User, before: Option<&User>, client: &Arc<Client>) {
        let mut state = self.0.lock();
        for watched in before.iter().flat_map(|user| &user.watchlist) {
            state.unwatch(watched, client.socket_id);
        }
        for watched in &user.watchlist {
            state.watchers.entry(watched.clone()).or_default().insert(client.socket_id, client.clone());
        }
        let id = &user.member.user_id;
        let connections = state.online.entry(id.clone()).or_default();
        let came = connections.is_empty();
        connections.insert(client.socket_id, client.clone());
        if came {
            state.tell_watchers(id, true);
        }
        let (online, offline): (Vec<&str>, Vec<&str>) =
            user.watchlist.iter().map(String::as_str).partition(|watched| state.online.contains_key(*watched));
        if let Some(text) = frame::watchlist(online.into_iter(), offline.into_iter()) {
            client.tell(&text);
        }
    }

    /// A connection of a user is gone.
    pub(super) fn sign_out(&self, user: &User, client: &Client) {
        let mut state = self.0.lock();
        for watched in &user.watchlist {
            state.unwatch(watched, client.socket_id);
        }
        let id = user.member.user_id.as_str();
        let Some(connections) = state.online.get_mut(id) else { return };
        if connections.remove(&client.socket_id).is_some() && connections.is_empty() {
            state.online.remove(id);
            state.tell_watchers(id, false);
        }
    }

    /// The connections of a user.
    pub(super) fn connections(&self, user: &str) -> Vec<Arc<Client>> {
        let state = self.0.lock();
        state.online.get(user).map(|clients| clients.values().cloned().collect()).unwrap_or_default()
    }
}

impl State {
    fn unwatch(&mut self, watched: &str, socket_id: SocketId) {
        let Some(watchers) = self.watchers.get_mut(watched) else { return };
        watchers.remove(&socket_id);
        if watchers.is_empty() {
            self.watchers.remove(watched);
        }
    }

    fn tell_watchers(&self, user: &str, online: bool) {
        let Some(watchers) = self.watchers.get(user) else { return };
        let (on, off) = if online { (Some(user), None) } else { (None, Some(user)) };
        if let Some(text) = frame::watchlist(on.into_iter(), off.into_iter()) {
            let packet = Packet::new(&text);
            watchers.values().for_each(|client| client.send(&packet));
        }
    }
}
