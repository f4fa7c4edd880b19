//! A small pipeline that trains and judges a classifier on picture files: what tests of `predict`
//! and `compare` start from.

use dermflow_tests::Project;

use crate::project::empty;

/// A bitmap of 24 × 20 pixels around one brightness, no two alike.
pub fn photo(brightness: u8, number: usize) -> Vec<u8> {
    let (width, height) = (24_u32, 20_u32);
    let mut bytes = b"BM".to_vec();
    let header = [
        54 + width * 3 * height,
        0,
        54,
        40,
        width,
        height,
        1 | 24 << 16,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    for field in header {
        bytes.extend(field.to_le_bytes());
    }
    let noise = (0..width * height * 3).map(|at| (at as usize * (number + 3) * 37 % 83) as u8);
    bytes.extend(noise.map(|noise| brightness.saturating_add(noise)));
    bytes
}

/// Photos of two classes, `dark` and `pale`, and a pipeline that trains on some of them and judges
/// the others. Nothing has run.
pub fn two_classes() -> Project {
    let project = empty();
    let mut labels = "image,label\n".to_string();
    let mut folds = "image,fold\n".to_string();
    for number in 0..60 {
        let class = ["dark", "pale"][number % 2];
        let name = format!("{class}/{number:02}.bmp");
        project.write(
            &format!("photos/{name}"),
            photo([20, 150][number % 2] + (number % 7) as u8 * 6, number),
        );
        labels += &format!("{name},{class}\n");
        folds += &format!(
            "{name},{}\n",
            ["train", "train", "valid", "test", "test"][number % 5]
        );
    }
    project.write("labels.csv", labels);
    project.write("folds.csv", folds);
    project.write(
        "dermflow.yaml",
        "name: shades
seed: 3
params: {epochs: 3, sampling: balanced}
stages:
  photos: {kind: ingest, with: {root: photos, size: 24}}
  labels:
    kind: import-labels
    in: {samples: photos.samples}
    with: {path: labels.csv}
  folds:
    kind: import-labels
    in: {samples: photos.samples}
    with: {path: folds.csv, label: fold, columns: {fold: text}}
  classifier:
    kind: classifier-train
    in: {samples: photos.samples, labels: labels.labels, splits: folds.labels}
    with:
      architecture: {published: {name: efficientnetv2-b0, width: 0.15, depth: 0.2}}
      side: 24
      batches: {size: 8, sampling: '${sampling}'}
      training: {epochs: '${epochs}', schedule: {learning-rate: 0.003}}
  said: {kind: classifier-infer, in: {samples: photos.samples, model: classifier.model}}
  scores:
    kind: evaluate
    in: {predictions: said.predictions, classes: classifier.classes, truth: labels.labels, splits: folds.labels}
    with:
      fold: test
      top: [1]
      bootstrap: {resamples: 50}
      operating-points: {cautious: {fold: valid, coverage: 0.9}, sure: {threshold: 0.99}}
variants:
  untrained: {epochs: 1}
matrix:
  seeds: {epochs: [1, 3], seed: [1, 2]}
outputs:
  model: classifier.model
  said: said.predictions
  points: scores.operating-points
",
    );
    project
}
