//! `predict`: what a classifier says of picture files.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};
use dermflow_core::{Artifact, StageError};
use dermflow_stages::predict::{
    Format, Outcome, Plan, Predictor, Reject, Report, ResizeFilter, Views, found,
};
use dermflow_store::{Store, TableReader};

use crate::exit::{Done, Failure};
use crate::lookup::locate;
use crate::options::StoreOptions;

/// Says what is on pictures: class, probability, energy, and whether the model knows.
///
/// Files are decoded, turned upright and resized as `ingest` does it, in the size and shape that
/// the model's header tells. Files that are no pictures are told with the reason, and the others
/// are done; the exit code is then 1.
#[derive(Args)]
pub struct Arguments {
    /// The pictures: files, folders (with all below them), or patterns such as 'photos/**/*.jpg'.
    #[arg(required = true, value_name = "IMAGES")]
    images: Vec<String>,
    /// The classifier: a model file, `stage.port`, a digest prefix, or the path of a result file.
    #[arg(long, short)]
    model: String,
    /// How it is told. `pictures` paints where the model looks, into a folder.
    #[arg(long, value_enum, default_value_t = As::Table)]
    format: As,
    /// Where to write it: a file, or for `pictures` a folder. Left out: standard output.
    #[arg(long, value_name = "PATH")]
    to: Option<PathBuf>,
    /// The model doesn't know a picture whose probability is below this.
    #[arg(long, value_name = "PROBABILITY", conflicts_with = "operating_point")]
    reject_below: Option<f64>,
    /// The model doesn't know a picture beyond this operating point: the output
    /// `operating-points` of `evaluate`, as a Parquet or CSV file, `stage.port` or a digest prefix.
    #[arg(long, value_name = "TABLE")]
    operating_point: Option<String>,
    /// Which operating point, where the table has several.
    #[arg(long, value_name = "NAME", requires = "operating_point")]
    point: Option<String>,
    /// Over which views of a picture probabilities are averaged.
    #[arg(long, value_enum, default_value_t = Seen::One)]
    views: Seen,
    /// The side in pixels that pictures are first stored in, where the model's pipeline has an
    /// `ingest` with another `size` than the network's.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=16384))]
    size: Option<u32>,
    /// The resampling filter, where the model's pipeline has an `ingest` with another `filter` than
    /// the usual one.
    #[arg(long, value_enum)]
    filter: Option<Filter>,
    /// How many threads; by default, as many as the machine has.
    #[arg(short, long, default_value_t = 0, hide_default_value = true)]
    jobs: usize,
    #[command(flatten)]
    store: StoreOptions,
}

/// The formats by name.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum As {
    /// Lines for people.
    Table,
    /// A JSON object a file.
    Json,
    /// Comma-separated, with a line of names.
    Csv,
    /// A Parquet file.
    Parquet,
    /// A PNG a file, with the class activation map.
    Pictures,
}

/// The views by name.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Seen {
    /// The picture as it is.
    One,
    /// It, and mirrored across, down, and both.
    Flips,
    /// Those four, and each turned by 90 degrees.
    FlipsAndTurns,
}

/// The resampling filters by name.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Filter {
    /// The plain mean.
    Box,
    /// A triangle.
    Bilinear,
    /// Catmull-Rom.
    Bicubic,
    /// Three lobes.
    Lanczos,
}

/// Exit code 1 where a file gave no prediction.
pub fn run(arguments: &Arguments) -> Done {
    let plan = Plan {
        views: match arguments.views {
            Seen::One => Views::One,
            Seen::Flips => Views::Flips,
            Seen::FlipsAndTurns => Views::FlipsAndTurns,
        },
        size: arguments.size,
        filter: arguments.filter.map(|filter| match filter {
            Filter::Box => ResizeFilter::Box,
            Filter::Bilinear => ResizeFilter::Bilinear,
            Filter::Bicubic => ResizeFilter::Bicubic,
            Filter::Lanczos => ResizeFilter::Lanczos,
        }),
        reject: reject(arguments)?,
        painted: arguments.format == As::Pictures,
        threads: threads(arguments.jobs),
    };
    let predictor = Predictor::open(&model(arguments)?, plan)?;
    let reader_left = Arc::new(AtomicBool::new(false));
    let mut reports = reports(arguments, predictor.classes(), &reader_left)?;
    let (mut judged, mut refused) = (0_u64, 0_u64);
    let told = predictor.run(found(&arguments.images), &mut |outcome| {
        match &outcome {
            Outcome::Judged(_) => judged += 1,
            Outcome::Refused { path, reason } => {
                refused += 1;
                eprintln!("{}: {reason}", path.display());
            }
        }
        reports
            .iter_mut()
            .try_for_each(|report| report.take(outcome.clone()))
    });
    let told = told.and_then(|()| reports.into_iter().try_for_each(Report::finish));
    // Whoever has seen enough, such as `head`, is content.
    if reader_left.load(Ordering::Relaxed) {
        return Ok(());
    }
    told?;
    if refused > 0 {
        eprintln!("{judged} pictures, and {refused} that could not be read");
        return Err(Failure::Told);
    }
    if arguments.to.is_some() && std::io::stderr().is_terminal() {
        eprintln!("{judged} pictures");
    }
    Ok(())
}

/// Standard output, which notes that no one reads it any more.
struct Pipe {
    out: std::io::Stdout,
    reader_left: Arc<AtomicBool>,
}

impl Pipe {
    fn noted<T>(&self, done: std::io::Result<T>) -> std::io::Result<T> {
        done.inspect_err(|error| {
            if error.kind() == std::io::ErrorKind::BrokenPipe {
                self.reader_left.store(true, Ordering::Relaxed);
            }
        })
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let done = self.out.write(bytes);
        self.noted(done)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let done = self.out.flush();
        self.noted(done)
    }
}

fn threads(jobs: usize) -> usize {
    match jobs {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        jobs => jobs,
    }
}

/// The model's file: as it is, or in the store.
fn model(arguments: &Arguments) -> Result<PathBuf, Failure> {
    let path = Path::new(&arguments.model);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let store = opened(arguments, &arguments.model)?;
    let located = locate(&store, &arguments.model)?;
    match located.artifact()? {
        Artifact::Model(blob) => Ok(store.blob_path(blob)?),
        other => Err(Failure::new(format!(
            "`{}` is a {}, and a model was expected",
            arguments.model,
            other.sort()
        ))),
    }
}

/// The store, for something that is no file.
fn opened(arguments: &Arguments, name: &str) -> Result<Store, Failure> {
    arguments.store.open_existing().map_err(|failure| match failure {
        Failure::Failed(error) => StageError {
            message: format!("`{name}` is no file, and as an artifact: {}", error.message),
            ..error
        }
        .into(),
        other => other,
    })
}

fn reject(arguments: &Arguments) -> Result<Option<Reject>, Failure> {
    if let Some(below) = arguments.reject_below {
        return match (0.0..=1.0).contains(&below) {
            true => Ok(Some(Reject::ProbabilityBelow(below))),
            false => Err(Failure::new(format!(
                "--reject-below {below}: a probability lies from 0 to 1"
            ))),
        };
    }
    let Some(name) = &arguments.operating_point else {
        return Ok(None);
    };
    let point = arguments.point.as_deref();
    if Path::new(name).is_file() {
        return Ok(Some(Reject::of_file(Path::new(name), point)?));
    }
    let store = opened(arguments, name)?;
    let located = locate(&store, name)?;
    let Artifact::Table(table) = located.artifact()? else {
        return Err(Failure::new(format!("`{name}` is no table")));
    };
    let batches = TableReader::open(&store, table, None)?.collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Reject::of_table(&batches, point)?))
}

/// What is written: one report, and for pictures the lines for people besides.
fn reports(
    arguments: &Arguments,
    classes: &[String],
    reader_left: &Arc<AtomicBool>,
) -> Result<Vec<Report>, Failure> {
    let to = arguments.to.as_deref();
    let lines = |format: Format| -> Result<Report, Failure> {
        let out: Box<dyn Write + Send> = match to.filter(|_| arguments.format != As::Pictures) {
            Some(path) => {
                let file = std::fs::File::create(path);
                let file = file.map_err(|error| StageError::io("writing", path, &error))?;
                Box::new(std::io::BufWriter::new(file))
            }
            // Each line at once: who reads along sees it.
            None => Box::new(Pipe {
                out: std::io::stdout(),
                reader_left: reader_left.clone(),
            }),
        };
        Ok(Report::lines(format, classes, out)?)
    };
    let needed = |what: &str| {
        to.ok_or_else(|| Failure::new(format!("this format is written to {what}: name it with `--to`")))
    };
    Ok(match arguments.format {
        As::Table => vec![lines(Format::Table)?],
        As::Json => vec![lines(Format::Json)?],
        As::Csv => vec![lines(Format::Csv)?],
        As::Parquet => vec![Report::parquet(classes, needed("a file")?)?],
        As::Pictures => vec![
            Report::pictures(classes, needed("a folder")?)?,
            lines(Format::Table)?,
        ],
    })
}
