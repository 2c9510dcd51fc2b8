//! The `protocol` parameter of a connection (Pusher, "Websocket protocol", "Connection").

use super::close::Close;

/// Whether the protocol asked for is spoken here: 5 to 7, and none means 7.
///
/// # Errors
/// [`Close::BadVersion`] for what is no number, [`Close::Protocol`] for another number.
pub fn check(protocol: Option<&str>) -> Result<(), Close> {
    let Some(text) = protocol else { return Ok(()) };
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Close::BadVersion);
    }
    match text.trim_start_matches('0').parse::<u32>() {
        Ok(5..=7) => Ok(()),
        _ => Err(Close::Protocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_to_seven() {
        for ok in [None, Some("5"), Some("6"), Some("7")] {
            assert_eq!(check(ok), Ok(()));
        }
        for old in ["0", "4", "8", "99999999999999999999"] {
            assert_eq!(check(Some(old)), Err(Close::Protocol));
        }
        for bad in ["", "abc", "7.0", "-7", " 7"] {
            assert_eq!(check(Some(bad)), Err(Close::BadVersion));
        }
    }
}
