//! Tests of `contact-sheet`; how a sheet looks is tested where it is drawn.

use dermflow_core::StageKind;
use dermflow_core::memory::MemoryContext;

use super::{ContactSheet, ContactSheetParameters};
use crate::synthesize::Synthesize;

/// Made-up images, wired.
fn world(images: usize) -> MemoryContext {
    let mut made = MemoryContext::default();
    let with = format!("{{images: {images}, width: 24, height: 24, classes: 3, label-noise: 0.5}}");
    Synthesize::run(&serde_yaml::from_str(&with).unwrap(), &mut made).unwrap();
    let mut context = MemoryContext::default();
    context.add_table("samples", made.output("samples"));
    context.add_table("labels", made.output("truth"));
    context.add_table("boxes", made.output("boxes"));
    context
}

/// The size of each sheet.
fn sheets(context: &mut MemoryContext, with: &str) -> Vec<(String, [u32; 2])> {
    let folder = tempfile::tempdir().unwrap();
    context.scratch = folder.path().to_path_buf();
    let parameters: ContactSheetParameters = serde_yaml::from_str(with).unwrap();
    ContactSheet::run(&parameters, context).unwrap();
    let files = context.output_files["sheets"].iter();
    files
        .map(|(name, bytes)| {
            // Width and height stand behind the signature and the first chunk's head.
            let side = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            assert_eq!(&bytes[1..4], b"PNG");
            (name.clone(), [side(16), side(20)])
        })
        .collect()
}

#[test]
fn images_fill_sheets_and_the_last_one_has_what_is_left() {
    let made = sheets(&mut world(30), "{columns: 4, rows: 3, side: 40}");
    let names: Vec<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["sheet-001.png", "sheet-002.png", "sheet-003.png"]);
    assert_eq!(made[0].1, made[1].1);
    assert!(made[2].1[1] < made[0].1[1], "six images take two of three rows");
}

#[test]
fn as_many_are_shown_as_were_asked_for() {
    let rows = |with: &str| {
        let made = sheets(&mut world(60), with);
        assert_eq!(made.len(), 1);
        // A row is an image, its caption and a gap.
        (made[0].1[1] - 44) / (32 + 44)
    };
    assert_eq!(rows("{columns: 1, rows: 64, side: 32, images: 7}"), 7);
    assert_eq!(rows("{columns: 1, rows: 64, side: 32, per-label: 2}"), 6);
}

#[test]
fn no_image_is_an_empty_sheet() {
    assert_eq!(sheets(&mut world(0), "{}").len(), 1);
}

#[test]
fn pixels_that_do_not_fit_their_size_are_told() {
    let mut context = world(3);
    let mut samples = MemoryContext::default();
    Synthesize::run(
        &serde_yaml::from_str("{images: 1, width: 24, height: 24}").unwrap(),
        &mut samples,
    )
    .unwrap();
    let table = samples.output("samples");
    let column = table.schema().index_of("width").unwrap();
    let mut columns = table.columns().to_vec();
    columns[column] = std::sync::Arc::new(arrow::array::Int64Array::from(vec![25]));
    let odd = arrow::array::RecordBatch::try_new(table.schema(), columns).unwrap();
    context = {
        let mut again = MemoryContext::default();
        again.scratch = context.scratch.clone();
        again.add_table("samples", odd);
        again
    };
    let error = ContactSheet::run(&serde_yaml::from_str("{}").unwrap(), &mut context).unwrap_err();
    assert!(error.message.contains("25 × 24 × 3"), "{error}");
}
