//! One golden file for each case: `tests/diagnostics/NAME.yaml` and what is said of it in
//! `NAME.txt`. `DERMFLOW_REWRITE=1 cargo test -p dermflow-graph` writes the texts anew.
//!
//! The first lines of a case may say what to ask for: `#: set prior=0`, `#: cells all`,
//! `#: cells variant NAME`, `#: cells matrix NAME`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dermflow_graph::{CODES, CellSelection};

use super::load_file;

const FOLDER: &str = "tests/diagnostics";

fn cases() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    cases.sort();
    cases
}

fn request_of(file: &Path) -> (CellSelection, Vec<String>) {
    let text = std::fs::read_to_string(file).unwrap();
    let (mut cells, mut overrides) = (CellSelection::Base, Vec::new());
    for line in text.lines().map_while(|line| line.strip_prefix("#: ")) {
        match line.split_once(' ').unwrap() {
            ("set", text) => overrides.push(text.to_string()),
            ("cells", "all") => cells = CellSelection::All,
            ("cells", which) => {
                cells = match which.split_once(' ').unwrap() {
                    ("variant", name) => CellSelection::Variant(name.to_string()),
                    ("matrix", name) => CellSelection::Matrix(name.to_string()),
                    other => panic!("{other:?}"),
                }
            }
            other => panic!("{other:?}"),
        }
    }
    (cells, overrides)
}

/// What is said of a file, and the codes.
fn said_of(file: &Path) -> (String, Vec<&'static str>) {
    let (cells, overrides) = request_of(file);
    let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
    let told = load_file(file, cells, &overrides).map_or_else(|wrong| wrong, |loaded| loaded.warnings);
    (told.to_string(), told.iter().map(|each| each.code).collect())
}

#[test]
fn every_case_says_what_its_golden_text_says() {
    let rewrite = std::env::var_os("DERMFLOW_REWRITE").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let (said, codes) = said_of(&case);
        let golden = case.with_extension("txt");
        if rewrite {
            std::fs::write(&golden, &said).unwrap();
        }
        let wanted = std::fs::read_to_string(&golden).unwrap_or_default();
        if said != wanted {
            wrong.push(format!(
                "{}\n--- said\n{said}\n--- wanted\n{wanted}",
                case.display()
            ));
        }
        // `unknown-stage.yaml` and `unknown-stage.in-outputs.yaml` are about `unknown-stage`.
        let name = case.file_stem().unwrap().to_str().unwrap();
        let about = name.split('.').next().unwrap();
        if about != "fine" && !codes.contains(&about) || about == "fine" && !codes.is_empty() {
            wrong.push(format!("{} says {codes:?}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_code_has_a_case() {
    // These need files that don't belong in a repository; they have tests of their own.
    let elsewhere = ["file-too-large", "not-utf8"];
    let cases = cases();
    let covered: BTreeSet<&str> = cases
        .iter()
        .map(|case| {
            case.file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .split('.')
                .next()
                .unwrap()
        })
        .chain(elsewhere)
        .collect();
    let missing: Vec<&str> = CODES
        .iter()
        .map(|(code, _)| *code)
        .filter(|code| !covered.contains(code))
        .collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
    assert!(CODES.is_sorted());
}

#[test]
fn every_code_that_the_sources_use_is_listed() {
    fn walk(folder: &Path, texts: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, texts),
                false if path.ends_with("codes.rs") => {}
                false => texts.push_str(&std::fs::read_to_string(path).unwrap()),
            }
        }
    }
    let mut sources = String::new();
    walk(Path::new("src"), &mut sources);
    for (code, _) in CODES {
        assert!(
            sources.contains(&format!("\"{code}\"")),
            "`{code}` is listed and never told"
        );
    }
    for case in cases() {
        for code in said_of(&case).1 {
            assert!(
                CODES.iter().any(|(known, _)| *known == code),
                "`{code}` is told and not listed"
            );
        }
    }
}

#[test]
fn files_that_are_no_text_are_refused_with_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.yaml");
    let told = |file: &Path| load_file(file, CellSelection::Base, &[]).unwrap_err();
    std::fs::write(&file, b"name: x\nstages: {a: \xff}\n").unwrap();
    let wrong = told(&file);
    assert_eq!(wrong.0[0].code, "not-utf8");
    assert!(wrong.0[0].message.contains("line 2"), "{wrong}");

    std::fs::File::create(&file)
        .unwrap()
        .set_len((64 << 20) + 1)
        .unwrap();
    assert_eq!(told(&file).0[0].code, "file-too-large");

    assert_eq!(told(folder.path()).0[0].code, "unreadable-file");
    assert_eq!(told(&folder.path().join("none.yaml")).len(), 1);
}

#[test]
fn json_has_the_place_the_code_and_the_words() {
    let (cells, _) = request_of(Path::new("tests/diagnostics/parameter-range.yaml"));
    let wrong = load_file(Path::new("tests/diagnostics/parameter-range.yaml"), cells, &[]).unwrap_err();
    let json = wrong.to_json();
    assert_eq!(json[0]["file"], "tests/diagnostics/parameter-range.yaml");
    assert_eq!(json[0]["code"], "parameter-range");
    assert_eq!(json[0]["severity"], "error");
    assert!(json[0]["line"].as_u64() > Some(1) && json[0]["column"].as_u64() > Some(1));
}

#[test]
fn a_stage_that_a_variant_uses_which_was_not_asked_for_is_not_called_unused() {
    let file = Path::new("tests/diagnostics/unused-stage.yaml");
    let said = |cells| load_file(file, cells, &[]).unwrap().warnings.to_string();
    assert_eq!(said(CellSelection::Base), "");
    assert_eq!(said(CellSelection::Variant("with".to_string())), "");
    assert!(said(CellSelection::All).contains("`spare`"));
}
