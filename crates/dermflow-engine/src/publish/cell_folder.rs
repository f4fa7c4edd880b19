//! What the folder with a cell's results is called. A cell's label holds values as they were
//! written, so it may be a path, or longer than a file system takes.

use std::fmt::Write;

use dermflow_core::Digest;

/// Bytes of the name; most file systems take 255.
const LONGEST: usize = 200;

/// Bytes of a longer name that are kept before its digest.
const KEPT: usize = 160;

/// `@` and the label, with escapes for what would make folders in folders. Never another cell's.
pub(super) fn name_of(cell: &str) -> String {
    let mut name = "@".to_string();
    for letter in cell.chars() {
        if matches!(letter, '/' | '%') || letter.is_control() {
            // Writing to a text can't fail.
            let _ = write!(name, "%{:02X}", u32::from(letter));
        } else {
            name.push(letter);
        }
    }
    if name.len() <= LONGEST {
        return name;
    }
    let end = (0..=KEPT).rev().find(|end| name.is_char_boundary(*end));
    let digest = Digest::derive("dermflow cell folder v1", cell.as_bytes());
    // No escape looks like this, so no short name does.
    format!("{}%-{}", &name[..end.unwrap_or_default()], digest.short())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_labels_stand_as_they_are() {
        assert_eq!(name_of("no-prior"), "@no-prior");
        assert_eq!(name_of("sweep[often=0.25,seed=1]"), "@sweep[often=0.25,seed=1]");
    }

    #[test]
    fn paths_make_no_folders() {
        assert_eq!(name_of("f[t=data/a.csv]"), "@f[t=data%2Fa.csv]");
        assert_eq!(name_of("f[t=../../a]"), "@f[t=..%2F..%2Fa]");
        assert_ne!(name_of("f[t=a/b]"), name_of("f[t=a%2Fb]"));
        assert_eq!(name_of("f[t=a\0\nb]"), "@f[t=a%00%0Ab]");
    }

    #[test]
    fn long_labels_fit_and_are_told_apart() {
        for letter in ["a", "é", "…", "/", "🩺"] {
            let long = letter.repeat(300);
            let (one, other) = (name_of(&format!("{long}1")), name_of(&format!("{long}2")));
            assert!(one.len() <= LONGEST, "{one}");
            assert!(!one.contains('/'), "{one}");
            assert_ne!(one, other);
        }
    }
}
