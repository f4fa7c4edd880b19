//! Tests of finding samples by what files call them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use dermflow_core::memory::{MemoryContext, batch};

use super::*;

fn images(sources: &[&str]) -> Images {
    let sides: ArrayRef = Arc::new(Int64Array::from(vec![10; sources.len()]));
    let names: ArrayRef = Arc::new(StringArray::from(sources.to_vec()));
    let columns = [(SOURCE, names), (WIDTH, sides.clone()), (HEIGHT, sides)];
    let mut context = MemoryContext::default();
    context.add_table("samples", batch(sources, columns));
    Images::read(&context, "samples").unwrap()
}

/// Which source is found.
fn found(images: &Images, text: &str, by: MatchBy) -> Result<String, String> {
    let id = images.find(&ImageName::new(text), by)?.id;
    let mut all = images.iter();
    Ok(all.find(|(image, _)| image.id == id).unwrap().1.to_string())
}

#[test]
fn names_are_found_with_their_folders_and_stems_without_an_extension() {
    let images = images(&[
        "train/a.jpg",
        "test/a.jpg",
        "test/b.PNG",
        "c.v2.jpeg",
        "x/y/d.jpg",
    ]);
    let auto = |text: &str| found(&images, text, MatchBy::Auto);
    assert_eq!(auto("train/a.jpg").unwrap(), "train/a.jpg");
    assert_eq!(auto("/data/set/test/a.jpg").unwrap(), "test/a.jpg");
    assert_eq!(auto("b").unwrap(), "test/b.PNG");
    assert_eq!(auto("y\\d.jpg").unwrap(), "x/y/d.jpg");
    assert_eq!(auto("c.v2").unwrap(), "c.v2.jpeg");
    assert_eq!(auto("1a2b3c4d-d.jpg").unwrap(), "x/y/d.jpg");
    let ambiguous = auto("a.jpg").unwrap_err();
    assert!(
        ambiguous.contains("2 samples") && ambiguous.contains("test/a.jpg"),
        "{ambiguous}"
    );
    assert!(auto("other/b.PNG").unwrap_err().contains("no sample is called"));
    assert!(auto("b.jpg").is_err(), "another extension is another file");
    assert_eq!(
        found(&images, "other/b.PNG", MatchBy::FileName).unwrap(),
        "test/b.PNG"
    );
    assert_eq!(found(&images, "b.jpg", MatchBy::Stem).unwrap(), "test/b.PNG");
    assert!(found(&images, "b.PNG", MatchBy::Source).is_err());
    assert_eq!(
        found(&images, "./test/b.PNG", MatchBy::Source).unwrap(),
        "test/b.PNG"
    );
}

#[test]
fn folders_decide_between_files_of_one_name() {
    let images = images(&["images/train/a.jpg", "images/valid/a.jpg"]);
    let by_stem = |text: &str| found(&images, text, MatchBy::Stem);
    assert_eq!(by_stem("labels/valid/a").unwrap(), "images/valid/a.jpg");
    assert!(by_stem("labels/a").is_err());
}

#[test]
fn sample_ids_are_found_in_names_that_tools_changed() {
    let images = images(&["a.jpg", "b.jpg"]);
    let id = SampleId::of_key("b.jpg");
    for name in [
        format!("{id}"),
        format!("images/{id}.png"),
        format!("0123abcd-{id}.png"),
    ] {
        assert_eq!(found(&images, &name, MatchBy::Auto).unwrap(), "b.jpg");
    }
    assert_eq!(
        found(&images, &id.to_string(), MatchBy::SampleId).unwrap(),
        "b.jpg"
    );
    assert!(
        found(&images, "b.jpg", MatchBy::SampleId)
            .unwrap_err()
            .contains("64")
    );
    let other = SampleId::of_key("none").to_string();
    assert!(found(&images, &other, MatchBy::Auto).is_err());
}
