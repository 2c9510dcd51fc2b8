//! The checklist of the HTML Standard's event streams (section 9.2): every row on the whole input, byte by byte, and cut at every
//! place in two; then random streams against a naive reference.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use ratatosk_sse::proto::parser::{Event, Limits, ParseError, Parser};
use std::time::Duration;

/// All that a reader can see of a stream: events as (type, data, id), then the last event id and the retry time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    events: Vec<(String, String, String)>,
    last_id: String,
    retry: Option<u64>,
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut parser = Parser::new(Limits::default(), "");
    let mut events = Vec::new();
    for piece in pieces {
        parser
            .feed(piece, &mut |event: Event| {
                events.push((event.event_type().to_owned(), event.data.clone(), event.id.to_string()));
            })
            .unwrap();
    }
    let retry = parser.retry().map(|wait| u64::try_from(wait.as_millis()).unwrap());
    Seen { events, last_id: parser.last_event_id().to_string(), retry }
}

#[track_caller]
fn row(input: &[u8], events: &[(&str, &str, &str)], last_id: &str, retry: Option<u64>) {
    let owned = |event: &(&str, &str, &str)| (event.0.to_owned(), event.1.to_owned(), event.2.to_owned());
    let want = Seen { events: events.iter().map(owned).collect(), last_id: last_id.to_owned(), retry };
    assert_eq!(read([input]), want, "whole input");
    assert_eq!(read(input.chunks(1)), want, "byte by byte");
    for cut in 0..=input.len() {
        let (left, right) = input.split_at(cut);
        assert_eq!(read([left, right]), want, "cut at {cut}");
    }
    assert_eq!(naive(input), want, "the reference agrees with the row");
}

fn message(data: &str) -> [(&str, &str, &str); 1] {
    [("message", data, "")]
}

#[test]
fn one_leading_bom_is_stripped() {
    row(b"\xef\xbb\xbfdata:1\n\n", &message("1"), "", None);
}

#[test]
fn a_second_bom_makes_an_unknown_field() {
    row(b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\n", &message("2"), "", None);
}

#[test]
fn a_later_bom_is_content() {
    row(
        "data:1\n\u{feff}data:2\n\ndata:\u{feff}3\n\n".as_bytes(),
        &[("message", "1", ""), ("message", "\u{feff}3", "")],
        "",
        None,
    );
}

#[test]
fn a_bom_on_an_empty_first_line_is_no_field() {
    row("\u{feff}\ndata:1\n\n".as_bytes(), &message("1"), "", None);
}

#[test]
fn invalid_utf8_becomes_replacement_characters() {
    row(b"data:\xff\xfea\xe2\x82\n\n", &message("\u{fffd}\u{fffd}a\u{fffd}"), "", None);
    row(b"event:\xc3\x28\ndata:x\n\n", &[("\u{fffd}(", "x", "")], "", None);
    row(b"id:\xff\ndata:x\n\n", &[("message", "x", "\u{fffd}")], "\u{fffd}", None);
}

#[test]
fn every_line_end_is_one_line_end() {
    row(b"data:1\ndata:2\rdata:3\r\ndata:4\n\n", &message("1\n2\n3\n4"), "", None);
    row(
        b"data:1\r\n\r\ndata:2\r\rdata:3\n\n",
        &[("message", "1", ""), ("message", "2", ""), ("message", "3", "")],
        "",
        None,
    );
    row(b"data:1\n\rdata:2\n\n", &[("message", "1", ""), ("message", "2", "")], "", None);
}

#[test]
fn crlf_cut_in_two_does_not_end_the_block() {
    row(b"data:1\r\ndata:2\r\n\r\n", &message("1\n2"), "", None);
}

#[test]
fn a_cr_at_the_end_of_a_piece_dispatches_at_once() {
    let mut parser = Parser::new(Limits::default(), "");
    let mut events = Vec::new();
    parser.feed(b"data:1\r\r", &mut |event: Event| events.push(event.data)).unwrap();
    assert_eq!(events, ["1"]);
    parser.feed(b"\ndata:2\r\n\r", &mut |event: Event| events.push(event.data)).unwrap();
    assert_eq!(events, ["1", "2"]);
}

#[test]
fn only_one_space_goes_and_only_a_space() {
    row(b"data:  two\ndata:\ttab\ndata: \ndata:x \n\n", &message(" two\n\ttab\n\nx "), "", None);
}

#[test]
fn a_field_without_a_colon_has_an_empty_value() {
    row(b"data\n\n", &message(""), "", None);
    row(b"data\ndata\n\n", &message("\n"), "", None);
    row(b"data:1\nevent\nid\n\n", &message("1"), "", None);
}

#[test]
fn exactly_one_trailing_line_feed_is_dropped() {
    row(b"data:1\ndata:\ndata:\n\n", &message("1\n\n"), "", None);
}

#[test]
fn empty_data_is_dispatched() {
    row(b"data:\n\n", &message(""), "", None);
    row(b"data: \n\n", &message(""), "", None);
}

#[test]
fn a_block_without_data_is_not_dispatched_but_commits_its_id() {
    row(b"event:x\nid:7\n\ndata:1\n\n", &[("message", "1", "7")], "7", None);
    row(b"id:7\n\n", &[], "7", None);
}

#[test]
fn an_id_with_nul_is_ignored() {
    row(b"id:1\n\nid:2\x00\ndata:x\n\n", &[("message", "x", "1")], "1", None);
}

#[test]
fn an_id_persists_until_an_empty_one_resets_it() {
    row(
        b"id: 1\ndata:a\n\ndata:b\n\nid\ndata:c\n\n",
        &[("message", "a", "1"), ("message", "b", "1"), ("message", "c", "")],
        "",
        None,
    );
}

#[test]
fn an_id_counts_only_when_its_block_ends() {
    row(b"id:1\ndata:a\n\nid:2\ndata:b\n", &[("message", "a", "1")], "1", None);
}

#[test]
fn the_event_type_lasts_for_one_block_and_empty_means_message() {
    row(
        b"event: a\ndata:1\n\ndata:2\n\nevent:a\nevent:\ndata:3\n\n",
        &[("a", "1", ""), ("message", "2", ""), ("message", "3", "")],
        "",
        None,
    );
}

#[test]
fn retry_takes_digits_only_and_works_without_data() {
    row(b"retry:1500\n", &[], "", Some(1500));
    for bad in ["+5", "-5", "1000x", "", " 5", "5 ", "1.5", "0x10", "\u{0661}"] {
        row(format!("retry:3000\nretry: {bad}\ndata:x\n\n").as_bytes(), &message("x"), "", Some(3000));
    }
    row(b"retry\n\n", &[], "", None);
    row(b"retry: 007\n\n", &[], "", Some(7));
}

#[test]
fn a_retry_out_of_range_is_the_most_there_is() {
    row(b"retry:99999999999999999999999999\n\n", &[], "", Some(u64::MAX));
}

#[test]
fn comments_and_unknown_fields_are_ignored() {
    row(b":\n: x\n:data:1\nDATA:2\nData:3\n data:4\ndatas:5\nfoo\ndata:6\n\n", &message("6"), "", None);
    row(b": only a comment\n\n", &[], "", None);
}

#[test]
fn a_colon_in_the_value_is_content() {
    row(b"data::1\ndata: :2\ndata:a:b\n\n", &message(":1\n:2\na:b"), "", None);
}

#[test]
fn an_unfinished_block_is_dropped() {
    row(b"data:1\n\ndata:2\n", &message("1"), "", None);
    row(b"data:1\n\ndata:2", &message("1"), "", None);
    row(b"", &[], "", None);
}

#[test]
fn nul_in_data_and_event_stays() {
    row(b"event:a\x00b\ndata:\x00\n\n", &[("a\0b", "\0", "")], "", None);
}

#[test]
fn runs_of_blank_lines_dispatch_nothing() {
    row(b"\n\n\r\r\n\n\rdata:1\n\n\n\n", &message("1"), "", None);
}

#[test]
fn the_id_of_the_last_connection_is_the_start() {
    let mut parser = Parser::new(Limits::default(), "9");
    let mut ids = Vec::new();
    parser.feed(b"data:1\n\n", &mut |event: Event| ids.push(event.id.to_string())).unwrap();
    assert_eq!((ids.as_slice(), &**parser.last_event_id()), (["9".to_owned()].as_slice(), "9"));
}

#[test]
fn an_endless_line_and_an_endless_event_are_errors_and_stay_errors() {
    let limits = Limits { line: 10, event: 16 };
    for size in [1, 3, 100] {
        let mut parser = Parser::new(limits, "");
        let mut feed = |input: &[u8]| input.chunks(size).try_for_each(|piece| parser.feed(piece, &mut |_| {}));
        assert_eq!(feed(b"data:12345\n\n"), Ok(()));
        assert_eq!(feed(b"data:123456\n\n"), Err(ParseError::LineTooLong(10)));
        assert_eq!(feed(b"\n\n"), Err(ParseError::LineTooLong(10)));
        let mut parser = Parser::new(limits, "");
        let mut feed = |input: &[u8]| input.chunks(size).try_for_each(|piece| parser.feed(piece, &mut |_| {}));
        assert_eq!(feed(b"data:12345\ndata:12345\ndata:1234\n\n"), Ok(()));
        assert_eq!(feed(b"data:12345\ndata:12345\ndata:12345\n\n"), Err(ParseError::EventTooLarge(16)));
    }
}

#[test]
fn a_long_line_in_single_bytes_takes_linear_work() {
    // Quadratic work on 4 MiB would be 8 * 10^12 byte copies: hours instead of a blink.
    let mut parser = Parser::new(Limits::default(), "");
    let mut got = 0;
    parser.feed(b"data:", &mut |_| {}).unwrap();
    for _ in 0..(4 << 20) - 5 {
        parser.feed(b"x", &mut |_| {}).unwrap();
    }
    parser.feed(b"\n\n", &mut |event: Event| got = event.data.len()).unwrap();
    assert_eq!(got, (4 << 20) - 5);
}

/// The standard's text turned into code without a thought for speed or pieces.
fn naive(input: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(input).into_owned();
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    let (mut data, mut kind, mut id) = (String::new(), String::new(), String::new());
    let mut seen = Seen { events: Vec::new(), last_id: String::new(), retry: None };
    for line in lines {
        if line.is_empty() {
            seen.last_id.clone_from(&id);
            let kind = std::mem::take(&mut kind);
            let mut data = std::mem::take(&mut data);
            if data.pop().is_some() {
                let kind = if kind.is_empty() { "message".to_owned() } else { kind };
                seen.events.push((kind, data, seen.last_id.clone()));
            }
            continue;
        }
        if line.starts_with(':') {
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data = data + value + "\n",
            "event" => kind = value.to_owned(),
            "id" if !value.contains('\0') => id = value.to_owned(),
            "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                seen.retry = Some(value.parse().unwrap_or(u64::MAX));
            }
            _ => {}
        }
    }
    seen
}

fn tokens() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        prop::sample::select(vec![
            &b"data"[..],
            b"event",
            b"id",
            b"retry",
            b":",
            b": ",
            b"\n",
            b"\r",
            b"\r\n",
            b"\n\n",
            b" ",
            b"\t",
            b"\0",
            b"12",
            b"\xef\xbb\xbf",
            b"\xef",
            b"\xbb",
            b"\xc3",
            b"\xa9",
            b"\xf0\x9f",
            b"x",
            b"Data",
            b"data:",
            b"id:",
            b"event: a\n",
        ])
        .prop_map(<[u8]>::to_vec),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(token, 0..60).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_streams_in_random_pieces_equal_the_reference(input in tokens(), sizes in prop::collection::vec(1_usize..9, 1..20)) {
        let mut pieces = Vec::new();
        let mut rest = &input[..];
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, tail) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        prop_assert_eq!(read(pieces), naive(&input));
        prop_assert_eq!(read([&input[..]]), naive(&input));
    }

    #[test]
    fn what_the_encoder_writes_the_parser_reads(
        id in "[^\r\n\0]{0,20}", event in "[^\r\n\0]{0,20}", data in any::<String>(),
    ) {
        let mut out = bytes::BytesMut::new();
        ratatosk_sse::proto::encoder::encode_comment(&mut out, &data);
        ratatosk_sse::proto::encoder::encode_retry(&mut out, Duration::from_millis(5));
        ratatosk_sse::proto::encoder::encode_event(&mut out, Some(&id), Some(&event), data.as_bytes());
        let kind = if event.is_empty() { "message".to_owned() } else { event };
        let lines = data.replace("\r\n", "\n").replace('\r', "\n");
        let want = Seen { events: vec![(kind, lines, id.clone())], last_id: id, retry: Some(5) };
        prop_assert_eq!(read(out.chunks(7)), want);
    }

    #[test]
    fn hostile_names_never_add_an_event(id in any::<String>(), event in any::<String>(), data in any::<Vec<u8>>()) {
        let mut out = bytes::BytesMut::new();
        ratatosk_sse::proto::encoder::encode_event(&mut out, Some(&id), Some(&event), &data);
        prop_assert_eq!(read([&out[..]]).events.len(), 1);
    }
}
