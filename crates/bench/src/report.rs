//! Results as rows: a table for people, JSON lines for programs.

use serde::Serialize;

/// One figure of the table.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    pub(crate) protocol: String,
    pub(crate) mode: &'static str,
    /// Subscribers or connections.
    pub(crate) n: usize,
    /// Deliveries (or connections) per second.
    pub(crate) per_second: Option<f64>,
    /// Server CPU per delivery (or connection) in microseconds.
    pub(crate) cpu_us: Option<f64>,
    /// The floor's CPU for the same, in microseconds.
    pub(crate) floor_us: Option<f64>,
    /// The floor's CPU with waiting frames joined, in microseconds.
    pub(crate) joined_floor_us: Option<f64>,
    /// `cpu_us / floor_us`; for `resume` the live subscribers' p99 against the quiet one.
    pub(crate) ratio: Option<f64>,
    /// What the project promises at most (of the ratio, or of `kib`).
    pub(crate) bar: Option<f64>,
    pub(crate) p50_us: Option<u64>,
    pub(crate) p99_us: Option<u64>,
    pub(crate) lost: Option<u64>,
    pub(crate) disordered: Option<u64>,
    /// Resident memory per connection in KiB.
    pub(crate) kib: Option<f64>,
    /// Share of its core that the server used, in percent.
    pub(crate) server_busy: Option<f64>,
    /// Share of its core that the generator used, in percent.
    pub(crate) generator_busy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

impl Row {
    /// Whether the figure keeps its bar; `None` without one.
    pub(crate) fn holds(&self) -> Option<bool> {
        let figure = self.kib.or(self.ratio)?;
        Some(figure <= self.bar?)
    }
}

const HEAD: [&str; 14] = [
    "scenario",
    "protocol",
    "mode",
    "n",
    "per s",
    "cpu µs",
    "floor µs",
    "ratio",
    "bar",
    "KiB",
    "p50 ms",
    "p99 ms",
    "lost",
    "cpu s/g %",
];

/// Prints rows as they come.
#[derive(Debug)]
pub(crate) struct Printer {
    pub(crate) json: bool,
    begun: bool,
}

impl Printer {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, begun: false }
    }

    /// Prints one row, and the table's head before the first.
    pub(crate) fn print(&mut self, row: &Row) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(row)?);
            return Ok(());
        }
        if !self.begun {
            self.begun = true;
            println!("{}", line(&HEAD.map(str::to_owned)));
            println!("{}", line(&WIDTHS.map(|width| "-".repeat(width.unsigned_abs()))));
        }
        println!("{}", line(&cells(row)));
        if let Some(note) = &row.note {
            println!("  {note}");
        }
        Ok(())
    }
}

/// Column widths; negative is left-aligned.
const WIDTHS: [isize; 14] = [-8, -13, -7, 6, 9, 8, 8, 6, 7, 6, 8, 8, 6, 9];

fn line(cells: &[String; 14]) -> String {
    let mut line = String::from("|");
    for (cell, width) in cells.iter().zip(WIDTHS) {
        let pad = " ".repeat(width.unsigned_abs().saturating_sub(cell.chars().count()));
        line += &if width < 0 { format!(" {cell}{pad} |") } else { format!(" {pad}{cell} |") };
    }
    line
}

fn cells(row: &Row) -> [String; 14] {
    let verdict = match row.holds() {
        Some(true) => " ✓",
        Some(false) => " ✗",
        None => "",
    };
    let busy = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), |share| format!("{share:.0}"));
    let milliseconds = |us: Option<u64>| number(us.map(|us| crate::engine::load::as_f64(us) / 1000.0), 2);
    [
        row.scenario.to_owned(),
        row.protocol.clone(),
        row.mode.to_owned(),
        row.n.to_string(),
        number(row.per_second, 0),
        number(row.cpu_us, 3),
        number(row.floor_us, 3),
        number(row.ratio, 2),
        row.bar.map(|bar| format!("{bar}{verdict}")).unwrap_or_default(),
        number(row.kib, 2),
        milliseconds(row.p50_us),
        milliseconds(row.p99_us),
        row.lost.map(|lost| lost.to_string()).unwrap_or_default(),
        format!("{}/{}", busy(row.server_busy), busy(row.generator_busy)),
    ]
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map(|value| format!("{value:.digits$}")).unwrap_or_default()
}

/// The middle value (the mean of the two middle ones); `None` of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(*values.get(middle - 1)?, upper)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_row_is_as_wide_as_the_head() {
        let row = Row { ratio: Some(0.31), bar: Some(0.3), n: 1000, ..Row::default() };
        let head = line(&HEAD.map(str::to_owned));
        let text = line(&cells(&row));
        assert_eq!(text.chars().count(), head.chars().count());
        assert!(text.contains("0.3 ✗"), "{text}");
        assert_eq!(row.holds(), Some(false));
    }
}
