//! cargo, then wasm-bindgen, then wasm-opt.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};

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

/// The modules, the largest first, and the profile of each: all are made of the one crate, by the feature of their name.
const MODULES: [(&str, &str); 4] =
    [("codec", "release"), ("core", "small"), ("engine", "small"), ("registry", "small")];

/// Builds for each module NAME `dist/lib/NAME.js`, `NAME_bg.wasm` and `NAME.d.ts`.
pub(crate) fn build(optimise: bool) -> Result<()> {
    let root = root();
    let out = root.join("dist/lib");
    fs::create_dir_all(&out).map_err(failed("making dist/lib"))?;
    let mut optimising = Vec::new();
    let made = MODULES.iter().try_for_each(|(name, profile)| {
        module(&root, &out, name, profile)?;
        if optimise {
            // It runs on one processor, as does the end of a build: the next module is built meanwhile.
            optimising.push(wasm_opt(&root, &out.join(format!("{name}_bg.wasm")))?);
        }
        Ok(())
    });
    let optimised = optimising.into_iter().map(|mut child| ended("wasm-opt", child.wait()));
    optimised.fold(made, Result::and)
}

fn module(root: &Path, out: &Path, name: &str, profile: &str) -> Result<()> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let package = ["build", "--package", "longshore-wasm", "--target", TARGET];
    let features = ["--profile", profile, "--no-default-features", "--features", name];
    run(Command::new(cargo).args(package).args(features).current_dir(root))?;

    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder));
    let bindgen = || {
        let mut bindgen = Bindgen::new();
        bindgen.input_path(target.join(TARGET).join(profile).join("longshore_wasm.wasm"));
        bindgen.out_name(name).typescript(true).web(true)?.generate(out)
    };
    bindgen().map_err(|reason| format!("wasm-bindgen: {reason:#}"))?;
    // The types of the raw exports, which nobody imports.
    let raw = out.join(format!("{name}_bg.wasm.d.ts"));
    fs::remove_file(&raw).map_err(failed(raw.display()))
}

/// Starts npm's build of Binaryen over the module, in place.
fn wasm_opt(root: &Path, wasm: &Path) -> Result<Child> {
    let tool = root.join("node_modules/binaryen/bin/wasm-opt");
    if !tool.exists() {
        return Err("wasm-opt is not there: run `npm ci` first, or `cargo xtask wasm --dev`.".to_owned());
    }
    let mut command = Command::new("node");
    command.arg(tool).args(FEATURES).arg("-O3").arg(wasm).arg("-o").arg(wasm);
    command.spawn().map_err(failed("wasm-opt"))
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    ended(&program, command.status())
}

fn ended(program: &str, status: std::io::Result<ExitStatus>) -> Result<()> {
    let status = status.map_err(failed(program))?;
    if status.success() { Ok(()) } else { Err(format!("{program}: {status}")) }
}
