//! Nothing to do: cargo reads the build dependencies of a package that has a build script.

fn main() {}
