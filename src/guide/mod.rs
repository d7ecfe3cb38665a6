//! The guide: what an operator reads from top to bottom, a chapter for each subject.
//!
//! `haulout help TOPIC` prints a chapter; the options of each command are in `haulout COMMAND
//! --help`. Every command line in a chapter is parsed by the program's own grammar in a test, so a
//! chapter can't name an option that does not exist. The chapter on errors is made from the tables
//! of codes in [`base::error::code`](crate::base::error::code) and
//! [`verdict::finding`](crate::verdict::finding).

/// A chapter of the guide, as `haulout help` finds and prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chapter {
    /// The word by which `haulout help` finds it.
    pub name: &'static str,
    /// Its first line, without the mark of a heading.
    pub title: &'static str,
    /// Its text, in Markdown.
    pub text: &'static str,
}

macro_rules! chapters {
    ($($name:ident $file:literal $title:literal)*) => {
        /// All chapters, in the order in which they are best read.
        pub const CHAPTERS: &[Chapter] = &[$(Chapter {
            name: stringify!($name),
            title: $title,
            text: include_str!($file),
        }),*];

        $(
            #[doc = include_str!($file)]
            #[allow(clippy::doc_markdown, reason = "chapters are prose")]
            pub mod $name {}
        )*
    };
}

chapters! {
    install "install.md" "Installing haulout"
    backup "backup.md" "Backing up"
    restore "restore.md" "Restoring"
    verify "verify.md" "Verifying"
    repair "repair.md" "Repairing"
    retention "retention.md" "Retention"
    keys "keys.md" "Keys"
    stores "stores.md" "Stores"
    replicate "replicate.md" "Replicating"
    pitr "pitr.md" "A moment in time"
    setup "setup.md" "A first backup"
    config "config.md" "Configuration and jobs"
    galera "galera.md" "Galera clusters"
    rescue "rescue.md" "Bringing a cluster back"
    automate "automate.md" "Automating"
    troubleshoot "troubleshoot.md" "Troubleshooting"
    performance "performance.md" "Performance"
    proof "proof.md" "What is tested, and how to repeat it"
    internals "internals.md" "How it works"
    limits "limits.md" "Limits"
    glossary "glossary.md" "Glossary"
    changes "changes.md" "Changes"
}

/// Returns the chapter of this name.
pub fn chapter(name: &str) -> Option<&'static Chapter> {
    CHAPTERS.iter().find(|chapter| chapter.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chapter_begins_with_its_title_and_fits_100_columns() {
        for chapter in CHAPTERS {
            assert_eq!(chapter.text.lines().next(), Some(format!("# {}", chapter.title).as_str()));
            let mut in_code = false;
            for line in chapter.text.lines() {
                in_code ^= line.starts_with("```");
                let is_prose = !in_code && !line.starts_with('|');
                assert!(!is_prose || line.len() <= 100, "{}: {line}", chapter.name);
                assert!(line.is_ascii(), "{}: {line}", chapter.name);
            }
        }
    }

    #[test]
    fn the_examples_that_are_shipped_are_those_of_the_guide() {
        let automate = chapter("automate").expect("it exists").text;
        for example in [
            include_str!("../../examples/haulout-db1.service"),
            include_str!("../../examples/haulout-db1.timer"),
            include_str!("../../examples/haulout.cron"),
            include_str!("../../examples/haulout.cnf"),
        ] {
            assert!(automate.contains(&format!("\n{example}```\n")), "{example}");
        }
    }

    #[test]
    fn the_glossary_and_the_format_define_the_same_words() {
        let glossary = chapter("glossary").expect("it exists").text;
        let from = glossary.find("| word | meaning |").expect("it has a table");
        let table = glossary[from..].split("\n\n").next().expect("it ends");
        assert!(table.lines().count() > 15, "{table}");
        let format = include_str!("../format/FORMAT.md");
        assert!(format.contains(&format!("\n{table}\n\n## 2. ")), "the tables differ:\n{table}");
    }

    #[test]
    fn the_readme_names_every_chapter() {
        let readme = include_str!("../../README.md");
        for Chapter { name, .. } in CHAPTERS {
            assert!(readme.contains(&format!("[{name}](src/guide/{name}.md)")), "{name}");
        }
    }

    #[test]
    fn a_chapter_refers_to_chapters_that_exist() {
        for chapter_of in CHAPTERS {
            for (at, _) in chapter_of.text.match_indices("haulout help ") {
                let rest = &chapter_of.text[at + "haulout help ".len()..];
                let word: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
                let is_there =
                    chapter(&word).is_some() || ["", "errors", "options"].contains(&word.as_str());
                assert!(is_there, "{}: haulout help {word}", chapter_of.name);
            }
        }
    }
}
