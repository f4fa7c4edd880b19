//! The inputs of a case, and contexts made of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use dermflow_core::memory::{MemoryContext, batch};
use dermflow_core::sample_ids;
use dermflow_core::{Contract, FILES_PORT, NamedFile, SampleId, TableFiles, TableType};
use parquet::arrow::ArrowWriter;

/// What a stage finds.
pub struct World {
    /// Holds all files, and is removed with the world.
    pub folder: tempfile::TempDir,
    /// Tables by port, several for a port that takes many.
    pub tables: Vec<(String, RecordBatch)>,
    /// Files by port.
    pub files: Vec<(String, Vec<NamedFile>)>,
    sources: Vec<(String, PathBuf)>,
}

impl Default for World {
    fn default() -> World {
        World {
            folder: tempfile::tempdir().unwrap(),
            tables: Vec::new(),
            files: Vec::new(),
            sources: Vec::new(),
        }
    }
}

impl World {
    /// A context over all of it.
    pub fn context(&self, threads: usize, batch_rows: usize) -> MemoryContext {
        self.make(threads, batch_rows, None)
    }

    /// A context with another table in place of number `at`.
    pub fn context_with(&self, at: usize, table: RecordBatch) -> MemoryContext {
        self.make(1, 8192, Some((at, table)))
    }

    fn make(
        &self,
        threads: usize,
        batch_rows: usize,
        instead: Option<(usize, RecordBatch)>,
    ) -> MemoryContext {
        let mut context = MemoryContext::default();
        context.seed = 20;
        context.threads = threads;
        context.batch_rows = batch_rows;
        context.scratch = self.folder.path().join("scratch");
        std::fs::create_dir_all(&context.scratch).unwrap();
        for (number, (port, table)) in self.tables.iter().enumerate() {
            let table = match &instead {
                Some((at, other)) if *at == number => other.clone(),
                _ => table.clone(),
            };
            let path = self.folder.path().join(format!("table-{number}.parquet"));
            let files = parquet(&path, &table);
            context.add_table(port, table);
            context.add_table_files(port, files);
        }
        for (port, files) in &self.files {
            context.add_files(port, files.clone());
        }
        for (parameter, path) in &self.sources {
            context.add_source(parameter, path, Vec::new());
        }
        context
    }

    /// Writes a file and gives it to a parameter.
    pub fn source(&mut self, parameter: &str, name: &str, content: &str) {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        self.sources.push((parameter.to_string(), path));
    }

    /// Writes a folder of files, gives it to the parameter `path`, and lists it as the engine does.
    pub fn listed_folder(&mut self, files: &[(&str, &str)]) {
        let folder = self.folder.path().join("listed");
        std::fs::create_dir_all(&folder).unwrap();
        for (name, content) in files {
            std::fs::write(folder.join(name), content).unwrap();
        }
        let ids: Vec<SampleId> = files
            .iter()
            .map(|(_, content)| SampleId::of_content(content.as_bytes()))
            .collect();
        let names: StringArray = files.iter().map(|(name, _)| Some(*name)).collect();
        let bytes: Int64Array = files.iter().map(|(_, content)| content.len() as i64).collect();
        let schema = TableType::of(Contract::named("FileList").unwrap()).schema();
        let listing =
            RecordBatch::try_new(schema, vec![sample_ids(&ids), Arc::new(names), Arc::new(bytes)]).unwrap();
        self.tables.push((FILES_PORT.to_string(), listing));
        self.sources.push(("path".to_string(), folder));
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
        let shares: arrow::array::Float64Array =
            numbers.iter().map(|n| Some(1.0 / (*n as f64 + 1.0))).collect();
        let arrays: [ArrayRef; 3] = [Arc::new(texts), Arc::new(ages), Arc::new(shares)];
        let table = batch(&keys, columns.into_iter().zip(arrays));
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
