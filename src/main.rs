//! The program. What it can do stands in `cli`, one file a subcommand.

mod cli;

use std::process::ExitCode;

/// Thousands of connections come and go: this allocator gives memory back and
/// does not fragment.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
