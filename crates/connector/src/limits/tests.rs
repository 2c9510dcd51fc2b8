#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroU32;

use super::*;

fn limits(change: impl FnOnce(&mut LimitsConfig)) -> Limits {
    let mut config = LimitsConfig::default();
    change(&mut config);
    Limits::new(config, Monitor::default())
}

fn connector() -> Connector {
    Connector::register("test")
}

#[test]
fn connections_are_counted_until_they_are_dropped() {
    let limits = limits(|config| config.connections = Some(2));
    let (first, second, third) = (limits.open(), limits.open(), limits.open());
    assert_eq!([&first.1, &second.1, &third.1], [&Ok(()), &Ok(()), &Err(Limit::Connections)]);
    drop((first, third));
    assert_eq!(limits.connections(), 1);
    assert!(limits.open().1.is_ok());
}

#[test]
fn an_address_begins_sessions_no_faster_than_it_may_open_connections() {
    let limits = limits(|config| {
        config.connection_rate_per_address = NonZeroU32::new(3);
        config.exempt = vec!["10.0.0.0/8".parse().unwrap()];
    });
    let begin = |address: &str| limits.begin(connector(), address.parse().ok());
    assert!(limits.open().0.place("192.0.2.1".parse().unwrap()).is_ok());
    let flood: Vec<_> = (0..5).map(|_| begin("192.0.2.1")).collect();
    assert_eq!(flood.iter().filter(|begun| begun.is_ok()).count(), 3);
    assert_eq!(flood.last(), Some(&Err(Limit::AddressRate)));
    assert!(begin("192.0.2.2").is_ok() && (0..5).all(|_| begin("10.0.0.1").is_ok() && begin("").is_ok()));
}

#[test]
fn an_address_has_its_own_limits_and_a_proxy_has_none() {
    let limits = limits(|config| {
        config.connections_per_address = Some(1);
        config.exempt = vec!["10.0.0.0/8".parse().unwrap()];
    });
    let come = |address: &str| {
        let (mut seat, _) = limits.open();
        seat.place(address.parse().unwrap()).map(|()| seat)
    };
    let first = come("192.0.2.1").unwrap();
    assert_eq!(come("192.0.2.1").unwrap_err(), Limit::AddressConnections);
    assert_eq!(come("::ffff:192.0.2.1").unwrap_err(), Limit::AddressConnections);
    let _others = (come("192.0.2.2").unwrap(), come("10.0.0.1").unwrap(), come("10.0.0.1").unwrap());
    drop(first);
    let _again = come("192.0.2.1").unwrap();
    let _network = come("2001:db8::1").unwrap();
    assert_eq!(come("2001:db8::2").unwrap_err(), Limit::AddressConnections);
    assert!(come("2001:db8:0:1::2").is_ok());
}

#[test]
fn a_flood_from_one_address_is_no_trouble_to_others() {
    let limits = limits(|config| config.connection_rate_per_address = NonZeroU32::new(3));
    let come = |address: &str| limits.open().0.place(address.parse().unwrap());
    let flood: Vec<_> = (0..5).map(|_| come("192.0.2.1")).collect();
    assert_eq!(flood.iter().filter(|come| come.is_ok()).count(), 3);
    assert_eq!(flood.last(), Some(&Err(Limit::AddressRate)));
    assert!(come("192.0.2.2").is_ok());
}

#[test]
fn a_user_has_its_own_limits() {
    let limits = limits(|config| {
        config.connections_per_user = Some(1);
        config.publish_rate_per_user = NonZeroU32::new(2);
    });
    let (ann, joe): (Arc<str>, Arc<str>) = ("ann".into(), "joe".into());
    let first = limits.enter(connector(), Some(&ann)).unwrap();
    assert_eq!(limits.enter(connector(), Some(&ann)).unwrap_err(), Limit::UserConnections);
    let mut nobody = limits.enter(connector(), None).unwrap();
    assert_eq!(nobody.become_user(&ann).unwrap_err(), Limit::UserConnections);
    assert!(nobody.become_user(&joe).is_ok());
    // A request and a session of one user share its rate.
    assert!(first.publish().is_ok() && limits.publish(Some(&ann), None).is_ok());
    assert!(first.publish().is_err() && limits.publish(Some(&ann), None).is_err());
    assert!(nobody.publish().is_ok());
    drop(first);
    assert!(limits.enter(connector(), Some(&ann)).is_ok());
}

#[test]
fn a_session_publishes_at_its_rate_and_without_limits_nothing_is_held() {
    let limited = limits(|config| config.publish_rate = NonZeroU32::new(5));
    let guest = limited.enter(connector(), None).unwrap();
    assert_eq!((0..10).filter(|_| guest.publish().is_ok()).count(), 5);
    let address = Some("192.0.2.1".parse().unwrap());
    assert_eq!((0..10).filter(|_| limited.publish(None, address).is_ok()).count(), 5);
    let open = limits(|_| {});
    let guest = open.enter(connector(), Some(&"ann".into())).unwrap();
    assert!((0..10_000).all(|_| guest.publish().is_ok()));
    assert_eq!(size_of::<Guest>(), size_of::<usize>());
    assert_eq!((open.0.users.len(), open.0.addresses.len()), (0, 0));
}

#[test]
fn the_book_forgets_whom_nothing_is_held_against() {
    let limits = limits(|config| config.connections_per_address = Some(10));
    for number in 0..20_000_u32 {
        let address = std::net::Ipv4Addr::from_bits(number);
        assert!(limits.open().0.place(address.into()).is_ok());
    }
    assert!(limits.0.addresses.len() <= 2048, "{}", limits.0.addresses.len());
}

#[test]
fn every_limit_is_in_the_reference() {
    let reference = include_str!("../../../../docs/metrics.md");
    for limit in Limit::ALL {
        assert!(reference.contains(&format!("`{}`", limit.label())), "{}", limit.label());
    }
}
