//! Pictures a second, decoded and resized as `ingest` does it, without tables or a store; and
//! the pixels of a file, for a comparison with other tools.
//!
//!     cargo bench -p dermflow-benches --bench pictures -- speed FOLDER SIDE THREADS ROUNDS
//!     cargo bench -p dermflow-benches --bench pictures -- pixels FILE SIDE OUT
//!
//! `speed` prints the pictures of a folder, the refused among them and the seconds of the
//! fastest round; SIDE 0 keeps each picture's size. `pixels` writes RGB8 rows and prints width
//! and height. Without arguments (as `cargo bench` runs it) it measures a made-up folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use dermflow_vision::limits::Limits;
use dermflow_vision::placement::{PixelSize, ResizeMode};
use dermflow_vision::resize::ResizeFilter;
use dermflow_vision::stored_picture::{Found, Settings, Workbench};

fn settings(side: u32) -> Settings {
    Settings {
        size: PixelSize::new(side, side),
        mode: ResizeMode::Stretch,
        filter: ResizeFilter::Bicubic,
        background: [255; 3],
        bars: [0; 3],
    }
}

/// Seconds that one pass over all files takes, and how many gave no picture.
fn pass(files: &[PathBuf], side: u32, threads: usize) -> (f64, usize) {
    let (next, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut workbench = Workbench::default();
                while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let bytes = std::fs::read(path).expect("the folder was listed just now");
                    let found = Found::new(&bytes, &Limits::default());
                    if found
                        .and_then(|found| found.store(&settings(side), &mut workbench))
                        .is_err()
                    {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    (started.elapsed().as_secs_f64(), refused.into_inner())
}

fn speed(folder: &Path, side: u32, threads: usize, rounds: usize) {
    let entries = std::fs::read_dir(folder).expect("a folder of pictures");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let passes: Vec<(f64, usize)> = (0..rounds).map(|_| pass(&files, side, threads)).collect();
    let fastest = passes.iter().map(|pass| pass.0).fold(f64::MAX, f64::min);
    println!("{} {} {fastest}", files.len(), passes[0].1);
}

fn pixels(file: &Path, side: u32, out: &Path) {
    let bytes = std::fs::read(file).expect("a picture");
    let found = Found::new(&bytes, &Limits::default());
    match found.and_then(|found| found.store(&settings(side), &mut Workbench::default())) {
        Ok(picture) => {
            std::fs::write(out, &picture.pixels).expect("a place to write to");
            println!("{} {}", picture.size.width, picture.size.height);
        }
        Err(refusal) => println!("refused: {refusal}"),
    }
}

/// A folder of bitmaps, so that the bench runs anywhere.
fn made_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for number in 0..64u32 {
        let mut bytes = b"BM".to_vec();
        for word in [
            54u32 + 512 * 512 * 3,
            0,
            54,
            40,
            512,
            512,
            1 | 24 << 16,
            0,
            0,
            0,
            0,
            0,
            0,
        ] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend((0..512 * 512 * 3u32).map(|at| (at / 7 + number) as u8));
        std::fs::write(folder.path().join(format!("{number}.bmp")), bytes).expect("room for 50 MB");
    }
    for threads in [1, 2] {
        print!("64 bitmaps of 512 × 512 to 224 × 224 on {threads} threads (pictures, refused, seconds): ");
        speed(folder.path(), 224, threads, 5);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<usize>().expect("a number");
    match words.as_slice() {
        ["speed", folder, side, threads, rounds] => speed(
            Path::new(folder),
            number(side) as u32,
            number(threads).max(1),
            number(rounds).max(1),
        ),
        ["pixels", file, side, out] => pixels(Path::new(file), number(side) as u32, Path::new(out)),
        _ => made_up(),
    }
}
