//! The `dermflow` program, built where cargo tells the end-to-end tests its path.

fn main() -> std::process::ExitCode {
    dermflow::main()
}
