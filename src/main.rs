//! The program; `cli` has one file for each subcommand.

mod cli;

use std::process::ExitCode;

/// The allocator. It returns the memory of thousands of short connections, and
/// does not fragment.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
