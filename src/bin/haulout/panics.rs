//! A panic is a fault of this program. Whichever thread it happens in, it ends the program at once,
//! with status 1 and one line: a run that lost a thread must neither hang nor say that it is done.

use std::any::Any;
use std::io;
use std::io::Write;
use std::panic::PanicHookInfo;
use std::thread;

use crate::fail::exit::Exit;

/// Makes every panic from now on end the program.
pub(crate) fn end_the_program() {
    std::panic::set_hook(Box::new(end));
}

#[expect(clippy::exit, reason = "the thread that panics may be any, and others may wait for it")]
fn end(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let current = thread::current();
    let line = line(&place, current.name().unwrap_or("unnamed"), words(panic.payload()));
    // Where standard error is closed, the exit status is all that is left.
    let _told = io::stderr().lock().write_all(line.as_bytes());
    std::process::exit(Exit::Failed.status().into())
}

fn words(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

fn line(place: &str, thread: &str, words: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let words = words.lines().collect::<Vec<_>>().join(" ");
    format!(
        "error: haulout {version} panicked at {place} (thread {thread}): {words}; this is a fault \
         of haulout: report this line and the command; what is stored stays as it is\n"
    )
}

/// Panics if the variable `HAULOUT_PANIC_AT` names this place: for tests, and only in builds for
/// development.
pub(crate) fn asked_for_at(place: &str) {
    let asked =
        cfg!(debug_assertions) && std::env::var("HAULOUT_PANIC_AT").is_ok_and(|at| at == place);
    assert!(!asked, "asked for at {place}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_several_lines_stays_one_line() {
        let line = line("src/a.rs:1:2", "worker", "left\n right");
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.contains("src/a.rs:1:2 (thread worker): left  right; "), "{line}");
    }
}
