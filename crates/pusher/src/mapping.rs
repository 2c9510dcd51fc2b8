//! Where Pusher names meet the shared channels: the only file that knows both.
//!
//! The codec is CONTRACT section 4: `.` for `/`; letters, digits and `- _ @ , ;` literal; `=XX` for any
//! other ASCII character, `=xHEX;` for the rest, hex upper-case and minimal. `=` itself is written
//! `=3D` only where what follows would otherwise read as an escape, and reading removes exactly one such `=3D`,
//! so that every Pusher name stands for exactly one channel and the other way round.

mod codec;
mod mounts;

use ratatosk_core::Fields;

pub use codec::{channel_name, pusher_name};
pub use mounts::{Mount, MountError, NameError, Names};

/// What a Pusher event tells of any message: an event's name is all that it has a place for.
pub const CARRIES: Fields = Fields::EVENT.and(Fields::PAYLOAD);

/// The event of a message that names none; an event of this name names none.
pub const DEFAULT_EVENT: &str = "message";

/// The longest Pusher channel name in bytes, prefix included (Pusher, "Channel naming conventions").
pub const MAX_NAME_BYTES: usize = 164;
