//! Any incremental `.meta` and `.delta`: pages in ascending order, or an error.

#![no_main]

use haulout::innodb::PageSize;
use haulout::innodb::delta_file::DeltaMeta;
use haulout::innodb::delta_file::DeltaPage;
use haulout::innodb::delta_file::DeltaReader;
use haulout_fuzz::Input;
use haulout_fuzz::spread;
use libfuzzer_sys::fuzz_target;

const MARKS: [&[u8; 4]; 2] = [b"xtra", b"XTRA"];

fuzz_target!(|data: &[u8]| {
    if let Ok(meta) = DeltaMeta::parse(data) {
        assert_eq!(meta.format().page_size(), meta.page_size);
    }
    let mut input = Input(data);
    let size = PageSize::from_shift(10 + input.byte() % 7).expect("10 to 16 are shifts");
    let mut reader = DeltaReader::new(size);
    let (mut expected, mut last) = (0, None);
    for _ in 0..300 {
        // A mark, then numbers: what the fuzzer would have to guess.
        let kind = input.byte();
        let mut text = input.piece().to_vec();
        if let Some(mark) = MARKS.get(usize::from(kind)) {
            text.splice(0..0, **mark);
        }
        let mut page = spread(&[], size.bytes());
        let len = text.len().min(page.len());
        page[..len].copy_from_slice(&text[..len]);
        match reader.next_page(&page) {
            Ok(DeltaPage::Group { pages }) => {
                assert_eq!(expected, 0, "a group comes when the one before is used up");
                assert!(pages <= size.bytes() / 4);
                expected = pages;
            }
            Ok(DeltaPage::Page(number)) => {
                expected -= 1;
                assert!(last < Some(number), "pages ascend");
                last = Some(number);
            }
            Err(error) => return assert!(!error.to_string().is_empty()),
        }
        if input.is_empty() {
            break;
        }
    }
    let _ended = reader.finish();
});
