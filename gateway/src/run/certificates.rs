//! When certificates end, read from their DER (RFC 5280 section 4.1).

use crate::config::Resolved;

/// The certificates of the TLS listeners: a name for each, and when it ends in Unix seconds.
pub(super) fn expiries(resolved: &Resolved) -> Vec<(String, i64)> {
    let chain = resolved.tls.iter().flat_map(|tls| tls.certified.cert.first());
    chain.filter_map(|certificate| Some(("tls".to_owned(), not_after(certificate)?))).collect()
}

/// A DER element: its tag and its content.
type Element<'a> = (u8, &'a [u8]);

/// The first element, and what follows it.
fn element(input: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) =
            rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some(((tag, content), rest))
}

/// `notAfter` of a certificate.
fn not_after(certificate: &[u8]) -> Option<i64> {
    const CONTEXT_0: u8 = 0xa0;
    let ((_, certificate), _) = element(certificate)?;
    let ((_, body), _) = element(certificate)?;
    let ((tag, _), after_version) = element(body)?;
    // The version stands there only when it is not the first; serial number, signature algorithm and issuer follow.
    let mut rest = if tag == CONTEXT_0 { after_version } else { body };
    for _ in 0..3 {
        rest = element(rest)?.1;
    }
    let ((_, validity), _) = element(rest)?;
    let (_, after_begin) = element(validity)?;
    let ((tag, time), _) = element(after_begin)?;
    unix_seconds(tag, std::str::from_utf8(time).ok()?)
}

/// `YYMMDDHHMMSSZ` (UTCTime) or `YYYYMMDDHHMMSSZ` (GeneralizedTime).
fn unix_seconds(tag: u8, text: &str) -> Option<i64> {
    const UTC_TIME: u8 = 0x17;
    let digits = text.strip_suffix('Z')?;
    let (year, rest) = digits.split_at_checked(if tag == UTC_TIME { 2 } else { 4 })?;
    let mut year: i64 = year.parse().ok()?;
    if tag == UTC_TIME {
        year += if year < 50 { 2000 } else { 1900 };
    }
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day) = (part(0)?, part(2)?);
    let (hour, minute, second) = (part(4)?, part(6)?, part(8)?);
    Some(days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days of the Gregorian calendar, with the year beginning in March so that the leap day is its last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use rustls::pki_types::{CertificateDer, pem::PemObject};

    use super::*;

    #[test]
    fn times_are_read_as_rfc_5280_writes_them() {
        assert_eq!(unix_seconds(0x17, "700101000000Z"), Some(0));
        assert_eq!(unix_seconds(0x17, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(unix_seconds(0x17, "500101000000Z"), Some(-631_152_000));
        assert_eq!(unix_seconds(0x18, "20240229120000Z"), Some(1_709_208_000));
        for bad in ["", "Z", "7001010000Z", "700101000000", "70010100000xZ", "\u{fc}0101000000Z"] {
            assert_eq!(unix_seconds(0x17, bad), None, "{bad}");
        }
    }

    #[test]
    fn the_end_of_a_real_certificate_is_found_and_no_cut_of_it_panics() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/one.pem");
        let certificate = CertificateDer::from_pem_file(path).unwrap();
        let ends = not_after(&certificate).unwrap();
        assert!((1_700_000_000..20_000_000_000).contains(&ends), "{ends}");
        for length in 0..certificate.len() {
            let _ = not_after(certificate.get(..length).unwrap());
        }
    }
}
