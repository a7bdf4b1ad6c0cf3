//! Any bytes as compressed data; the first byte says as which. Limits hold, and the digest is that of what was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore_archive::{Algorithm, Code, Compression, Limits, Unpacked, measure, sha256};

const LIMITS: Limits = Limits { bytes: 1 << 20, ratio: 100, free: 64 << 20 };

fuzz_target!(|data: &[u8]| {
    let Some((&first, data)) = data.split_first() else { return };
    let compression = match first % 5 {
        0 => Compression::Gzip,
        1 => Compression::Zstd,
        2 => Compression::Bzip2,
        3 => Compression::Xz,
        _ => Compression::Lz4,
    };
    let len = data.len() as u64;
    let mut unpacked = Unpacked::new(data, 0..len, compression, LIMITS);
    let mut buffer = vec![0; 1 + usize::from(first) * 64];
    let mut content = Algorithm::Sha256.hasher();
    let mut given = 0;
    let end = loop {
        match unpacked.read(&mut buffer) {
            Ok(0) => break Ok(content.finish()),
            Ok(count) => {
                given += count as u64;
                content.update(&buffer[..count]);
                assert!(given <= LIMITS.bytes, "what is over the limit is not given out");
            }
            Err(error) => break Err(error.code()),
        }
    };
    assert!(unpacked.given() <= LIMITS.bytes + buffer.len() as u64);
    assert!(unpacked.consumed() <= len && unpacked.trailing() <= len);

    let measured = measure(data, 0..len, Algorithm::Sha256, Algorithm::Sha256, Some(LIMITS)).unwrap();
    assert_eq!((measured.digest, measured.size), (sha256(data), len));
    // Both ways to unpack agree, where the first bytes say what the first byte said.
    if measured.compression == Some(compression) {
        let content = measured.content.map(|content| content.digest).map_err(|error| error.code());
        // Of too much that is damaged as well, the one or the other is met first: that depends on how much is read at once.
        let is_both =
            [&content, &end].contains(&&Err(Code::LimitExceeded)) && content.is_err() && end.is_err();
        assert!(is_both || content == end, "{content:?} and {end:?}");
    }
});
