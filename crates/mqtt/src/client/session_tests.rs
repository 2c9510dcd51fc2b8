#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;

fn id(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

fn sent(session: &mut Session, qos: Qos) -> NonZeroU16 {
    let id = session.free_id().unwrap();
    session.published(id, Token::default(), qos, Instant::now());
    id
}

const OK: ReasonCode = ReasonCode::SUCCESS;

#[test]
fn a_resumed_session_repeats_every_step_in_order() {
    let (mut session, now) = (Session::default(), Instant::now());
    let first = sent(&mut session, Qos::ExactlyOnce);
    let second = sent(&mut session, Qos::AtLeastOnce);
    let third = sent(&mut session, Qos::ExactlyOnce);
    assert_eq!(session.pubrec(third, OK, now), Answer::Release(OK));
    assert_eq!(session.pubrec(first, OK, now), Answer::Release(OK));
    let again = session.connected(true);
    assert_eq!(again, [Again::Publish(second, Token::default()), Again::Release(third), Again::Release(first)]);
    assert_eq!(session.used(), 0);
    session.repeated(second, now);
    session.repeated(third, now);
    assert_eq!(session.used(), 1);
}

#[test]
fn a_lost_session_forgets_everything() {
    let mut session = Session::default();
    sent(&mut session, Qos::AtLeastOnce);
    session.received(id(7));
    assert!(session.connected(false).is_empty());
    assert!(session.tokens().is_empty() && !session.has_received(id(7)));
    assert_eq!(session.puback(id(1), OK), Answer::Stray);
}

#[test]
fn qos_2_is_taken_once_over_any_number_of_connections() {
    let mut session = Session::default();
    assert!(!session.has_received(id(7)));
    session.received(id(7));
    session.connected(true);
    assert!(session.has_received(id(7)));
    assert!(session.released(id(7)));
    assert!(!session.released(id(7)), "a repeated PUBREL is answered but means nothing");
    assert!(!session.has_received(id(7)), "the id is free for another message");
}

#[test]
fn repeated_acknowledgements_change_nothing() {
    let (mut session, now) = (Session::default(), Instant::now());
    let two = sent(&mut session, Qos::ExactlyOnce);
    assert_eq!(session.pubrec(two, OK, now), Answer::Release(OK));
    assert_eq!(session.pubrec(two, OK, now), Answer::Release(OK));
    assert_eq!(session.pubcomp(two), Answer::Done(Token::default()));
    assert_eq!(session.pubcomp(two), Answer::Stray);
    assert_eq!(session.pubrec(two, OK, now), Answer::Release(ReasonCode::PACKET_ID_NOT_FOUND));
    assert_eq!(session.used(), 0);
}

#[test]
fn refusals_free_the_id() {
    let (mut session, now) = (Session::default(), Instant::now());
    let (one, two) = (sent(&mut session, Qos::AtLeastOnce), sent(&mut session, Qos::ExactlyOnce));
    let denied = ReasonCode::NOT_AUTHORIZED;
    assert_eq!(session.puback(one, denied), Answer::Failed(Token::default(), denied));
    assert_eq!(session.pubrec(two, denied, now), Answer::Failed(Token::default(), denied));
    assert_eq!(session.used(), 0);
}

#[test]
fn the_wrong_acknowledgement_is_a_violation() {
    let (mut session, now) = (Session::default(), Instant::now());
    let (one, two) = (sent(&mut session, Qos::AtLeastOnce), sent(&mut session, Qos::ExactlyOnce));
    assert_eq!(session.puback(two, OK), Answer::Violation);
    assert_eq!(session.pubrec(one, OK, now), Answer::Violation);
    assert_eq!(session.pubcomp(two), Answer::Violation);
}

#[test]
fn ids_in_use_are_skipped_and_run_out() {
    let mut session = Session::default();
    let request = session.free_id().unwrap();
    session.requested(request);
    for _ in 1..u16::MAX {
        sent(&mut session, Qos::AtLeastOnce);
    }
    assert_eq!(session.free_id(), None);
    session.answered(request);
    assert_eq!(session.free_id(), Some(request));
}
