//! What a row must meet, as the user writes it. Knows nothing of batches.

use dermflow_core::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A value that a column is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected text, a number, true or false")]
pub enum Literal {
    /// true or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// Text, or the 64 hexadecimal digits of a sample id.
    Text(String),
}

impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Literal::Boolean(truth) => write!(f, "{truth}"),
            Literal::Integer(number) => write!(f, "{number}"),
            Literal::Float(number) => write!(f, "{number:?}"),
            Literal::Text(text) => write!(f, "`{text}`"),
        }
    }
}

/// One of: tests of a `column` (all of those given must hold), `all`, `any`, or `not`.
///
/// A missing value meets no test but `is-null: true`; NaN equals nothing. `not` keeps exactly
/// the rows that its condition doesn't.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Condition {
    /// The column that the tests beside it look at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The value is this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equals: Option<Literal>,
    /// The value is there and is not this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_equals: Option<Literal>,
    /// The value is one of these.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub one_of: Option<Vec<Literal>>,
    /// The value is there and is none of these; an empty list leaves none out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_in: Option<Vec<Literal>>,
    /// The value is this or greater; text is ordered by its UTF-8 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Literal>,
    /// The value is this or less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Literal>,
    /// The value is greater than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<Literal>,
    /// The value is less than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<Literal>,
    /// Whether the value is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_null: Option<bool>,
    /// The text fits this pattern as a whole: `*`, `?`, `[a-z]`, `{a,b}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// All of these hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<Vec<Condition>>,
    /// At least one of these holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub any: Option<Vec<Condition>>,
    /// This doesn't hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not: Option<Box<Condition>>,
}

/// One test of a column.
#[derive(Clone, Debug)]
pub enum Test<L> {
    Equals(L),
    NotEquals(L),
    In(Vec<L>),
    NotIn(Vec<L>),
    AtLeast(L),
    AtMost(L),
    Above(L),
    Below(L),
    IsNull(bool),
    Matches(String),
}

impl Condition {
    /// The tests of its column, with the names of the parameters.
    pub fn tests(&self) -> Vec<(&'static str, Test<Literal>)> {
        let one = |name, value: &Option<Literal>, test: fn(Literal) -> Test<Literal>| {
            value.clone().map(|literal| (name, test(literal)))
        };
        let many = |name, values: &Option<Vec<Literal>>, test: fn(Vec<Literal>) -> Test<Literal>| {
            values.clone().map(|literals| (name, test(literals)))
        };
        let tests = [
            one("equals", &self.equals, Test::Equals),
            one("not-equals", &self.not_equals, Test::NotEquals),
            many("in", &self.one_of, Test::In),
            many("not-in", &self.not_in, Test::NotIn),
            one("at-least", &self.at_least, Test::AtLeast),
            one("at-most", &self.at_most, Test::AtMost),
            one("above", &self.above, Test::Above),
            one("below", &self.below, Test::Below),
            self.is_null.map(|wanted| ("is-null", Test::IsNull(wanted))),
            self.matches
                .clone()
                .map(|pattern| ("matches", Test::Matches(pattern))),
        ];
        tests.into_iter().flatten().collect()
    }

    /// The conditions that it is made of, with their places.
    fn parts(&self, at: &str) -> Vec<(String, &Condition)> {
        let list = |name: &str, conditions: &Option<Vec<Condition>>| -> Vec<(String, usize)> {
            let count = conditions.as_ref().map_or(0, Vec::len);
            (0..count)
                .map(|index| (format!("{at}.{name}.{index}"), index))
                .collect()
        };
        let mut parts = Vec::new();
        for (name, conditions) in [("all", &self.all), ("any", &self.any)] {
            let places = list(name, conditions);
            let conditions = conditions.as_deref().unwrap_or_default();
            parts.extend(
                places
                    .into_iter()
                    .map(|(place, index)| (place, &conditions[index])),
            );
        }
        parts.extend(self.not.as_deref().map(|part| (format!("{at}.not"), part)));
        parts
    }

    /// Adds the columns that it looks at.
    pub fn add_columns(&self, columns: &mut Vec<String>) {
        columns.extend(self.column.clone());
        for (_, part) in self.parts("") {
            part.add_columns(columns);
        }
    }

    /// Finds what the types of the fields can't say: exactly one form, and nothing empty.
    pub fn check(&self, at: &str, problems: &mut Vec<Problem>) {
        let tests = self.tests();
        let forms = [
            self.column.is_some() || !tests.is_empty(),
            self.all.is_some(),
            self.any.is_some(),
            self.not.is_some(),
        ];
        if forms.iter().filter(|given| **given).count() != 1 {
            let message = "a condition is either `column` with a test, or one of `all`, `any` and `not`";
            problems.push(Problem::new(at, message).with_help("combine conditions with `all: [..]`"));
        } else if self.column.is_none() && !tests.is_empty() {
            problems.push(Problem::new(at, "the test needs a `column` beside it"));
        } else if self.column.is_some() && tests.is_empty() {
            problems.push(Problem::new(at, "a `column` needs a test beside it").with_help(
                "one of equals, not-equals, in, not-in, at-least, at-most, above, below, is-null, matches",
            ));
        }
        for (name, test) in &tests {
            let place = format!("{at}.{name}");
            match test {
                Test::In(list) if list.is_empty() => {
                    problems.push(Problem::new(place, "the list is empty"));
                }
                Test::Matches(pattern) => {
                    if let Err(error) = globset::Glob::new(pattern) {
                        problems.push(Problem::new(place, error.to_string()));
                    }
                }
                test if test.literals().iter().any(|literal| is_nan(literal)) => {
                    problems.push(
                        Problem::new(place, "nothing compares with NaN")
                            .with_help("to find missing values, use is-null"),
                    );
                }
                _ => {}
            }
        }
        for (name, list) in [("all", &self.all), ("any", &self.any)] {
            if list.as_ref().is_some_and(Vec::is_empty) {
                problems.push(Problem::new(format!("{at}.{name}"), "the list is empty"));
            }
        }
        for (place, part) in self.parts(at) {
            part.check(&place, problems);
        }
    }
}

fn is_nan(literal: &Literal) -> bool {
    matches!(literal, Literal::Float(number) if number.is_nan())
}

impl<L> Test<L> {
    /// The values that it compares with.
    pub fn literals(&self) -> Vec<&L> {
        match self {
            Test::Equals(one) | Test::NotEquals(one) | Test::AtLeast(one) => vec![one],
            Test::AtMost(one) | Test::Above(one) | Test::Below(one) => vec![one],
            Test::In(many) | Test::NotIn(many) => many.iter().collect(),
            Test::IsNull(_) | Test::Matches(_) => Vec::new(),
        }
    }

    /// Whether it asks for an order, not only for equality.
    pub fn orders(&self) -> bool {
        matches!(
            self,
            Test::AtLeast(_) | Test::AtMost(_) | Test::Above(_) | Test::Below(_)
        )
    }

    /// The same test of other values.
    pub fn map<M, E>(self, mut change: impl FnMut(L) -> Result<M, E>) -> Result<Test<M>, E> {
        Ok(match self {
            Test::Equals(one) => Test::Equals(change(one)?),
            Test::NotEquals(one) => Test::NotEquals(change(one)?),
            Test::In(many) => Test::In(many.into_iter().map(change).collect::<Result<_, E>>()?),
            Test::NotIn(many) => Test::NotIn(many.into_iter().map(change).collect::<Result<_, E>>()?),
            Test::AtLeast(one) => Test::AtLeast(change(one)?),
            Test::AtMost(one) => Test::AtMost(change(one)?),
            Test::Above(one) => Test::Above(change(one)?),
            Test::Below(one) => Test::Below(change(one)?),
            Test::IsNull(wanted) => Test::IsNull(wanted),
            Test::Matches(pattern) => Test::Matches(pattern),
        })
    }
}
