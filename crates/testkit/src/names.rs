//! Names by the million, for the codecs of channel names.

/// How many names a codec is tried with in each direction; `RATATOSK_CASES` says another number.
#[must_use]
pub fn cases() -> usize {
    std::env::var("RATATOSK_CASES").ok().and_then(|number| number.parse().ok()).unwrap_or(1_000_000)
}

/// Random names, other ones in every run: of pieces that mean something to a codec, with any character now and then.
#[derive(Debug)]
pub struct Names {
    pieces: &'static [&'static str],
    any: bool,
    rng: fastrand::Rng,
    name: String,
}

impl Names {
    /// Names of these pieces and of any character but U+0000.
    #[must_use]
    pub fn new(pieces: &'static [&'static str]) -> Self {
        Self { pieces, any: true, rng: fastrand::Rng::new(), name: String::new() }
    }

    /// Names of these pieces alone.
    #[must_use]
    pub fn only(pieces: &'static [&'static str]) -> Self {
        Self { any: false, ..Self::new(pieces) }
    }

    /// The next name: one to sixteen pieces.
    pub fn next_name(&mut self) -> &str {
        self.name.clear();
        for _ in 0..self.rng.u8(1..=16) {
            // One in eight is any character; half of those ASCII, where the escapes differ.
            match self.rng.u8(..16) {
                0 if self.any => self.name.push(self.rng.char('\u{1}'..)),
                1 if self.any => self.name.push(char::from(self.rng.u8(1..0x80))),
                _ => self.name.push_str(self.pieces[self.rng.usize(..self.pieces.len())]),
            }
        }
        &self.name
    }
}
