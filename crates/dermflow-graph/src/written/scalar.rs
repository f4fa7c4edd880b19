//! What a plain scalar means. The rules are serde_yaml's own (YAML 1.2 core schema, with binary
//! numbers), so that a value means here what it means to every typed reader.

use super::node::Value;

/// The value of an unquoted scalar.
pub(crate) fn plain(text: &str) -> Value {
    match text.as_bytes().first() {
        None | Some(b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F') => word(text),
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => number(text),
        Some(_) => Value::Text(text.to_string()),
    }
}

fn word(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Boolean(true),
        "false" | "False" | "FALSE" => Value::Boolean(false),
        _ => Value::Text(text.to_string()),
    }
}

fn number(text: &str) -> Value {
    if let Some(number) = unsigned(text) {
        return Value::Number(number.into());
    }
    if let Some(number) = negative(text) {
        return Value::Number(number.into());
    }
    match float(text) {
        Some(number) => Value::Number(number.into()),
        None => Value::Text(text.to_string()),
    }
}

/// `0x`, `0o` and `0b` with their digits.
fn radix(text: &str) -> Option<(u32, &str)> {
    let radix = match text.get(..2)? {
        "0x" => 16,
        "0o" => 8,
        "0b" => 2,
        _ => return None,
    };
    Some((radix, &text[2..]))
}

fn unsigned(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if let Some((radix, digits)) = radix(digits) {
        return if digits.starts_with('+') {
            None
        } else {
            u64::from_str_radix(digits, radix).ok()
        };
    }
    match digits.starts_with('+') || is_zero_padded(text) {
        true => None,
        false => digits.parse().ok(),
    }
}

fn negative(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-')?;
    if let Some((radix, digits)) = radix(digits) {
        return i64::from_str_radix(&format!("-{digits}"), radix).ok();
    }
    match is_zero_padded(text) {
        true => None,
        false => text.parse().ok(),
    }
}

/// `007` is a text: an identifier, not a number.
fn is_zero_padded(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|digit| digit.is_ascii_digit())
}

fn float(text: &str) -> Option<f64> {
    if is_zero_padded(text) {
        return None;
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if text.len() != unsigned.len() && unsigned.starts_with(['+', '-']) {
        return None;
    }
    match (text, unsigned) {
        (_, ".inf" | ".Inf" | ".INF") => Some(f64::INFINITY),
        ("-.inf" | "-.Inf" | "-.INF", _) => Some(f64::NEG_INFINITY),
        (".nan" | ".NaN" | ".NAN", _) => Some(f64::NAN.copysign(1.0)),
        _ => unsigned.parse::<f64>().ok().filter(|number| number.is_finite()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::place::Span;
    use crate::written::node::Node;

    fn agrees(text: &str) {
        // Past 64 bits serde_yaml refuses; a float is the nearest that can be said.
        let Ok(theirs) = serde_yaml::from_str::<serde_yaml::Value>(text) else {
            return;
        };
        if matches!(
            theirs,
            serde_yaml::Value::Tagged(_) | serde_yaml::Value::Sequence(_)
        ) {
            return;
        }
        let ours = Node::new(plain(text), Span::default()).to_yaml();
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{text}");
    }

    #[test]
    fn plain_scalars_mean_what_serde_yaml_says() {
        let list = "0 1 -1 +1 007 -07 +07 0.5 .5 5. 1e3 1E-3 -1e3 0x1F 0o17 0b101 -0x1f -0o7 -0b1 +0x10 0x 0x+1 \
            0x-1 18446744073709551615 -9223372036854775808 ~ null Null NULL nULL true True TRUE yes no on false \
            .inf -.inf +.Inf .nan .NaN -.nan inf nan infinity Infinity 1_000 1.2.3 2024-01-01 12:30 -0 -0.0 +-1 \
            ++1 1e999 -1e999 0b12 e3 .e3 0.0.0 0x_f tRUE n nothing";
        list.split_whitespace().for_each(agrees);
    }

    proptest! {
        #[test]
        fn so_do_random_ones(text in "[-+]?[0-9a-fxob.eE_+-]{1,12}") {
            if !text.starts_with("- ") && text != "-" && !text.starts_with("---") {
                agrees(&text);
            }
        }
    }
}
