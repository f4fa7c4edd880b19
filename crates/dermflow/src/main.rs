//! The `dermflow` program. All of it is in the library beside this file.

fn main() -> std::process::ExitCode {
    keep_freed_memory();
    dermflow::main()
}

/// Makes the allocator of glibc keep memory that was freed, up to some tens of megabytes, where it would
/// else return it after each picture and take it back, page by page, for the next. It learns from
/// the largest block that was ever freed how much to keep. Others take no notice.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(24 << 20)));
}
