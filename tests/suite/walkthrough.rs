//! The walkthroughs of the README and the guide, run from their text on a host with MariaDB: from
//! nothing to a restored server, one restored table, a replica in S3 and free space. What the
//! commands print is compared with what the text says that they print; numbers, sizes, times and
//! hashes may differ.
//!
//! `tests/mariadb/walkthrough` is the host: a private server and the programs that reach it. The
//! chapter about automating is run on `tests/mariadb/machine`, where systemd is process 1.

#![expect(clippy::print_stdout, reason = "it says how many commands there were")]

use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

use crate::support::s3;
use crate::support::s3::BUCKET;
use crate::support::s3::S3;

/// The walkthroughs in the order in which they are run: what each leads to, its file, its section.
const WALKTHROUGHS: [(&str, &str, &str); 4] = [
    ("a restored server", "README.md", "## Ten minutes"),
    ("one restored table", "src/guide/restore.md", "## One table of a dump"),
    ("a replica in S3", "src/guide/replicate.md", "## A replica in S3"),
    ("free space", "src/guide/retention.md", "## From a plan to free space"),
];

/// From nothing to a job that a timer starts, with an off-site replica.
const AUTOMATED: [(&str, &str, &str); 1] = [(
    "a nightly backup with an off-site replica",
    "src/guide/automate.md",
    "## A nightly job with an off-site replica",
)];

/// Starts the service and waits for its end, which must be good.
const STARTED: &str = "\
systemctl start haulout-nightly.service
while [[ $(systemctl show -P ActiveState haulout-nightly) != @(inactive|failed) ]]; do
    sleep 0.2
done
[[ $(systemctl show -P Result -P ExecMainStatus haulout-nightly | xargs) == 'success 0' ]]
[[ $(systemctl show -P NextElapseUSecRealtime haulout-nightly.timer) == *' 02:30:00 '* ]]
";

/// Stands before the output of each step.
const MARK: &str = "@@@ step ";

/// Commands, and what they print if the text says so.
struct Step {
    walkthrough: usize,
    commands: String,
    output: Option<String>,
}

impl Step {
    /// Counts the commands; the further lines of one are indented, or end with `END`.
    fn count(&self) -> usize {
        let mut is_text = false;
        let mut is_command = |line: &&str| {
            let was_text = is_text;
            is_text = if is_text { *line != "END" } else { line.ends_with("<<'END'") };
            !was_text && !line.starts_with([' ', '#'])
        };
        self.commands.lines().filter(|line| is_command(line)).count()
    }
}

/// Returns the steps of a section: its `sh` blocks, each with the `text` block after it.
fn steps(walkthrough: usize, file: &str, section: &str) -> Vec<Step> {
    let text = fs::read_to_string(file).unwrap();
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = text.lines().skip_while(|line| *line != section).skip(1).peekable();
    while let Some(line) = lines.next_if(|line| !line.starts_with("## ")) {
        let block: &mut dyn FnMut() -> String = &mut || {
            let block = lines.by_ref().take_while(|line| *line != "```");
            block.flat_map(|line| [line, "\n"]).collect()
        };
        match line {
            "```sh" => steps.push(Step { walkthrough, commands: block(), output: None }),
            "```text" => {
                let step = steps.last_mut().expect("commands stand before their output");
                assert!(step.output.replace(block()).is_none(), "{file}: two outputs of a step");
            }
            _ => {}
        }
    }
    assert!(!steps.is_empty(), "{file} has a section {section}");
    steps
}

/// Words of the text and what stands for them on this host.
struct Stage {
    replaced: Vec<(String, String)>,
}

impl Stage {
    fn new(host: &Path, server: &S3) -> Self {
        let authority = Path::new(env!("CARGO_MANIFEST_DIR")).join(s3::AUTHORITY);
        let at = |path: &str| format!("{}{path}", host.display());
        let own = |word: &str, own: String| (word.to_owned(), own);
        let connection = format!("{} --ca-file {}", server.endpoint, authority.display());
        let mut replaced = vec![
            own("https://s3.example.org", connection),
            own("s3://offsite/", format!("s3://{BUCKET}/")),
            own("ACCESS_KEY_ID=id", format!("ACCESS_KEY_ID={}", s3::KEY)),
            own("SECRET_ACCESS_KEY=secret", format!("SECRET_ACCESS_KEY={}", s3::SECRET)),
        ];
        for path in ["/backup", "/etc/haulout", "/restore", "/var/lib/mysql"] {
            replaced.push(own(path, at(path)));
        }
        // Only root can give files away.
        if !rustix::process::geteuid().is_root() {
            replaced.push(own(" --owner mysql:mysql", String::new()));
        }
        Self { replaced }
    }

    /// Returns what stands for the words of the text on a machine with systemd.
    fn of_machine(server: &S3) -> Self {
        let own = |word: &str, own: String| (word.to_owned(), own);
        let endpoint = format!("{}\"\nca_file = \"/etc/authority.pem\"", server.endpoint);
        let replaced = vec![
            own("https://s3.example.org\"", endpoint),
            own("s3://offsite/", format!("s3://{BUCKET}/")),
            own("access_key_id = id", format!("access_key_id = {}", s3::KEY)),
            own("secret_access_key = secret", format!("secret_access_key = {}", s3::SECRET)),
            own("systemctl start haulout-nightly.service\n", STARTED.to_owned()),
        ];
        Self { replaced }
    }

    fn commands(&self, text: &str) -> String {
        self.replaced.iter().fold(text.to_owned(), |text, (word, own)| text.replace(word, own))
    }

    fn output(&self, text: &str) -> String {
        let known = self.replaced.iter().filter(|(_, own)| !own.is_empty());
        known.fold(text.to_owned(), |text, (word, own)| text.replace(own, word))
    }
}

/// Returns a line in which what differs from run to run is `#`: words with digits, and units.
fn normal(line: &str) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "KiB/s", "MiB/s", "GiB/s", "s", "min", "h"];
    let mut out: Vec<&str> = Vec::new();
    for word in line.split_whitespace() {
        // Nothing is nothing in every run.
        let is_number = word != "0" && word.contains(|c: char| c.is_ascii_digit());
        let is_value = is_number || units.contains(&word.trim_end_matches([',', ':', ')']));
        if !is_value {
            out.push(word);
        } else if out.last() != Some(&"#") {
            out.push("#");
        }
    }
    out.join(" ")
}

/// Compares what was printed with what the text says, in which a line `...` stands for any lines
/// and a backslash breaks a long one.
fn difference(said: &str, printed: &str) -> Option<String> {
    let said = said.replace("\\\n", " ");
    let mut printed = printed.lines().map(normal);
    let mut skips = false;
    for line in said.lines() {
        if line.trim() == "..." {
            skips = true;
            continue;
        }
        let wanted = normal(line);
        let found = if skips { printed.find(|own| *own == wanted) } else { printed.next() };
        skips = false;
        if found.as_ref() != Some(&wanted) {
            return Some(format!("the text says {wanted:?}, the program {found:?}"));
        }
    }
    let more: Vec<String> = if skips { Vec::new() } else { printed.collect() };
    (!more.is_empty()).then(|| format!("the program prints more: {more:?}"))
}

/// Writes a script of the steps to a file, lets the host run it, and returns what each printed;
/// `None` if the host can't be had here.
fn run(steps: &[Step], stage: &Stage, path: &Path, mut host: Command) -> Option<Vec<String>> {
    let mut script = "exec 2>&1\n".to_owned();
    for (at, step) in steps.iter().enumerate() {
        script.extend([format!("echo '{MARK}{at}'\n"), stage.commands(&step.commands)]);
    }
    script.extend(["echo '", MARK, "end'\n"]);
    fs::write(path, script).unwrap();
    host.env("HAULOUT", env!("CARGO_BIN_EXE_haulout"));
    let output = host.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    let printed = stage.output(&String::from_utf8_lossy(&output.stdout));
    if printed.starts_with("SKIPPED") {
        println!("{printed}");
        return None;
    }
    let mut parts: Vec<String> = printed
        .split(MARK)
        .skip(1)
        .map(|part| part.split_once('\n').map_or(String::new(), |(_, text)| text.to_owned()))
        .collect();
    let is_whole = output.status.success() && parts.pop().is_some() && parts.len() == steps.len();
    assert!(is_whole, "the last step failed: {printed}");
    Some(parts)
}

/// Compares what the steps printed with what the texts say, and counts the commands.
fn judge(walkthroughs: &[(&str, &str, &str)], steps: &[Step], printed: &[String]) {
    let mut problems = Vec::new();
    for (step, printed) in steps.iter().zip(printed) {
        let file = walkthroughs[step.walkthrough].1;
        println!("{file}:\n{}{printed}", step.commands);
        let difference = step.output.as_ref().and_then(|said| difference(said, printed));
        problems.extend(difference.map(|found| format!("{file}: {}{found}", step.commands)));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let mut count = 0;
    for (at, (goal, ..)) in walkthroughs.iter().enumerate() {
        let own =
            steps.iter().filter(|step| step.walkthrough == at).map(Step::count).sum::<usize>();
        count += own;
        println!("{own} commands to {goal}");
    }
    println!("{count} commands from nothing to all of them");
}

#[test]
#[ignore = "needs a MariaDB server; tests/run mariadb runs it"]
fn the_commands_of_the_texts_lead_from_nothing_to_what_they_promise() {
    // The server's user must reach its files.
    let readable = Permissions::from_mode(0o755);
    let directory = tempfile::Builder::new().permissions(readable).tempdir().unwrap();
    let host = directory.path().join("host");
    fs::create_dir(&host).unwrap();
    let server = S3::start_tls();
    let stage = Stage::new(&host, &server);
    let walkthroughs = WALKTHROUGHS.iter().enumerate();
    let steps: Vec<Step> =
        walkthroughs.flat_map(|(at, (_, file, section))| steps(at, file, section)).collect();
    let path = host.with_extension("sh");
    let mut command = Command::new("tests/mariadb/walkthrough");
    command.args([&host, &path]);
    let printed = run(&steps, &stage, &path, command).unwrap();
    judge(&WALKTHROUGHS, &steps, &printed);
}

#[test]
#[ignore = "needs root, systemd and MariaDB's packages; tests/run mariadb runs it"]
fn the_commands_of_the_chapter_lead_from_nothing_to_a_timer_and_an_off_site_replica() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3::start_tls();
    let [(_, file, section)] = AUTOMATED;
    let steps = steps(0, file, section);
    let path = directory.path().join("script");
    let mut command = Command::new("tests/mariadb/machine");
    command.arg(&path);
    let stage = Stage::of_machine(&server);
    let Some(printed) = run(&steps, &stage, &path, command) else { return };
    judge(&AUTOMATED, &steps, &printed);
}

#[test]
fn what_differs_from_run_to_run_is_distinguished_from_what_may_not() {
    let said = "snapshot 3fa9c1 of db1: complete, 141 MiB in 3.6 s\n...\n  [ok] 5 pages, 0 bad\n";
    let printed = "snapshot 260eb2 of db1: complete, 9 KiB in 12 s\na\nb\n  [ok] 7 pages, 0 bad\n";
    assert_eq!(difference(said, printed), None);
    for other in ["partial", "complete, in"] {
        assert!(difference(said, &printed.replace("complete", other)).is_some(), "{other}");
    }
    assert!(difference(said, &printed.replace("0 bad", "1 bad")).is_some());
    assert!(difference(said, &format!("{printed}more\n")).is_some());
    assert!(difference(said, "").is_some());
}
