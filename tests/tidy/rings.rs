//! Finds rings of imports between the files of `src`: files of which each names, directly or
//! through others, the next and the last names the first.
//!
//! Files in a ring can only be read, moved and changed together. The way out is a file for what
//! they share, which names none of them.
//!
//! The rule:
//! - A file names another by a path that ends in it: `crate::a::b::Item`, `super::b::Item`,
//!   `self::b::Item`, `b::Item` for a child `b`, and `haulout::a::b::Item` in the program. If the
//!   file that a path leads to imports or re-exports the item, the one that has it is named.
//! - A parent and its children are files like any others: a child may name what its parent has as
//!   long as the parent names nothing of that child, and the other way round. `mod child;` and
//!   `pub use child::Item;` name nothing, so a parent may declare children that extend its types,
//!   call their methods, and hand out their items.
//! - Tests do not count: neither `#[cfg(test)]` items nor the files of such modules.
//!
//! It reads text, not syntax. Known limits: groups within groups, globs, paths out of macros, and
//! modules with a body within a file other than tests are not followed; the house has none.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

/// The root of the library and that of the program.
const ROOTS: [&str; 2] = ["src/lib.rs", "src/bin/haulout/main.rs"];

/// Imports of imports that are followed; there is an end to them, unless it is in a mistake here.
const IMPORTS_MAX: u32 = 8;

/// A place where a file names something by a path.
#[derive(Debug, Clone)]
struct Mention {
    line: usize,
    path: Vec<String>,
    /// Whether the item is only handed out.
    is_reexport: bool,
}

/// The first mention of each file that a file names.
type Named<'s> = BTreeMap<PathBuf, &'s Mention>;

/// A file as far as it matters here.
#[derive(Debug, Default)]
struct Source {
    /// The modules that it declares and that have files of their own.
    children: BTreeSet<String>,
    mentions: Vec<Mention>,
    /// The paths of what it imports or re-exports, by name.
    imports: BTreeMap<String, Vec<String>>,
}

impl Source {
    fn new(text: &str) -> Self {
        let code = without_tests(&without_texts(text));
        let mut source =
            Self { children: declared(&code).map(str::to_owned).collect(), ..Self::default() };
        let (mut line, mut from) = (1, 0);
        for (at, word) in words(&code).filter(|(_, word)| word.contains("::")) {
            line += code[from..at].matches('\n').count();
            from = at;
            let before = code[..at].rsplit([';', '}', '\n']).next().unwrap_or_default().trim();
            let is_import = before.rsplit(' ').next() == Some("use");
            let is_reexport = is_import && before.starts_with("pub");
            for item in items(word, &code[at + word.len()..]) {
                let (path, alias) = item.split_once(" as ").unwrap_or((&item, ""));
                let path: Vec<String> = path.split("::").map(str::to_owned).collect();
                if is_import && let Some(last) = path.last() {
                    let name = if alias.is_empty() { last } else { alias };
                    source.imports.insert(name.to_owned(), path.clone());
                }
                source.mentions.push(Mention { line, path, is_reexport });
            }
        }
        source
    }
}

/// Source files by path.
#[derive(Debug, Default)]
pub(crate) struct Sources(BTreeMap<PathBuf, Source>);

impl Sources {
    /// Adds a file of `src`.
    pub(crate) fn add(&mut self, path: &Path, text: &str) {
        self.0.insert(path.to_owned(), Source::new(text));
    }

    /// Tells whether the files are there from which all others are reached.
    pub(crate) fn has_roots(&self) -> bool {
        ROOTS.iter().all(|root| self.0.contains_key(Path::new(root)))
    }

    /// Describes every ring: its files, and the lines that tie it.
    pub(crate) fn rings(&self) -> Vec<String> {
        let mut named = BTreeMap::new();
        for root in ROOTS.map(PathBuf::from) {
            self.visit(&[root], &mut named);
        }
        let reached: BTreeMap<&Path, BTreeSet<&Path>> =
            named.keys().map(|file| (file.as_path(), reached(&named, file))).collect();
        let mut rings = Vec::new();
        let mut seen: BTreeSet<&Path> = BTreeSet::new();
        for (file, others) in &reached {
            let is_tied = |other: &&Path| reached[other].contains(file);
            let ring: BTreeSet<&Path> = others.iter().copied().filter(is_tied).collect();
            if !ring.is_empty() && seen.insert(*file) {
                seen.extend(&ring);
                rings.push(in_words(&named, &ring));
            }
        }
        rings
    }

    /// Notes what a module's file names, and those of the modules below it. `modules` are the files
    /// from the root of the crate down to this one.
    fn visit<'s>(&'s self, modules: &[PathBuf], named: &mut BTreeMap<PathBuf, Named<'s>>) {
        let Some(file) = modules.last() else { return };
        let Some(source) = self.0.get(file) else { return };
        let mut own = Named::new();
        for mention in source.mentions.iter().filter(|mention| !mention.is_reexport) {
            let target = self.target(modules, &mention.path, IMPORTS_MAX);
            if let Some(target) = target.filter(|target| target != file) {
                own.entry(target).or_insert(mention);
            }
        }
        named.insert(file.clone(), own);
        for child in &source.children {
            if let Some(child) = self.child(file, child) {
                self.visit(&[modules, &[child]].concat(), named);
            }
        }
    }

    /// Returns the file that has what a path leads to, if it is one of this repository.
    fn target(&self, modules: &[PathBuf], path: &[String], imports: u32) -> Option<PathBuf> {
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => modules[..1].to_vec(),
            "haulout" => vec![PathBuf::from(ROOTS[0])],
            "self" => modules.to_vec(),
            "super" => modules[..modules.len() - 1].to_vec(),
            _ => {
                rest = path;
                self.child(modules.last()?, first)?;
                modules.to_vec()
            }
        };
        while let Some((name, others)) = rest.split_first() {
            let file = at.last()?;
            if let Some(child) = self.child(file, name) {
                at.push(child);
                rest = others;
                continue;
            }
            let imported = self.0.get(file)?.imports.get(name).filter(|_| imports > 0);
            let elsewhere =
                imported.and_then(|path| self.target(&at, &[path, others].concat(), imports - 1));
            return elsewhere.or_else(|| at.pop());
        }
        at.pop()
    }

    /// Returns the file of a module that another declares.
    fn child(&self, parent: &Path, name: &str) -> Option<PathBuf> {
        self.0.get(parent)?.children.get(name)?;
        let stem = parent.file_stem()?;
        let folder = if stem == "mod" || stem == "lib" || stem == "main" {
            parent.parent()?.to_owned()
        } else {
            parent.with_extension("")
        };
        let candidates = [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")];
        candidates.into_iter().find(|path| self.0.contains_key(path))
    }
}

/// Returns the files that one names, directly or through others.
fn reached<'n>(named: &'n BTreeMap<PathBuf, Named<'_>>, from: &'n Path) -> BTreeSet<&'n Path> {
    let mut found: BTreeSet<&Path> = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        let targets = named.get(file).into_iter().flat_map(BTreeMap::keys);
        open.extend(targets.map(PathBuf::as_path).filter(|target| found.insert(target)));
    }
    found
}

fn in_words(named: &BTreeMap<PathBuf, Named<'_>>, ring: &BTreeSet<&Path>) -> String {
    let mut out = format!("a ring of {} files:", ring.len());
    for file in ring {
        let inside = named[*file].iter().filter(|(target, _)| ring.contains(target.as_path()));
        for (target, Mention { line, path, .. }) in inside {
            let (file, target, path) = (file.display(), target.display(), path.join("::"));
            out.extend(["\n  ", &format!("{file}:{line}: {path} ({target})")]);
        }
    }
    out
}

/// Returns the names of the modules that a file declares and that have a file of their own.
fn declared(code: &str) -> impl Iterator<Item = &str> {
    code.lines().filter_map(|line| {
        let words = line.trim().strip_suffix(';')?;
        let (before, name) = words.rsplit_once(' ')?;
        (before == "mod" || before.starts_with("pub") && before.ends_with(" mod")).then_some(name)
    })
}

/// Returns the names and paths of code with where they begin.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(move |c: char| !is_of_path(c)).filter(|word| !word.is_empty());
    words.map(|word| (word.as_ptr().addr() - code.as_ptr().addr(), word))
}

/// Returns the paths that a word stands for, with their other names: those of a group after it, or
/// the one.
fn items(word: &str, after: &str) -> Vec<String> {
    if let Some(prefix) = word.strip_suffix("::") {
        let group = after.strip_prefix('{').and_then(|rest| rest.split('}').next());
        let names = group.into_iter().flat_map(|group| group.split(','));
        let names = names.map(str::trim).filter(|name| !name.is_empty() && *name != "*");
        let items = names.map(|name| format!("{prefix}::{name}").replace("::self", ""));
        return if group.is_some() { items.collect() } else { vec![prefix.to_owned()] };
    }
    let alias = after.strip_prefix(" as ").and_then(|rest| words(rest).next());
    vec![alias.map_or_else(|| word.to_owned(), |(_, alias)| format!("{word} as {alias}"))]
}

/// Replaces comments, strings and characters by spaces, so that lines and columns stay.
fn without_texts(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find(['/', '"', '\'', 'b', 'r']) {
        let (before, begun) = rest.split_at(at);
        out.push_str(before);
        let length = text_length(begun, &out);
        let (taken, others) = begun.split_at(length.unwrap_or(1));
        match length {
            None => out.push_str(taken),
            Some(_) => out.extend(taken.chars().map(|c| if c == '\n' { c } else { ' ' })),
        }
        rest = others;
    }
    out + rest
}

/// Returns the length of the comment, string or character that begins here, if one does.
fn text_length(rest: &str, before: &str) -> Option<usize> {
    let until = |end: &str, from: usize| {
        rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(until("*/", 2));
    }
    let in_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    if !in_word && let Some(raw) = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r')) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let from = rest.len() - raw.len() + hashes + 1;
            return Some(until(&format!("\"{}", "#".repeat(hashes)), from));
        }
    }
    if rest.starts_with('"') {
        return Some(quoted(rest, '"'));
    }
    let mut after = rest.strip_prefix('\'')?.chars();
    // A lifetime has no second quote.
    let is_escape = after.next()? == '\\';
    (is_escape || after.next() == Some('\'')).then(|| quoted(rest, '\''))
}

/// Returns the length of what stands in quotes, with them.
fn quoted(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Replaces the items that only tests have by spaces.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        let (before, item) = rest.split_at(at);
        let (item, others) = item.split_at(MARK.len() + item_length(&item[MARK.len()..]));
        out.push_str(before);
        out.extend(item.chars().map(|c| if c == '\n' { c } else { ' ' }));
        rest = others;
    }
    out + rest
}

/// Returns the length of an item: to its semicolon, or to the end of its body.
fn item_length(item: &str) -> usize {
    let mut depth = 0_u32;
    for (at, c) in item.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

fn rings_of(files: &[(&str, &str)]) -> Vec<String> {
    let mut sources = Sources::default();
    files.iter().for_each(|(path, text)| sources.add(Path::new(path), text));
    sources.rings()
}

#[test]
fn a_ring_is_found_with_the_lines_that_tie_it() {
    let rings = rings_of(&[
        ("src/lib.rs", "mod a;\npub mod b;\nmod c;"),
        ("src/a.rs", "// crate::c::X\nuse crate::b::Item;"),
        ("src/b/mod.rs", "mod inner;\npub(crate) mod other;\npub use inner::Item;"),
        ("src/b/inner.rs", "fn f<'a>(_: &'a str) { super::other::g(\"crate::a\", 'x', '\\'') }"),
        ("src/b/other.rs", "pub fn g() { crate::c::h::<u8>() }"),
        ("src/c.rs", "\n\nuse crate::b::{Other as O, Item};"),
    ]);
    let expected = "a ring of 3 files:\
        \n  src/b/inner.rs:1: super::other::g (src/b/other.rs)\
        \n  src/b/other.rs:1: crate::c::h (src/c.rs)\
        \n  src/c.rs:3: crate::b::Item (src/b/inner.rs)";
    assert_eq!(rings, [expected]);
}

#[test]
fn a_child_may_name_a_parent_that_only_declares_it() {
    let parent = "mod child;\npub struct Parent;\n#[cfg(test)]\nmod tests;";
    let child = "use super::Parent;\nimpl Parent { fn f() {} }\n";
    let tests = "use super::child::f;\nuse super::*;";
    let of = |parent: &str, child: &str| {
        let paths = ["src/lib.rs", "src/p.rs", "src/p/child.rs", "src/p/tests.rs"];
        rings_of(&[(paths[0], "mod p;"), (paths[1], parent), (paths[2], child), (paths[3], tests)])
    };
    assert_eq!(of(parent, child), [""; 0]);
    let in_tests = "#[cfg(test)]\nmod tests { fn g() { super::child::f() } }";
    assert_eq!(of(&[parent, in_tests].join("\n"), child), [""; 0]);
    assert_eq!(of(&[parent, "use child::f;"].join("\n"), child).len(), 1);
}

#[test]
fn the_program_names_the_library_and_its_own_files() {
    let rings = rings_of(&[
        ("src/lib.rs", "pub mod run;"),
        ("src/run.rs", ""),
        ("src/bin/haulout/main.rs", "mod run;\nmod plan;"),
        ("src/bin/haulout/run.rs", "use haulout::run::X;\nuse crate::plan::Plan;"),
        ("src/bin/haulout/plan.rs", "use crate::run::Run;"),
    ]);
    assert_eq!(rings.len(), 1, "{rings:?}");
    assert!(rings[0].starts_with("a ring of 2 files:\n  src/bin/haulout/plan.rs:1:"), "{rings:?}");
}
