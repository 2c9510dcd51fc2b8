//! Patterns as sequences of levels: what wildcards capture, and where two patterns meet.

/// What one wildcard of a pattern stood for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capture<'a> {
    /// `+`: exactly one level, maybe empty.
    Level(&'a str),
    /// `#`: the rest; `None` is the parent itself.
    Rest(Option<&'a str>),
}

/// The levels of a name, with what is left of it at hand.
#[derive(Debug, Clone, Copy)]
struct Levels<'a>(Option<&'a str>);

impl<'a> Levels<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let text = self.0?;
        let (level, rest) = text.split_once('/').map_or((text, None), |(level, rest)| (level, Some(rest)));
        self.0 = rest;
        Some(level)
    }
}

/// Walks a pattern and a name that it matches, yielding what each wildcard stands for.
///
/// The name may itself be a narrower pattern.
#[derive(Debug)]
pub(super) struct Captures<'a> {
    pattern: Levels<'a>,
    name: Levels<'a>,
}

impl<'a> Captures<'a> {
    pub(super) fn new(pattern: &'a str, name: &'a str) -> Self {
        Self { pattern: Levels(Some(pattern)), name: Levels(Some(name)) }
    }
}

impl<'a> Iterator for Captures<'a> {
    type Item = Capture<'a>;

    fn next(&mut self) -> Option<Capture<'a>> {
        loop {
            match self.pattern.next()? {
                "#" => return Some(Capture::Rest(self.name.0.take())),
                "+" => return self.name.next().map(Capture::Level),
                _ => {
                    self.name.next()?;
                }
            }
        }
    }
}

/// The wildcards of a pattern, in order.
pub(super) fn wildcards(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('/').filter(|level| matches!(*level, "+" | "#"))
}

/// The pattern of the names that both patterns match; `None` when there is no such name.
pub(super) fn intersect(left: &str, right: &str) -> Option<String> {
    if hides(left, right) || hides(right, left) {
        return None;
    }
    let (mut a, mut b) = (Levels(Some(left)), Levels(Some(right)));
    let mut met = Vec::new();
    loop {
        let (at_a, at_b) = (a, b);
        match (a.next(), b.next()) {
            (Some("#"), _) => {
                met.extend(at_b.0);
                break;
            }
            (_, Some("#")) => {
                met.extend(at_a.0);
                break;
            }
            (None, None) => break,
            (Some("+"), Some(level)) | (Some(level), Some("+")) => met.push(level),
            (Some(x), Some(y)) if x == y => met.push(x),
            _ => return None,
        }
    }
    Some(met.join("/"))
}

/// Names that begin with `$` are not matched by a pattern that begins with a wildcard.
fn hides(wild: &str, reserved: &str) -> bool {
    matches!(wild.split('/').next(), Some("+" | "#")) && reserved.starts_with('$')
}

/// Names that stand for all that a pattern matches: fresh levels in place of `+`, and none, one and two in place of `#`.
pub(super) fn witnesses(pattern: &str) -> impl Iterator<Item = String> {
    let levels: Vec<String> = pattern
        .split('/')
        .enumerate()
        .map(|(at, level)| if level == "+" { format!("\u{1}{at}") } else { level.to_owned() })
        .collect();
    let open = levels.last().is_some_and(|last| last == "#");
    let rests: &[&[&str]] = if open { &[&[], &["\u{1}x"], &["\u{1}x", "\u{1}y"]] } else { &[&[]] };
    rests.iter().filter_map(move |rest| {
        let fixed = levels.iter().take(levels.len() - usize::from(open)).map(String::as_str);
        let name: Vec<&str> = fixed.chain(rest.iter().copied()).collect();
        (!name.is_empty()).then(|| name.join("/"))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use proptest::prelude::*;
    use ratatosk_core::{Channel, Filter};

    #[test]
    fn captures_keep_what_wildcards_stood_for() {
        use Capture::{Level, Rest};
        let all = |pattern, name| Captures::new(pattern, name).collect::<Vec<_>>();
        assert_eq!(all("a/+/b/#", "a/x/b/c/d"), [Level("x"), Rest(Some("c/d"))]);
        assert_eq!(all("a/#", "a"), [Rest(None)]);
        assert_eq!(all("a/#", "a/"), [Rest(Some(""))]);
        assert_eq!(all("+", ""), [Level("")]);
        assert_eq!(all("#", "a/b"), [Rest(Some("a/b"))]);
        assert_eq!(all("a/#", "a/+/#"), [Rest(Some("+/#"))]);
    }

    #[test]
    fn intersections() {
        for (a, b, met) in [
            ("a/#", "a/+", Some("a/+")),
            ("a/#", "a", Some("a")),
            ("+/b/#", "a/#", Some("a/b/#")),
            ("#", "$SYS/#", None),
            ("$SYS/#", "$SYS/x", Some("$SYS/x")),
            ("+", "#", Some("+")),
            ("a/+", "a", None),
            ("a/b", "a/c", None),
            ("#", "#", Some("#")),
        ] {
            assert_eq!(intersect(a, b).as_deref(), met, "{a} {b}");
            assert_eq!(intersect(b, a).as_deref(), met, "{b} {a}");
        }
    }

    proptest! {
        #[test]
        fn intersection_matches_exactly_what_both_match(
            a in "([ab]|\\$s|\\+)(/([ab]|\\+)?){0,3}(/#)?|#",
            b in "([ab]|\\$s|\\+)(/([ab]|\\+)?){0,3}(/#)?|#",
            name in "([ab]|\\$s)(/[ab]?){0,4}",
        ) {
            let name = Channel::new(name).unwrap();
            let (left, right) = (Filter::new(&*a).unwrap(), Filter::new(&*b).unwrap());
            let both = left.matches(&name) && right.matches(&name);
            let met = intersect(&a, &b);
            prop_assert_eq!(met.is_some(), left.overlaps(&right));
            let Some(met) = met else { return Ok(()) };
            prop_assert_eq!(Filter::new(&*met).unwrap().matches(&name), both, "{} met {} is {}", a, b, met);
            for witness in witnesses(&met) {
                let witness = Channel::new(witness).unwrap();
                prop_assert!(left.matches(&witness) && right.matches(&witness));
            }
        }
    }
}
