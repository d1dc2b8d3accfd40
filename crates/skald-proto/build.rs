//! Compiles the .proto files without protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let files = ["loki/v1/push.proto", "skald/v1/frame.proto"];
    println!("cargo:rerun-if-changed=../../proto");
    let descriptors = protox::compile(files, ["../../proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
