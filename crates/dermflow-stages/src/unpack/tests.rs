use std::io::Write;

use arrow::array::AsArray;
use dermflow_core::memory::MemoryContext;
use proptest::prelude::*;

use super::*;
use crate::mutation::{changes, mutated, tries};

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    writer.add_directory("folder/", options).unwrap();
    for (name, content) in files {
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    let mut link = tar::Header::new_ustar();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "link.jpg", "/etc/passwd").unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn run(bytes: &[u8], with: &str) -> Result<MemoryContext, StageError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive");
    std::fs::write(&path, bytes).unwrap();
    let parameters: UnpackParameters = serde_yaml::from_str(&format!("{{path: archive, {with}}}")).unwrap();
    let mut context = MemoryContext::default();
    context.add_source("path", path, Vec::new());
    Unpack::run(&parameters, &mut context)?;
    Ok(context)
}

/// Names with contents, sorted; and the reasons of what was refused.
fn read(context: &MemoryContext) -> (Vec<(String, Vec<u8>)>, Vec<String>) {
    let (files, rejects) = (context.output("files"), context.output("rejects"));
    let names = files.column(1).as_string::<i32>();
    let contents = files.column(3).as_binary::<i32>();
    let mut read: Vec<(String, Vec<u8>)> = (0..files.num_rows())
        .map(|row| (names.value(row).to_string(), contents.value(row).to_vec()))
        .collect();
    read.sort();
    let reasons = rejects.column(2).as_string::<i32>();
    (read, reasons.iter().flatten().map(str::to_string).collect())
}

const FILES: [(&str, &[u8]); 3] = [
    ("a.jpg", b"one"),
    ("folder/b.jpg", b"two"),
    ("folder/c.txt", b"one"),
];

#[test]
fn every_archive_gives_its_files() {
    for bytes in [zip(&FILES), tar(&FILES), gzip(&tar(&FILES))] {
        let (files, _) = read(&run(&bytes, "").unwrap());
        let expected = FILES.map(|(name, content)| (name.to_string(), content.to_vec()));
        assert_eq!(files, expected);
        let (files, _) = read(&run(&bytes, "matching: ['*/*.jpg']").unwrap());
        assert_eq!(files.len(), 1);
    }
}

#[test]
fn links_and_large_files_are_refused_and_a_bomb_ends_the_stage() {
    let (_, reasons) = read(&run(&tar(&FILES), "").unwrap());
    assert_eq!(reasons, ["it is a link or a device, not a file"]);
    let bomb = zip(&[("zeros", &[0; 3_000_000]), ("a.jpg", b"one")]);
    assert!(bomb.len() < 10_000);
    let (files, reasons) = read(&run(&bomb, "limits: {bytes: 1000000}").unwrap());
    assert_eq!(files.len(), 1);
    assert_eq!(reasons, ["it has more than 1000000 bytes, which is the limit"]);
    let error = run(&bomb, "limits: {total: 1000000}").err().unwrap();
    assert!(error.message.contains("limits.total"), "{error}");
}

#[test]
fn what_is_no_archive_is_told() {
    for bytes in [&b""[..], b"hello", &zip(&FILES)[..100]] {
        let error = run(bytes, "").err().unwrap();
        assert!(error.message.contains("archive"), "{error}");
    }
    let parameters: UnpackParameters = serde_yaml::from_str("{path: a, matching: ['{']}").unwrap();
    assert_eq!(Unpack::check(&parameters)[0].parameter, "matching.0");
}

proptest! {
    #![proptest_config(tries(200))]
    #[test]
    fn damage_gives_files_or_words(changes in changes(), packed in 0..3) {
        let bytes = match packed {
            0 => zip(&FILES),
            1 => tar(&FILES),
            _ => gzip(&tar(&FILES)),
        };
        let _ = run(&mutated(bytes, &changes), "");
    }
}
