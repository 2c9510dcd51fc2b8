//! Operators whose result can be far larger than what they are given, replaced by filters that look first.
//!
//! `"x" * 1e12` is one step, and would be one allocation too many. So `+`, `*`, `+=`, `*=` and texts with `\(...)` become
//! calls of our own filters (see [`super::natives`]); programs cannot name them, because `!` is no part of a name.

use jaq_core::{
    load::{
        lex::StrPart,
        parse::{BinaryOp, Def, Pattern, Term},
    },
    ops::Math,
    path::{Part, Path},
};

/// Adds, bounded.
pub(crate) const PLUS: &str = "plus!";
/// Multiplies, bounded.
pub(crate) const TIMES: &str = "times!";
/// Passes a value on unless it is too large.
pub(crate) const SIZED: &str = "sized!";
/// The text of a value.
pub(crate) const TEXT: &str = "text!";
/// The right side of an update.
const OPERAND: &str = "$operand!";

type T<'s> = Term<&'s str>;

/// A definition with its operators replaced.
pub(crate) fn definition(definition: Def<&str>) -> Def<&str> {
    Def { body: term(definition.body), ..definition }
}

/// A term with its operators replaced.
pub(crate) fn term(t: T<'_>) -> T<'_> {
    match t {
        Term::Str(format, parts) => text(format, parts),
        Term::Arr(Some(inner)) => pipe(Term::Arr(Some(boxed(*inner))), SIZED),
        Term::Obj(entries) => Term::Obj(entries.into_iter().map(|(key, value)| (term(key), value.map(term))).collect()),
        Term::Neg(inner) => Term::Neg(boxed(*inner)),
        Term::BinOp(left, operator, right) => operation(*left, operator, *right),
        Term::Label(name, inner) => Term::Label(name, boxed(*inner)),
        Term::Fold(name, source, binding, arguments) => {
            let arguments = arguments.into_iter().map(term).collect();
            Term::Fold(name, boxed(*source), pattern(binding), arguments)
        }
        Term::TryCatch(tried, caught) => Term::TryCatch(boxed(*tried), caught.map(|caught| boxed(*caught))),
        Term::IfThenElse(branches, otherwise) => {
            let branches = branches.into_iter().map(|(when, then)| (term(when), term(then))).collect();
            Term::IfThenElse(branches, otherwise.map(|otherwise| boxed(*otherwise)))
        }
        Term::Def(definitions, body) => Term::Def(definitions.into_iter().map(definition).collect(), boxed(*body)),
        Term::Call(name, arguments) => Term::Call(name, arguments.into_iter().map(term).collect()),
        Term::Path(from, path) => Term::Path(boxed(*from), steps(path)),
        plain @ (Term::Id | Term::Recurse | Term::Num(_) | Term::Arr(None) | Term::Break(_) | Term::Var(_)) => plain,
    }
}

fn boxed(t: T<'_>) -> Box<T<'_>> {
    Box::new(term(t))
}

fn call<'s>(name: &'s str, arguments: Vec<T<'s>>) -> T<'s> {
    Term::Call(name, arguments)
}

fn pipe<'s>(from: T<'s>, name: &'s str) -> T<'s> {
    Term::BinOp(Box::new(from), BinaryOp::Pipe(None), Box::new(call(name, Vec::new())))
}

fn operation<'s>(left: T<'s>, operator: BinaryOp<&'s str>, right: T<'s>) -> T<'s> {
    let (left, right) = (term(left), term(right));
    match operator {
        BinaryOp::Math(Math::Add) => call(PLUS, vec![left, right]),
        BinaryOp::Math(Math::Mul) => call(TIMES, vec![left, right]),
        BinaryOp::UpdateMath(Math::Add) => update(left, PLUS, right),
        BinaryOp::UpdateMath(Math::Mul) => update(left, TIMES, right),
        BinaryOp::Pipe(binding) => Term::BinOp(Box::new(left), BinaryOp::Pipe(binding.map(pattern)), Box::new(right)),
        operator => Term::BinOp(Box::new(left), operator, Box::new(right)),
    }
}

/// `left += right` is `right as $operand | left |= . + $operand`.
fn update<'s>(left: T<'s>, name: &'s str, right: T<'s>) -> T<'s> {
    let changed = call(name, vec![Term::Id, Term::Var(OPERAND)]);
    let updated = Term::BinOp(Box::new(left), BinaryOp::Update, Box::new(changed));
    Term::BinOp(Box::new(right), BinaryOp::Pipe(Some(Pattern::Var(OPERAND))), Box::new(updated))
}

fn text<'s>(format: Option<&'s str>, parts: Vec<StrPart<&'s str, T<'s>>>) -> T<'s> {
    if !parts.iter().any(|part| matches!(part, StrPart::Term(_))) {
        return Term::Str(format, parts);
    }
    let part = |part| match part {
        // A format (`@json "..."`) makes a text of its own of each part.
        StrPart::Term(inner) if format.is_none() => StrPart::Term(pipe(term(inner), TEXT)),
        StrPart::Term(inner) => StrPart::Term(term(inner)),
        plain => plain,
    };
    let parts = parts.into_iter().map(part).collect();
    pipe(Term::Str(format, parts), SIZED)
}

fn pattern(binding: Pattern<&str>) -> Pattern<&str> {
    match binding {
        Pattern::Obj(entries) => {
            Pattern::Obj(entries.into_iter().map(|(key, inner)| (term(key), pattern(inner))).collect())
        }
        Pattern::Arr(items) => Pattern::Arr(items.into_iter().map(pattern).collect()),
        plain @ Pattern::Var(_) => plain,
    }
}

fn steps<'s>(path: Path<T<'s>>) -> Path<T<'s>> {
    let part = |part| match part {
        Part::Index(index) => Part::Index(term(index)),
        Part::Range(from, to) => Part::Range(from.map(term), to.map(term)),
    };
    Path(path.0.into_iter().map(|(step, optional)| (part(step), optional)).collect())
}
