//! cargo, then wasm-bindgen, then wasm-opt.

use std::fs;
use std::path::Path;
use std::process::Command;

use wasm_bindgen_cli_support::Bindgen;

use crate::{Result, failed, root};

const TARGET: &str = "wasm32-unknown-unknown";

/// What rustc uses on this target, and simd128, which `.cargo/config.toml` adds.
const FEATURES: [&str; 8] = [
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// The modules: each is made of the one crate by the feature and the profile of its name.
const MODULES: [&str; 4] = ["core", "codec", "engine", "registry"];

/// Builds for each module NAME `dist/lib/NAME.js`, `NAME_bg.wasm` and `NAME.d.ts`.
pub(crate) fn build(optimise: bool) -> Result<()> {
    let root = root();
    let out = root.join("dist/lib");
    fs::create_dir_all(&out).map_err(failed("making dist/lib"))?;
    for name in MODULES {
        module(&root, &out, name)?;
        if optimise {
            wasm_opt(&root, &out.join(format!("{name}_bg.wasm")))?;
        }
    }
    Ok(())
}

fn module(root: &Path, out: &Path, name: &str) -> Result<()> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let package = ["build", "--package", "longshore-wasm", "--target", TARGET];
    let features = ["--profile", name, "--no-default-features", "--features", name];
    run(Command::new(cargo).args(package).args(features).current_dir(root))?;

    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder));
    let bindgen = || {
        let mut bindgen = Bindgen::new();
        bindgen.input_path(target.join(TARGET).join(name).join("longshore_wasm.wasm"));
        bindgen.out_name(name).typescript(true).web(true)?.generate(out)
    };
    bindgen().map_err(|reason| format!("wasm-bindgen: {reason:#}"))?;
    // The types of the raw exports, which nobody imports.
    let raw = out.join(format!("{name}_bg.wasm.d.ts"));
    fs::remove_file(&raw).map_err(failed(raw.display()))
}

/// Runs npm's build of Binaryen over the module, in place.
fn wasm_opt(root: &Path, wasm: &Path) -> Result<()> {
    let tool = root.join("node_modules/binaryen/bin/wasm-opt");
    if !tool.exists() {
        return Err("wasm-opt is not there: run `npm ci` first, or `cargo xtask wasm --dev`.".to_owned());
    }
    run(Command::new("node").arg(tool).args(FEATURES).arg("-O3").arg(wasm).arg("-o").arg(wasm))
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(failed(&program))?;
    if status.success() { Ok(()) } else { Err(format!("{program}: {status}")) }
}
