//! Checks the shape of the code itself: layering, module docs, line length, leftovers.
//!
//! It reads text, not syntax, so that it needs no dependency and runs in milliseconds. Known limit:
//! a `crate::` inside a string counts.

#[path = "tidy/rings.rs"]
mod rings;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// From the bottom up: what bytes mean, where they come from, what becomes of them. A module may
/// name modules before it and itself, nothing else.
const LAYERS: [&str; 20] = [
    "base", "format", "innodb", "aria", "parse", "verdict", "source", "server", "cut", "hash",
    "encode", "seal", "store", "pack", "map", "repo", "pipeline", "ops", "guide", "bin",
];

/// The modules of `lib.rs` that hand out what rooms have; the program may name them.
const FACE: [&str; 3] = ["error", "world", "shared"];

/// Longest line, columns.
const COLUMNS_MAX: usize = 100;

/// The fewest words of a doc comment.
const DOC_WORDS_MIN: usize = 4;

/// Longest file, lines.
const LINES_MAX: usize = 700;

/// Longest README, lines: what it has no room for belongs to the guide.
const README_LINES_MAX: usize = 180;

/// Where code and scripts are.
const ROOTS: [&str; 7] =
    ["src", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets", ".ci", "examples"];

struct File {
    path: PathBuf,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        has_extension(&self.path, "rs")
    }

    /// What the path says within `src`: the module at the top, if it is in one.
    fn top_module(&self) -> Option<String> {
        let first = self.path.strip_prefix("src").ok()?.iter().next()?.to_str()?;
        let name = first.trim_end_matches(".rs");
        match name {
            "lib" => None,
            "main" => Some("bin".to_owned()),
            _ => Some(name.to_owned()),
        }
    }

    /// Whether `super` is the root of the crate here.
    fn stands_at_the_top(&self) -> bool {
        let parts = self.path.strip_prefix("src").map_or(0, |rest| rest.iter().count());
        parts == 1 || parts == 2 && self.path.ends_with("mod.rs")
    }
}

#[test]
fn every_file_is_tidy() {
    let files = files();
    assert!(files.iter().any(|file| file.path.ends_with("lib.rs")), "the sources were found");
    let mut problems = Vec::new();
    for file in &files {
        let mut report = |line: usize, what: &str| {
            problems.push(format!("{}:{line}: {what}", file.path.display()));
        };
        check_text(file, &mut report);
        if file.is_rust() {
            check_module(file, &mut report);
            check_imports(file, &mut report);
            check_docs(file, &mut report);
            check_parameters(file, &mut report);
        }
    }
    assert!(problems.is_empty(), "{} untidy places:\n{}", problems.len(), problems.join("\n"));
}

fn check_text(file: &File, report: &mut impl FnMut(usize, &str)) {
    // Spelled apart, so that this file passes its own test.
    let leftovers = [concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X")];
    // A module of tests is at the end of its file, or a file of its own.
    let is_of_tests = file.path.iter().any(|part| part == "tests" || part == "tests.rs");
    let marked = file.text.lines().position(|line| line == "#[cfg(test)]");
    let tests_from = if is_of_tests { 0 } else { marked.unwrap_or(usize::MAX) };
    for (index, line) in file.text.lines().enumerate() {
        // Scripts hold SQL and messages that are worse to read in pieces.
        if file.is_rust() && line.chars().count() > COLUMNS_MAX {
            report(index + 1, "longer than 100 columns");
        }
        if !line.is_ascii() {
            report(index + 1, "not ASCII");
        }
        if line.split(|c: char| !c.is_alphanumeric()).any(|word| leftovers.contains(&word)) {
            report(index + 1, "a leftover note");
        }
        // It panics if the directory can't be closed.
        let in_program = file.path.starts_with("src") && index < tests_from;
        if in_program && line.contains(concat!("fs::", "read_dir")) {
            report(index + 1, "reads a directory without base::entries");
        }
        if line.ends_with([' ', '\t']) {
            report(index + 1, "ends in white space");
        }
    }
}

fn check_module(file: &File, report: &mut impl FnMut(usize, &str)) {
    let specification = "#![doc = include_str!(";
    if !file.text.starts_with("//! ") && !file.text.starts_with(specification) {
        report(1, "does not open with a module doc");
    }
    if file.text.lines().count() > LINES_MAX {
        report(LINES_MAX + 1, "the file is too long: split it");
    }
    for attribute in ["#[allow(", "#![allow(", "#[expect(", "#![expect("] {
        for (at, _) in file.text.match_indices(attribute) {
            let rest = &file.text[at..];
            let line_start = &file.text[..at].rsplit('\n').next().unwrap_or_default();
            let end = rest.find(")]").unwrap_or(rest.len());
            if line_start.trim().is_empty() && !rest[..end].contains("reason = ") {
                report(file.text[..at].lines().count() + 1, "silences a lint without a reason");
            }
        }
    }
}

fn check_imports(file: &File, report: &mut impl FnMut(usize, &str)) {
    let own = file.top_module();
    for (index, line) in file.text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if code.contains(concat!("super::", "super")) {
            report(index + 1, "reaches two modules up: name the path from the crate");
        }
        // Indented, it is a module within this file that names the file.
        if file.stands_at_the_top() && code.starts_with("use super") {
            report(index + 1, "reaches past the layers: name the path from the crate");
        }
        let Some(own) = &own else { continue };
        for named in named_modules(own, code).filter(|named| !may_name(own, named)) {
            report(index + 1, &format!("{own} reaches up or sideways to {named}"));
        }
    }
}

/// Refuses parameters that are tuples without a name, which only hide how many there are. Closures
/// take what an iterator gives them.
fn check_parameters(file: &File, report: &mut impl FnMut(usize, &str)) {
    if !file.path.starts_with("src") {
        return;
    }
    for (index, line) in file.text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let is_signature = code.contains("fn ") || code.trim_start().starts_with('(');
        let is_tuple = code.match_indices("): (").any(|(at, _)| {
            let inside = code[..at].rsplit('(').next().unwrap_or_default();
            let is_name = |c: char| c.is_ascii_lowercase() || "_, ".contains(c);
            inside.contains(", ") && inside.chars().all(is_name)
        });
        if is_signature && is_tuple && !code.contains('|') {
            report(index + 1, "a parameter is a tuple: name its parts, or make it a type");
        }
    }
}

/// Refuses doc comments that say no more than a name: of fewer words than [`DOC_WORDS_MIN`].
fn check_docs(file: &File, report: &mut impl FnMut(usize, &str)) {
    if !file.path.starts_with("src") {
        return;
    }
    // Texts of help are read by `tests/suite/messages.rs`.
    let is_help = texts_of_help(file);
    let words = |line: &str| {
        line.trim_start().strip_prefix("///").map(|text| text.split_whitespace().count())
    };
    let mut before = None;
    let mut lines = file.text.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let (here, next) = (words(line), lines.peek().and_then(|(_, next)| words(next)));
        let is_alone = before.is_none() && next.is_none() && !is_help[index];
        if is_alone && here.is_some_and(|count| count < DOC_WORDS_MIN) {
            report(index + 1, "a doc comment of under four words");
        }
        before = here;
    }
}

/// Which lines are of items whose doc comments clap prints: they are help, not documentation.
fn texts_of_help(file: &File) -> Vec<bool> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut found = vec![false; lines.len()];
    let printed = ["Args", "Parser", "Subcommand", "ValueEnum"];
    let derives = |line: &str| {
        line.strip_prefix("#[derive(")
            .is_some_and(|rest| rest.split([',', ')']).any(|name| printed.contains(&name.trim())))
    };
    for (index, _) in lines.iter().enumerate().filter(|(_, line)| derives(line)) {
        let docs = lines[..index].iter().rev().take_while(|line| line.starts_with("///")).count();
        let ends = |line: &&str| *line == "}" || line.ends_with("{}") || line.ends_with(';');
        let body = lines[index..].iter().position(ends).unwrap_or(0);
        found[index - docs..=index + body].fill(true);
    }
    found
}

/// The modules of the library that a line names: behind `crate::`, or its name in a program.
fn named_modules<'a>(own: &str, code: &'a str) -> impl Iterator<Item = &'a str> {
    let library = if own == "bin" { "haulout::" } else { "crate::" };
    code.split(library).skip(1).map(|rest| {
        rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
    })
}

fn may_name(own: &str, named: &str) -> bool {
    if own == "bin" && FACE.contains(&named) {
        return true;
    }
    match (layer_of(own), layer_of(named)) {
        (Some(from), Some(to)) => to <= from,
        // A macro, a group (one path per line keeps this honest), or a module without a layer.
        (Some(_) | None, None) | (None, Some(_)) => false,
    }
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == module)
}

#[test]
fn every_module_has_its_layer_and_every_layer_is_a_module() {
    let story = fs::read_to_string("src/lib.rs").expect("the library's root is readable");
    let declared: BTreeSet<&str> = story
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
        .map(|rest| rest.trim_end_matches([';', ' ', '{']))
        .filter(|name| !FACE.contains(name))
        .collect();
    let layers: BTreeSet<&str> = LAYERS.into_iter().filter(|layer| *layer != "bin").collect();
    assert_eq!(declared, layers, "lib.rs and the layers here name the same modules");
}

#[test]
fn no_files_import_one_another_in_a_ring() {
    let mut sources = rings::Sources::default();
    for file in files().iter().filter(|file| file.path.starts_with("src") && file.is_rust()) {
        sources.add(&file.path, &file.text);
    }
    assert!(sources.has_roots(), "library and program were found");
    let rings = sources.rings();
    assert!(rings.is_empty(), "{} rings:\n{}", rings.len(), rings.join("\n"));
}

#[test]
fn the_readme_is_short() {
    let readme = fs::read_to_string("README.md").expect("it is readable");
    let lines = readme.lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines of {README_LINES_MAX}");
    // A row of a table can't be broken.
    let wide = readme.lines().find(|line| !line.starts_with('|') && line.len() > COLUMNS_MAX);
    assert_eq!(wide, None, "README.md has {COLUMNS_MAX} columns");
    assert!(readme.is_ascii(), "README.md is ASCII");
}

#[test]
fn every_fuzz_target_is_built() {
    let manifest = fs::read_to_string("fuzz/Cargo.toml").expect("the manifest is readable");
    let targets = files().into_iter().filter(|file| file.path.starts_with("fuzz/fuzz_targets"));
    for file in targets {
        let path = file.path.strip_prefix("fuzz").expect("filtered above").display().to_string();
        assert!(manifest.contains(&format!("path = \"{path}\"")), "{path} is in fuzz/Cargo.toml");
    }
}

fn files() -> Vec<File> {
    let mut paths = Vec::new();
    for root in ROOTS.iter().map(Path::new).filter(|root| root.is_dir()) {
        collect(root, &mut paths);
    }
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path);
        // Fixtures are bytes, and no business of this test.
        text.ok().map(|text| File { path, text })
    };
    paths.into_iter().filter_map(read).collect()
}

fn collect(dir: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the directory is readable") {
        let path = entry.expect("the entry is readable").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if has_extension(&path, "rs") || is_script(&path) {
            paths.push(path);
        }
    }
}

fn is_script(path: &Path) -> bool {
    has_extension(path, "sh")
        || has_extension(path, "py")
        || path.extension().is_none() && fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"#!"))
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|own| own == extension)
}
