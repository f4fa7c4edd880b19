//! What type a column of texts has, seen over all of its values. Knows nothing of files.

use dermflow_core::ColumnType;

/// What a text can be read as; each includes the smaller ones where a column mixes them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    boolean: bool,
    integer: bool,
    /// An integer that float64 can't hold exactly.
    long_integer: bool,
    float: bool,
    text: bool,
}

impl Seen {
    /// Takes one value. `quoted`: the file says that it is text (a JSON string).
    pub fn take(&mut self, text: &str, quoted: bool) {
        if self.text {
            return;
        }
        if quoted {
            self.text = true;
        } else if matches!(text, "true" | "false") {
            self.boolean = true;
        } else if is_plain_integer(text) {
            match text.parse::<i64>() {
                Ok(number) if number.unsigned_abs() <= 1 << 53 => self.integer = true,
                Ok(_) => {
                    self.integer = true;
                    self.long_integer = true;
                }
                Err(_) => self.text = true,
            }
        } else if is_plain_float(text) {
            self.float = true;
        } else {
            self.text = true;
        }
    }

    /// The narrowest type that holds all values as they were written.
    pub fn column_type(self) -> ColumnType {
        let numbers = self.integer || self.float;
        match self {
            _ if self.text || (self.boolean && numbers) || (self.long_integer && self.float) => {
                ColumnType::Text
            }
            Seen { boolean: true, .. } => ColumnType::Boolean,
            Seen { float: true, .. } => ColumnType::Float64,
            Seen { integer: true, .. } => ColumnType::Integer,
            _ => ColumnType::Text,
        }
    }
}

/// Digits that come back as they were written: no `+1`, no `007`; `-0` is a float.
fn is_plain_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leading_zero = digits.starts_with('0') && (digits.len() > 1 || text.len() > 1);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && !leading_zero
}

/// A decimal fraction or an exponent; `nan`, `inf` and `1,5` are text unless declared.
fn is_plain_float(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let code = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
    digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && !code
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> ColumnType {
        let mut seen = Seen::default();
        texts.iter().for_each(|text| seen.take(text, false));
        seen.column_type()
    }

    #[test]
    fn a_column_gets_the_narrowest_type_that_keeps_what_was_written() {
        use ColumnType::{Boolean, Float64, Integer, Text};
        let expectations: [(&[&str], ColumnType); 14] = [
            (&["1", "-20", "0"], Integer),
            (&["1", "2.5", "1e3", ".5"], Float64),
            (&["true", "false"], Boolean),
            (&["true", "1"], Text),
            (&["007", "8"], Text),
            (&["00.7"], Text),
            (&["+1"], Text),
            (&["-0"], Float64),
            (&["9223372036854775807"], Integer),
            (&["9223372036854775808"], Text),
            (&["9223372036854775807", "0.5"], Text),
            (&["1", "nan"], Text),
            (&["1e999"], Text),
            (&[], Text),
        ];
        for (texts, expected) in expectations {
            assert_eq!(of(texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn one_odd_value_counts_wherever_it_stands() {
        let mut texts = vec!["1"; 1000];
        texts.push("x");
        assert_eq!(of(&texts), ColumnType::Text);
    }
}
