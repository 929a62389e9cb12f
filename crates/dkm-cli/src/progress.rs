//! Progress of long work, on stderr, where somebody watches.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::terminal::Terminal;

/// Work on fewer bytes is over before a bar is read.
const BYTES_MIN: u64 = 8 << 20;

/// A bar that comes up once there has been enough work to be worth it.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
    what: &'static str,
    total: Option<u64>,
    done: u64,
    bytes: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Of so many bytes, if that is known.
    pub(crate) fn of_bytes(terminal: &Terminal, total: Option<u64>, what: &'static str) -> Self {
        Self { shown: terminal.shows_progress(), what, total, done: 0, bytes: true, bar: None }
    }

    /// Of items whose number becomes known as the work goes on.
    pub(crate) fn of_items(terminal: &Terminal, what: &'static str) -> Self {
        Self { shown: terminal.shows_progress(), what, total: None, done: 0, bytes: false, bar: None }
    }

    /// So much more was done.
    pub(crate) fn advance(&mut self, count: usize) {
        self.done = self.done.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if !self.shown || (self.bytes && self.total.unwrap_or(self.done).max(self.done) < BYTES_MIN) {
            return;
        }
        self.draw();
    }

    /// So many items are done, of so many if that is known.
    pub(crate) fn items(&mut self, done: u64, total: Option<u64>) {
        (self.done, self.total) = (done, total);
        if self.shown {
            self.draw();
        }
    }

    fn draw(&mut self) {
        let bar = self.bar.get_or_insert_with(|| bar(self.what, self.total, self.bytes));
        if let Some(total) = self.total {
            bar.set_length(total);
        }
        bar.set_position(self.done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str, total: Option<u64>, bytes: bool) -> ProgressBar {
    let template = match (total.is_some(), bytes) {
        (true, true) => "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        (true, false) => "{msg} [{bar:30}] {pos} of {len}, {eta} left",
        (false, true) => "{msg} {spinner} {bytes}, {bytes_per_sec}",
        (false, false) => "{msg} {spinner} {pos}",
    };
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    // The templates are ours; one that did not parse would leave the default style.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(what);
    bar
}

/// Waits, and shows that it does.
pub(crate) fn wait(terminal: &Terminal, what: String, ms: u64) {
    let bar = terminal.shows_progress().then(|| {
        let bar = ProgressBar::new_spinner();
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    });
    std::thread::sleep(Duration::from_millis(ms));
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}
