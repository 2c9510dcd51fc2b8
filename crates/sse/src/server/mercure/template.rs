//! URI templates (RFC 6570, all four levels) as expressions that match what they expand to.

use super::selector::{Compiled, Levels};

const UNRESERVED: &str = "(?:[A-Za-z0-9._~\\-]|[^\\x00-\\x7F]|%[0-9A-Fa-f]{2})";
const RESERVED: &str = "(?:[A-Za-z0-9._~:/?#\\[\\]@!$&'()*+,;=\\-]|[^\\x00-\\x7F]|%[0-9A-Fa-f]{2})";

/// How an operator expands (RFC 6570, appendix A).
struct Operator {
    first: &'static str,
    separator: &'static str,
    is_named: bool,
    allows: &'static str,
}

/// Compiles a template; none where the text has no expression, or one that is malformed.
pub(super) fn compile(text: &str) -> Option<Compiled> {
    let (mut regex, mut levels) = (String::new(), Levels::default());
    let mut rest = text;
    let mut expressions = 0;
    while let Some((literal, tail)) = rest.split_once('{') {
        let (expression, after) = tail.split_once('}')?;
        regex.push_str(&regex::escape(literal));
        levels.literal(literal);
        regex.push_str(&compile_expression(expression, &mut levels)?);
        expressions += 1;
        rest = after;
    }
    if expressions == 0 || rest.contains('}') {
        return None;
    }
    regex.push_str(&regex::escape(rest));
    levels.literal(rest);
    Some(Compiled { regex, levels: levels.finish() })
}

fn compile_expression(expression: &str, levels: &mut Levels) -> Option<String> {
    let (operator, names) = operator(expression)?;
    match operator.first {
        "" if operator.allows == UNRESERVED => levels.wild(),
        _ => levels.open(),
    }
    let values: Option<Vec<String>> = names.split(',').map(|name| variable(name, &operator)).collect();
    let any = values?.join("|");
    let (first, separator) = (regex::escape(operator.first), regex::escape(operator.separator));
    Some(format!("(?:{first}(?:{any})(?:{separator}(?:{any}))*)?"))
}

fn operator(expression: &str) -> Option<(Operator, &str)> {
    let plain = |first, separator, is_named, allows| Operator { first, separator, is_named, allows };
    let operator = match expression.as_bytes().first()? {
        b'+' => plain("", ",", false, RESERVED),
        b'#' => plain("#", ",", false, RESERVED),
        b'.' => plain(".", ".", false, UNRESERVED),
        b'/' => plain("/", "/", false, UNRESERVED),
        b';' => plain(";", ";", true, UNRESERVED),
        b'?' => plain("?", "&", true, UNRESERVED),
        b'&' => plain("&", "&", true, UNRESERVED),
        _ => return Some((plain("", ",", false, UNRESERVED), expression)),
    };
    Some((operator, expression.get(1..)?))
}

/// One variable's expansion. Its name is checked; a prefix bounds its length; an exploded one may bring keys of its own.
fn variable(text: &str, operator: &Operator) -> Option<String> {
    let (text, explodes) = text.strip_suffix('*').map_or((text, false), |name| (name, true));
    let (name, prefix) = text.split_once(':').map_or((text, None), |(name, prefix)| (name, Some(prefix)));
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.%".contains(&byte));
    if !is_name {
        return None;
    }
    let many = match prefix {
        Some(prefix) => {
            format!("{{0,{}}}", prefix.parse::<u16>().ok().filter(|length| (1..10_000).contains(length))?.min(256))
        }
        None => "*".to_owned(),
    };
    let value = format!("{}{many}", operator.allows);
    let key = if explodes { format!("{UNRESERVED}+") } else { regex::escape(name) };
    Some(match (operator.is_named, explodes) {
        (true, _) => format!("{key}(?:={value})?"),
        (false, true) => format!("(?:{UNRESERVED}+=)?{value}"),
        (false, false) => value,
    })
}
