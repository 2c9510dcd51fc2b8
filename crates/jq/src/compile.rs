//! From a program's text to what runs.

use std::fmt;

use jaq_core::{
    Compiler, Filter,
    load::{self, Arena, File, Loader, lex, parse},
};

use super::{budget::Bounded, natives, rewrite};

/// The longest program, in bytes.
const LONGEST: usize = 64 << 10;
/// What the program is called in the table of definitions.
const MAIN: &str = "ratatosk_main";

/// What is wrong with a program, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CompileError {
    /// The line in the program, from one.
    pub line: usize,
    /// The column in that line, in characters, from one.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (line {}, column {} of the program)", self.problem, self.line, self.column)
    }
}

impl CompileError {
    /// `part` is a piece of `code`; of what is not, the end is named.
    fn at(code: &str, part: &str, problem: impl Into<String>) -> Self {
        let (start, at) = (code.as_ptr().addr(), part.as_ptr().addr());
        let offset = at.checked_sub(start).filter(|offset| *offset <= code.len()).unwrap_or(code.len());
        let before = code.get(..offset).unwrap_or(code);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { line, column, problem: problem.into() }
    }
}

/// Compiles; `variables` are the names, with their `$`, that each run gives values for.
pub(crate) fn compile(code: &str, variables: &[&str]) -> Result<Filter<Bounded>, CompileError> {
    if code.len() > LONGEST {
        return Err(CompileError::at(code, code, format!("a program has at most {LONGEST} bytes")));
    }
    let body = rewrite::term(read(code)?);
    let main = parse::Def { name: MAIN, args: Vec::new(), body };
    let library = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let library = library.map(|definition| rewrite::definition(shorter(definition)));
    let arena = Arena::default();
    let modules = Loader::new(library.chain([main]))
        .load(&arena, File { code: MAIN, path: () })
        .map_err(|_| CompileError::at(code, code, "the program cannot be loaded"))?;
    let compiler = Compiler::default().with_funs(natives::all()).with_global_vars(variables.iter().copied());
    compiler.compile(modules).map_err(|errors| undefined(code, &errors))
}

/// A definition of the library, for as long as the program's text lives.
fn shorter<'s>(definition: parse::Def<&'static str>) -> parse::Def<&'s str> {
    definition
}

/// Reads the text; what is wrong with it is said by the loader, which knows best.
fn read(code: &str) -> Result<parse::Term<&str>, CompileError> {
    let arena = Arena::default();
    if let Err(errors) = Loader::new([]).load(&arena, File { code, path: () }) {
        let first = errors.into_iter().next().map(|(_, error)| misread(code, error));
        return Err(first.unwrap_or_else(|| CompileError::at(code, code, "the program cannot be read")));
    }
    load::parse(code, |parser| parser.term())
        .ok_or_else(|| CompileError::at(code, code, "a program stands alone: there are no modules"))
}

fn misread(code: &str, error: load::Error<&str>) -> CompileError {
    match error {
        load::Error::Io(imports) => {
            let part = imports.first().map_or(code, |(path, _)| path);
            CompileError::at(code, part, "a program stands alone: there are no modules")
        }
        load::Error::Lex(errors) => match errors.into_iter().next() {
            Some((expected, found)) => CompileError::at(code, found, unlexed(&expected, found)),
            None => CompileError::at(code, code, "the program cannot be read"),
        },
        load::Error::Parse(errors) => match errors.into_iter().next() {
            Some((expected, found)) => {
                let found_text = if found.is_empty() { "the end".to_owned() } else { format!("`{}`", start(found)) };
                CompileError::at(code, found, format!("expected {}, found {found_text}", expected.as_str()))
            }
            None => CompileError::at(code, code, "the program cannot be read"),
        },
    }
}

fn unlexed(expected: &lex::Expect<&str>, found: &str) -> String {
    let expected = match expected {
        lex::Expect::Delim(open) => format!("the end of what `{open}` begins"),
        other => other.as_str().to_owned(),
    };
    let found = if found.is_empty() { "the end".to_owned() } else { format!("`{}`", start(found)) };
    format!("expected {expected}, found {found}")
}

/// The first words of what was found.
fn start(found: &str) -> String {
    let line = found.lines().next().unwrap_or_default();
    line.chars().take(20).collect()
}

fn undefined(code: &str, errors: &jaq_core::compile::Errors<&str, ()>) -> CompileError {
    use jaq_core::compile::Undefined;
    let first = errors.iter().flat_map(|(_, errors)| errors).next();
    let Some((name, kind)) = first else { return CompileError::at(code, code, "the program cannot be compiled") };
    let problem = match kind {
        Undefined::Filter(arguments) => format!("there is no filter `{name}/{arguments}`"),
        Undefined::Var => format!("there is no variable `{name}`"),
        Undefined::Label => format!("there is no label `{name}`"),
        other => format!("there is no {} `{name}`", other.as_str()),
    };
    CompileError::at(code, name, problem)
}
