//! Any bytes as a tar: in steps or at once, its members stand in order, apart from each other, and inside the file; and as a layer,
//! what is odd about it does not depend on how its bytes come.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore_archive::{EntryKind, Indexer, Looking, Odd, TarIndex};

fuzz_target!(|data: &[u8]| {
    let piece = data.first().map_or(1, |&first| 1 + usize::from(first) * 5);
    assert_eq!(odd(data, piece), odd(data, data.len().max(1)));
    let at_once = TarIndex::read(&data);
    let in_steps = in_steps(data);
    let index = match (at_once, in_steps) {
        (Ok(index), Ok(other)) => {
            assert_eq!(index.entries(), other.entries());
            assert_eq!((index.end(), index.has_end_blocks()), (other.end(), other.has_end_blocks()));
            index
        }
        (Err(one), Err(other)) => return assert_eq!(one, other),
        (one, other) => panic!("{one:?} at once, {other:?} in steps"),
    };
    let mut free = 0;
    for (number, entry) in index.entries().iter().enumerate() {
        assert!(free <= entry.start && entry.start <= entry.header && entry.header + 512 <= entry.data);
        assert!(entry.data + entry.size <= data.len() as u64);
        free = entry.end();
        let last = index.find(&entry.path).unwrap();
        assert!(number <= last);
        if let Some(file) = index.resolve(&entry.path) {
            assert_eq!(index.entries()[file].kind, EntryKind::File);
        }
    }
    assert!(free <= index.end());
});

fn in_steps(data: &[u8]) -> longshore_archive::Result<TarIndex> {
    let mut indexer = Indexer::default();
    let mut at = 0;
    while !indexer.step(&data, 1)? {
        assert!(indexer.position() > at, "a step goes on");
        at = indexer.position();
    }
    Ok(indexer.finish())
}

fn odd(layer: &[u8], piece: usize) -> Vec<Odd> {
    let mut looking = Looking::default();
    layer.chunks(piece).for_each(|piece| looking.push(piece));
    looking.finish()
}
