#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
use proptest::prelude::*;
use ratatosk_testkit::names::{Names, cases};

use super::*;

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

fn canonical(name: &str) -> String {
    match read(name) {
        Ok(Name::Channel(channel)) => channel.as_str().to_owned(),
        other => panic!("{name} reads as {other:?}"),
    }
}

#[test]
fn the_contract_table() {
    for (canonical_name, bayeux) in [
        ("sensors/kitchen/temp", "/sensors/kitchen/temp"),
        ("v1.2/data", "/v1.2/data"),
        ("/leading", "/~-/leading"),
        ("a//b", "/a/~-/b"),
        ("home/salon température", "/home/salon~20temp~xE9~rature"),
        ("$SYS/broker/uptime", "/$SYS/broker/uptime"),
        ("App/Models/User/5", "/App/Models/User/5"),
        ("device/00:11/rssi", "/device/00~3A11/rssi"),
        ("a+b", "/a~2Bb"),
        ("private-orders/7", "/private-orders/7"),
        ("/", "/~-/~-"),
        ("a/", "/a/~-"),
        ("meta", "/~6Deta"),
        ("meta/connect", "/~6Deta/connect"),
        ("service/x", "/~73ervice/x"),
        ("metal/x", "/metal/x"),
        ("a/meta", "/a/meta"),
        ("*", "/~2A"),
        ("a/**", "/a/~2A~2A"),
        ("😀", "/~x1F600~"),
    ] {
        assert_eq!(encode(&channel(canonical_name)), bayeux, "{canonical_name}");
        assert_eq!(canonical(bayeux), canonical_name, "{bayeux}");
    }
}

#[test]
fn the_escape_character_is_escaped_only_where_it_must_be() {
    for (canonical_name, bayeux) in [
        ("~", "/~"),
        ("a~b", "/a~b"),
        ("~home", "/~home"),
        ("~41", "/~7E41"),
        ("~7E41", "/~7E7E41"),
        ("~7E7E41", "/~7E7E7E41"),
        ("~7Ehome", "/~7Ehome"),
        ("~4", "/~4"),
        ("~4z", "/~4z"),
        ("~4a", "/~4a"),
        ("~2F", "/~2F"),
        ("~00", "/~00"),
        ("~-", "/~7E-"),
        ("~7E-", "/~7E7E-"),
        ("a~-", "/a~-"),
        ("~-a", "/~-a"),
        ("~xE9~", "/~7ExE9~"),
        ("~xE9", "/~xE9"),
        ("~xE9:", "/~7ExE9~3A"),
        ("~x0E9~", "/~x0E9~"),
        ("~xE9~41", "/~7ExE9~7E41"),
        ("~x41~", "/~x41~"),
        ("~xD800~", "/~xD800~"),
        ("~xé", "/~x~xE9~"),
        ("~x", "/~x"),
    ] {
        assert_eq!(encode(&channel(canonical_name)), bayeux, "{canonical_name}");
        assert_eq!(canonical(bayeux), canonical_name, "{bayeux}");
    }
}

#[test]
fn reads_more_than_it_writes() {
    for (bayeux, canonical_name) in [
        ("/a b", "a b"),
        ("/a+b/#1/{x}", "a+b/#1/{x}"),
        ("/~41bc", "Abc"),
        ("/a/b/", "a/b"),
        ("/a//b", "a//b"),
        ("//a", "/a"),
        ("/a*b", "a*b"),
        ("/service", "service"),
    ] {
        assert_eq!(canonical(bayeux), canonical_name, "{bayeux}");
    }
}

#[test]
fn kinds_of_names() {
    for name in ["/meta", "/meta/connect", "/meta/**", "/meta/x/y"] {
        assert_eq!(read(name), Ok(Name::Meta), "{name}");
    }
    assert_eq!(read("/service/echo"), Ok(Name::Service(Some(channel("service/echo")))));
    assert_eq!(read("/service/**"), Ok(Name::Service(None)));
    let pattern = |name: &str| match read(name) {
        Ok(Name::Pattern(Pattern { filter, parent })) => {
            (filter.as_str().to_owned(), parent.map(|channel| channel.as_str().to_owned()))
        }
        other => panic!("{name} reads as {other:?}"),
    };
    assert_eq!(pattern("/*"), ("+".into(), None));
    assert_eq!(pattern("/**"), ("#".into(), None));
    assert_eq!(pattern("/a/*"), ("a/+".into(), None));
    assert_eq!(pattern("/a/b/**"), ("a/b/#".into(), Some("a/b".into())));
    assert_eq!(pattern("/~-/**"), ("/#".into(), None));
}

#[test]
fn refused_names() {
    for name in ["", "a", "/", "//", "a/b"] {
        assert_eq!(read(name), Err(NameError::NotAbsolute), "{name}");
    }
    for name in ["/a/*/b", "/**/b", "/*/*"] {
        assert_eq!(read(name), Err(NameError::WildcardNotLast), "{name}");
    }
    for (name, bad) in [("/a\0", '\0'), ("/é", 'é'), ("/a:b", ':'), ("/a\n", '\n'), ("/a%", '%')] {
        assert_eq!(read(name), Err(NameError::Character(bad)), "{name}");
    }
    assert!(matches!(read(&format!("/{}", "x".repeat(70_000))), Err(NameError::Channel(_))));
    assert_eq!(read("/+/*"), Err(NameError::Unfilterable));
    assert_eq!(exact(&channel("a/+")), Err(NameError::Unfilterable));
}

#[test]
fn filters_have_a_bayeux_name_where_bayeux_has_the_pattern() {
    for (filter, bayeux) in [
        ("a/b", Some("/a/b")),
        ("a/+", Some("/a/*")),
        ("a/#", Some("/a/**")),
        ("#", Some("/**")),
        ("+/b", None),
        ("meta/#", Some("/~6Deta/**")),
    ] {
        assert_eq!(encode_filter(&Filter::new(filter).unwrap()).as_deref(), bayeux, "{filter}");
    }
}

/// Made of pieces that escapes are made of.
fn adversarial() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "~", "7E", "x", "E9", "-", "/", "meta", "service", "41", "2F", "00", "é", "😀", ":", "*", "+", "#", " ", "a",
        "0", "D800", "~7E", "~x", "~-", ".", "{",
    ]);
    prop::collection::vec(piece, 1..10).prop_map(|pieces| pieces.concat())
}

const PIECES: &[&str] = &[
    "~", "7E", "x", "E9", "-", "/", "meta", "service", "41", "2F", "00", "é", "😀", ":", "*", "+", "#", " ", "a", "0",
    "D800", "~7E", "~x", "~-", ".", "{",
];
const READABLE: &[&str] = &[
    "~", "7E", "x", "E9", "-", "/", "meta", "service", "41", "2F", "00", "*", "+", "#", " ", "a", "0", "D800", "~7E",
    "~x", "~-", ".", "{", "~xE9~", "~3A",
];

#[test]
fn a_million_canonical_names_survive() {
    let mut names = Names::new(PIECES);
    for _ in 0..cases() {
        let channel = channel(names.next_name());
        let written = encode(&channel);
        let legal = |b: u8| b == b'/' || b == b'~' || b.is_ascii_alphanumeric() || b"-_!()$@.".contains(&b);
        assert!(written.bytes().all(legal) && !written.contains("//") && !written.ends_with('/'), "{written}");
        assert_eq!(read(&written), Ok(Name::Channel(channel)), "{written}");
    }
}

/// It reads more than it writes: whatever it reads has one spelling of ours, which means the same.
#[test]
fn a_million_readable_names_mean_what_our_own_spelling_means() {
    let mut names = Names::only(READABLE);
    for _ in 0..cases() {
        let name = format!("/{}", names.next_name());
        if let Ok(Name::Channel(meant)) = read(&name) {
            let own = encode(&meant);
            assert_eq!(read(&own), Ok(Name::Channel(meant)), "{name} {own}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn every_canonical_name_survives(name in prop_oneof![adversarial(), "[^\\x00]{1,20}"]) {
        let written = encode(&channel(&name));
        prop_assert!(written.bytes().all(|b| b == b'/' || b == b'~' || b.is_ascii_alphanumeric() || b"-_!()$@.".contains(&b)), "{}", written);
        prop_assert!(!written.contains("//") && !written.ends_with('/'));
        prop_assert_eq!(read(&written), Ok(Name::Channel(channel(&name))), "{}", written);
    }

    #[test]
    fn every_readable_name_means_what_its_own_spelling_means(text in adversarial()) {
        if let Ok(Name::Channel(meant)) = read(&format!("/{text}")) {
            let own = encode(&meant);
            prop_assert_eq!(read(&own), Ok(Name::Channel(meant.clone())), "{}", &own);
        }
    }

    #[test]
    fn two_names_never_share_a_spelling(a in adversarial(), b in adversarial()) {
        prop_assert_eq!(a == b, encode(&channel(&a)) == encode(&channel(&b)));
    }

    #[test]
    fn no_input_panics(text in any::<String>()) {
        let _ = read(&text);
    }
}
