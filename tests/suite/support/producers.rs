//! What is backed up in a random history: tables, dumps, archives and noise, and how they change.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::support::Random;
use crate::support::Server;

/// What is backed up, and how it changes between nights.
pub(crate) enum Producer {
    Tables(Box<Server>),
    Dump { tables: Vec<Vec<String>> },
    Archive { files: BTreeMap<String, Vec<u8>> },
    Noise(Vec<u8>),
}

impl Producer {
    pub(crate) fn all(random: &mut Random) -> Vec<(&'static str, Self)> {
        let noise = (0..400_000).map(|_| byte(random)).collect();
        let files = (0..40).map(|n| (format!("etc/file{n}"), bytes(random, 30_000))).collect();
        let tables = (0..6).map(|_| (0..800).map(|id| row(random, id)).collect()).collect();
        vec![
            ("db", Self::Tables(Box::new(Server::new(random.next(), 4, 40)))),
            ("dump", Self::Dump { tables }),
            ("files", Self::Archive { files }),
            ("noise", Self::Noise(noise)),
        ]
    }

    /// Changes a little of it.
    pub(crate) fn edit(&mut self, random: &mut Random) {
        match self {
            Self::Tables(server) => server.night(1 + random.below(30)),
            Self::Dump { tables } => {
                let at = random.below(tables.len());
                let rows = &mut tables[at];
                for _ in 0..=random.below(20) {
                    let at = random.below(rows.len());
                    rows[at] = row(random, at);
                }
                let next = rows.len();
                rows.push(row(random, next));
            }
            Self::Archive { files } => {
                let name = format!("etc/file{}", random.below(50));
                if random.below(4) == 0 {
                    files.remove(&name);
                } else {
                    files.insert(name, bytes(random, 30_000));
                }
            }
            Self::Noise(all) => {
                let at = random.below(all.len());
                let new = bytes(random, 5_000);
                let end = all.len().min(at + random.below(5_000));
                all.splice(at..end, new);
            }
        }
    }

    pub(crate) fn stream(&self) -> Vec<u8> {
        match self {
            Self::Tables(server) => server.stream(),
            Self::Dump { tables } => dump(tables),
            Self::Archive { files } => archive(files),
            Self::Noise(all) => all.clone(),
        }
    }

    /// Tells whether a cut stream of this kind can be seen to be cut.
    pub(crate) fn has_an_end(&self) -> bool {
        !matches!(self, Self::Noise(_))
    }
}

fn byte(random: &mut Random) -> u8 {
    random.next().to_le_bytes()[0]
}

fn bytes(random: &mut Random, below: usize) -> Vec<u8> {
    // Half of it repeats, so that it compresses.
    let half: Vec<u8> = (0..=random.below(below) / 2).map(|_| byte(random)).collect();
    [half.as_slice(), half.as_slice()].concat()
}

fn row(random: &mut Random, id: usize) -> String {
    format!("({id},'{:016x}','it\\'s {:08x}')", random.next(), random.next() >> 32)
}

fn dump(tables: &[Vec<String>]) -> Vec<u8> {
    let mut out =
        "-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)\n\
        --\n-- Host: localhost    Database: shop\n\
        -- ------------------------------------------------------\n\
        -- Server version\t10.11.19-MariaDB\n\n"
            .to_owned();
    for (number, rows) in tables.iter().enumerate() {
        let name = format!("table{number}");
        write!(
            out,
            "--\n-- Table structure for table `{name}`\n--\n\nDROP TABLE IF EXISTS `{name}`;\n\
             CREATE TABLE `{name}` (\n  `id` int(11) NOT NULL,\n  `a` char(16) DEFAULT NULL,\n  \
             `b` varchar(40) DEFAULT NULL,\n  PRIMARY KEY (`id`)\n) ENGINE=InnoDB;\n\n\
             --\n-- Dumping data for table `{name}`\n--\n\nLOCK TABLES `{name}` WRITE;\n"
        )
        .unwrap();
        for insert in rows.chunks(200) {
            writeln!(out, "INSERT INTO `{name}` VALUES\n{};", insert.join(",\n")).unwrap();
        }
        out.push_str("UNLOCK TABLES;\n\n");
    }
    out.push_str("-- Dump completed on 2026-11-20  3:00:09\n");
    out.into_bytes()
}

fn archive(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content) in files {
        let mut head = vec![0; 512];
        head[..name.len()].copy_from_slice(name.as_bytes());
        head[100..108].copy_from_slice(b"0000644\0");
        head[108..116].copy_from_slice(b"0000000\0");
        head[116..124].copy_from_slice(b"0000000\0");
        head[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        head[136..148].copy_from_slice(b"14000000000\0");
        head[148..156].fill(b' ');
        head[156] = b'0';
        head[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = head.iter().copied().map(u32::from).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize((out.len() + 1024).next_multiple_of(10_240), 0);
    out
}
