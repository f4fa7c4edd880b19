//! Scenes are what was asked for, and classes can be told apart.

use super::*;

fn scene(seed: u64, background: usize, lesions: Vec<usize>, size: [usize; 2]) -> Scene {
    let person = Person::draw(&mut Dice::new(seed, 0, b"person"));
    let request = SceneRequest {
        width: size[0],
        height: size[1],
        person,
        background,
        lesions,
    };
    draw(&request, &mut Dice::new(seed, 1, b"scene"))
}

#[test]
fn the_same_dice_draw_the_same_scene() {
    let (one, same) = (
        scene(4, 1, vec![3, 3], [48, 40]),
        scene(4, 1, vec![3, 3], [48, 40]),
    );
    assert_eq!(one.picture, same.picture);
    assert_eq!(one.lesions, same.lesions);
    assert_ne!(one.picture, scene(5, 1, vec![3, 3], [48, 40]).picture);
}

#[test]
fn lesions_lie_in_the_picture_and_change_the_skin_inside_their_box_alone() {
    for seed in 0..40 {
        let size = [[64, 64], [96, 60], [50, 90]][seed as usize % 3];
        let without = scene(seed, 0, Vec::new(), size).picture;
        // Class 30 is near black and even.
        let with = scene(seed, 0, vec![30], size);
        let (_, pixels) = with.lesions[0];
        assert_eq!(
            pixels.clipped(size[0], size[1]),
            Some(pixels),
            "seed {seed}: {pixels:?}"
        );
        assert!(pixels.width > 4.0 && pixels.height > 3.0);
        let mut darker = 0;
        for row in 0..size[1] {
            for column in 0..size[0] {
                let [x, y] = [column as f64 + 0.5, row as f64 + 0.5];
                let away = (pixels.left - x)
                    .max(x - pixels.right())
                    .max(pixels.top - y)
                    .max(y - pixels.bottom());
                let [was, is] = [&without, &with.picture].map(|picture| {
                    picture
                        .at(column, row)
                        .iter()
                        .map(|value| u32::from(*value))
                        .sum::<u32>()
                });
                assert!(
                    away < 2.5 || was == is,
                    "seed {seed}: changed {away} pixels beside the box"
                );
                darker += usize::from(is * 4 < was * 3);
            }
        }
        let ellipse = std::f64::consts::FRAC_PI_4 * pixels.area();
        assert!(
            darker as f64 > 0.4 * ellipse.min(pixels.area()),
            "seed {seed}: {darker} pixels darker"
        );
    }
}

/// Mean colour of the inside of each lesion over that of the picture's skin.
fn redness(class: usize) -> f64 {
    let ratios = (0..30).map(|seed| {
        let scene = scene(seed, 0, vec![class], [64, 64]);
        let [x, y] = scene.lesions[0].1.centre();
        let [red, green, _] = scene.picture.at(x as usize, y as usize).map(f64::from);
        red / (green + 1.0)
    });
    ratios.sum::<f64>() / 30.0
}

#[test]
fn a_red_class_is_redder_than_a_grey_one_whoever_has_it() {
    // Class 15 is red and even, class 20 grey and even.
    assert!(
        redness(15) > 1.6 * redness(20),
        "{} and {}",
        redness(15),
        redness(20)
    );
}

#[test]
fn backgrounds_differ_where_there_is_no_skin() {
    // A seed whose picture shows background in a corner.
    let corner =
        |seed: u64, background: usize| scene(seed, background, Vec::new(), [64, 64]).picture.at(1, 1);
    let seed = (0..100)
        .find(|seed| corner(*seed, 6) != corner(*seed, 3))
        .unwrap();
    let mut colours: Vec<[u8; 3]> = (0..BACKGROUNDS).map(|sort| corner(seed, sort)).collect();
    colours.sort();
    colours.dedup();
    assert!(colours.len() >= BACKGROUNDS - 1, "{colours:?}");
}
