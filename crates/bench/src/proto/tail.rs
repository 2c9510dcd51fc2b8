//! Keeps the incomplete end of a byte stream until its rest arrives.

/// What was left over from earlier input.
#[derive(Debug, Default)]
pub(crate) struct Tail(Vec<u8>);

impl Tail {
    /// Gives `parse` all that is there; it returns how many bytes it is done with, the rest is kept.
    pub(crate) fn feed<E>(&mut self, input: &[u8], parse: impl FnOnce(&[u8]) -> Result<usize, E>) -> Result<(), E> {
        if self.0.is_empty() {
            let done = parse(input)?;
            self.0.extend_from_slice(input.get(done..).unwrap_or_default());
        } else {
            self.0.extend_from_slice(input);
            let done = parse(&self.0)?.min(self.0.len());
            self.0.drain(..done);
        }
        if self.0.is_empty() && self.0.capacity() > 4096 {
            self.0 = Vec::new();
        }
        Ok(())
    }
}
