//! A progress bar for work that takes longer than a moment.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that is done sooner shows no bar.
const MOMENT: Duration = Duration::from_millis(500);

/// The bar; it is only drawn on a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    started: Instant,
    size: Option<u64>,
    quiet: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// `size` is the input's in bytes, where it is known.
    pub(super) fn new(size: Option<u64>, quiet: bool) -> Self {
        Self { started: Instant::now(), size, quiet, bar: None }
    }

    /// Shows how far it is.
    pub(super) fn show(&mut self, sent: u64, taken: u64, bytes: usize) {
        if self.quiet || self.started.elapsed() < MOMENT || sent < 2 {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| bar(self.size, self.started));
        // Each line's end is read, too.
        bar.set_position(bytes as u64 + sent);
        bar.set_message(format!("{taken} of {sent} taken"));
    }

    /// Takes the bar away and says what was done, if there was a bar.
    pub(super) fn finish(self, taken: u64) {
        let Some(bar) = self.bar else { return };
        bar.finish_and_clear();
        if !bar.is_hidden() {
            let seconds = self.started.elapsed().as_secs_f64();
            crate::cli::client::complain(&format!("{taken} messages published in {seconds:.1} s"));
        }
    }
}

fn bar(size: Option<u64>, started: Instant) -> ProgressBar {
    let (bar, template) = match size {
        Some(size) => (ProgressBar::new(size), "{bar:30.cyan} {percent:>3}% {msg} ({eta} left)"),
        None => (ProgressBar::new_spinner(), "{spinner:.cyan} {msg} ({elapsed})"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    // The templates are constant; a wrong one would leave the library's own.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_elapsed(started.elapsed())
}
