//! 626 broken and odd files (decoder fuzz corpora, PngSuite, Exif examples) beside what Pillow
//! made of each: every difference falls into a class of [`CLASSES`], with the reason for it.
//!
//! The files are not in the repository. Where `../shared/data/robustness` is absent beside the
//! checkout, the test says so and passes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dermflow_vision::limits::{Limits, Refusal};
use dermflow_vision::placement::ResizeMode;
use dermflow_vision::resize::ResizeFilter;
use dermflow_vision::stored_picture::{Found, Settings, StoredPicture, Workbench};

/// How a file fared, here and with Pillow.
struct Case {
    file: String,
    /// `ok`, or at which step Pillow failed and how.
    pillow: String,
    /// Width and height that Pillow saw, before orientation.
    pillow_size: Option<(u32, u32)>,
    here: Result<StoredPicture, Refusal>,
}

/// A sort of difference: its name, why it is right, and which cases are of it.
struct Class {
    name: &'static str,
    because: &'static str,
    holds: fn(&Case) -> bool,
}

const CLASSES: &[Class] = &[
    Class {
        name: "JPEG data that only warn",
        because: "libjpeg warns of wrong or missing data and paints grey or noise there; refused here, as \
                  such a picture would teach noise",
        holds: |case| case.file.contains("jpeg") && case.pillow == "ok" && is_damaged(case),
    },
    Class {
        name: "JPEG markers out of place",
        because: "libjpeg gives up at a marker or a scan's parameters; the library here passes over them and \
                  finds data for every block",
        holds: |case| {
            case.file.contains("jpeg") && case.pillow == "fails_on_load:OSError" && case.here.is_ok()
        },
    },
    Class {
        name: "PNG checksums of pixels",
        because: "Pillow passes over a wrong checksum of image data; the bytes are not those that were written",
        holds: |case| {
            let words = case.here.as_ref().err().map(|refusal| refusal.to_string());
            case.file.contains("png")
                && case.pillow == "ok"
                && words.is_some_and(|words| words.contains("CRC"))
        },
    },
    Class {
        name: "PNG checksums of extra chunks",
        because: "Pillow gives up where the checksum of a chunk about colours is wrong; here that chunk is \
                  passed over, as the pixels are sound",
        holds: |case| {
            case.file.contains("png") && case.pillow.starts_with("fails_on_open") && case.here.is_ok()
        },
    },
];

fn is_damaged(case: &Case) -> bool {
    matches!(case.here, Err(Refusal::Damaged(_) | Refusal::Truncated))
        && !matches!(&case.here, Err(Refusal::Damaged(how)) if how.contains("gave up"))
}

fn folder() -> Option<PathBuf> {
    let folder = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/data/robustness"
    ));
    folder
        .join("manifest.csv")
        .is_file()
        .then(|| folder.to_path_buf())
}

fn decode(bytes: &[u8], workbench: &mut Workbench) -> Result<StoredPicture, Refusal> {
    let settings = Settings {
        size: None,
        mode: ResizeMode::Stretch,
        filter: ResizeFilter::Bilinear,
        background: [255; 3],
        bars: [0; 3],
    };
    Found::new(bytes, &Limits::default())?.store(&settings, workbench)
}

fn cases(folder: &Path) -> Vec<Case> {
    let manifest = std::fs::read_to_string(folder.join("manifest.csv")).unwrap();
    // No value of the manifest but `what` holds a comma, and the columns that are used stand
    // first and last.
    let rows = manifest.lines().skip(1).map(|line| {
        let cells: Vec<&str> = line.split(',').collect();
        let last = |back: usize| cells[cells.len() - back].trim_matches('"').to_string();
        let size = last(3).parse().ok().zip(last(2).parse().ok());
        (cells[0].to_string(), last(1), size)
    });
    let mut used = Workbench::default();
    rows.map(|(file, pillow, pillow_size)| {
        let bytes = std::fs::read(folder.join(&file)).unwrap();
        let started = Instant::now();
        let here = decode(&bytes, &mut Workbench::default());
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{file} took {:?}",
            started.elapsed()
        );
        assert_eq!(
            decode(&bytes, &mut used),
            here,
            "{file} is another picture where others were decoded before"
        );
        Case {
            file,
            pillow,
            pillow_size,
            here,
        }
    })
    .collect()
}

impl Case {
    fn differs(&self) -> bool {
        match &self.here {
            Err(_) => self.pillow == "ok",
            Ok(picture) => {
                let (width, height) = (picture.original.width, picture.original.height);
                self.pillow != "ok"
                    || ![Some((width, height)), Some((height, width))].contains(&self.pillow_size)
            }
        }
    }

    fn told(&self) -> String {
        let here = match &self.here {
            Ok(picture) => format!("{} × {}", picture.original.width, picture.original.height),
            Err(refusal) => refusal.to_string(),
        };
        format!(
            "{}: Pillow {} {:?}, here {here}",
            self.file, self.pillow, self.pillow_size
        )
    }
}

#[test]
fn every_difference_from_pillow_has_a_reason() {
    let Some(folder) = folder() else {
        eprintln!("skipped: ../shared/data/robustness is not there");
        return;
    };
    let cases = cases(&folder);
    assert_eq!(cases.len(), 626);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unexplained = Vec::new();
    for case in cases.iter().filter(|case| case.differs()) {
        match CLASSES.iter().find(|class| (class.holds)(case)) {
            Some(class) => *counts.entry(class.name).or_default() += 1,
            None => unexplained.push(case.told()),
        }
    }
    let same = cases.len() - counts.values().sum::<usize>() - unexplained.len();
    println!("{same} of {} files fare as with Pillow", cases.len());
    for class in CLASSES {
        println!(
            "{:4} {}: {}",
            counts.get(class.name).unwrap_or(&0),
            class.name,
            class.because
        );
    }
    assert!(
        unexplained.is_empty(),
        "{} differences without a reason:\n{}",
        unexplained.len(),
        unexplained.join("\n")
    );
    let unused: Vec<&str> = CLASSES
        .iter()
        .map(|class| class.name)
        .filter(|name| !counts.contains_key(name))
        .collect();
    assert!(unused.is_empty(), "no case of {unused:?}");
}

/// PngSuite holds some pictures in six gammas each, by its names `g03` (0.35) to `g25` (2.5), which
/// look alike where the gamma is followed; `g04` (0.45) is what is shown as it is.
#[test]
fn pictures_of_other_gammas_look_alike() {
    let Some(folder) = folder() else {
        eprintln!("skipped: ../shared/data/robustness is not there");
        return;
    };
    let names: Vec<PathBuf> = std::fs::read_dir(folder.join("pngsuite"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let pixels = |gamma: &str, sort: &str| {
        let ending = format!("_{gamma}{sort}.png");
        let path = names
            .iter()
            .find(|path| path.to_string_lossy().ends_with(&ending));
        let bytes = std::fs::read(path.unwrap()).unwrap();
        decode(&bytes, &mut Workbench::default()).unwrap().pixels
    };
    for sort in ["n0g16", "n2c08", "n3p04"] {
        let plain = pixels("g04", sort);
        for gamma in ["g03", "g05", "g07", "g10", "g25"] {
            let shown = pixels(gamma, sort);
            assert_eq!(shown.len(), plain.len());
            let differences = shown.iter().zip(&plain).map(|(a, b)| u64::from(a.abs_diff(*b)));
            let mean = differences.sum::<u64>() as f64 / plain.len() as f64;
            println!("{gamma}{sort}: mean difference {mean:.1}");
            assert!(mean < 12.0, "{gamma}{sort}: {mean}");
        }
    }
}
