//! Connected components of a mask: where each lies and how many pixels it has.
//!
//! Works on rows of yes and no; knows nothing of files or lesions.

/// A set of pixels that touch at a side or a corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// The first column that it reaches.
    pub left: usize,
    /// The first row.
    pub top: usize,
    /// The column behind its last one.
    pub right: usize,
    /// The row behind its last one.
    pub bottom: usize,
    /// How many pixels it has.
    pub area: usize,
}

impl Component {
    /// Both as one.
    pub fn united(self, other: Component) -> Component {
        Component {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
            area: self.area + other.area,
        }
    }
}

/// The components of a mask of `width` columns, row by row, in order of their first pixels.
/// What lies behind the last whole row is left out.
///
/// ```
/// let mask = [true, false, false, true, false, true, false, false];
/// let found = dermflow_vision::components::components(&mask, 4);
/// assert_eq!(found.len(), 2);
/// assert_eq!((found[0].right, found[0].bottom, found[0].area), (2, 2, 2));
/// ```
pub fn components(mask: &[bool], width: usize) -> Vec<Component> {
    if width == 0 {
        return Vec::new();
    }
    let mut forest = Forest::default();
    // Runs of the row before and of this row: first column, column behind, tree.
    let mut above: Vec<(usize, usize, usize)> = Vec::new();
    let mut here: Vec<(usize, usize, usize)> = Vec::new();
    for (top, row) in mask.chunks_exact(width).enumerate() {
        here.clear();
        let mut first_above = 0;
        for (left, right) in runs(row) {
            let tree = forest.plant(Component {
                left,
                top,
                right,
                bottom: top + 1,
                area: right - left,
            });
            // Runs above that end before this one can't touch the later ones either.
            while above.get(first_above).is_some_and(|(_, end, _)| *end < left) {
                first_above += 1;
            }
            for (_, _, other) in above[first_above..]
                .iter()
                .take_while(|(start, _, _)| *start <= right)
            {
                forest.unite(tree, *other);
            }
            here.push((left, right, tree));
        }
        std::mem::swap(&mut above, &mut here);
    }
    forest.harvest()
}

/// The runs of yes in a row: first column, and column behind.
fn runs(row: &[bool]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + row[at..].iter().position(|yes| *yes)?;
        let length = row[start..].iter().position(|yes| !*yes);
        at = length.map_or(row.len(), |length| start + length);
        Some((start, at))
    })
}

/// Union-find: the smaller number is the root, so roots are in order of first pixels.
#[derive(Default)]
struct Forest {
    parents: Vec<usize>,
    components: Vec<Component>,
}

impl Forest {
    fn plant(&mut self, component: Component) -> usize {
        self.parents.push(self.parents.len());
        self.components.push(component);
        self.parents.len() - 1
    }

    fn root(&mut self, mut tree: usize) -> usize {
        while self.parents[tree] != tree {
            self.parents[tree] = self.parents[self.parents[tree]];
            tree = self.parents[tree];
        }
        tree
    }

    fn unite(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a == b {
            return;
        }
        let (root, other) = (a.min(b), a.max(b));
        self.parents[other] = root;
        self.components[root] = self.components[root].united(self.components[other]);
    }

    fn harvest(self) -> Vec<Component> {
        let trees = self.parents.iter().zip(self.components).enumerate();
        trees
            .filter(|(tree, (parent, _))| *tree == **parent)
            .map(|(_, (_, component))| component)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One component after the other by flooding.
    fn flooded(mask: &[bool], width: usize) -> Vec<Component> {
        let height = mask.len() / width;
        let mut left_over = mask.to_vec();
        let mut found = Vec::new();
        for start in 0..mask.len() {
            if !left_over[start] {
                continue;
            }
            let mut component: Option<Component> = None;
            let mut open = vec![start];
            left_over[start] = false;
            while let Some(at) = open.pop() {
                let (x, y) = (at % width, at / width);
                let pixel = Component {
                    left: x,
                    top: y,
                    right: x + 1,
                    bottom: y + 1,
                    area: 1,
                };
                component = Some(component.map_or(pixel, |all| all.united(pixel)));
                for ny in y.saturating_sub(1)..(y + 2).min(height) {
                    for nx in x.saturating_sub(1)..(x + 2).min(width) {
                        let next = ny * width + nx;
                        if std::mem::take(&mut left_over[next]) {
                            open.push(next);
                        }
                    }
                }
            }
            found.extend(component);
        }
        found
    }

    proptest! {
        #[test]
        fn they_are_those_that_flooding_finds(
            width in 1usize..12, height in 0usize..12, seed in proptest::collection::vec(0u8..5, 144), often in 1u8..5,
        ) {
            let mask: Vec<bool> = seed[..width * height].iter().map(|value| *value < often).collect();
            prop_assert_eq!(components(&mask, width), flooded(&mask, width));
        }
    }

    #[test]
    fn a_comb_is_one_component_and_nothing_is_none() {
        let rows = ["#.#.#", "#.#.#", "#####"].concat();
        let mask: Vec<bool> = rows.bytes().map(|byte| byte == b'#').collect();
        let found = components(&mask, 5);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].area, found[0].right, found[0].bottom), (11, 5, 3));
        assert_eq!(components(&[], 5), []);
        assert_eq!(components(&[true], 0), []);
    }
}
