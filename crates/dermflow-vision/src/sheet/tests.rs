//! Things land where they belong.

use super::*;
use crate::heatmap::Drawing;

fn tile(picture: Picture) -> Tile {
    Tile {
        picture,
        caption: "nevus".to_string(),
        mark: 1,
        second: String::new(),
        note: "a".to_string(),
        boxes: Vec::new(),
        maps: Vec::new(),
    }
}

const LAYOUT: Layout = Layout {
    columns: 3,
    side: 100,
};

/// The corner of a tile's square.
fn corner(number: usize) -> [usize; 2] {
    [
        GAP + number % 3 * (100 + GAP),
        TITLE + GAP + number / 3 * (100 + CAPTION + GAP),
    ]
}

#[test]
fn pictures_keep_their_shape_and_lie_in_their_own_squares() {
    let tiles = [[40, 40], [80, 40], [10, 100], [300, 200]]
        .map(|[width, height]| tile(Picture::filled(width, height, [200, 10, 10])));
    let sheet = sheet("four", &tiles, LAYOUT);
    assert_eq!(sheet.width(), GAP + 3 * (100 + GAP));
    assert_eq!(sheet.height(), TITLE + GAP + 2 * (100 + CAPTION + GAP));
    for (number, [width, height]) in [[100, 100], [100, 50], [10, 100], [100, 67]]
        .into_iter()
        .enumerate()
    {
        let [left, top] = corner(number);
        let mut red = 0;
        for row in 0..100 {
            for column in 0..100 {
                red += usize::from(sheet.at(left + column, top + row) == [200, 10, 10]);
            }
        }
        assert_eq!(red, width * height, "tile {number}");
    }
}

#[test]
fn a_box_is_drawn_around_what_it_holds() {
    let mut tile = tile(Picture::filled(50, 50, [90; 3]));
    let pixels = PixelBox {
        left: 10.0,
        top: 20.0,
        width: 15.0,
        height: 5.0,
    };
    tile.boxes.push((pixels, 2, String::new()));
    let sheet = sheet("", &[tile], LAYOUT);
    let [left, top] = corner(0);
    let at = |column: usize, row: usize| sheet.at(left + column, top + row);
    for (column, row) in [(20, 40), (49, 49), (20, 49), (35, 40)] {
        assert_eq!(at(column, row), colour(2), "column {column}, row {row}");
    }
    assert_eq!(at(35, 45), [90; 3]);
    assert_eq!(at(19, 45), [90; 3]);
}

#[test]
fn heat_is_warm_and_blind_is_blue() {
    let mut tile = tile(Picture::filled(64, 64, [120; 3]));
    let lesion = PixelBox {
        left: 22.0,
        top: 22.0,
        width: 20.0,
        height: 20.0,
    };
    tile.maps.push((Drawing::default().draw(64, 64, &[lesion]), 4.0));
    let sheet = sheet(
        "",
        &[tile],
        Layout {
            columns: 1,
            side: 128,
        },
    );
    let at = |x: usize, y: usize| sheet.at(GAP + 2 * x, TITLE + GAP + 2 * y);
    let [middle, ring, far] = [at(33, 33), at(33, 16), at(2, 2)];
    assert!(middle[0] > 190 && middle[2] < 80, "{middle:?}");
    assert!(ring[2] > 140 && ring[0] < 100, "{ring:?}");
    assert_eq!(far, [120; 3]);
}

#[test]
fn a_trace_of_heat_is_hardly_seen_and_more_heat_is_seen_more() {
    let codes: Vec<u8> = vec![0, 1, PEAK / 8, PEAK / 4, PEAK / 2, PEAK];
    let mut tile = tile(Picture::filled(48, 8, [120; 3]));
    tile.maps
        .push((Heatmap::of_codes(codes.len(), 1, codes.clone()).unwrap(), 8.0));
    let layout = Layout { columns: 1, side: 48 };
    let sheet = sheet("", &[tile], layout);
    let row = TITLE + GAP + (48 - 8) / 2 + 4;
    let change = |cell: usize| {
        let seen = sheet.at(GAP + 8 * cell + 4, row);
        seen.iter().map(|value| value.abs_diff(120)).max().unwrap()
    };
    let changes: Vec<u8> = (0..codes.len()).map(change).collect();
    assert_eq!(changes[0], 0);
    assert!(changes[1] <= 2, "{changes:?}");
    assert!(
        changes[1..].windows(2).all(|pair| pair[0] + 8 < pair[1]),
        "{changes:?}"
    );
}

#[test]
fn a_second_line_makes_room_for_itself_and_only_where_there_is_one() {
    let layout = Layout { columns: 1, side: 64 };
    let mut second = tile(Picture::filled(8, 8, [200; 3]));
    let without = sheet("t", &[second.clone()], layout);
    second.second = "wart".to_string();
    let with = sheet("t", &[second], layout);
    assert_eq!(with.height(), without.height() + 16);
    let shown = |picture: &Picture, row: usize| (0..picture.width()).any(|x| picture.at(x, row)[0] < 0x60);
    let rows = (without.height() - 30..with.height()).filter(|row| shown(&with, *row));
    assert!(rows.count() > 5);
}

#[test]
fn long_captions_are_cut_and_ink_is_seen() {
    let mut long = tile(Picture::filled(8, 8, [0; 3]));
    long.caption = "a caption that is far too long for its place".to_string();
    let sheet = sheet("title", &[long, tile(Picture::filled(8, 8, [0; 3]))], LAYOUT);
    let [left, top] = corner(0);
    let ink = |from: usize, to: usize| {
        (from..to)
            .flat_map(|column| (top + 100..top + 100 + CAPTION).map(move |row| [column, row]))
            .filter(|[column, row]| sheet.at(*column, *row) == INK)
            .count()
    };
    assert!(ink(left, left + 100) > 100);
    assert_eq!(
        ink(left + 100, left + 100 + GAP),
        0,
        "the caption runs out of its tile"
    );
}

#[test]
fn a_png_is_read_back_as_it_was() {
    let sheet = sheet("title", &[tile(Picture::filled(30, 20, [5, 6, 7]))], LAYOUT);
    let bytes = png(&sheet).unwrap();
    let back = image::load_from_memory(&bytes).unwrap().to_rgb8();
    assert_eq!(back.into_raw(), sheet.pixels());
}
