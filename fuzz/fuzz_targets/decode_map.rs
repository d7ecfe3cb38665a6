//! Any map page, member record and table page: decoded, written again, and the same.

#![no_main]

use haulout::base::ids::Entry;
use haulout::base::wire::Reader;
use haulout::format::map_page;
use haulout::format::map_page::Lengths;
use haulout::format::record::MemberRecord;
use haulout::format::record::fit_leaf;
use haulout::format::table_page;
use haulout::format::table_page::PageKind;
use haulout::format::table_page::TablePage;
use haulout_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let fixed = 1 << (14 + input.byte() % 7);
    let bytes = input.rest();
    if let Ok(entries) = map_page::decode(bytes, fixed) {
        same(&entries, fixed);
    }
    let mut reader = Reader::new("fuzz input", bytes);
    if let Ok(record) = MemberRecord::decode(&mut reader) {
        check(&record);
        let mut leaf = vec![Entry::zero(fixed); 3];
        fit_leaf(&mut leaf, record.block_count().saturating_sub(2), &record);
    }
    if let Ok(page) = TablePage::decode(bytes) {
        again(&page);
    }
});

fn same(entries: &[Entry], fixed: u64) {
    let stored = map_page::encode(entries, Lengths::Stored);
    assert_eq!(map_page::decode(&stored, 0).as_deref(), Ok(entries));
    if entries.iter().all(|entry| entry.length == fixed) {
        let short = map_page::encode(entries, Lengths::Fixed(fixed));
        assert_eq!(map_page::decode(&short, fixed).as_deref(), Ok(entries));
    }
}

fn check(record: &MemberRecord) {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    let mut reader = Reader::new("record", &bytes);
    assert_eq!(MemberRecord::decode(&mut reader).as_ref(), Ok(record));
    assert_eq!(reader.left(), 0);
    let block = record.block_bytes();
    if block > 0 {
        assert_eq!(record.block_count(), record.length.div_ceil(block));
    }
}

fn again(page: &TablePage) {
    let mut items = Vec::new();
    let (kind, count) = match page {
        TablePage::Records(records) => {
            for record in records {
                check(record);
                let mut bytes = Vec::new();
                record.encode(&mut bytes);
                table_page::put_record(&mut items, &bytes);
            }
            (PageKind::Records, records.len())
        }
        TablePage::Index(pages) => {
            pages.iter().for_each(|(key, entry)| table_page::put_index(&mut items, key, entry));
            (PageKind::Index, pages.len())
        }
    };
    let bytes = table_page::finish(kind, count, &items);
    assert_eq!(TablePage::decode(&bytes).as_ref(), Ok(page));
}
