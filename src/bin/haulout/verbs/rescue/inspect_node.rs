//! Prints the report of the node of this host.

use haulout::error::Error;
use haulout::error::ErrorKind;

use crate::fail::exit::Exit;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::output::report::Report;
use crate::output::text::Canvas;
use crate::output::text::clean;
use crate::output::text::wrapped;
use crate::output::units;
use crate::rescue::inspect;
use crate::rescue::inspect::Look;
use crate::rescue::inspect::Recovery;
use crate::rescue::node::NodeReport;
use crate::rescue::node::ServiceCommands;
use crate::verbs::rescue::args::InspectArguments;

impl InspectArguments {
    pub(super) fn run(&self, host: &str, report: &Report) -> Outcome<Exit> {
        let look = Look {
            host: host.to_owned(),
            program: self.server_program.clone(),
            defaults_file: self.defaults_file.clone(),
            login_file: self.login_file.clone(),
            recovery: if self.no_recover { Recovery::Skip } else { Recovery::Run },
            commands: ServiceCommands {
                start: self.start_command.clone(),
                bootstrap: self.bootstrap_command.clone(),
                stop: self.stop_command.clone(),
            },
        };
        let node = inspect::inspect(&look, report.clock.as_ref()).map_err(|error| {
            let hint = "name the program of the server with --server-program, and its option file \
                with --defaults-file";
            let error = Error::new(ErrorKind::Source, "cannot inspect the server").because(error);
            Failure::new(error, hint)
        })?;
        report.result(&node, || describe(&node, report.canvas))?;
        Ok(Exit::Done)
    }
}

/// Returns what is known of a node, for people.
fn describe(node: &NodeReport, canvas: Canvas) -> String {
    let running = match &node.running {
        Some(running) if running.status.is_empty() => format!("runs; {}", running.state),
        Some(running) => format!(
            "runs, {} in a {} part of {}",
            running.state,
            running.status,
            units::counted(running.size, "member")
        ),
        None => "does not run".to_owned(),
    };
    let position = match &node.position {
        Some(position) => format!("\n  position  {}:{}", position.uuid, position.seqno),
        None => "\n  position  not known".to_owned(),
    };
    let mut out = format!("{}: {running}{position}", node.host);
    let newest = node.newest_write.map(|time| format!(", written {}", canvas.time(time)));
    out.extend([format!(
        "\n  data      {}{} in {}, {} free\n",
        units::size(node.bytes),
        newest.unwrap_or_default(),
        clean(&node.data_directory.to_string_lossy()),
        units::size(node.free_bytes)
    )]);
    for cause in &node.causes {
        let text = format!("  problem   {}: {}", cause.kind.words(), cause.seen);
        out.extend([format!("{}\n", wrapped(&clean(&text), 12, canvas))]);
    }
    out
}
