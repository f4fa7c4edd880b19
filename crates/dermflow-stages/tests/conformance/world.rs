//! The inputs of a case, and contexts made of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array, RecordBatch, StringArray};
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::sample_ids;
use dermflow_core::{Column, ColumnType, Contract, FILES_PORT, NamedFile, SampleId, TableFiles, TableType};
use parquet::arrow::ArrowWriter;

/// What a stage finds.
pub struct World {
    /// Holds all files, and is removed with the world.
    pub folder: tempfile::TempDir,
    /// Tables by port, several for a port that takes many.
    pub tables: Vec<(String, RecordBatch)>,
    /// Files by port.
    pub files: Vec<(String, Vec<NamedFile>)>,
    /// Model files by port, and of which kind each is.
    pub models: Vec<(String, &'static str, PathBuf)>,
    sources: Vec<(String, PathBuf, Vec<NamedFile>)>,
}

impl Default for World {
    fn default() -> World {
        World {
            folder: tempfile::tempdir().unwrap(),
            tables: Vec::new(),
            files: Vec::new(),
            models: Vec::new(),
            sources: Vec::new(),
        }
    }
}

impl World {
    /// A context over all of it.
    pub fn context(&self, threads: usize, batch_rows: usize) -> MemoryContext {
        self.make(threads, batch_rows, &BTreeMap::new())
    }

    /// A context with other tables in place of some, by their number.
    pub fn context_with(&self, instead: &BTreeMap<usize, RecordBatch>) -> MemoryContext {
        self.make(1, 8192, instead)
    }

    fn make(
        &self,
        threads: usize,
        batch_rows: usize,
        instead: &BTreeMap<usize, RecordBatch>,
    ) -> MemoryContext {
        let mut context = MemoryContext::default();
        context.seed = 20;
        context.threads = threads;
        context.batch_rows = batch_rows;
        context.scratch = self.folder.path().join("scratch");
        std::fs::create_dir_all(&context.scratch).unwrap();
        for (number, (port, table)) in self.tables.iter().enumerate() {
            let table = instead.get(&number).unwrap_or(table).clone();
            let path = self.folder.path().join(format!("table-{number}.parquet"));
            let files = parquet(&path, &table);
            context.add_table(port, table);
            context.add_table_files(port, files);
        }
        for (port, files) in &self.files {
            context.add_files(port, files.clone());
        }
        for (port, _, path) in &self.models {
            context.add_model(port, path);
        }
        for (parameter, path, files) in &self.sources {
            context.add_source(parameter, path, files.clone());
        }
        context
    }

    /// Writes a file and gives it to a parameter.
    pub fn source(&mut self, parameter: &str, name: &str, content: impl AsRef<[u8]>) {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        self.sources.push((parameter.to_string(), path, Vec::new()));
    }

    /// Writes a folder of files and gives it to a parameter.
    pub fn source_folder(&mut self, parameter: &str, files: &[(&str, Vec<u8>)]) {
        let folder = self.folder.path().join(format!("source-{parameter}"));
        std::fs::create_dir_all(&folder).unwrap();
        let named = files.iter().map(|(name, content)| {
            let path = folder.join(name);
            std::fs::write(&path, content).unwrap();
            NamedFile {
                name: (*name).to_string(),
                path,
            }
        });
        let named = named.collect();
        self.sources.push((parameter.to_string(), folder, named));
    }

    /// Wires images as `Samples`: of 12 by 9 pixels, letterboxed from 120 by 60, three in turn
    /// nearly the same; some of one group, some without group or label.
    pub fn samples(&mut self, port: &str, keys: std::ops::Range<usize>, rows: bool) {
        let numbers: Vec<usize> = keys.collect();
        let names: Vec<String> = numbers.iter().map(|number| format!("s/{number}.jpg")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let integers = |value: i64| Arc::new(Int64Array::from(vec![value; numbers.len()])) as ArrayRef;
        let fractions = |value: f64| Arc::new(Float64Array::from(vec![value; numbers.len()])) as ArrayRef;
        let groups: StringArray = numbers
            .iter()
            .map(|n| (n % 4 != 0).then(|| format!("p{}", n % 10)))
            .collect();
        let labels: StringArray = numbers
            .iter()
            .map(|n| ["nevus", "melanoma"].get(n % 3).copied())
            .collect();
        let picture = |n: usize| -> Vec<u8> {
            let seed = n / 3 * 7 + 1;
            (0..12 * 9 * 3)
                .map(|at| ((at / 3 * seed * seed % 229) + n % 3) as u8)
                .collect()
        };
        let pixels: BinaryArray = numbers.iter().map(|n| Some(picture(*n))).collect();
        let columns: [(&str, ArrayRef); 12] = [
            ("source", Arc::new(StringArray::from(names.clone()))),
            ("group", Arc::new(groups)),
            ("label", Arc::new(labels)),
            ("width", integers(12)),
            ("height", integers(9)),
            ("original_width", integers(120)),
            ("original_height", integers(60)),
            ("placed_left", fractions(0.0)),
            ("placed_top", fractions(1.0 / 9.0)),
            ("placed_width", fractions(1.0)),
            ("placed_height", fractions(6.0 / 9.0)),
            ("pixels", Arc::new(pixels)),
        ];
        let table = batch(&names, columns);
        let length = if rows { table.num_rows() } else { 0 };
        self.tables.push((port.to_string(), table.slice(0, length)));
    }

    /// Wires a table with one row for each of these keys.
    pub fn rows_of(&mut self, port: &str, keys: &[String], columns: Vec<(&str, ArrayRef)>) {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.tables.push((port.to_string(), batch(&keys, columns)));
    }

    /// Writes a folder of files, gives it to the parameter `path`, and lists it as the engine does.
    pub fn listed_folder(&mut self, files: &[(&str, &str)]) {
        let bytes: Vec<(&str, Vec<u8>)> = files
            .iter()
            .map(|(name, content)| (*name, content.as_bytes().to_vec()))
            .collect();
        self.listed_bytes("path", &bytes, false);
    }

    /// The same for any parameter and any bytes; `with_content` puts the bytes into the list too.
    pub fn listed_bytes(&mut self, parameter: &str, files: &[(&str, Vec<u8>)], with_content: bool) {
        let folder = self.folder.path().join("listed");
        for (name, content) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let ids: Vec<SampleId> = files
            .iter()
            .map(|(_, content)| SampleId::of_content(content))
            .collect();
        let names: StringArray = files.iter().map(|(name, _)| Some(*name)).collect();
        let bytes: Int64Array = files.iter().map(|(_, content)| content.len() as i64).collect();
        let mut known = TableType::of(Contract::named("FileList").unwrap());
        let mut columns: Vec<ArrayRef> = vec![sample_ids(&ids), Arc::new(names), Arc::new(bytes)];
        if with_content {
            known.columns.push(Column::new("content", ColumnType::Binary));
            let contents = files.iter().map(|(_, content)| content);
            columns.push(Arc::new(BinaryArray::from_iter_values(contents)));
        }
        let listing = RecordBatch::try_new(known.schema(), columns).unwrap();
        self.tables.push((FILES_PORT.to_string(), listing));
        self.sources.push((parameter.to_string(), folder, Vec::new()));
    }

    /// Wires a table whose samples are `keys`, with a text, an integer and a float column; some
    /// samples repeat, some values are missing.
    pub fn table(&mut self, port: &str, keys: std::ops::Range<usize>, rows: bool, columns: [&str; 3]) {
        let numbers: Vec<usize> = keys
            .flat_map(|key| vec![key; 1 + usize::from(key % 5 == 0)])
            .collect();
        let keys: Vec<String> = numbers.iter().map(usize::to_string).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let texts: StringArray = numbers
            .iter()
            .map(|n| ["nevus", "melanoma"].get(n % 3).copied())
            .collect();
        let ages: Int64Array = numbers
            .iter()
            .map(|n| (n % 7 != 0).then_some((n * 13 % 90) as i64))
            .collect();
        let shares: Float64Array = numbers.iter().map(|n| Some(1.0 / (*n as f64 + 1.0))).collect();
        let arrays: [ArrayRef; 3] = [Arc::new(texts), Arc::new(ages), Arc::new(shares)];
        self.add(port, batch(&keys, columns.into_iter().zip(arrays)), rows);
    }

    /// Wires this table, or its columns without rows.
    pub fn add(&mut self, port: &str, table: RecordBatch, rows: bool) {
        let length = if rows { table.num_rows() } else { 0 };
        self.tables.push((port.to_string(), table.slice(0, length)));
    }

    /// Wires a table of texts, whose first column makes the sample ids.
    pub fn texts(&mut self, port: &str, rows: bool, columns: &[(&str, &[&str])]) {
        let arrays = columns
            .iter()
            .map(|(name, texts)| (*name, Arc::new(StringArray::from(texts.to_vec())) as ArrayRef));
        let table = batch(columns[0].1, arrays);
        let length = if rows { table.num_rows() } else { 0 };
        self.tables.push((port.to_string(), table.slice(0, length)));
    }

    /// Wires files to a port.
    pub fn wired_files(&mut self, port: &str, files: &[(&str, &str)]) {
        let named = files.iter().map(|(name, content)| {
            let path = self.folder.path().join(format!("wired-{name}"));
            std::fs::write(&path, content).unwrap();
            NamedFile {
                name: (*name).to_string(),
                path,
            }
        });
        let named = named.collect();
        self.files.push((port.to_string(), named));
    }
}

fn parquet(path: &Path, table: &RecordBatch) -> TableFiles {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, table.schema(), None).unwrap();
    writer.write(table).unwrap();
    writer.close().unwrap();
    TableFiles {
        schema: table.schema(),
        parquet: vec![path.to_path_buf()],
        rows: table.num_rows() as u64,
    }
}
