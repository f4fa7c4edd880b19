//! Checks written parameters against a kind's [`Rules`] and tells everything that is wrong, in
//! the parameters' own words.

use serde_json::Value as Json;

use super::rule::{Others, Rule, Rules, Type};
use crate::place::Span;
use crate::report::Report;
use crate::suggest;
use crate::written::{Node, Value};

/// Something wrong with a parameter.
pub(crate) struct Fault {
    pub code: &'static str,
    pub span: Span,
    pub message: String,
    pub help: Option<String>,
    /// Where the value came from, if it came through `${x}`.
    pub via: Option<Span>,
}

impl Fault {
    pub fn report(self) -> Report {
        let report = Report::error(self.code, self.span, self.message).maybe_help(self.help);
        match self.via {
            Some(via) if via != self.span => report.note(via, "the value was set here"),
            _ => report,
        }
    }
}

/// All faults of a stage's `with`.
pub(crate) fn check(rules: &Rules, kind: &str, with: &Node) -> Vec<Fault> {
    let mut check = Check {
        rules,
        kind,
        faults: Vec::new(),
    };
    check.value(&rules.root, with, &Path(None, ""));
    check.faults
}

/// The way to a parameter; built only where something is wrong.
pub(super) struct Path<'a>(pub(super) Option<&'a Path<'a>>, pub(super) &'a str);

impl Path<'_> {
    fn text(&self) -> String {
        match self.0 {
            None => self.1.to_string(),
            Some(outer) => match outer.text() {
                outer if outer.is_empty() => self.1.to_string(),
                outer => format!("{outer}.{}", self.1),
            },
        }
    }

    fn quoted(&self) -> String {
        match self.text() {
            path if path.is_empty() => "`with`".to_string(),
            path => format!("`{path}`"),
        }
    }
}

pub(super) struct Check<'a> {
    pub(super) rules: &'a Rules,
    kind: &'a str,
    pub(super) faults: Vec<Fault>,
}

impl<'a> Check<'a> {
    fn fault(&mut self, code: &'static str, node: &Node, message: String, help: Option<String>) {
        let via = node.via.as_deref().copied();
        self.faults.push(Fault {
            code,
            span: node.span,
            message,
            help,
            via,
        });
    }

    pub(super) fn value(&mut self, rule: &'a Rule, node: &Node, path: &Path) {
        if !rule.types.is_empty() && !rule.types.iter().any(|wanted| is(*wanted, node)) {
            return self.wrong_type(rule, node, path);
        }
        if let Some(choices) = &rule.choices
            && !choices.iter().any(|choice| equals(choice, node))
        {
            return self.wrong_choice(&names(choices), node, path);
        }
        match &node.value {
            Value::Number(number) => self.number(rule, number, node, path),
            Value::Text(text) => self.count(rule.letters, text.chars().count(), "character", node, path),
            Value::List(elements) => self.list(rule, elements, node, path),
            Value::Map(_) => self.map(rule, node, path),
            _ => {}
        }
        if let Some(definition) = rule.reference {
            self.value(&self.rules.definitions[definition], node, path);
        }
        rule.all_of.iter().for_each(|each| self.value(each, node, path));
        if !rule.any_of.is_empty() {
            self.any_of(&rule.any_of, node, path);
        }
    }

    fn wrong_type(&mut self, rule: &Rule, node: &Node, path: &Path) {
        let wanted: Vec<&str> = rule
            .types
            .iter()
            .filter(|each| **each != Type::Null)
            .map(|each| words(*each))
            .collect();
        let wanted = if wanted.is_empty() {
            "null".to_string()
        } else {
            wanted.join(" or ")
        };
        let message = format!("{} is {}, and must be {wanted}", path.quoted(), node.describe());
        let help = rule
            .description
            .as_deref()
            .map(|about| about_parameter(path, about));
        self.fault("parameter-type", node, message, help);
    }

    pub(super) fn wrong_choice(&mut self, names: &[String], node: &Node, path: &Path) {
        let near = node
            .text()
            .and_then(|text| suggest::nearest(text, names.iter().map(String::as_str)));
        let listed = suggest::listed(names.iter().map(String::as_str));
        let must = if names.len() == 1 {
            "must be"
        } else {
            "must be one of"
        };
        let message = format!("{} is {}, and {must} {listed}", path.quoted(), node.describe());
        let help = near.map(|name| format!("did you mean `{name}`?"));
        self.fault("parameter-value", node, message, help);
    }

    fn number(&mut self, rule: &Rule, number: &serde_yaml::Number, node: &Node, path: &Path) {
        let value = number.as_f64().unwrap_or(f64::NAN);
        // No limit holds for NaN.
        let unordered = value.is_nan();
        let limits = &rule.limits;
        let must = [
            limits
                .least
                .filter(|least| unordered || value < *least)
                .map(|least| format!("at least {least}")),
            limits
                .most
                .filter(|most| unordered || value > *most)
                .map(|most| format!("at most {most}")),
            limits
                .above
                .filter(|above| unordered || value <= *above)
                .map(|above| format!("more than {above}")),
            limits
                .below
                .filter(|below| unordered || value >= *below)
                .map(|below| format!("less than {below}")),
            limits
                .multiple_of
                .filter(|step| value % step != 0.0)
                .map(|step| format!("a multiple of {step}")),
        ];
        if let Some(must) = must.into_iter().flatten().next() {
            let message = format!("{} is {number}, and must be {must}", path.quoted());
            let help = rule
                .description
                .as_deref()
                .map(|about| about_parameter(path, about));
            self.fault("parameter-range", node, message, help);
        }
    }

    fn count(
        &mut self,
        (least, most): (Option<u64>, Option<u64>),
        count: usize,
        what: &str,
        node: &Node,
        path: &Path,
    ) {
        let count = count as u64;
        let must = match (least, most) {
            (Some(least), _) if count < least => format!("at least {least}"),
            (_, Some(most)) if count > most => format!("at most {most}"),
            _ => return,
        };
        let plural = if count == 1 { "" } else { "s" };
        let message = format!(
            "{} has {count} {what}{plural}, and must have {must}",
            path.quoted()
        );
        self.fault("parameter-length", node, message, None);
    }

    fn list(&mut self, rule: &'a Rule, elements: &[Node], node: &Node, path: &Path) {
        self.count(rule.elements, elements.len(), "element", node, path);
        for (at, element) in elements.iter().enumerate() {
            let rule = rule.first_items.get(at).or(rule.items.as_deref());
            if let Some(rule) = rule {
                self.value(rule, element, &Path(Some(path), &at.to_string()));
            }
        }
        if rule.unique {
            let mut seen = std::collections::HashSet::new();
            for element in elements {
                if !seen.insert(element.to_yaml()) {
                    let message = format!(
                        "{} has this element twice, and each may stand once",
                        path.quoted()
                    );
                    self.fault("parameter-value", element, message, None);
                }
            }
        }
    }

    fn map(&mut self, rule: &'a Rule, node: &Node, path: &Path) {
        let entries = node.map().unwrap_or_default();
        self.count(rule.entries, entries.len(), "entry", node, path);
        for (key, value) in entries {
            let path = Path(Some(path), &key.text);
            match (rule.property(&key.text), &rule.other_properties) {
                (Some(rule), _) => self.value(rule, value, &path),
                (None, Others::Ruled(rule)) => self.value(rule, value, &path),
                (None, Others::Allowed) => {}
                (None, Others::Refused) => self.unknown(rule, key.span, &key.text, &path),
            }
        }
        for name in rule.required.iter().filter(|name| node.entry(name).is_none()) {
            let path = Path(Some(path), name);
            let message = format!("`{}` is missing: kind `{}` needs it", path.text(), self.kind);
            let about = rule.property(name).and_then(|rule| self.description(rule));
            self.fault(
                "missing-parameter",
                node,
                message,
                about.map(|about| about_parameter(&path, about)),
            );
        }
    }

    pub(super) fn faults_of(&self, rule: &'a Rule, node: &Node, path: &Path) -> Vec<Fault> {
        let mut check = Check {
            rules: self.rules,
            kind: self.kind,
            faults: Vec::new(),
        };
        check.value(rule, node, path);
        check.faults
    }

    fn description(&self, rule: &'a Rule) -> Option<&'a str> {
        let own = rule.description.as_deref();
        own.or_else(|| {
            self.rules
                .definitions
                .get(rule.reference?)?
                .description
                .as_deref()
        })
    }

    fn unknown(&mut self, rule: &Rule, span: Span, name: &str, path: &Path) {
        let known = || rule.properties.iter().map(|(name, _)| name.as_str());
        let help = match (rule.properties.is_empty(), suggest::nearest(name, known())) {
            (true, _) => "it takes no parameters".to_string(),
            (_, Some(near)) => format!("did you mean `{near}`?"),
            (_, None) => format!("known parameters: {}", suggest::listed(known())),
        };
        let message = format!("`{}` is no parameter of kind `{}`", path.text(), self.kind);
        self.faults.push(Fault {
            code: "unknown-parameter",
            span,
            message,
            help: Some(help),
            via: None,
        });
    }
}

pub(super) fn name(choice: &Json) -> String {
    choice.as_str().map_or_else(|| choice.to_string(), str::to_string)
}

pub(super) fn names(choices: &[Json]) -> Vec<String> {
    choices.iter().map(name).collect()
}

fn about_parameter(path: &Path, about: &str) -> String {
    let first = about.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    format!("{}: {first}", path.quoted())
}

fn words(wanted: Type) -> &'static str {
    match wanted {
        Type::Null => "null",
        Type::Boolean => "true or false",
        Type::Integer => "a whole number",
        Type::Number => "a number",
        Type::Text => "a text",
        Type::List => "a list",
        Type::Map => "a mapping",
    }
}

pub(super) fn is(wanted: Type, node: &Node) -> bool {
    match (wanted, &node.value) {
        (Type::Null, Value::Null)
        | (Type::Boolean, Value::Boolean(_))
        | (Type::Number, Value::Number(_))
        | (Type::Text, Value::Text(_))
        | (Type::List, Value::List(_))
        | (Type::Map, Value::Map(_)) => true,
        (Type::Integer, Value::Number(number)) => number.is_i64() || number.is_u64(),
        _ => false,
    }
}

pub(super) fn equals(choice: &Json, node: &Node) -> bool {
    match (choice, &node.value) {
        (Json::Null, Value::Null) => true,
        (Json::Bool(choice), Value::Boolean(truth)) => choice == truth,
        (Json::String(choice), Value::Text(text)) => choice == text,
        (Json::Number(choice), Value::Number(number)) => choice.as_f64() == number.as_f64(),
        _ => false,
    }
}
