//! [`Pictures`]: the pictures of a table, kept in a file without a name so that any of them can
//! be read at any time; memory grows by 56 bytes a picture, whatever its size.
//!
//! Maps of one byte a cell are kept in the same way. Must not know what is done with them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use dermflow_core::{StageContext, StageError};
use dermflow_vision::heatmap::Heatmap;
use dermflow_vision::picture::Picture;

use crate::columns::ids_of;

/// Grids of bytes by sample id, in a file that vanishes with this value.
pub struct Grids {
    file: File,
    /// In order of ids.
    entries: Vec<Entry>,
    channels: usize,
}

struct Entry {
    id: [u8; 32],
    offset: u64,
    width: u32,
    height: u32,
}

impl Grids {
    /// Keeps column `bytes` of the rows of `port` whose id is `wanted`, with their `width` and
    /// `height`, `channels` bytes a cell. Where a sample has several rows, the first counts.
    /// Every batch of the table is shown to `seen`.
    ///
    /// # Errors
    /// Where a row's bytes are not `width · height · channels`, with its id, or the disk is full.
    pub fn gather(
        context: &dyn StageContext,
        port: &str,
        bytes: &str,
        channels: usize,
        wanted: impl Fn(&[u8]) -> bool,
        mut seen: impl FnMut(&RecordBatch),
    ) -> Result<Grids, StageError> {
        let folder = context.scratch();
        let full = |error: std::io::Error| StageError::io("writing pictures below", folder, &error);
        let file = tempfile::tempfile_in(folder).map_err(full)?;
        let mut out = BufWriter::new(file);
        let mut entries: Vec<Entry> = Vec::new();
        let mut offset = 0;
        for batch in context.table(port)? {
            let batch = batch?;
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            seen(&batch);
            let rows = Rows::of(&batch, port, bytes)?;
            for row in 0..batch.num_rows() {
                let (id, width, height, content) = rows.at(row, channels, port)?;
                let repeated = entries.last().is_some_and(|last| last.id == id);
                if repeated || !wanted(&id) {
                    continue;
                }
                out.write_all(content).map_err(full)?;
                entries.push(Entry {
                    id,
                    offset,
                    width,
                    height,
                });
                offset += content.len() as u64;
            }
        }
        let file = out.into_inner().map_err(|error| full(error.into_error()))?;
        Ok(Grids {
            file,
            entries,
            channels,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The sample of a grid, by its place in the order of ids.
    pub fn id(&self, index: usize) -> &[u8; 32] {
        &self.entries[index].id
    }

    /// The place of a sample's grid.
    pub fn find(&self, id: &[u8]) -> Option<usize> {
        self.entries.binary_search_by(|entry| entry.id[..].cmp(id)).ok()
    }

    /// Width and height of a grid.
    pub fn size(&self, index: usize) -> [usize; 2] {
        [
            self.entries[index].width as usize,
            self.entries[index].height as usize,
        ]
    }

    fn read(&self, index: usize) -> Result<([usize; 2], Vec<u8>), String> {
        let [width, height] = self.size(index);
        let mut content = vec![0; width * height * self.channels];
        self.file
            .read_exact_at(&mut content, self.entries[index].offset)
            .map_err(|error| format!("reading a picture back: {error}"))?;
        Ok(([width, height], content))
    }

    /// A grid of three channels as a picture.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn picture(&self, index: usize) -> Result<Picture, String> {
        let ([width, height], content) = self.read(index)?;
        Picture::of_pixels(width, height, content).ok_or_else(|| "a picture without pixels".to_string())
    }

    /// A grid of one channel as a map.
    ///
    /// # Errors
    /// Where the file can't be read.
    pub fn map(&self, index: usize) -> Result<Heatmap, String> {
        let ([width, height], content) = self.read(index)?;
        Heatmap::of_codes(width, height, content).ok_or_else(|| "a map of another size".to_string())
    }
}

/// Id, width, height and bytes of a row.
type Grid<'a> = ([u8; 32], u32, u32, &'a [u8]);

/// The columns of a batch.
struct Rows<'a> {
    ids: &'a arrow::array::FixedSizeBinaryArray,
    width: &'a arrow::array::Int64Array,
    height: &'a arrow::array::Int64Array,
    bytes: &'a arrow::array::BinaryArray,
}

impl<'a> Rows<'a> {
    fn of(batch: &'a RecordBatch, port: &str, bytes: &str) -> Result<Rows<'a>, StageError> {
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| StageError::new(format!("`{port}` came without its column `{name}`")))
        };
        let wrong = |name: &str| StageError::new(format!("column `{name}` of `{port}` has another type"));
        Ok(Rows {
            ids: ids_of(batch)?,
            width: column("width")?
                .as_primitive_opt::<Int64Type>()
                .ok_or_else(|| wrong("width"))?,
            height: column("height")?
                .as_primitive_opt::<Int64Type>()
                .ok_or_else(|| wrong("height"))?,
            bytes: column(bytes)?
                .as_binary_opt::<i32>()
                .ok_or_else(|| wrong(bytes))?,
        })
    }

    /// Id, width, height and bytes of a row.
    fn at(&self, row: usize, channels: usize, port: &str) -> Result<Grid<'a>, StageError> {
        let mut id = [0; 32];
        id.copy_from_slice(self.ids.value(row));
        let (width, height) = (self.width.value(row), self.height.value(row));
        let content = self.bytes.value(row);
        let sides = u32::try_from(width).ok().zip(u32::try_from(height).ok());
        let fits = sides.filter(|(width, height)| {
            let cells = u128::from(*width) * u128::from(*height);
            cells > 0 && cells * channels as u128 == content.len() as u128
        });
        let Some((width, height)) = fits else {
            let id = dermflow_core::SampleId::from_bytes(id);
            return Err(StageError::new(format!(
                "`{port}`: sample {id} is said to be {width} × {height}, with {channels} bytes a cell, and has {} bytes",
                content.len()
            )));
        };
        Ok((id, width, height, content))
    }
}
