//! Columns read from paths: `{label}/{group}_*.jpg`. Knows text only.

use regex::Regex;

/// A pattern with named parts.
pub struct Pattern {
    regex: Regex,
    names: Vec<String>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(written: &str) -> Result<Pattern, String> {
        let mut regex = String::from(r"(?s)\A");
        let mut names: Vec<String> = Vec::new();
        let mut rest = written;
        while let Some(first) = rest.chars().next() {
            rest = &rest[first.len_utf8()..];
            match first {
                '{' => {
                    let (name, behind) = rest
                        .split_once('}')
                        .ok_or_else(|| format!("a `{{` of `{written}` has no `}}`"))?;
                    if !is_name(name) {
                        return Err(format!(
                            "`{{{name}}}` is no named part: a name has letters, digits and `_`, and starts with a letter"
                        ));
                    }
                    if names.iter().any(|other| other == name) {
                        return Err(format!("`{{{name}}}` stands twice in `{written}`"));
                    }
                    regex += &format!("(?P<{name}>[^/]+?)");
                    names.push(name.to_string());
                    rest = behind;
                }
                '}' => return Err(format!("a `}}` of `{written}` has no `{{`")),
                '*' => match (rest.strip_prefix("*/"), rest.strip_prefix('*')) {
                    (Some(behind), _) => {
                        regex += "(?:.*/)?";
                        rest = behind;
                    }
                    (None, Some(behind)) => {
                        regex += ".*";
                        rest = behind;
                    }
                    (None, None) => regex += "[^/]*",
                },
                other => regex += &regex::escape(other.encode_utf8(&mut [0; 4])),
            }
        }
        regex += r"\z";
        match names.is_empty() {
            true => Err(format!("`{written}` has no named part such as `{{label}}`")),
            false => Ok(Pattern {
                regex: Regex::new(&regex).map_err(|error| format!("`{written}` can't be used: {error}"))?,
                names,
            }),
        }
    }

    /// The names of its parts, as written.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The parts of a path, in the order of the names, if it fits.
    pub fn parts(&self, path: &str) -> Option<Vec<String>> {
        let captures = self.regex.captures(path)?;
        let part = |name: &String| Some(captures.name(name)?.as_str().to_string());
        self.names.iter().map(part).collect()
    }
}

fn is_name(name: &str) -> bool {
    let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.chars().all(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_from_folders_and_names() {
        let parts = |pattern: &str, path: &str| Pattern::new(pattern).unwrap().parts(path);
        let owned = |parts: &[&str]| Some(parts.iter().map(|part| part.to_string()).collect::<Vec<_>>());
        assert_eq!(
            parts("{label}/{group}_*.jpg", "nevus/P1_2_3.jpg"),
            owned(&["nevus", "P1"])
        );
        assert_eq!(parts("**/{label}/*", "a/b/mel/x.png"), owned(&["mel"]));
        assert_eq!(parts("**/{label}/*", "mel/x.png"), owned(&["mel"]));
        assert_eq!(
            parts("{group}-{n}.{format}", "a-b-c.jpeg"),
            owned(&["a", "b-c", "jpeg"])
        );
        assert_eq!(
            parts("{label}/*", "a/b/c.png"),
            None,
            "a star stays within a name"
        );
        assert_eq!(
            parts("{label}+.(x)", "mel+.(x)"),
            owned(&["mel"]),
            "other characters are plain"
        );
        assert_eq!(parts("{label}+.(x)", "mell.x"), None);
    }

    #[test]
    fn a_pattern_that_makes_no_sense_is_told() {
        for (pattern, words) in [
            ("*.jpg", "no named part"),
            ("{label", "has no `}`"),
            ("label}", "has no `{`"),
            ("{a}/{a}", "stands twice"),
            ("{a b}", "no named part"),
            ("{}", "no named part"),
        ] {
            let refusal = Pattern::new(pattern).err().unwrap();
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
