//! Any page under any format: a verdict, the same for a page alone and in a run.

#![no_main]

use haulout::innodb::PAGE_ZERO_BYTES_MIN;
use haulout::innodb::PageNumber;
use haulout::innodb::PageSize;
use haulout::innodb::PageZero;
use haulout::innodb::SpaceId;
use haulout::innodb::TablespaceFormat;
use haulout_fuzz::Input;
use haulout_fuzz::crc32c;
use haulout_fuzz::spread;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (mode, shift) = (input.byte(), input.byte());
    let size = PageSize::from_shift(10 + shift % 7).expect("10 to 16 are shifts");
    let space = (mode & 0x80 == 0).then(|| SpaceId::new(mode.into()));
    let format = match mode % 4 {
        0 => TablespaceFormat::presumed(size, space),
        1 => TablespaceFormat::presumed_zip(size, space),
        2 => {
            let packed = input.number();
            let Ok(format) = TablespaceFormat::decode(packed) else { return };
            assert_eq!(format.encode(), packed, "one format, one spelling");
            format
        }
        _ => match TablespaceFormat::from_page_zero(input.0) {
            PageZero::Formatted(format) => {
                assert_eq!(TablespaceFormat::decode(format.encode()), Ok(format));
                format
            }
            PageZero::TooShort => return assert!(input.0.len() < PAGE_ZERO_BYTES_MIN),
            PageZero::Unformatted => return,
            PageZero::Unrecognised(reason) => return assert!(!reason.to_string().is_empty()),
        },
    };
    let number = PageNumber::new(u32::from(shift / 7) * u32::from(mode / 4));
    let mut page = spread(input.rest(), format.page_size().bytes());
    judge(format, &page, number);
    // Behind the checksum is more to look at.
    let (body, sum) = page.split_last_chunk_mut::<4>().expect("a page is longer");
    *sum = crc32c(body).to_be_bytes();
    judge(format, &page, number);
});

fn judge(format: TablespaceFormat, page: &[u8], number: PageNumber) {
    let verdict = format.check(page, number);
    let pages = [page, page, &page[1..]].concat();
    let judged: Vec<_> = format.check_run(&pages, number).collect();
    assert_eq!(judged.first(), Some(&(number, verdict)));
    assert!(judged.len() <= 2, "no more than the whole pages are judged");
}
