//! The reason to exist: whatever enters by one door leaves by every other. Each protocol's stock clients publish, here and at a far
//! server that an upstream brings from, and all of them listen, here and at another far server that upstreams send to. What a
//! protocol cannot carry is refused or counted. `docs/protocols/matrix.md` shows what this test saw
//! (`RATATOSK_BLESS=1 cargo test -p ratatosk-tests matrix` writes it).

mod cases;
mod page;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use ratatosk_tests::tests_dir;
use serde_json::json;

use cases::{FIELDS, Name, Payload, names, payloads};
use page::{Cell, Page, Table};
use world::{COLUMNS, DOORS, Door, Exchange, World};

#[tokio::test]
async fn whatever_enters_by_one_door_leaves_by_every_other() {
    let names = names();
    let mut world = World::build(&names).await;
    let page = Page {
        payloads: all_payloads(&mut world).await,
        names: all_names(&mut world, &names).await,
        fields: all_fields(&mut world).await,
        retained: all_retained(&mut world).await,
    };
    let text = page.to_markdown(&names);
    println!("{text}");
    let file = tests_dir().join("../docs/protocols/matrix.md");
    if std::env::var_os("RATATOSK_BLESS").is_some() {
        std::fs::write(&file, &text).expect("the page can be written");
    }
    let shown = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(shown == text, "{} shows something else: see above, or bless it with RATATOSK_BLESS=1", file.display());
}

/// Every payload, by every door, at every column: as it was, or told why not.
async fn all_payloads(world: &mut World) -> Table {
    let mut table = Table::default();
    let name = Name::plain("matrix/room 1", "/matrix/room~201", "matrix.room=201");
    for door in DOORS {
        let mut cells: Vec<Cell> = COLUMNS.iter().map(|_| Cell::default()).collect();
        for payload in payloads() {
            let before = world.losses().await;
            let dropped = world.dropped("pusher", "too_large").await;
            let exchange = world.exchange(door, &name, &payload.published, &json!({})).await;
            let too_large = payload.is_large() && door.protocol.name() == "pusher";
            assert_eq!(exchange.refused.is_some(), too_large, "{} by {door}: {exchange:?}", payload.title);
            if let Some(why) = exchange.refused {
                cells.iter_mut().for_each(|cell| cell.note(format!("{}: refused ({why})", payload.title)));
                continue;
            }
            let (mut altered, mut left_out) = (0, 0);
            for (column, (seen, cell)) in COLUMNS.iter().zip(exchange.seen.iter().zip(&mut cells)) {
                let context = format!("{} by {door} to {}: {seen:?}", payload.title, column.title);
                if payload.is_large() && column.is("pusher", "sink") {
                    assert!(seen.is_empty(), "{context}");
                    cell.note(format!("{}: not sent, counted as `too_large`", payload.title));
                    left_out += 1;
                    continue;
                }
                let [message] = &seen[..] else { panic!("one message was to come, {context}") };
                assert!(column.names(message, &name), "{context}");
                if payload.title == "binary" && column.heard == "raw" {
                    assert!(!payload.is(message), "{context}");
                    cell.note("binary: altered, counted as lost `payload`".to_owned());
                    altered += 1;
                    continue;
                }
                assert!(payload.is(message), "{context}");
            }
            let after = world.dropped("pusher", "too_large").await;
            assert!(
                (after - dropped - f64::from(left_out)).abs() < 0.5,
                "{} by {door}: {dropped}, {after}",
                payload.title
            );
            let lost = counted(&before, &world.losses().await, door);
            let raw = lost.get(&("sse".to_owned(), "payload".to_owned()));
            assert_eq!(raw.copied().unwrap_or_default(), altered, "{} by {door}: {lost:?}", payload.title);
        }
        table.row(door, cells.into_iter().map(|cell| cell.with("✓")).collect());
    }
    table
}

/// Every name, by every door, under its own spelling at every column.
async fn all_names(world: &mut World, names: &[Name]) -> Table {
    let payload = json!({"text": "named"});
    let mut table = Table::default();
    for door in DOORS {
        let mut arrived = vec![0; COLUMNS.len()];
        let mut cells: Vec<Cell> = COLUMNS.iter().map(|_| Cell::default()).collect();
        for name in names {
            let sayable = world.can_say(door, name);
            let exchange = match sayable {
                Ok(()) => world.exchange(door, name, &payload, &json!({})).await,
                Err(why) => Exchange { refused: Some(why.to_owned()), seen: vec![Vec::new(); COLUMNS.len()] },
            };
            assert_eq!(exchange.refused.is_some(), sayable.is_err(), "{name} by {door}: {exchange:?}");
            for ((column, seen), (count, cell)) in
                COLUMNS.iter().zip(&exchange.seen).zip(arrived.iter_mut().zip(&mut cells))
            {
                let context = format!("{name} by {door} to {}: {seen:?}", column.title);
                match &seen[..] {
                    [message] => {
                        assert!(column.names(message, name), "{context}");
                        *count += 1;
                    }
                    [] if exchange.refused.is_some() => cell.note(exchange.refused.clone().unwrap_or_default()),
                    [] => {
                        cell.note(column.has_no(name).unwrap_or_else(|| panic!("nothing came, {context}")).to_owned())
                    }
                    _ => panic!("more than one message came, {context}"),
                }
            }
        }
        let cells = cells.into_iter().zip(arrived).map(|(cell, count)| cell.with(&count.to_string())).collect();
        table.row(door, cells);
    }
    table
}

/// A message that says all of itself that its door lets it say: each column tells what it can, and the rest is counted, once.
async fn all_fields(world: &mut World) -> Table {
    let name = Name::plain("matrix/said", "/matrix/said", "matrix.said");
    let mut table = Table::default();
    for door in DOORS {
        let said = door.said();
        let said_fields: BTreeSet<&str> = said.as_object().expect("an object").keys().map(String::as_str).collect();
        let before = world.losses().await;
        let exchange = world.exchange(door, &name, &json!({"json": {"n": 1}}), &said).await;
        let mut cells = Vec::new();
        let mut expected: BTreeMap<(String, String), u64> = BTreeMap::new();
        for (column, seen) in COLUMNS.iter().zip(&exchange.seen) {
            let [message] = &seen[..] else {
                panic!("one message was to come by {door} to {}: {seen:?}", column.title)
            };
            let told = column.told(message);
            let lost: Vec<&str> =
                FIELDS.into_iter().filter(|field| said_fields.contains(field) && !told.contains(*field)).collect();
            for field in &lost {
                expected.insert((column.connector().to_owned(), (*field).to_owned()), 1);
            }
            let mut cell = Cell::default();
            if !lost.is_empty() {
                cell.note(format!("not told, and counted: {}", lost.join(", ")));
            }
            let told: Vec<&str> = told.into_iter().collect();
            cells.push(cell.with(&match (lost.is_empty(), told.is_empty()) {
                (true, _) => "✓".to_owned(),
                (false, true) => "nothing".to_owned(),
                (false, false) => format!("{} alone", told.join(", ")),
            }));
        }
        assert_eq!(
            counted(&before, &world.losses().await, door),
            expected,
            "what is lost by {door} is what is counted"
        );
        table.row(door, cells);
    }
    table
}

/// What is published to be kept is what a new subscriber of every protocol is shown first.
async fn all_retained(world: &mut World) -> Table {
    let mut table = Table::default();
    for (index, door) in DOORS.into_iter().enumerate() {
        let name = Name::cached(index);
        let said = if door.protocol.name() == "pusher" { json!({}) } else { json!({"retain": true}) };
        let exchange = world.exchange(door, &name, &json!({"text": "kept"}), &said).await;
        assert!(exchange.refused.is_none(), "{door}: {exchange:?}");
        let mut cells = Vec::new();
        for column in COLUMNS {
            let shown = world.shown(column, &name).await;
            cells.push(Cell::default().with(if shown { "✓" } else { "–" }));
        }
        table.row(door, cells);
    }
    table
}

/// What was counted as lost of messages from a door: by connector and field.
fn counted(before: &world::Losses, after: &world::Losses, door: Door) -> BTreeMap<(String, String), u64> {
    let from = door.connector();
    let grown = after.iter().filter_map(|(labels, count)| {
        let more = count - before.get(labels).copied().unwrap_or_default();
        (more > 0 && labels.0 == from).then(|| ((labels.1.clone(), labels.2.clone()), more))
    });
    grown.collect()
}
