//! The build of the wasm: `cargo xtask wasm` makes it, `cargo xtask sizes` holds what is shipped against the budget.

mod sizes;
mod wasm;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask wasm [--dev] | cargo xtask sizes";

/// What a step may fail with: a sentence for whoever runs the build.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["wasm"] => wasm::build(true),
        // Without wasm-opt: a second faster, a few percent larger.
        ["wasm", "--dev"] => wasm::build(false),
        ["sizes"] => sizes::check(),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder: cargo says at run time where this crate is, which may have moved since it was built.
fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.ancestors().nth(2).unwrap_or(&here).to_owned()
}

/// Puts what was being done before the reason why it failed.
fn failed<E: std::fmt::Display>(what: impl std::fmt::Display) -> impl FnOnce(E) -> String {
    move |reason| format!("{what}: {reason}")
}
