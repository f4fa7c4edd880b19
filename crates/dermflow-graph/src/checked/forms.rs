//! Parameters that may have one of several forms (enums, options): which one was meant, and
//! what is wrong with it.

use serde_json::Value as Json;

use super::conform::{Check, Fault, Path, equals, is, name, names};
use super::rule::Rule;
use crate::written::{Node, Value};

impl<'a> Check<'a> {
    /// One of several forms. What is told is what is wrong with the form that was meant.
    pub(super) fn any_of(&mut self, forms: &'a [Rule], node: &Node, path: &Path) {
        let mut best: Option<Vec<Fault>> = None;
        let mut meant = None;
        for form in forms {
            let faults = self.faults_of(form, node, path);
            if faults.is_empty() {
                return;
            }
            if meant.is_none() && self.is_meant(form, node) {
                meant = Some(faults);
            } else if best.as_ref().is_none_or(|best| faults.len() < best.len()) {
                best = Some(faults);
            }
        }
        if let Some(faults) = meant {
            return self.faults.extend(faults);
        }
        let choices: Vec<String> = forms.iter().flat_map(|form| self.choices(form)).collect();
        let tags = forms.iter().filter_map(|form| self.tag(form));
        let (tag_names, tags): (Vec<&str>, Vec<&Json>) = tags.unzip();
        let tag = tag_names.first().and_then(|tag| Some((tag, &node.entry(tag)?.1)));
        match (tag, &node.value) {
            (Some((tag, chosen)), _) => {
                let tags = tags.into_iter().map(name).collect::<Vec<_>>();
                self.wrong_choice(&tags, chosen, &Path(Some(path), tag));
            }
            (None, Value::Text(_)) if !choices.is_empty() => self.wrong_choice(&choices, node, path),
            _ => self.faults.extend(best.unwrap_or_default()),
        }
    }

    fn followed(&self, rule: &'a Rule) -> &'a Rule {
        let definition = rule
            .reference
            .filter(|_| rule.properties.is_empty() && rule.types.is_empty());
        definition.map_or(rule, |at| &self.rules.definitions[at])
    }

    /// What a form allows where a text stands: the texts to choose from, and `{name: …}` for a
    /// choice with content.
    fn choices(&self, form: &'a Rule) -> Vec<String> {
        let form = self.followed(form);
        match (&form.choices, form.required.as_slice()) {
            (Some(choices), _) => names(choices),
            (None, [only]) if form.properties.len() == 1 => vec![format!("{{{only}: …}}")],
            // A form may be a choice itself: `Option` of a choice.
            (None, _) => form.any_of.iter().flat_map(|each| self.choices(each)).collect(),
        }
    }

    /// The property of a form that must have one value: an enum's tag.
    fn tag(&self, form: &'a Rule) -> Option<(&'a str, &'a Json)> {
        let form = self.followed(form);
        form.properties
            .iter()
            .find_map(|(name, rule)| match rule.choices.as_deref() {
                Some([only]) if form.required.contains(name) => Some((name.as_str(), only)),
                _ => None,
            })
    }

    /// Whether a value looks as if this form was meant.
    fn is_meant(&self, form: &'a Rule, node: &Node) -> bool {
        let form = self.followed(form);
        let Some(entries) = node.map() else {
            let plain = form.choices.is_none() && form.any_of.is_empty() && !form.types.is_empty();
            return plain && form.types.iter().any(|wanted| is(*wanted, node));
        };
        if let Some((name, choice)) = self.tag(form) {
            return node.entry(name).is_some_and(|(_, value)| equals(choice, value));
        }
        match (form.required.as_slice(), entries) {
            ([only], [(key, _)]) if form.properties.len() == 1 => key.text == *only,
            _ => false,
        }
    }
}
