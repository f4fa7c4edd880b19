//! Tests of judging files: they are judged as in a pipeline, whatever their number, and those that
//! are no pictures don't hold the others up.

use std::path::PathBuf;

use arrow::array::AsArray;
use arrow::datatypes::Float32Type;
use dermflow_core::memory::MemoryContext;
use dermflow_core::{Column, ColumnType, Contract, FILES_PORT, SampleId, TableType, sample_ids};
use dermflow_nn::architecture::{Architecture, Named, Published, Regressor};
use dermflow_nn::layout::{Layout, Weights};
use dermflow_nn::model_file::{Description, Interpolation, Model, Preprocessing};

use super::*;

fn narrow() -> Named {
    Named {
        width: 0.15,
        depth: 0.2,
        ..Named::plain(Published::EfficientNetV2B0)
    }
}

fn saved(folder: &Path, architecture: Architecture) -> PathBuf {
    let weights = Weights::initialise(Layout::of(&architecture).unwrap().into(), 7);
    let preprocessing = Preprocessing {
        interpolation: Interpolation::Bilinear,
        ..Preprocessing::imagenet(32, 32)
    };
    let description = Description::new(architecture, ["a", "b", "c"], preprocessing);
    let path = folder.join("model.safetensors");
    Model::new(description, weights).unwrap().save(&path).unwrap();
    path
}

/// Photos as PNG, larger than the network's pictures and of other shapes.
fn photos(folder: &Path, count: usize) -> Vec<PathBuf> {
    (0..count)
        .map(|number| {
            let (width, height) = (60 + 7 * (number % 5), 48 + 5 * (number % 7));
            let pixels: Vec<u8> = (0..width * height * 3)
                .map(|at| ((at / 3 * (number + 3) * 5 + at % 3 * 40) % 251) as u8)
                .collect();
            let path = folder.join(format!("{number:03}.png"));
            let size = (width as u32, height as u32);
            image::save_buffer(&path, &pixels, size.0, size.1, image::ExtendedColorType::Rgb8).unwrap();
            path
        })
        .collect()
}

fn judged(predictor: &Predictor, paths: &[PathBuf]) -> Vec<Outcome> {
    let mut all = Vec::new();
    let files = paths.iter().cloned().map(Found::File);
    predictor
        .run(files, &mut |outcome| {
            all.push(outcome);
            Ok(())
        })
        .unwrap();
    all
}

/// What `ingest` and `classifier-infer` make of the same files.
fn in_a_pipeline(paths: &[PathBuf], model: &Path, ingest: &str) -> Vec<(SampleId, String, f32, Vec<f32>)> {
    let contents: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let ids: Vec<SampleId> = contents.iter().map(|bytes| SampleId::of_content(bytes)).collect();
    let mut listed = TableType::of(Contract::named("FileList").unwrap());
    listed.columns.push(Column::new("content", ColumnType::Binary));
    let names: arrow::array::StringArray = paths.iter().map(|path| path.to_str()).collect();
    let bytes: arrow::array::Int64Array = contents.iter().map(|bytes| Some(bytes.len() as i64)).collect();
    let columns: Vec<arrow::array::ArrayRef> = vec![
        sample_ids(&ids),
        std::sync::Arc::new(names),
        std::sync::Arc::new(bytes),
        std::sync::Arc::new(arrow::array::BinaryArray::from_iter_values(&contents)),
    ];
    let run = |kind: &str, with: &str, context: &mut MemoryContext| {
        let kind = crate::registry().get(kind).unwrap().clone();
        let parameters = kind.parse(&serde_yaml::from_str(with).unwrap()).unwrap();
        kind.run(&parameters, context).unwrap();
    };
    let mut context = MemoryContext::default();
    let listing = arrow::array::RecordBatch::try_new(listed.schema(), columns).unwrap();
    context.add_table(FILES_PORT, listing);
    run("ingest", ingest, &mut context);
    context.add_table("samples", context.output("samples"));
    context.add_model("model", model);
    run("classifier-infer", "{}", &mut context);
    let table = context.output("predictions");
    let ids = table.column(0).as_fixed_size_binary();
    let labels = table.column_by_name("label").unwrap().as_string::<i32>();
    let probability = table
        .column_by_name("probability")
        .unwrap()
        .as_primitive::<Float32Type>();
    let lists = table.column_by_name("probabilities").unwrap().as_list::<i32>();
    (0..table.num_rows())
        .map(|row| {
            let id = SampleId::from_bytes(ids.value(row).try_into().unwrap());
            let all = lists.value(row).as_primitive::<Float32Type>().values().to_vec();
            (id, labels.value(row).to_string(), probability.value(row), all)
        })
        .collect()
}

#[test]
fn a_file_is_judged_as_in_a_pipeline_to_the_last_bit() {
    let folder = tempfile::tempdir().unwrap();
    let model = saved(folder.path(), narrow().classifier(3).unwrap());
    let paths = photos(folder.path(), 9);
    for (ingest, size, filter) in [
        ("{size: 32}", None, None),
        (
            "{size: 40, filter: lanczos}",
            Some(40),
            Some(ResizeFilter::Lanczos),
        ),
    ] {
        let plan = Plan {
            size,
            filter,
            ..Plan::default()
        };
        let predictor = Predictor::open(&model, plan).unwrap();
        let expected = in_a_pipeline(&paths, &model, ingest);
        let outcomes = judged(&predictor, &paths);
        assert_eq!((outcomes.len(), expected.len()), (9, 9));
        for (path, outcome) in paths.iter().zip(&outcomes) {
            let Outcome::Judged(judged) = outcome else {
                panic!("{outcome:?}");
            };
            assert_eq!(judged.path, *path);
            let of_pipeline = expected.iter().find(|(id, ..)| *id == judged.sample).unwrap();
            assert_eq!(judged.class, of_pipeline.1);
            assert_eq!(judged.probability, of_pipeline.2);
            assert_eq!(judged.probabilities, of_pipeline.3);
        }
    }
}

#[test]
fn outcomes_come_in_order_whatever_the_threads_and_bad_files_do_not_stop_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let model = saved(folder.path(), narrow().classifier(3).unwrap());
    let mut paths = photos(folder.path(), 70);
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a picture").unwrap();
    let cut = folder.path().join("cut.png");
    let whole = std::fs::read(&paths[0]).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    std::fs::write(folder.path().join("empty.jpg"), "").unwrap();
    paths.insert(3, text);
    paths.insert(40, cut);
    paths.push(folder.path().join("empty.jpg"));
    paths.push(folder.path().join("gone.jpg"));
    let of = |threads: usize| {
        let plan = Plan {
            threads,
            reject: Some(Reject::ProbabilityBelow(0.33335)),
            ..Plan::default()
        };
        judged(&Predictor::open(&model, plan).unwrap(), &paths)
    };
    let (one, three) = (of(1), of(3));
    let shown = |outcomes: &[Outcome]| -> Vec<String> {
        outcomes.iter().map(|outcome| format!("{outcome:?}")).collect()
    };
    assert_eq!(shown(&one), shown(&three));
    assert_eq!(one.len(), 74);
    let (mut refused, mut rejected) = (Vec::new(), 0);
    for (place, outcome) in one.iter().enumerate() {
        match outcome {
            Outcome::Refused { path, reason } => {
                assert_eq!(*path, paths[place]);
                refused.push(reason.clone());
            }
            Outcome::Judged(judged) => {
                assert_eq!(judged.path, paths[place]);
                assert_eq!(judged.rejected, Some(f64::from(judged.probability) < 0.33335));
                rejected += usize::from(judged.rejected == Some(true));
            }
        }
    }
    assert_eq!(refused.len(), 4);
    assert!(refused[0].contains("no JPEG, PNG"), "{refused:?}");
    assert!(
        refused[2].contains("empty") && refused[3].contains("can't be read"),
        "{refused:?}"
    );
    assert!(rejected < 70, "{rejected}");
}

#[test]
fn a_model_that_tells_no_classes_apart_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let regressor = narrow().regressor(Regressor::suggested(3)).unwrap();
    let model = saved(folder.path(), regressor);
    let error = Predictor::open(&model, Plan::default()).err().unwrap();
    assert!(error.message.contains("no classes apart"), "{error}");
    std::fs::write(&model, "nonsense").unwrap();
    assert!(Predictor::open(&model, Plan::default()).is_err());
}

fn written(format: Format, outcomes: &[Outcome]) -> String {
    use std::sync::{Arc, Mutex};
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let kept = Kept::default();
    let classes = ["a", "b", "c"].map(str::to_string);
    let mut report = Report::lines(format, &classes, Box::new(kept.clone())).unwrap();
    outcomes
        .iter()
        .for_each(|outcome| report.take(outcome.clone()).unwrap());
    report.finish().unwrap();
    let bytes = kept.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn every_format_tells_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = saved(folder.path(), narrow().classifier(3).unwrap());
    let mut paths = photos(folder.path(), 2);
    paths.push(folder.path().join("gone, it is.jpg"));
    let plan = Plan {
        painted: true,
        ..Plan::default()
    };
    let predictor = Predictor::open(&model, plan).unwrap();
    let outcomes = judged(&predictor, &paths);
    let table = written(Format::Table, &outcomes);
    assert_eq!(table.lines().count(), 3, "{table}");
    let json = written(Format::Json, &outcomes);
    let lines: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    let sum: f64 = lines[0]["probabilities"]
        .as_object()
        .unwrap()
        .values()
        .map(|share| share.as_f64().unwrap())
        .sum();
    assert!(
        (sum - 1.0).abs() < 1e-5 && lines[2]["error"].is_string(),
        "{lines:?}"
    );
    let csv = written(Format::Csv, &outcomes);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 3);
    assert!(rows[2][0].ends_with("gone, it is.jpg") && rows[2][6].contains("can't be read"));
    let path = folder.path().join("out.parquet");
    let classes = ["a", "b", "c"].map(str::to_string);
    let mut report = Report::parquet(&classes, &path).unwrap();
    outcomes
        .iter()
        .for_each(|outcome| report.take(outcome.clone()).unwrap());
    report.finish().unwrap();
    let file = File::open(&path).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let rows: usize = reader
        .build()
        .unwrap()
        .map(|batch| batch.unwrap().num_rows())
        .sum();
    assert_eq!(rows, 3);
    let out = folder.path().join("painted");
    let mut report = Report::pictures(&classes, &out).unwrap();
    outcomes
        .into_iter()
        .for_each(|outcome| report.take(outcome).unwrap());
    report.finish().unwrap();
    let names: Vec<PathBuf> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(names.len(), 2);
    let painted = image::open(&names[0]).unwrap();
    assert!(painted.width() > 640, "{}", painted.width());
}
