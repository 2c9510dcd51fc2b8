//! The filters of the standard library that are not as they should be here, and those that operators become.

use std::{cmp::Ordering, fmt::Write as _};

use jaq_core::{
    Cv, Error, Exn, ValR, ValXs,
    native::{Fun, bome, run, v},
};
use jaq_json::Val;
use jaq_std::ValT as _;

use super::{
    budget::{Bounded, Budget, Meter},
    rewrite::{PLUS, SIZED, TEXT, TIMES},
    value,
};

/// The longest text, in bytes.
const LONGEST: usize = 16 << 20;
/// The most elements of an array.
const MOST: usize = 1 << 20;

/// Filters that programs find in the standard library, and that would reach out of the program or run without steps: ours
/// stand in their place, `env` has none.
const REPLACED: [&str; 7] = ["range", "fromjson", "tojson", "halt", "debug_empty", "stderr_empty", "env"];

/// Every native filter.
pub(crate) fn all() -> impl Iterator<Item = Fun<Bounded>> {
    let theirs = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    // `range` is defined for one and two arguments in jq itself; the native one has three.
    ours()
        .into_iter()
        .map(|(name, arguments, filter)| run::<Bounded>((name, arguments, filter)))
        .chain(theirs.filter(|(name, ..)| !REPLACED.contains(name)))
}

fn ours() -> [jaq_core::native::Filter<jaq_core::RunPtr<Bounded>>; 10] {
    [
        ("range", v(3), range),
        ("fromjson", v(0), |cv| bome(from_json(&cv.1))),
        ("tojson", v(0), |cv| bome(to_json(&cv))),
        ("halt", v(1), |_| fail("halt: a program cannot end the gateway")),
        ("debug_empty", v(0), |_| Box::new(std::iter::empty())),
        ("stderr_empty", v(0), |_| Box::new(std::iter::empty())),
        (PLUS, v(2), |cv| operate(cv, plus)),
        (TIMES, v(2), |cv| operate(cv, times)),
        (SIZED, v(0), |cv| bome(sized(cv))),
        (TEXT, v(0), |cv| bome(text(cv))),
    ]
}

fn fail<'a>(why: &str) -> ValXs<'a, Val> {
    bome(Err(Error::str(why)))
}

/// Takes the two operands alone: a value that nobody else holds is changed in place.
fn operate<'a>(cv: Cv<'a, Bounded>, operator: fn(&Budget, Val, Val) -> ValR<Val>) -> ValXs<'a, Val> {
    let (mut context, input) = cv;
    drop(input);
    let right = context.pop_var();
    let left = context.pop_var();
    let budget = context.data().budget;
    drop(context);
    bome(operator(budget, left, right))
}

/// `range($from; $to; $by)`, a step for each number.
fn range<'a>(mut cv: Cv<'a, Bounded>) -> ValXs<'a, Val> {
    let (by, to, from) = (cv.0.pop_var(), cv.0.pop_var(), cv.0.pop_var());
    let meter: Meter<'a> = *cv.0.data();
    let towards = by.partial_cmp(&Val::from(0usize)).unwrap_or(Ordering::Equal);
    let mut next = Some(Ok(from));
    Box::new(std::iter::from_fn(move || {
        meter.budget.step();
        let at = match next.take()? {
            Ok(at) => at,
            Err(error) => return Some(Err(Exn::from(error))),
        };
        let goes_on = match towards {
            Ordering::Greater => at < to,
            Ordering::Less => at > to,
            Ordering::Equal => at != to,
        };
        if !goes_on {
            return None;
        }
        next = Some(at.clone() + by.clone());
        Some(Ok(at))
    }))
}

fn from_json(text: &Val) -> ValR<Val> {
    let bytes = text.try_as_bytes_owned()?;
    value::parse(&bytes).map_err(|why| Error::str(format_args!("cannot parse {} as JSON: {why}", shown(text, 60))))
}

fn to_json(cv: &Cv<'_, Bounded>) -> ValR<Val> {
    let json = value::to_json(&cv.1, LONGEST).map_err(Error::str)?;
    cv.0.data().budget.make(json.len());
    Ok(Val::utf8_str(json.into_bytes()))
}

/// A string is its own text.
fn text(cv: Cv<'_, Bounded>) -> ValR<Val> {
    match cv.1 {
        Val::TStr(_) | Val::BStr(_) => Ok(cv.1),
        _ => to_json(&cv),
    }
}

/// How large something is, how large it may be, and how many bytes each of it takes.
fn size(value: &Val) -> (usize, usize, usize) {
    match value {
        Val::Arr(items) => (items.len(), MOST, size_of::<Val>()),
        Val::TStr(bytes) | Val::BStr(bytes) => (bytes.len(), LONGEST, 1),
        _ => (0, LONGEST, 1),
    }
}

fn too_large() -> Error<Val> {
    Error::str("the result would be too large")
}

fn sized(cv: Cv<'_, Bounded>) -> ValR<Val> {
    let (size, most, each) = size(&cv.1);
    cv.0.data().budget.make(size.saturating_mul(each));
    if size > most { Err(too_large()) } else { Ok(cv.1) }
}

fn plus(budget: &Budget, left: Val, right: Val) -> ValR<Val> {
    let ((one, most, _), (other, _, each)) = (size(&left), size(&right));
    if one.saturating_add(other) > most {
        return Err(too_large());
    }
    // The left one is mostly nobody else's, and grows in place.
    budget.make(other.saturating_mul(each));
    left + right
}

fn times(budget: &Budget, left: Val, right: Val) -> ValR<Val> {
    let length = |value: &Val| value.as_bytes().map(<[u8]>::len);
    let repeated = match (length(&left), length(&right)) {
        (Some(length), None) => right.as_f64().map(|count| (length, count)),
        (None, Some(length)) => left.as_f64().map(|count| (length, count)),
        _ => None,
    };
    if let Some((length, count)) = repeated {
        #[expect(clippy::cast_precision_loss, reason = "a bound")]
        let (bytes, most) = (length as f64 * count, LONGEST as f64);
        if bytes > most {
            return Err(too_large());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between zero and the bound")]
        budget.make(bytes.max(0.0) as usize);
    }
    left * right
}

/// The beginning of a value, for a message about it.
pub(crate) fn shown(value: &impl std::fmt::Display, most: usize) -> String {
    /// Takes so much and then no more, so that large and deep values are not written to their end.
    struct Brief(String, usize);
    impl std::fmt::Write for Brief {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let room = self.1.saturating_sub(self.0.len());
            let end = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            self.0.push_str(text.get(..end).unwrap_or_default());
            if end < text.len() { Err(std::fmt::Error) } else { Ok(()) }
        }
    }
    let mut brief = Brief(String::new(), most);
    if write!(brief, "{value}").is_err() {
        brief.0.push_str("...");
    }
    brief.0
}
