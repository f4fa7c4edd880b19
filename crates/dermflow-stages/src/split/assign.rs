//! Which fold each group gets. Knows numbers only.

use dermflow_core::{StageContext, StageError};

use super::gather::{Gathered, Group};

/// A fold and its share of all samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    pub name: String,
    pub share: f64,
}

/// The fold of each group, by number.
///
/// # Errors
/// Where a previous fold is none of those that are wanted.
pub fn assign(
    gathered: &Gathered,
    wanted: &[Fold],
    exact: bool,
    context: &dyn StageContext,
) -> Result<Vec<usize>, StageError> {
    let mut pinned: Vec<Option<usize>> = Vec::with_capacity(gathered.groups.len());
    for group in &gathered.groups {
        pinned.push(match &group.previous {
            None => None,
            Some(name) => Some(place_of(name, wanted)?),
        });
    }
    let mut folds = vec![0; gathered.groups.len()];
    let shares: Vec<f64> = wanted.iter().map(|fold| fold.share).collect();
    if !exact {
        for ((fold, group), pin) in folds.iter_mut().zip(&gathered.groups).zip(&pinned) {
            *fold = pin.unwrap_or_else(|| fold_at(fraction(group.draw), &shares));
        }
        return Ok(folds);
    }
    let mut by_label: Vec<Vec<usize>> = vec![Vec::new(); gathered.labels.len()];
    for (number, group) in gathered.groups.iter().enumerate() {
        by_label[group.label as usize].push(number);
    }
    for mut of_label in by_label {
        if context.cancelled() {
            return Err(StageError::cancelled());
        }
        // Equal draws are as unlikely as equal hashes; the number only makes the order total.
        of_label.sort_unstable_by_key(|number| (gathered.groups[*number].draw, *number));
        cut(&of_label, &gathered.groups, &pinned, &shares, &mut folds);
    }
    Ok(folds)
}

fn place_of(name: &str, wanted: &[Fold]) -> Result<usize, StageError> {
    wanted.iter().position(|fold| fold.name == name).ok_or_else(|| {
        let names: Vec<String> = wanted.iter().map(|fold| format!("`{}`", fold.name)).collect();
        let message = format!(
            "`previous` has a fold `{name}`, and the folds are {}",
            names.join(", ")
        );
        StageError::new(message)
    })
}

/// A draw as a number from 0 to below 1.
fn fraction(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1u64 << 53) as f64
}

/// The fold in whose share a number from 0 to 1 lies, the shares laid end to end. Without any
/// share: the last one.
fn fold_at(at: f64, shares: &[f64]) -> usize {
    let mut end = 0.0;
    for (fold, share) in shares.iter().enumerate() {
        end += share;
        if at < end {
            return fold;
        }
    }
    // Rounding may leave the sum a little below 1.
    let last = shares.iter().rposition(|share| *share > 0.0);
    last.unwrap_or(shares.len().saturating_sub(1))
}

/// Cuts the groups of one label, in order, where the wanted shares end; what previous folds hold
/// already counts.
fn cut(order: &[usize], groups: &[Group], pinned: &[Option<usize>], shares: &[f64], folds: &mut [usize]) {
    let size = |number: &usize| f64::from(groups[*number].size);
    let total: f64 = order.iter().map(size).sum();
    let mut lacking: Vec<f64> = shares.iter().map(|share| share * total).collect();
    let mut free = 0.0;
    for number in order {
        match pinned[*number] {
            Some(fold) => {
                folds[*number] = fold;
                lacking[fold] -= size(number);
            }
            None => free += size(number),
        }
    }
    for share in &mut lacking {
        *share = share.max(0.0);
    }
    let all: f64 = lacking.iter().sum();
    let shares: Vec<f64> = match all > 0.0 {
        true => lacking.iter().map(|share| share / all).collect(),
        false => shares.to_vec(),
    };
    let mut before = 0.0;
    for number in order.iter().filter(|number| pinned[**number].is_none()) {
        // The middle of the group decides, so a cut is missed by half a group at most.
        folds[*number] = fold_at((before + size(number) / 2.0) / free, &shares);
        before += size(number);
    }
}
