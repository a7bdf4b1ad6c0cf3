//! Any bytes as layers, cut at a mark: they are indexed, merged, exported, compared and searched. What comes out as a tar is
//! the same file system again.
#![no_main]

use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use longshore_archive::{
    Changing, Comparing, Export, FileReader, Limits, Query, Recipe, Search, SharedIndex, Side, Source, Tree, Weighing,
    index_layer, merge,
};

const LIMITS: Limits = Limits { bytes: 4 << 20, ratio: 100, free: 64 << 20 };
/// Between layers.
const MARK: &[u8] = b"\xfe\xffNEXT LAYER\xff\xfe";

type Bytes = Recipe<Rc<Vec<u8>>>;

fn layers_of(mut data: &[u8]) -> Vec<Bytes> {
    let mut layers = Vec::new();
    while layers.len() < 4 {
        let mark = data.windows(MARK.len()).position(|window| window == MARK);
        let (layer, rest) = mark.map_or((data, &[][..]), |at| (&data[..at], &data[at + MARK.len()..]));
        layers.push(Recipe::whole(Rc::new(layer.to_vec())));
        if mark.is_none() {
            break;
        }
        data = rest;
    }
    layers
}

fn bytes_of(recipe: &Bytes) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(recipe.len()).unwrap()];
    recipe.read_at(0, &mut bytes).unwrap();
    bytes
}

fn shape(tree: &Tree) -> Vec<(String, String, u64, u32)> {
    let entries = (1..tree.len()).map(|number| tree.entry(number).unwrap());
    entries.map(|one| (one.path, format!("{:?} {:o} {:?}", one.kind, one.mode, one.xattrs), one.size, one.links)).collect()
}

fuzz_target!(|data: &[u8]| {
    let layers = layers_of(data);
    let indexes: Result<Vec<SharedIndex>, _> = layers.iter().map(|layer| index_layer(layer.clone(), LIMITS)).collect();
    let Ok(indexes) = indexes else { return };
    let tree = Rc::new(merge(indexes.clone()).unwrap());
    let children: usize = (0..tree.len()).map(|number| tree.children(number).count()).sum();
    assert_eq!(children + 1, tree.len(), "every file but the root is in one directory");
    let small = (0..tree.len()).all(|number| tree.size(number) < 4 << 20);

    for number in 0..tree.len() {
        let Ok(mut reader) = FileReader::new(&tree, number, layers.clone(), LIMITS) else { continue };
        let mut given = 0;
        while let Ok(Some(piece)) = reader.read(100_000) {
            given += piece.len();
            if given > 8 << 20 {
                break;
            }
        }
        assert!(given <= reader.files().map(|(_, size)| size).sum());
    }
    let mut changing = Changing::new(indexes.clone()).unwrap();
    while !changing.step(10) {}
    (0..changing.len()).for_each(|number| drop(changing.get(number).unwrap()));
    let mut weighing = Weighing::new(indexes).unwrap();
    while !weighing.step(10) {}
    let efficiency = weighing.finish();
    assert!((0.0..=1.0).contains(&efficiency.score) && efficiency.wasted <= efficiency.total);
    if !small {
        return;
    }
    let query = Query { glob: Some("*a*".to_owned()), regex: None, bytes: Some(b"a".to_vec()) };
    let mut search = Search::new(tree.clone(), 0, &query, layers.clone(), LIMITS).unwrap();
    while matches!(search.step(1 << 20), Ok(false)) {}

    let mut export = Export::new(tree.clone(), 0, layers.clone(), LIMITS);
    let mut tar = Vec::new();
    loop {
        match export.step(1 << 20) {
            Ok(Some(piece)) => tar.extend(bytes_of(&piece)),
            Ok(None) => break,
            // A layer ends inside a file that was hopped over.
            Err(_) => return,
        }
    }
    let tar = Recipe::whole(Rc::new(tar));
    let Ok(index) = index_layer(tar.clone(), Limits::default()) else { panic!("what is exported is a layer") };
    let again = Rc::new(merge(vec![index]).unwrap());
    let odd = shape(&tree).iter().any(|(path, ..)| path.split('/').any(|name| name.starts_with(".wh.")) || path.contains('\u{fffd}'));
    if odd {
        return;
    }
    assert_eq!(shape(&again), shape(&tree));
    let before = Side { tree, layers };
    let mut comparing = Comparing::new(before, Side { tree: again, layers: vec![tar] }, LIMITS);
    while matches!(comparing.step(1 << 20), Ok(false)) {}
});
