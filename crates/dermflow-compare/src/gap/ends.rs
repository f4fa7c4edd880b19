//! The two ends of a gap, found by name. Must not know what lies between them.

use dermflow_core::StageError;

use crate::groups::Group;
use crate::sides::{BASE, Side};

/// The places of the two groups that `text` names, such as `clean-only:all-true`. A group is named
/// by what it is called, by the name that it was asked for by, by its cell, or by the variant that
/// its matrix cells are of.
///
/// # Errors
/// Where these aren't two names, or one of them is nothing, or several, of what is compared.
pub(crate) fn ends(text: &str, sides: &[Side], groups: &[Group]) -> Result<(usize, usize), StageError> {
    // Names such as RUN:CELL have colons of their own, so each may be the one between.
    let tried: Vec<[Result<usize, StageError>; 2]> = text
        .match_indices(':')
        .map(|(at, colon)| [&text[..at], &text[at + colon.len()..]])
        .map(|names| names.map(|name| named(name, sides, groups)))
        .collect();
    let both = tried.iter().find_map(|[low, high]| match (low, high) {
        (Ok(low), Ok(high)) => Some((*low, *high)),
        _ => None,
    });
    match both {
        Some((low, high)) if low == high => Err(StageError::new(format!(
            "there is no gap in `{text}`: both are `{}`",
            groups[low].label
        ))
        .with_help(compared(groups))),
        Some(ends) => Ok(ends),
        None => Err(unfound(text, tried, groups)),
    }
}

/// What is wrong where no way to read the names gives two groups. Where one is found in one of the
/// ways, that is the way that was meant.
fn unfound(text: &str, tried: Vec<[Result<usize, StageError>; 2]>, groups: &[Group]) -> StageError {
    let meant = tried.iter().position(|names| names.iter().any(Result::is_ok));
    let meant = tried.into_iter().nth(meant.unwrap_or(0));
    meant
        .and_then(|names| names.into_iter().find_map(Result::err))
        .unwrap_or_else(|| {
            StageError::new(format!(
                "`{text}` should be two names with a colon between them, such as clean-only:all-true"
            ))
            .with_help(compared(groups))
        })
}

/// The one group that a name is of.
fn named(name: &str, sides: &[Side], groups: &[Group]) -> Result<usize, StageError> {
    match meant(name, sides, groups).as_slice() {
        [one] => Ok(*one),
        [] => {
            Err(StageError::new(format!("`{name}` is not among what is compared"))
                .with_help(compared(groups)))
        }
        several => {
            let of = several.iter().map(|place| &groups[*place]);
            Err(
                StageError::new(format!("`{name}` is several of what is compared: {}", labels(of)))
                    .with_help("name one of them"),
            )
        }
    }
}

/// The groups that a name may be of: of the first way to understand it that finds any.
fn meant(name: &str, sides: &[Side], groups: &[Group]) -> Vec<usize> {
    let is_label = |group: &Group| group.label == name;
    let any = |group: &Group, is_it: &dyn Fn(&Side) -> bool| {
        let mut members = group.members.iter();
        members.any(|member| is_it(&sides[member.side]))
    };
    let is_asked = |side: &Side| {
        let cell = side.cell.as_deref().unwrap_or(BASE);
        side.label == name || cell == name || side.asked.iter().any(|asked| asked == name)
    };
    let is_variant = |side: &Side| side.cell.as_deref().and_then(variant) == Some(name);
    let has_asked = |group: &Group| any(group, &is_asked);
    let has_variant = |group: &Group| any(group, &is_variant);
    let ways: [&dyn Fn(&Group) -> bool; 3] = [&is_label, &has_asked, &has_variant];
    let found = |way: &&dyn Fn(&Group) -> bool| -> Vec<usize> {
        let places = groups.iter().enumerate().filter(|(_, group)| way(group));
        places.map(|(place, _)| place).collect()
    };
    let mut found = ways.iter().map(found);
    found.find(|places| !places.is_empty()).unwrap_or_default()
}

/// The variant that a matrix cell is of: `clean-only` of `core[variant=clean-only,seed=1]`.
fn variant(cell: &str) -> Option<&str> {
    let (_, inside) = cell.strip_suffix(']')?.split_once('[')?;
    inside.split(',').find_map(|part| part.strip_prefix("variant="))
}

fn compared(groups: &[Group]) -> String {
    format!("what is compared: {}", labels(groups.iter()))
}

fn labels<'a>(groups: impl Iterator<Item = &'a Group>) -> String {
    let labels: Vec<String> = groups.map(|group| format!("`{}`", group.label)).collect();
    labels.join(", ")
}
