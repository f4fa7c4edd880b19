//! Stages that are as they were need no lookup, though the rest of the file changed.

use super::*;

/// The stages whose results are known before anything is looked up, in order.
fn known(world: &World) -> Vec<String> {
    let remember = world
        .with(&CellSelection::Base, Remember::before_loading)
        .unwrap();
    let loaded = world.load(&CellSelection::Base);
    let sources = Sources::new(&world.store, false);
    let head_start = HeadStart::find(&world.store, &sources, &remember, &loaded.pipelines);
    let stages = loaded.pipelines[0].stages.iter().enumerate();
    let known = stages.filter(|(at, _)| head_start.result(0, *at).is_some());
    let mut names: Vec<String> = known.map(|(_, stage)| stage.name.clone()).collect();
    names.sort();
    names
}

#[test]
fn stages_that_a_file_says_as_before_have_a_head_start_and_others_have_none() {
    let world = World::after_a_run();
    let pipeline = world.pipeline();
    assert_eq!(known(&world), ["all", "made", "some"]);
    // Comments, and stages that nobody knows.
    let more = format!("{pipeline}# a remark\n");
    world.write("dermflow.yaml", &more);
    assert!(!world.holds());
    assert_eq!(known(&world), ["all", "made", "some"]);
    // A parameter, a salt, an environment, and what is behind.
    let edited = |from: &str, to: &str| {
        let text = pipeline.replace(from, to);
        assert_ne!(text, pipeline);
        world.write("dermflow.yaml", &text);
        known(&world)
    };
    assert_eq!(edited("{PATH: ", "{SHADE: dark, PATH: "), ["all", "some"]);
    assert_eq!(edited("{path: data}", "{path: data, content: true}"), ["made"]);
    assert_eq!(
        edited("all: {kind: list-files, ", "all: {kind: list-files, salt: x, "),
        ["made"]
    );
    assert_eq!(edited("name: memo", "name: memo\nseed: 5"), Vec::<String>::new());
    world.write("dermflow.yaml", &pipeline);
    world.write("more.yaml", &MORE.replace("[source]", "[source, bytes]"));
    assert_eq!(known(&world), ["all", "made"]);
}

#[test]
fn what_lies_outside_and_in_the_store_must_be_as_it_was_for_a_head_start() {
    let world = World::after_a_run();
    world.write("dermflow.yaml", &format!("{}# edited\n", world.pipeline()));
    world.write("data/c.txt", "one more");
    assert_eq!(known(&world), ["made"]);
    fs::remove_file(world.at("data/c.txt")).unwrap();
    assert_eq!(known(&world), ["all", "made", "some"]);
    world.write("one.txt", "two");
    assert_eq!(known(&world), ["all", "some"]);
    world.write("one.txt", "one");
    // Another program of the name comes first.
    world.write("first/tool", TOOL.replace("one", "cat one").as_str());
    fs::set_permissions(world.at("first/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(known(&world), ["all", "some"]);
    fs::remove_dir_all(world.at("first")).unwrap();
    assert_eq!(known(&world).len(), 3);
    // A record that is another file now, though its bytes are the same.
    let of = |stage: &str| {
        let memo = world.memo();
        let stages = &memo.pipelines[0].stages;
        let action = stages.iter().find(|known| known.name == stage).unwrap().action;
        world.record(action)
    };
    let (path, bytes) = (of("all"), fs::read(of("all")).unwrap());
    fs::remove_file(&path).unwrap();
    assert_eq!(known(&world), ["made"]);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(known(&world), ["made"], "its times are other ones");
    // A blob that is gone.
    for blob in world.stored("blobs") {
        let size = fs::metadata(&blob).unwrap().len();
        if size == 3 {
            fs::remove_file(blob).unwrap();
        }
    }
    assert_eq!(known(&world), Vec::<String>::new());
}

#[test]
fn a_run_with_a_head_start_leaves_a_memo_that_holds() {
    let world = World::after_a_run();
    let edited = world.pipeline().replace("{PATH: ", "{SHADE: dark, PATH: ");
    world.write("dermflow.yaml", &edited);
    let ran = world.run(&CellSelection::Base);
    assert_eq!((ran.executed, ran.hit), (1, 2));
    std::thread::sleep(Duration::from_millis(60));
    assert!(world.holds());
    // All that was read from outside is in it still.
    world.write("data/a.txt", "a mole");
    assert!(!world.holds());
    world.write("data/a.txt", "a lesion");
    assert!(world.holds());
    world.write("second/tool", &TOOL.replace("cp", "cat one.txt > /dev/null; cp"));
    assert!(!world.holds());
}

#[test]
fn a_record_that_goes_while_the_run_is_at_work_is_made_again() {
    let world = World::after_a_run();
    world.write("more.yaml", &MORE.replace("[source]", "[source, bytes]"));
    let path = {
        let memo = world.memo();
        let all = memo.pipelines[0].stages.iter().find(|known| known.name == "all");
        world.record(all.unwrap().action)
    };
    // Seen to be there, told as a hit, and gone before the stage behind it reads it.
    let ran = world.run_telling(&CellSelection::Base, &|event| {
        if matches!(event, Event::StageHit { label, .. } if label.stage == "all") {
            let _ = fs::remove_file(&path);
        }
    });
    assert_eq!((ran.failed, ran.skipped), (0, 0));
    assert!(path.exists());
    assert!(
        fs::read_to_string(world.at("results/memo/some.csv"))
            .unwrap()
            .contains("bytes")
    );
}
