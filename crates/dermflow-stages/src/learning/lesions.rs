//! [`Lesions`]: the heat maps, centres and diameters of each sample, in memory: boxed samples
//! are the smallest of the method's tiers.
//!
//! Must not know of pictures or networks.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float32Type, Int64Type};
use dermflow_core::{SampleId, StageContext, StageError};
use dermflow_vision::heatmap::Heatmap;

use crate::columns::ids_of;

/// The lesions of one class in one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassMap {
    /// The class.
    pub class: String,
    /// Its heat map.
    pub map: Heatmap,
    /// Each lesion's middle, x and y in pixels of the stored picture.
    pub centres: Vec<[f64; 2]>,
    /// Each lesion's inner diameters, across and down in the same pixels.
    pub diameters: Vec<[f64; 2]>,
}

/// The maps of each sample.
#[derive(Default)]
pub struct Lesions(BTreeMap<[u8; 32], Vec<ClassMap>>);

impl Lesions {
    /// Reads the table at `port`.
    ///
    /// # Errors
    /// Where a row's lists or bytes don't fit each other, with the sample.
    pub fn read(context: &dyn StageContext, port: &str) -> Result<Lesions, StageError> {
        let mut lesions = Lesions::default();
        for batch in context.table(port)? {
            let batch = batch?;
            if context.cancelled() {
                return Err(StageError::cancelled());
            }
            lesions.add(&batch, port)?;
        }
        Ok(lesions)
    }

    fn add(&mut self, batch: &RecordBatch, port: &str) -> Result<(), StageError> {
        let missing = |name: &str| StageError::new(format!("`{port}` came without a proper column `{name}`"));
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| missing(name));
        let side = |name: &str| {
            column(name)?
                .as_primitive_opt::<Int64Type>()
                .ok_or_else(|| missing(name))
        };
        let ids = ids_of(batch)?;
        let classes = column("class")?
            .as_string_opt::<i32>()
            .ok_or_else(|| missing("class"))?;
        let (widths, heights) = (side("width")?, side("height")?);
        let heat = column("heat")?
            .as_binary_opt::<i32>()
            .ok_or_else(|| missing("heat"))?;
        let pairs = |name: &'static str, row: usize| -> Result<Vec<[f64; 2]>, StageError> {
            let lists = column(name)?.as_list_opt::<i32>().ok_or_else(|| missing(name))?;
            let values = lists.value(row);
            let values = values
                .as_primitive_opt::<Float32Type>()
                .ok_or_else(|| missing(name))?;
            let numbers: Vec<f64> = values.iter().flatten().map(f64::from).collect();
            Ok(numbers.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect())
        };
        for row in 0..batch.num_rows() {
            let mut id = [0; 32];
            id.copy_from_slice(ids.value(row));
            let size = usize::try_from(widths.value(row))
                .ok()
                .zip(usize::try_from(heights.value(row)).ok());
            let map =
                size.and_then(|(width, height)| Heatmap::of_codes(width, height, heat.value(row).to_vec()));
            let (centres, diameters) = (pairs("centres", row)?, pairs("diameters", row)?);
            let (Some(map), true) = (map, centres.len() == diameters.len()) else {
                let id = SampleId::from_bytes(id);
                return Err(StageError::new(format!(
                    "`{port}`: the map of sample {id} for `{}` is said to be {} × {} and has {} bytes, {} centres and {} diameters",
                    classes.value(row),
                    widths.value(row),
                    heights.value(row),
                    heat.value(row).len(),
                    centres.len(),
                    diameters.len()
                )));
            };
            self.0.entry(id).or_default().push(ClassMap {
                class: classes.value(row).to_string(),
                map,
                centres,
                diameters,
            });
        }
        Ok(())
    }

    /// A sample's maps.
    pub fn of(&self, id: &[u8; 32]) -> &[ClassMap] {
        self.0.get(id).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a sample has maps.
    pub fn has(&self, id: &[u8]) -> bool {
        <[u8; 32]>::try_from(id).is_ok_and(|id| self.0.contains_key(&id))
    }

    /// Every sample with its maps, in order of ids.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8; 32], &[ClassMap])> {
        self.0.iter().map(|(id, maps)| (id, maps.as_slice()))
    }
}
