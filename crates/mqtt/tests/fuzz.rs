//! The fuzz targets of this crate, as an ordinary test: their corpora, and scripts drawn from a fixed seed.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking, and the bodies are modules of the fuzz package, too"
)]

#[path = "../../../fuzz/bodies/mqtt_decoder.rs"]
mod mqtt_decoder;
#[path = "../../../fuzz/bodies/mqtt_session.rs"]
mod mqtt_session;

use std::path::Path;

/// Scripts drawn for each target.
const DRAWN: u64 = 4000;

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> =
        std::fs::read_dir(&corpus).expect("the corpus").map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has no corpus");
    let corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).expect("readable")).collect();
    for (file, script) in files.iter().zip(&corpus) {
        println!("{}", file.display());
        run(script);
    }
    let mut random = fastrand::Rng::with_seed(0x5eed);
    for _ in 0..DRAWN {
        // Of random bytes most say nothing: half of the scripts are mutations of the corpus.
        let mut script = corpus[random.usize(..corpus.len())].clone();
        if random.bool() || script.is_empty() {
            script = (0..random.usize(..200)).map(|_| random.u8(..)).collect();
        }
        for _ in 0..random.usize(..8) {
            let at = random.usize(..=script.len());
            match random.u8(..3) {
                0 => script.insert(at, random.u8(..)),
                1 => script.truncate(at),
                _ => script.get_mut(at).into_iter().for_each(|byte| *byte = random.u8(..)),
            }
        }
        run(&script);
    }
}

#[test]
fn the_decoder_keeps_its_promises() {
    replay("mqtt_decoder", mqtt_decoder::run);
}

#[test]
fn the_session_machine_keeps_its_promises() {
    replay("mqtt_session", mqtt_session::run);
}
