//! The fenced blocks of the documentation, for tests that do what it says.
//!
//! A block that no test can run says so in the line before it, and why: `<!-- not run: needs Docker -->`.

use std::path::{Path, PathBuf};

use crate::tests_dir;

/// A fenced block.
#[derive(Clone, Debug)]
pub struct Block {
    /// The page, from the root of the repository.
    pub page: String,
    /// The line of its first line of text.
    pub line: usize,
    /// What stands behind the fence: `sh`, `js`, `toml`.
    pub language: String,
    /// What is in it, without the indentation of its fence.
    pub text: String,
    /// Why it is not run.
    pub not_run: Option<String>,
}

impl Block {
    /// The commands of a `sh` block, lines that end in a backslash joined; comments are left out.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        let joined = self.text.replace("\\\n", " ");
        let lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    }
}

/// Every Markdown page: the README, those under `docs/`, and the crates' own.
///
/// # Panics
/// When a directory cannot be read.
#[must_use]
pub fn pages() -> Vec<PathBuf> {
    let root = tests_dir().parent().expect("tests/ is in the repository");
    let mut pages = vec![root.join("README.md")];
    let crates = std::fs::read_dir(root.join("crates")).expect("crates");
    let directories = crates.map(|entry| entry.expect("an entry").path());
    for directory in [root.join("docs"), root.join("docs/protocols")].into_iter().chain(directories) {
        let entries = std::fs::read_dir(&directory).expect("a directory").map(|entry| entry.expect("an entry").path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    pages.sort();
    pages
}

/// All blocks in a language, page by page.
#[must_use]
pub fn blocks(language: &str) -> Vec<Block> {
    pages().iter().flat_map(|page| blocks_of(page)).filter(|block| block.language == language).collect()
}

/// All blocks of a page.
///
/// # Panics
/// When the page cannot be read, or a block has no end.
#[must_use]
pub fn blocks_of(page: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let root = tests_dir().parent().expect("tests/ is in the repository");
    let page = page.strip_prefix(root).unwrap_or(page).display().to_string();
    let (mut blocks, mut open, mut before) = (Vec::new(), None::<(Block, usize)>, "");
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => {
                let mark = before.trim().strip_prefix("<!-- not run: ").and_then(|rest| rest.strip_suffix(" -->"));
                let (language, not_run) = (language.trim().to_owned(), mark.map(str::to_owned));
                let block = Block { page: page.clone(), line: number + 2, language, text: String::new(), not_run };
                open = Some((block, indent));
            }
            (Some(_), Some(_)) => blocks.extend(open.take().map(|(block, _)| block)),
            (Some((block, indent)), None) => {
                block.text.push_str(line.get(*indent..).unwrap_or_default());
                block.text.push('\n');
            }
            (None, None) => {}
        }
        before = line;
    }
    assert!(open.is_none(), "{page} has a block without an end");
    blocks
}

/// The code in the second column of the table of clients in the README.
///
/// # Panics
/// When there is no such table.
#[must_use]
pub fn client_lines() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(tests_dir().join("../README.md")).expect("a README");
    let rows = text.lines().skip_while(|line| !line.starts_with("| client |")).skip(2);
    let cells = rows.take_while(|line| line.starts_with('|')).map(|line| {
        let (name, code) = line.trim_matches('|').split_once('|').expect("two columns");
        (name.trim().to_owned(), code.trim().trim_matches('`').to_owned())
    });
    cells.collect()
}
