#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
use super::*;

fn id(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

fn sent(session: &mut Session, qos: Qos) -> NonZeroU16 {
    let id = session.free_id().unwrap();
    session.published(id, (Token::default(), 1), qos, Instant::now());
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
    assert_eq!(again, [Again::Release(third), Again::Release(first), Again::Publish(second, Token::default())]);
    assert_eq!(session.used(), 0);
    session.repeated(second, now);
    session.repeated(third, now);
    session.repeated(third, now);
    assert_eq!(session.used(), 2, "what is repeated takes its place once");
}

#[test]
fn a_lost_session_forgets_everything() {
    let (mut session, now) = (Session::default(), Instant::now());
    sent(&mut session, Qos::AtLeastOnce);
    assert!(!session.has_received(id(7), &Publish::default()));
    assert!(session.connected(false).is_empty());
    assert!(session.tokens().is_empty() && !session.has_received(id(7), &Publish::default()));
    assert_eq!(session.puback(id(1), OK, now), Answer::Nothing);
}

#[test]
fn qos_2_is_taken_once_over_any_number_of_connections() {
    let (mut session, now) = (Session::default(), Instant::now());
    let publish = Publish { dup: true, ..Publish::default() };
    assert!(!session.has_received(id(7), &publish));
    session.broken(now);
    session.connected(true);
    assert!(session.has_received(id(7), &publish));
    assert!(session.released(id(7), now));
    assert!(!session.released(id(7), now), "a repeated PUBREL is answered but means nothing");
    session.broken(now);
    session.connected(true);
    assert!(!session.has_received(id(7), &publish), "the id is free for another message");
    session.not_received(id(7));
    assert!(!session.has_received(id(7), &publish), "what the bus did not take is taken when it is repeated");
}

const DOUBT: Duration = Duration::from_millis(50);

/// A broker that acknowledges, is killed before it has saved, and comes back as it was.
#[test]
fn doubted_steps_are_repeated_after_a_break() {
    let (mut session, now) = (Session::new(DOUBT), Instant::now());
    let (one, two, three) = (
        sent(&mut session, Qos::AtLeastOnce),
        sent(&mut session, Qos::ExactlyOnce),
        sent(&mut session, Qos::ExactlyOnce),
    );
    assert_eq!(session.puback(one, OK, now), Answer::Nothing);
    assert_eq!(session.pubrec(two, OK, now), Answer::Nothing);
    assert_eq!(session.pubrec(three, OK, now - DOUBT), Answer::Nothing);
    assert!(session.due(now).is_empty(), "in order");
    session.broken(now);
    let token = Token::default();
    assert_eq!(
        session.connected(true),
        [Again::Publish(one, token), Again::Publish(two, token), Again::Publish(three, token)]
    );
    assert_eq!(session.pubrec(two, OK, now), Answer::Nothing);
    assert_eq!(session.due(now + DOUBT), [Due::Release(two)]);
    assert_eq!(session.pubcomp(two, now + DOUBT), Answer::Nothing);
    assert_eq!(session.connected(true)[0], Again::Release(two), "PUBCOMP is doubted too");
    assert_eq!(session.pubcomp(two, now), Answer::Nothing);
    assert_eq!(session.due(now + DOUBT), [Due::Done(token)]);
}

#[test]
fn doubted_publications_leave_their_place_to_others() {
    let (mut session, now) = (Session::new(DOUBT), Instant::now());
    let one = sent(&mut session, Qos::AtLeastOnce);
    assert_eq!(session.used(), 1);
    session.puback(one, OK, now);
    session.puback(one, OK, now);
    assert_eq!(session.used(), 0);
    assert_eq!(session.leaving(), [Due::Done(Token::default())]);
}

#[test]
fn a_broker_that_forgot_a_completed_message_cannot_deliver_it_twice() {
    let (mut session, now) = (Session::new(DOUBT), Instant::now());
    let publish = |dup, payload: &'static str| Publish { dup, payload: payload.into(), ..Publish::default() };
    assert!(!session.has_received(id(7), &publish(false, "x")));
    session.released(id(7), now);
    session.broken(now);
    session.connected(true);
    assert!(session.has_received(id(7), &publish(true, "x")), "the same again");
    session.released(id(7), now);
    session.broken(now);
    session.connected(true);
    assert!(!session.has_received(id(7), &publish(true, "y")), "another message under the same id");
    session.released(id(7), now);
    session.broken(now + 2 * DOUBT);
    session.connected(true);
    assert!(!session.has_received(id(7), &publish(true, "y")), "too long ago to be forgotten");
}

#[test]
fn a_broker_that_forgot_which_id_it_gave_loses_nothing_and_delivers_nothing_twice() {
    let (mut session, now) = (Session::new(DOUBT), Instant::now());
    let publish = |payload: &'static str| Publish { payload: payload.into(), ..Publish::default() };
    assert!(!session.has_received(id(7), &publish("x")));
    assert!(!session.has_received(id(8), &publish("y")));
    session.broken(now);
    session.connected(true);
    assert!(!session.has_received(id(7), &publish("z")), "another message under an id that is still held");
    assert!(session.has_received(id(9), &publish("x")), "whose message comes under another id");
    assert!(session.has_received(id(8), &publish("y")), "and this one under its own");
    assert!([7, 8, 9].into_iter().all(|n| session.released(id(n), now)));
    assert!(!session.has_received(id(10), &publish("x")), "the same words once more are another message");
}

#[test]
fn repeated_acknowledgements_change_nothing() {
    let (mut session, now) = (Session::default(), Instant::now());
    let two = sent(&mut session, Qos::ExactlyOnce);
    assert_eq!(session.pubrec(two, OK, now), Answer::Release(OK));
    assert_eq!(session.pubrec(two, OK, now), Answer::Release(OK));
    assert_eq!(session.pubcomp(two, now), Answer::Done(Token::default()));
    assert_eq!(session.pubcomp(two, now), Answer::Nothing);
    assert_eq!(session.pubrec(two, OK, now), Answer::Release(ReasonCode::PACKET_ID_NOT_FOUND));
    assert_eq!(session.used(), 0);
}

#[test]
fn refusals_free_the_id() {
    let (mut session, now) = (Session::default(), Instant::now());
    let (one, two) = (sent(&mut session, Qos::AtLeastOnce), sent(&mut session, Qos::ExactlyOnce));
    let denied = ReasonCode::NOT_AUTHORIZED;
    assert_eq!(session.puback(one, denied, now), Answer::Failed(Token::default(), denied));
    assert_eq!(session.pubrec(two, denied, now), Answer::Failed(Token::default(), denied));
    assert_eq!(session.used(), 0);
}

#[test]
fn the_wrong_acknowledgement_is_a_violation() {
    let (mut session, now) = (Session::default(), Instant::now());
    let (one, two) = (sent(&mut session, Qos::AtLeastOnce), sent(&mut session, Qos::ExactlyOnce));
    assert_eq!(session.puback(two, OK, now), Answer::Violation);
    assert_eq!(session.pubrec(one, OK, now), Answer::Violation);
    assert_eq!(session.pubcomp(two, now), Answer::Violation);
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
