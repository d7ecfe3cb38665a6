//! The questions of a first configuration: each is answered by an option, by a person, or by what
//! was found, and each answer is tested before the next question.

use std::path::Path;
use std::path::PathBuf;

use haulout::server::login::Address;
use haulout::server::url;
use haulout::store::location::Location;
use rustix::fs::Access;
use rustix::fs::access;

use crate::config::schedule::Schedule;
use crate::fail::failure::Failure;
use crate::fail::failure::Outcome;
use crate::secrets::recovery_kit::require_free;
use crate::setup::answers::Answers;
use crate::setup::answers::Cluster;
use crate::setup::answers::Files;
use crate::setup::answers::Given;
use crate::setup::answers::KEEP;
use crate::setup::answers::Kit;
use crate::setup::answers::Password;
use crate::setup::answers::Place;
use crate::setup::answers::SCHEDULE;
use crate::setup::answers::absolute;
use crate::setup::answers::keep_of;
use crate::setup::answers::one_line;
use crate::setup::arguments::NONE;
use crate::setup::arguments::Typed;
use crate::setup::look::Found;
use crate::setup::person::Person;
use crate::setup::trial::PlaceSeen;
use crate::setup::trial::ServerSeen;
use crate::setup::trial::Trials;

/// How often a person may answer one question.
const ATTEMPTS: u32 = 5;

/// The longest question that an answer can stand beside, in columns.
const PROMPT_COLUMNS: usize = 72;

/// Where the password is kept if nothing else is said.
const PASSWORD_FILE: &str = "password";

/// The answers of options that every command has.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared {
    /// The place of the repository.
    pub(crate) repo: Option<String>,
    /// The file with its password.
    pub(crate) password_file: Option<PathBuf>,
    /// The command that prints its password.
    pub(crate) password_command: Option<String>,
    /// Keys of the configuration about object stores, with their values.
    pub(crate) network: Vec<(&'static str, String)>,
    /// The directory of what jobs remember.
    pub(crate) state_dir: Option<String>,
    /// The name of this host.
    pub(crate) host: String,
    /// The configuration that is to be written.
    pub(crate) config: PathBuf,
}

/// What the first night needs to know besides the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// What was seen of the server.
    pub(crate) server: ServerSeen,
    /// What was seen of the repository.
    pub(crate) place: PlaceSeen,
    /// Where the recovery kit goes.
    pub(crate) kit: Option<Kit>,
    /// Where the units go.
    pub(crate) units: Option<PathBuf>,
    /// Where the first backup is restored to.
    pub(crate) scratch: Option<PathBuf>,
}

/// A question and its proposal.
struct Question<'q> {
    /// The option that answers it.
    option: &'static str,
    /// The question in words.
    words: &'q str,
    /// The proposal, and where it comes from.
    proposal: Option<Given<String>>,
}

/// The interview of a first time.
pub(crate) struct Interview<'i> {
    /// The person who is asked.
    pub(crate) person: &'i mut dyn Person,
    /// The answers that were typed as options.
    pub(crate) typed: &'i Typed,
    /// The answers of options that every command has.
    pub(crate) shared: &'i Shared,
    /// What was found on this host.
    pub(crate) found: &'i Found,
    /// What tests each answer.
    pub(crate) trials: &'i dyn Trials,
}

impl Interview<'_> {
    /// Asks everything, and tests each answer.
    pub(crate) fn run(&mut self) -> Outcome<(Answers, Wishes)> {
        for note in &self.found.notes {
            self.person.say(note);
        }
        let (mut answers, server) = self.server()?;
        self.cluster(&mut answers, &server)?;
        answers.accounts = self.yes_or_no(
            "--accounts",
            "Store accounts and grants as SQL as well",
            self.typed.accounts.clone(),
        )?;
        answers.files = self.files()?;
        let place = self.place(&mut answers)?;
        answers.replica = self.replica(&answers)?;
        let kit = self.kit(&answers, place)?;
        let keep = Question {
            option: "--keep",
            words: "What is kept",
            proposal: Some(Given::typed(KEEP.to_owned())),
        };
        answers.keep = self.answer(&keep, self.typed.keep.clone(), &mut keep_of)?;
        let schedule = Question {
            option: "--schedule",
            words: "When the job runs",
            proposal: Some(Given::typed(SCHEDULE.to_owned())),
        };
        let mut parsed = |text: &str| {
            let schedule: Schedule = text.parse()?;
            let refused = || "systemd can't express it: leave days or weekdays out".to_owned();
            schedule.calendar().ok_or_else(refused).map(|_| text.to_owned())
        };
        answers.schedule = self.answer(&schedule, self.typed.schedule.clone(), &mut parsed)?;
        let state = self.shared.state_dir.as_deref().map(absolute).transpose();
        answers.state_dir = state.map_err(|why| refused("--state", &why))?;
        let units = self.units()?;
        let scratch = self.scratch()?;
        Ok((answers, Wishes { server, place, kit, units, scratch }))
    }

    /// Asks for the server and its account, and connects to it.
    fn server(&mut self) -> Outcome<(Answers, ServerSeen)> {
        let found = self.found.sockets.first().cloned();
        let from = found.as_ref().and_then(|found| found.from.clone());
        let question =
            Question { option: "--socket", words: "Socket of the server", proposal: found.clone() };
        let path = |text: &str| absolute(text).map(|path| path.display().to_string());
        let socket = self.answer(&question, self.typed.socket.clone(), &mut { path })?;
        let is_found = found.is_some_and(|found| found.value == socket);
        let socket = Given { value: socket, from: from.filter(|_| is_found) };
        let source = source_name(&self.shared.host);
        let mut answers = Answers::new(&self.typed.job, &source, socket);
        let question = Question {
            option: "--user",
            words: "User of this host that runs the job",
            proposal: Some(Given::typed(answers.user.clone())),
        };
        let trials = self.trials;
        let mut user = |text: &str| {
            let text = one_line(text)?;
            trials.user(&text).map(|()| text)
        };
        answers.user = self.answer(&question, self.typed.user.clone(), &mut user)?;
        let user = &answers.user;
        let words = format!("Option file with the account, or none: the server knows {user}");
        let question = Question {
            option: "--defaults-file",
            words: &words,
            proposal: Some(Given::typed(NONE.to_owned())),
        };
        // With a wrong account a person may name another file.
        let mut seen = ServerSeen::default();
        let draft = answers.clone();
        let mut connects = |text: &str| {
            let file = unless_none(text).map(absolute).transpose()?;
            let answers = Answers { defaults_file: file.clone(), ..draft.clone() };
            seen = trials.server(&answers)?;
            match &seen.refused {
                Some(why) if file.is_some() => Err(why.clone()),
                Some(_) | None => Ok(file),
            }
        };
        let typed = self.typed.defaults_file.clone();
        answers.defaults_file = self.answer(&question, typed, &mut connects)?;
        self.tell_of_server(&answers, &seen);
        Ok((answers, seen))
    }

    fn tell_of_server(&mut self, answers: &Answers, seen: &ServerSeen) {
        let socket = &answers.socket.value;
        let told = match (&seen.refused, &seen.account) {
            (Some(why), _) => format!("the account is not there yet: {why}"),
            (None, Some(account)) => format!("connected to {socket} as {account}"),
            (None, None) => format!("connected to {socket}"),
        };
        self.person.say(&told);
        for line in seen.lacking.iter().chain(&seen.notes) {
            self.person.say(line);
        }
    }

    /// Asks for the cluster, if the server is a node of one.
    fn cluster(&mut self, answers: &mut Answers, seen: &ServerSeen) -> Outcome<()> {
        let pool = self.found.pools.first().cloned();
        let is_node = seen.is_node.unwrap_or(pool.is_some());
        if !is_node && self.typed.member.is_empty() {
            if let Some(pool) = pool {
                let from = pool.from.unwrap_or_default();
                self.person.say(&format!("{from} has a pool of databases; this is no node of one"));
            }
            return Ok(());
        }
        let from = pool.as_ref().and_then(|pool| pool.from.clone());
        let addresses =
            |all: &[Address]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let proposed = pool.as_ref().map(|pool| addresses(&pool.value.servers));
        let members = Question {
            option: "--member",
            words: "Addresses of all nodes of the cluster, or none",
            proposal: proposed.clone().map(|value| Given { value, from: from.clone() }),
        };
        let typed = &self.typed.member;
        let typed = (!typed.is_empty()).then(|| typed.join(" "));
        let all: Vec<String> = self.answer(&members, typed, &mut addresses_of)?;
        if all.is_empty() {
            return Ok(());
        }
        let from = from.filter(|_| proposed == Some(all.join(" ")));
        let members = Given { value: all, from };
        let virtual_address = self.virtual_address(&members.value)?;
        let client_from = self.client_from()?;
        answers.cluster = Some(Cluster { members, virtual_address, client_from });
        // A node that does not answer may be down for a while: that is no reason to end here.
        let seen = self.trials.server(answers).unwrap_or_default();
        for note in seen.notes.iter().filter(|note| note.starts_with("cluster ")) {
            self.person.say(note);
        }
        Ok(())
    }

    /// Asks for the address that applications use: of the pool, or of a service.
    fn virtual_address(&mut self, members: &[String]) -> Outcome<Option<Given<String>>> {
        let of_pool = self.found.pools.iter().flat_map(|pool| {
            let from = pool.from.clone();
            pool.value
                .binds
                .iter()
                .map(move |bind| Given { value: bind.to_string(), from: from.clone() })
        });
        let of_service = self.found.databases.iter().map(|database| {
            let from = database.path.display().to_string();
            Given::found(database.address.to_string(), from)
        });
        let is_fit =
            |one: &Given<String>| !members.contains(&one.value) && !one.value.starts_with('/');
        let found = of_pool.chain(of_service).find(is_fit);
        let none = || Given::typed(NONE.to_owned());
        let question = Question {
            option: "--virtual-address",
            words: "Address that applications use, or none",
            proposal: Some(found.clone().unwrap_or_else(none)),
        };
        let typed = self.typed.virtual_address.clone();
        let mut one = |text: &str| Ok(addresses_of(text)?.into_iter().next());
        let address = self.answer(&question, typed, &mut one)?;
        let given = |value: String| {
            let from = found.filter(|found| found.value == value).and_then(|found| found.from);
            Given { value, from }
        };
        Ok(address.map(given))
    }

    fn client_from(&mut self) -> Outcome<Option<PathBuf>> {
        let found = self.found.databases.first();
        let path = found.map(|database| database.path.display().to_string());
        let question = Question {
            option: "--client-from",
            words: "Configuration of a service whose account asks the nodes, or none",
            proposal: Some(Given::typed(path.unwrap_or_else(|| NONE.to_owned()))),
        };
        let typed = self.typed.client_from.clone();
        let mut read = |text: &str| {
            let Some(path) = unless_none(text).map(absolute).transpose()? else { return Ok(None) };
            let read = url::of_service(&path);
            read.map(|_| Some(path)).map_err(|error| error.with_causes())
        };
        self.answer(&question, typed, &mut read)
    }

    fn files(&mut self) -> Outcome<Files> {
        let found = &self.found.files;
        let question = Question {
            option: "--files",
            words: "Directories to store besides, or none",
            proposal: Some(if found.paths.is_empty() {
                Given::typed(NONE.to_owned())
            } else {
                Given::found(found.paths.join(" "), "the directories of services that are here")
            }),
        };
        let typed = &self.typed.files;
        let typed = (!typed.is_empty()).then(|| typed.join(" "));
        let mut directories = |text: &str| {
            let Some(text) = unless_none(text) else { return Ok(Vec::new()) };
            let there = |path: &str| {
                let path = absolute(path)?;
                let is_there = path.exists();
                let shown = path.display().to_string();
                if is_there { Ok(shown) } else { Err(format!("{shown} is not there")) }
            };
            text.split_whitespace().map(there).collect::<Result<Vec<String>, String>>()
        };
        let paths = self.answer(&question, typed, &mut directories)?;
        let is_below = |excluded: &&String| {
            paths.iter().any(|path| excluded.starts_with(path.trim_start_matches('/')))
        };
        let exclude: Vec<String> = found.exclude.iter().filter(is_below).cloned().collect();
        for path in &exclude {
            self.person.say(&format!("left out: /{path}"));
        }
        Ok(Files { paths, exclude })
    }

    /// Asks for the repository and what opens it, and opens it if it is there.
    fn place(&mut self, answers: &mut Answers) -> Outcome<PlaceSeen> {
        let mut typed = self.shared.repo.clone();
        let mut attempts = 0;
        loop {
            answers.place = self.place_alone(typed.take())?;
            answers.password = self.password(&answers.user)?;
            match self.trials.place(answers) {
                Ok(PlaceSeen::Opens) => {
                    self.person.say("the repository is there, and the password opens it");
                    return Ok(PlaceSeen::Opens);
                }
                Ok(PlaceSeen::Free) => {
                    self.person.say("there is no repository yet; it will be made");
                    return Ok(PlaceSeen::Free);
                }
                Err(why) => {
                    attempts += 1;
                    if self.shared.repo.is_some() || attempts == ATTEMPTS {
                        return Err(refused("--repo", &why));
                    }
                    self.person.say(&why);
                }
            }
        }
    }

    fn place_alone(&mut self, typed: Option<String>) -> Outcome<Place> {
        let question = Question {
            option: "--repo",
            words: "Where to store: a directory, or a URL as s3://bucket/prefix",
            proposal: None,
        };
        let url = self.answer(&question, typed, &mut url_of)?;
        self.reached(url)
    }

    /// Adds to a place how it is reached, with questions if it is an object store.
    fn reached(&mut self, url: String) -> Outcome<Place> {
        let mut network = self.shared.network.clone();
        if !matches!(Location::parse(&url), Ok(Location::Bucket { .. })) {
            return Ok(Place { url, network });
        }
        let none = || Some(Given::typed(NONE.to_owned()));
        let endpoint = network.iter().find(|(key, _)| *key == "endpoint");
        if endpoint.is_none() && url.starts_with("s3://") {
            let words = "Endpoint of the S3 store, or none for AWS";
            let question = Question { option: "--endpoint", words, proposal: none() };
            let endpoint = self.answer(&question, None, &mut one_line)?;
            network.extend(unless_none(&endpoint).map(|value| ("endpoint", value.to_owned())));
        }
        let words = "File with the keys of the store, as ~/.aws/credentials, or none";
        let question = Question { option: "--credentials-file", words, proposal: none() };
        let typed = self.typed.credentials_file.clone();
        let mut readable = |text: &str| unless_none(text).map(file_of).transpose();
        let file = self.answer(&question, typed, &mut readable)?;
        network.extend(file.map(|path| ("credentials_file", path.display().to_string())));
        Ok(Place { url, network })
    }

    fn password(&mut self, user: &str) -> Outcome<Password> {
        if let Some(command) = &self.shared.password_command {
            return Ok(Password::Command(command.clone()));
        }
        let proposal = self.shared.config.with_file_name(PASSWORD_FILE);
        let question = Question {
            option: "--password-file",
            words: "File with the password of the repository",
            proposal: Some(Given::typed(proposal.display().to_string())),
        };
        let mut typed = self.shared.password_file.as_ref().map(|path| path.display().to_string());
        let is_typed = typed.is_some();
        for _ in 0..ATTEMPTS {
            let path = self.answer(&question, typed.take(), &mut absolute)?;
            if path.exists() {
                return Ok(Password::File(path));
            }
            let shown = path.display();
            if self.typed.new_password {
                return Ok(Password::NewFile(path));
            }
            let words = format!("{shown} is not there. Write one for {user}, with random letters?");
            match self.person.ask(&format!("{words} [Y/n] "))? {
                Some(answer) if answer.is_empty() || is_yes(&answer) => {
                    return Ok(Password::NewFile(path));
                }
                Some(_) if is_typed => break,
                Some(_) => {}
                None => {
                    let why = format!("{shown} is not there; --new-password writes it");
                    return Err(refused("--password-file", &why));
                }
            }
        }
        Err(refused("--password-file", "the file is not there"))
    }

    /// Asks for the place of a copy, and opens it if there is one.
    fn replica(&mut self, answers: &Answers) -> Outcome<Option<Place>> {
        let question = Question {
            option: "--replica",
            words: "Where to keep a copy, on another host or in another building, or none",
            proposal: Some(Given::typed(NONE.to_owned())),
        };
        let mut typed = self.typed.replica.clone();
        let mut url = |text: &str| {
            let url = unless_none(text).map(url_of).transpose()?;
            let is_same = url.as_ref() == Some(&answers.place.url);
            if is_same {
                Err(format!("{text} is the place of the repository itself"))
            } else {
                Ok(url)
            }
        };
        for attempt in 1.. {
            let is_typed = typed.is_some();
            let Some(url) = self.answer(&question, typed.take(), &mut url)? else { break };
            let replica = self.reached(url)?;
            let draft = Answers { place: replica.clone(), replica: None, ..answers.clone() };
            match self.trials.place(&draft) {
                Ok(PlaceSeen::Opens | PlaceSeen::Free) => return Ok(Some(replica)),
                Err(why) if is_typed || attempt == ATTEMPTS => {
                    return Err(refused("--replica", &why));
                }
                Err(why) => self.person.say(&why),
            }
        }
        Ok(None)
    }

    fn kit(&mut self, answers: &Answers, place: PlaceSeen) -> Outcome<Option<Kit>> {
        if place == PlaceSeen::Opens && self.typed.kit.is_none() {
            return Ok(None);
        }
        if matches!(answers.password, Password::NewFile(_)) {
            self.person.say(
                "A recovery kit opens the repository when the password is lost: a text to print \
                 and lock away.",
            );
        }
        let question = Question {
            option: "--kit",
            words: "New file for the recovery kit, or none",
            proposal: None,
        };
        let typed = self.typed.kit.clone();
        let mut free = |text: &str| {
            let Some(path) = unless_none(text).map(absolute).transpose()? else { return Ok(None) };
            let free = require_free(&path);
            free.map(|()| Some(path)).map_err(|error| error.with_causes())
        };
        let Some(path) = self.answer(&question, typed, &mut free)? else { return Ok(None) };
        let asked = self.person.ask("Is it to need a password of its own? [y/N] ")?;
        let is_sealed = asked.is_some_and(|answer| is_yes(&answer));
        Ok(Some(if is_sealed { Kit::Sealed(path) } else { Kit::Open(path) }))
    }

    fn units(&mut self) -> Outcome<Option<PathBuf>> {
        const USUAL: &str = "/etc/systemd/system";
        let usual = if Path::new(USUAL).is_dir() { USUAL } else { NONE };
        self.directory("--units", "Directory for the units of systemd, or none", usual)
    }

    fn scratch(&mut self) -> Outcome<Option<PathBuf>> {
        let words = "Directory in which the first backup is restored as a test, or none";
        self.directory("--scratch", words, "/var/tmp")
    }

    fn directory(
        &mut self,
        option: &'static str,
        words: &str,
        usual: &str,
    ) -> Outcome<Option<PathBuf>> {
        let proposal = Some(Given::typed(usual.to_owned()));
        let question = Question { option, words, proposal };
        let is_units = option == "--units";
        let typed = if is_units { &self.typed.units } else { &self.typed.scratch };
        let mut directory = |text: &str| {
            let Some(path) = unless_none(text).map(absolute).transpose()? else { return Ok(None) };
            let shown = path.display().to_string();
            let can = access(&path, Access::WRITE_OK);
            match (path.is_dir(), can) {
                (false, _) => Err(format!("{shown} is no directory")),
                (true, Err(error)) => Err(format!("cannot write to {shown}: {error}")),
                (true, Ok(())) => Ok(Some(path)),
            }
        };
        self.answer(&question, typed.clone(), &mut directory)
    }

    fn yes_or_no(
        &mut self,
        option: &'static str,
        words: &str,
        typed: Option<String>,
    ) -> Outcome<bool> {
        let proposal = Some(Given::typed("yes".to_owned()));
        let mut parsed = |text: &str| match text.to_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err("it is neither yes nor no".to_owned()),
        };
        self.answer(&Question { option, words, proposal }, typed, &mut parsed)
    }

    /// Returns the answer to a question, tested: the option's, the person's, or the proposal.
    fn answer<T>(
        &mut self,
        question: &Question<'_>,
        typed: Option<String>,
        test: &mut dyn FnMut(&str) -> Result<T, String>,
    ) -> Outcome<T> {
        let Question { option, words, proposal } = question;
        if let Some(typed) = typed {
            return test(&typed).map_err(|why| refused(option, &why));
        }
        let from = proposal.as_ref().and_then(|found| found.from.as_ref());
        let found_in = from.map_or(String::new(), |from| format!(" (found in {from})"));
        let mut why = format!("it is missing: {}", lower(words));
        for _ in 0..ATTEMPTS {
            let shown =
                proposal.as_ref().map_or(String::new(), |found| format!(" [{}]", found.value));
            let mut prompt = format!("{words}{shown}{found_in}: ");
            if self.person.is_there() && prompt.chars().count() > PROMPT_COLUMNS {
                self.person.say(prompt.trim_end());
                "> ".clone_into(&mut prompt);
            }
            let Some(answer) = self.person.ask(&prompt)? else {
                let Some(found) = proposal else { return Err(refused(option, &why)) };
                self.person.say(&format!("{}: {}{found_in}", lower(words), found.value));
                return test(&found.value).map_err(|why| refused(option, &why));
            };
            let answer = match (answer.as_str(), proposal) {
                ("", Some(found)) => found.value.clone(),
                ("", None) => continue,
                _ => answer,
            };
            match test(&answer) {
                Ok(tested) => return Ok(tested),
                Err(refused) => {
                    self.person.say(&refused);
                    why = refused;
                }
            }
        }
        Err(refused(option, &why))
    }
}

/// Explains that an answer is missing or is not good.
fn refused(option: &str, why: &str) -> Failure {
    Failure::usage(
        format!("{option}: {why}"),
        "haulout setup --help explains the options; nothing was written",
    )
}

/// Returns words as they stand in a sentence.
fn lower(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

/// Tells whether an answer to a question with a small proposal is a yes.
fn is_yes(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.to_lowercase().as_str())
}

fn unless_none(text: &str) -> Option<&str> {
    (!text.eq_ignore_ascii_case(NONE)).then_some(text)
}

/// Reads the address of a repository.
fn url_of(text: &str) -> Result<String, String> {
    let text = one_line(text)?;
    let place = Location::parse(&text).map_err(|error| error.to_string())?;
    match place {
        Location::Directory(path) if path.is_relative() => {
            Err(format!("{text} is no absolute path and no URL"))
        }
        Location::Directory(_) | Location::Bucket { .. } => Ok(text),
    }
}

/// Reads the path of a file that is there.
fn file_of(text: &str) -> Result<PathBuf, String> {
    let path = absolute(text)?;
    let is_there = path.is_file();
    if is_there { Ok(path) } else { Err(format!("{text} is no file")) }
}

/// Reads addresses of servers, with blanks or commas between them.
fn addresses_of(text: &str) -> Result<Vec<String>, String> {
    let Some(text) = unless_none(text) else { return Ok(Vec::new()) };
    let text = one_line(text)?;
    let words = text.split([' ', ',']).filter(|word| !word.is_empty());
    let address = |word: &str| word.parse::<Address>().map(|address| address.to_string());
    words.map(address).collect()
}

/// Returns the name of the source that is the server of a host.
fn source_name(host: &str) -> String {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let short: String = host.chars().take_while(|c| is_fit(*c)).collect();
    let name = short.trim_start_matches('-').to_owned();
    let is_taken = ["", "latest", "grants", "files"].contains(&name.as_str());
    if is_taken { "db".to_owned() } else { name }
}

#[cfg(test)]
mod tests;
