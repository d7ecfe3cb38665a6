//! The person who answers: at a terminal, or none.

use haulout::world::Monitor;

use crate::fail::failure::Outcome;
use crate::output::text::Canvas;
use crate::output::text::clean;
use crate::output::text::wrapped;
use crate::secrets::prompt::Terminal;

/// A person who answers questions.
pub(crate) trait Person {
    /// Tells whether there is a person.
    fn is_there(&self) -> bool;

    /// Asks, and returns the answer without blanks around it; nothing if there is no person.
    fn ask(&mut self, question: &str) -> Outcome<Option<String>>;

    /// Says something before the next question.
    fn say(&mut self, text: &str);
}

/// A person at the terminal that the program was started from.
#[derive(Debug)]
pub(crate) struct AtTerminal<'t> {
    /// The terminal at which a person sits.
    pub(crate) terminal: Terminal,
    /// The wish to stop.
    pub(crate) monitor: &'t Monitor,
    /// The width of the terminal.
    pub(crate) canvas: Canvas,
}

impl Person for AtTerminal<'_> {
    fn is_there(&self) -> bool {
        true
    }

    fn ask(&mut self, question: &str) -> Outcome<Option<String>> {
        let answer = self.terminal.ask(&clean(question), self.monitor).unwrap_or_default();
        self.monitor.check()?;
        Ok(Some(answer))
    }

    fn say(&mut self, text: &str) {
        self.terminal.say(&format!("{}\n", wrapped(&clean(text), 0, self.canvas)));
    }
}

/// No person: all answers are options or what was found.
pub(crate) struct Absent<'s> {
    /// Takes what is said.
    pub(crate) note: &'s dyn Fn(&str),
}

impl Person for Absent<'_> {
    fn is_there(&self) -> bool {
        false
    }

    fn ask(&mut self, _question: &str) -> Outcome<Option<String>> {
        Ok(None)
    }

    fn say(&mut self, text: &str) {
        (self.note)(text);
    }
}
