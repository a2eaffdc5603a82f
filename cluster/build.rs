//! Builds the agent as a static binary, so that it can be embedded and run on any Linux host.
//!
//! A nested cargo with a target folder of its own: the agent is linked statically, which the rest
//! must not be, and cargo cannot yet express that within one build.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let target = env::var("TARGET").expect("cargo sets it");
    println!("cargo:rerun-if-changed=agent/src");
    println!("cargo:rerun-if-changed=agent/Cargo.toml");
    println!("cargo:rerun-if-changed=../say/src");
    println!("cargo:rerun-if-changed=build.rs");

    let folder = shared_target(&out).join("agent-static");
    let cargo = env::var_os("CARGO").expect("cargo sets it");
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--package", "splitbrain-agent"]);
    command.args(["--bin", "splitbrain-agent", "--target", &target, "--target-dir"]);
    command.arg(&folder).current_dir(manifest.join("agent"));
    // What the outer build was told is not for this one.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let ours = text.starts_with("CARGO_") && !text.starts_with("CARGO_HOME");
        if ours || text.starts_with("RUSTC") || text == "RUSTFLAGS" || text == "CLIPPY_ARGS" {
            command.env_remove(&name);
        }
    }
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    command.env("CARGO_PROFILE_RELEASE_STRIP", "symbols").env("CARGO_PROFILE_RELEASE_LTO", "thin");
    let status = command.status().expect("cargo can be run from a build script");
    assert!(status.success(), "the static agent could not be built; see above");
    let binary = folder.join(&target).join("release/splitbrain-agent");
    println!("cargo:rustc-env=SPLITBRAIN_AGENT={}", binary.display());
}

/// The target folder that this build goes to: profiles share one static agent.
fn shared_target(out: &Path) -> PathBuf {
    // OUT_DIR is TARGET/PROFILE/build/PACKAGE-HASH/out.
    out.ancestors().nth(4).map_or_else(|| out.to_owned(), Path::to_owned)
}
