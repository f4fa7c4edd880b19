//! What the histories of trainings tell.

use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;

use crate::cases::learning::{REGRESSOR, with_heatmaps};
use crate::world::World;

/// Also of an annotator that no picture is kept from, as in the method.
#[test]
fn the_history_of_an_annotator_tells_the_parts_of_its_loss() {
    let mut world = World::default();
    with_heatmaps(&mut world, true);
    let kind = dermflow_stages::registry()
        .get("regressor-train")
        .unwrap()
        .clone();
    let parameters = kind.parse(&serde_yaml::from_str(REGRESSOR).unwrap()).unwrap();
    let mut context = world.context(1, 8192);
    kind.run(&parameters, &mut context).unwrap();
    let history = context.output("history");
    let column = |name: &str| {
        let column = history.column_by_name(name).unwrap();
        column.as_primitive::<Float64Type>().clone()
    };
    let [loss, heat, size, valid] = ["loss", "train_heat_loss", "train_size_loss", "valid_loss"].map(column);
    assert_eq!(history.num_rows(), 2);
    for row in 0..2 {
        let (loss, parts) = (loss.value(row), heat.value(row) + size.value(row));
        assert!((loss - parts).abs() < 1e-4 * loss, "{loss} {parts}");
        assert!(heat.value(row) > 0.0 && size.value(row) > 0.0);
        assert!(valid.is_null(row));
    }
}
