//! The results, for people.

use std::{fmt::Write as _, path::Path};

use super::compare::{Difference, Finding};

const GREEN: &str = "32";
const RED: &str = "31";
const FAINT: &str = "2";

/// Collects results.
pub(super) struct Report {
    text: String,
    colour: bool,
    passed: usize,
    failed: usize,
}

impl Report {
    pub(super) fn new(colour: bool) -> Self {
        Self { text: String::new(), colour, passed: 0, failed: 0 }
    }

    pub(super) fn file(&mut self, path: &Path) {
        self.line(0, "", &path.display().to_string());
    }

    pub(super) fn case(&mut self, name: &str, findings: &[Finding]) {
        if findings.is_empty() {
            self.passed += 1;
            let word = self.paint(GREEN, "ok");
            return self.line(2, "", &format!("{word}    {name}"));
        }
        self.failed += 1;
        let word = self.paint(RED, "FAIL");
        self.line(2, "", &format!("{word}  {name}"));
        findings.iter().for_each(|finding| self.finding(finding));
    }

    fn finding(&mut self, finding: &Finding) {
        match finding {
            Finding::Missing(what) => self.line(8, RED, &format!("- expected at {what}, and nothing came")),
            Finding::Unexpected(what) => self.line(8, GREEN, &format!("+ came at {what}, and was not expected")),
            Finding::Differs(place, differences) => {
                self.line(8, "", &format!("at {place}:"));
                differences.iter().for_each(|difference| self.difference(difference));
            }
        }
    }

    fn difference(&mut self, difference: &Difference) {
        self.line(10, "", &format!("{}:", difference.what));
        let expected: Vec<&str> = lines(&difference.expected);
        let came: Vec<&str> = lines(&difference.came);
        let before = expected.iter().zip(&came).take_while(|(one, other)| one == other).count();
        let most = expected.len().min(came.len()) - before;
        let after =
            expected.iter().rev().zip(came.iter().rev()).take(most).take_while(|(one, other)| one == other).count();
        let middle = |lines: &[&str]| -> Vec<String> {
            lines.iter().take(lines.len() - after).skip(before).map(|line| (*line).to_owned()).collect()
        };
        for line in expected.iter().take(before) {
            self.line(12, FAINT, &format!("  {line}"));
        }
        for line in middle(&expected) {
            self.line(12, RED, &format!("- {line}"));
        }
        for line in middle(&came) {
            self.line(12, GREEN, &format!("+ {line}"));
        }
        for line in expected.iter().skip(expected.len() - after) {
            self.line(12, FAINT, &format!("  {line}"));
        }
    }

    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    /// All of it, and the sum.
    pub(super) fn text(self) -> String {
        let (passed, failed) = (self.passed, self.failed);
        let sum = if failed == 0 { format!("{passed} passed") } else { format!("{passed} passed, {failed} failed") };
        format!("{}\n{sum}\n", self.text)
    }

    fn line(&mut self, indent: usize, colour: &str, text: &str) {
        let text = if colour.is_empty() { text.to_owned() } else { self.paint(colour, text) };
        let _ = writeln!(self.text, "{:indent$}{text}", ""); // a String takes all
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// The lines of a text; nothing is one empty line.
fn lines(text: &str) -> Vec<&str> {
    if text.is_empty() { vec!["(nothing)"] } else { text.lines().collect() }
}
