//! What each stage of the pipeline costs on one core: bytes of database pages per second.
//!
//! ```text
//! HAULOUT_STREAM=night-1.mbs cargo bench --bench stages
//! ```
//!
//! The pages are those of the stream that `HAULOUT_STREAM` names (`benches/nights.sh` makes one);
//! without it they are those of an invented server, which compress about as well and are cut the
//! same, but say less about a compressor.

#![expect(clippy::unwrap_used, reason = "a benchmark that fails ends")]

#[path = "../tests/suite/support/mod.rs"]
mod support;

use std::env;
use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::sync::LazyLock;

use divan::Bencher;
use divan::counter::BytesCount;
use haulout::base::entropy::SeededEntropy;
use haulout::base::ids::Class;
use haulout::base::num::u64_of;
use haulout::cut::Cutter;
use haulout::encode::Compress;
use haulout::encode::DeltaCoder;
use haulout::encode::DeltaDecoder;
use haulout::encode::FrameDecoder;
use haulout::encode::Level;
use haulout::encode::ReadBack;
use haulout::encode::Trailers;
use haulout::encode::WholeCoder;
use haulout::format::config::CUT_SIZES;
use haulout::format::directory::FramedBlock;
use haulout::format::form::BlockForm;
use haulout::hash::BlockHasher;
use haulout::hash::is_zero;
use haulout::innodb::PageNumber;
use haulout::innodb::PageSize;
use haulout::innodb::PageZero;
use haulout::innodb::TablespaceFormat;
use haulout::innodb::columns;
use haulout::innodb::normal;
use haulout::innodb::normal::Form;
use haulout::parse::item::Item;
use haulout::parse::mbstream::Parser;
use haulout::parse::mbstream::Step;
use haulout::parse::path::PathSeed;
use haulout::seal::ids::RepositoryId;
use haulout::seal::keys::Keyring;
use haulout::seal::keys::RepositoryKey;
use haulout::seal::run::RunSecret;
use haulout::seal::section::FrameKind;
use haulout::seal::section::SectionOpener;
use haulout::seal::section::SectionSealer;
use haulout::seal::suite::Suite;

use support::PAGE;
use support::Server;

/// Stream that is looked through for pages, bytes.
const STREAM_BYTES: u64 = 512 << 20;
/// Pages that are measured: more than the caches hold.
const PAGES: usize = 4096;
const FRAME: usize = 128 << 10;

static STREAM: LazyLock<Vec<u8>> = LazyLock::new(|| match env::var_os("HAULOUT_STREAM") {
    Some(path) => {
        let mut stream = Vec::new();
        File::open(path).unwrap().take(STREAM_BYTES).read_to_end(&mut stream).unwrap();
        stream
    }
    None => Server::new(1, 4, 1200).stream(),
});

/// A table's pages, from page 0 on, and how they are checked.
struct Table {
    format: TablespaceFormat,
    pages: Vec<u8>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut payload = Vec::new();
    walk(&STREAM, |path, bytes| {
        if path.ends_with(b".ibd") && (payload.len() < PAGES * PAGE) {
            payload.push((path.to_vec(), bytes.to_vec()));
        }
    });
    let (path, _) = payload.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap().clone();
    let own = payload.into_iter().filter(|(other, _)| *other == path);
    let mut pages: Vec<u8> = own.flat_map(|(_, bytes)| bytes).collect();
    pages.truncate(PAGES * PAGE);
    let PageZero::Formatted(format) = TablespaceFormat::from_page_zero(&pages) else {
        panic!("the largest table has no page 0 that can be read");
    };
    Table { format, pages }
});

/// Calls `each` with the path and payload of every frame that arrived whole.
fn walk(mut stream: &[u8], mut each: impl FnMut(&[u8], &[u8])) {
    let mut parser = Parser::new(PathSeed::new([7; 16]));
    while let Step::Item { header_len, item } = parser.step(stream) {
        stream = &stream[header_len..];
        if let Item::Payload(payload) = item {
            let length = usize::try_from(payload.extent.len).unwrap();
            let Some((bytes, rest)) = stream.split_at_checked(length) else { return };
            each(payload.target.path.as_bytes(), bytes);
            parser.payload_done(crc32fast::hash(bytes));
            stream = rest;
        }
    }
}

fn hasher() -> BlockHasher {
    BlockHasher::new([5; 32])
}

fn blocks(bytes: &[u8]) -> Vec<FramedBlock> {
    let form = BlockForm::PLAIN;
    let framed = |page: &[u8]| FramedBlock { hash: hasher().hash(page), length: page.len(), form };
    bytes.chunks(PAGE).map(framed).collect()
}

/// Each page and the same a night later: its LSN, its checksum and a row are others.
fn changed(page: &[u8]) -> Vec<u8> {
    let mut page = page.to_vec();
    for at in [20, PAGE / 2, PAGE / 2 + 8, PAGE - 4] {
        page[at..at + 4].iter_mut().for_each(|byte| *byte ^= 0x5a);
    }
    page
}

fn main() {
    divan::main();
}

#[divan::bench]
fn a_parse_frames_and_their_crc(bencher: Bencher<'_, '_>) {
    let counted = bencher.counter(BytesCount::new(STREAM.len()));
    counted.bench(|| walk(&STREAM, |_, bytes| _ = black_box(bytes)));
}

#[divan::bench]
fn b_is_zero(bencher: Bencher<'_, '_>) {
    let zeros = vec![0; TABLE.pages.len()];
    let counted = bencher.counter(BytesCount::new(zeros.len()));
    counted.bench(|| black_box(&zeros).chunks(PAGE).all(is_zero));
}

#[divan::bench]
fn c_check_pages(bencher: Bencher<'_, '_>) {
    let counted = bencher.counter(BytesCount::new(TABLE.pages.len()));
    counted
        .bench(|| TABLE.format.check_run(&TABLE.pages, PageNumber::new(0)).map(black_box).count());
}

#[divan::bench]
fn d_hash_blocks(bencher: Bencher<'_, '_>) {
    let hasher = hasher();
    let counted = bencher.counter(BytesCount::new(TABLE.pages.len()));
    counted.bench(|| {
        TABLE.pages.chunks(PAGE).for_each(|page| {
            black_box(hasher.hash(page));
        });
    });
}

#[divan::bench]
fn e_cut_by_content(bencher: Bencher<'_, '_>) {
    let cutter = Cutter::new(&[3; 32], CUT_SIZES);
    let counted = bencher.counter(BytesCount::new(TABLE.pages.len()));
    counted.bench(|| {
        let mut rest = TABLE.pages.as_slice();
        while let Some(cut) = cutter.next_cut(rest) {
            rest = &rest[cut..];
        }
    });
}

#[divan::bench(args = [ReadBack::Off, ReadBack::On])]
fn f_encode_frames(bencher: Bencher<'_, '_>, read_back: ReadBack) {
    let frames: Vec<_> = TABLE.pages.chunks(FRAME).map(|raw| (raw, blocks(raw))).collect();
    let mut coder = WholeCoder::new(Level::AUTO, read_back, hasher());
    let counted = bencher.counter(BytesCount::new(TABLE.pages.len()));
    counted.bench_local(|| {
        for (raw, blocks) in &frames {
            drop(black_box(coder.encode(raw, blocks.clone(), Compress::Try).unwrap()));
        }
    });
}

#[divan::bench]
fn g_decode_frames(bencher: Bencher<'_, '_>) {
    let mut coder = WholeCoder::new(Level::AUTO, ReadBack::Off, hasher());
    let encode = |raw: &'static [u8]| {
        let frame = coder.encode(raw, blocks(raw), Compress::Try).unwrap();
        (frame.codec(), frame.text().to_vec(), raw.len())
    };
    let frames: Vec<_> = TABLE.pages.chunks(FRAME).map(encode).collect();
    let mut decoder = FrameDecoder::new();
    let counted = bencher.counter(BytesCount::new(TABLE.pages.len()));
    counted.bench_local(|| {
        for (codec, text, length) in &frames {
            _ = black_box(decoder.decode(*codec, text, *length).unwrap());
        }
    });
}

#[divan::bench(args = [ReadBack::Off, ReadBack::On])]
fn h_encode_changed_pages(bencher: Bencher<'_, '_>, read_back: ReadBack) {
    let pages: Vec<_> = TABLE
        .pages
        .chunks_exact(PAGE)
        .map(|base| (base, changed(base)))
        .map(|(base, page)| (base, hasher().hash(&page), page))
        .collect();
    let counted = bencher.counter(BytesCount::new(pages.len() * PAGE));
    let mut coder = DeltaCoder::new(read_back, hasher(), Trailers::LeftOut);
    counted.bench_local(|| {
        for (base, hash, page) in &pages {
            drop(black_box(coder.encode(page, *hash, base).unwrap()));
        }
    });
}

#[divan::bench]
fn i_decode_changed_pages(bencher: Bencher<'_, '_>) {
    let mut coder = DeltaCoder::new(ReadBack::Off, hasher(), Trailers::LeftOut);
    let mut deltas = Vec::new();
    for base in TABLE.pages.chunks_exact(PAGE) {
        let page = changed(base);
        deltas.extend(coder.encode(&page, hasher().hash(&page), base).unwrap().zip(Some(base)));
    }
    let counted = bencher.counter(BytesCount::new(deltas.len() * PAGE));
    counted.bench_local(|| {
        let mut decoder = DeltaDecoder::new();
        for (delta, base) in &deltas {
            _ = black_box(decoder.decode(delta.text(), base, PAGE, delta.form()).unwrap());
        }
    });
}

fn keyring() -> Keyring {
    let key = RepositoryKey::new(&[9; 32]);
    Keyring::new(RepositoryId::new([1; 16]), Suite::Aes256GcmSiv, &key)
}

#[divan::bench]
fn j_seal_frames(bencher: Bencher<'_, '_>) {
    let entropy = SeededEntropy::new(1);
    let secret = RunSecret::generate(&entropy);
    let sealer = SectionSealer::begin(&keyring(), Class::Data, &secret.data, &entropy);
    let counted = bencher.counter(BytesCount::new(TABLE.pages.len()));
    let mut buffer = Vec::new();
    counted.bench_local(|| {
        for frame in TABLE.pages.chunks(FRAME) {
            buffer.clear();
            buffer.extend_from_slice(frame);
            sealer.seal(FrameKind::Frame, &mut buffer);
        }
    });
}

#[divan::bench]
fn k_open_frames(bencher: Bencher<'_, '_>) {
    let entropy = SeededEntropy::new(1);
    let secret = RunSecret::generate(&entropy);
    let sealer = SectionSealer::begin(&keyring(), Class::Data, &secret.data, &entropy);
    let opener = SectionOpener::new(&keyring(), &sealer.header(), &secret.data).unwrap();
    let seal = |frame: &[u8]| {
        let mut buffer = frame.to_vec();
        (sealer.seal(FrameKind::Frame, &mut buffer), buffer)
    };
    let frames: Vec<_> = TABLE.pages.chunks(FRAME).map(seal).collect();
    let counted = bencher.counter(BytesCount::new(TABLE.pages.len()));
    let mut text = Vec::new();
    counted.bench_local(|| {
        for (ordinal, sealed) in &frames {
            opener.open_into(FrameKind::Frame, *ordinal, sealed, &mut text).unwrap();
        }
    });
}

/// Number of index pages in memory: a segment, which stays in the second-level cache.
const INDEX_PAGES: usize = 64;

/// Index pages with this many records of equal length, which stand in the page in any order.
fn index_pages(records: usize) -> Vec<Vec<u8>> {
    let mut random = blake3::Hasher::new().update(b"index pages").finalize_xof();
    (0..INDEX_PAGES).map(|_| index_page(records, &mut random)).collect()
}

fn index_page(records: usize, random: &mut blake3::OutputReader) -> Vec<u8> {
    let mut below = |bound: usize| {
        let mut bytes = [0; 4];
        random.fill(&mut bytes);
        usize::try_from(u32::from_le_bytes(bytes)).unwrap() % bound
    };
    let mut page: Vec<u8> = (0..PAGE).map(|_| u8::try_from(below(256)).unwrap()).collect();
    put(&mut page, 24, 0x45BF);
    put(&mut page, 42, 0x8000 | (records + 2));
    put(&mut page, 54, records);
    page[99..107].copy_from_slice(b"infimum\0");
    page[112..120].copy_from_slice(b"supremum");
    let stride = (PAGE - 128 - 700) / records;
    let mut places: Vec<usize> = (0..records).collect();
    (1..records).rev().for_each(|n| places.swap(n, below(n + 1)));
    let mut slots = vec![99];
    let mut before = 99;
    for (number, place) in places.iter().enumerate() {
        let at = 126 + place * stride;
        put(&mut page, before - 2, at.wrapping_sub(before));
        put(&mut page, at - 4, (place + 2) << 3);
        let owns = number % 6 == 5;
        page[at - 5] = if owns { 6 } else { 0 };
        slots.extend(owns.then_some(at));
        before = at;
    }
    put(&mut page, before - 2, 112_usize.wrapping_sub(before));
    slots.push(112);
    put(&mut page, 38, slots.len());
    slots.iter().enumerate().for_each(|(number, at)| put(&mut page, PAGE - 10 - 2 * number, *at));
    page
}

/// Writes the lower half of a number the way the server does, most significant byte first.
fn put(page: &mut [u8], at: usize, value: usize) {
    let [low, high, ..] = u64_of(value).to_le_bytes();
    page[at..at + 2].copy_from_slice(&[high, low]);
}

#[divan::bench(args = [100, 300, 600, 1200])]
fn l_normalize_index_pages(bencher: Bencher<'_, '_>, records: usize) {
    let pages = index_pages(records);
    let mut out = vec![0; PAGE];
    let counted = bencher.counter(BytesCount::new(pages.len() * PAGE));
    counted.bench_local(|| {
        for page in &pages {
            let form = normal::normalize(black_box(page), PageSize::KIB_16, black_box(&mut out));
            assert_eq!(form, Form::Normal, "a page in this form is what is measured");
        }
    });
}

#[divan::bench(args = [100, 300, 600, 1200])]
fn m_restore_index_pages(bencher: Bencher<'_, '_>, records: usize) {
    let mut normal = index_pages(records);
    for (page, out) in index_pages(records).iter().zip(&mut normal) {
        normal::normalize(page, PageSize::KIB_16, out);
    }
    let mut out = vec![0; PAGE];
    let counted = bencher.counter(BytesCount::new(normal.len() * PAGE));
    counted.bench_local(|| {
        for page in &normal {
            out.copy_from_slice(black_box(page));
            normal::restore(black_box(&mut out), PageSize::KIB_16).unwrap();
        }
    });
}

#[divan::bench(args = [100, 300, 600, 1200])]
fn n_gather_columns(bencher: Bencher<'_, '_>, records: usize) {
    let pages = index_pages(records);
    let mut out = Vec::with_capacity(PAGE);
    let counted = bencher.counter(BytesCount::new(pages.len() * PAGE));
    counted.bench_local(|| {
        for page in &pages {
            out.clear();
            let form = columns::gather(black_box(page), PageSize::KIB_16, black_box(&mut out));
            assert_eq!(form, Form::Normal, "a page in columns is what is measured");
        }
    });
}

#[divan::bench(args = [100, 300, 600, 1200])]
fn o_spread_columns(bencher: Bencher<'_, '_>, records: usize) {
    let mut gathered = Vec::new();
    for page in index_pages(records) {
        columns::gather(&page, PageSize::KIB_16, &mut gathered);
    }
    let mut out = vec![0; PAGE];
    let counted = bencher.counter(BytesCount::new(gathered.len()));
    counted.bench_local(|| {
        for page in gathered.chunks_exact(PAGE) {
            out.copy_from_slice(black_box(page));
            columns::spread(black_box(&mut out), PageSize::KIB_16).unwrap();
        }
    });
}
