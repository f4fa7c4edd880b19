//! "Did you mean": the known name nearest to a mistyped one.

/// The nearest of `candidates`, if it is near enough to be meant.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = wrong.chars().count();
    let allowed = 1 + length / 4;
    let folded = fold(wrong);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate.len().abs_diff(wrong.len()) > allowed + 2 {
            continue;
        }
        let distance = match fold(candidate) == folded {
            true => 0,
            false => strsim::osa_distance(wrong, candidate),
        };
        let nearer = best.is_none_or(|(least, name)| (distance, candidate) < (least, name));
        if distance <= allowed && distance < length && nearer {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, name)| name)
}

/// `Learning-Rate` and `learning_rate` are the same mistake.
fn fold(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

/// What to say of a name that is none of those known: the one that may be meant, or what there is.
/// `what` is what they are, as `stage`.
pub fn suggestion<'a>(
    wrong: &str,
    what: &str,
    known: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
) -> String {
    let known = known.into_iter();
    match nearest(wrong, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => choice(what, known),
    }
}

/// The names that there are.
pub(crate) fn choice<'a>(what: &str, known: impl Iterator<Item = &'a str>) -> String {
    let all = match what {
        "matrix" => "matrices".to_string(),
        _ => format!("{what}s"),
    };
    match listed(known) {
        names if names.is_empty() => format!("there are no {all} at all"),
        names => format!("known {all}: {names}"),
    }
}

/// Names for a list in a message: `a`, `b` and 3 more.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let all: Vec<&str> = names.into_iter().collect();
    let shown: Vec<String> = all.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match all.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["probability", "apply", "learning_rate", "x"];
        assert_eq!(nearest("probabilty", known), Some("probability"));
        assert_eq!(nearest("Learning-Rate", known), Some("learning_rate"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("y", known), None);
        assert_eq!(nearest("", known), None);
    }
}
