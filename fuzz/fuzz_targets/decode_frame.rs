//! Any compressed text: exactly the stated bytes or an error; and what was encoded comes back.

#![no_main]

use haulout::base::limits::FRAME_RAW_BYTES_MAX;
use haulout::encode::Compress;
use haulout::encode::DeltaCoder;
use haulout::encode::DeltaDecoder;
use haulout::encode::FrameDecoder;
use haulout::encode::Level;
use haulout::encode::ReadBack;
use haulout::encode::Trailers;
use haulout::encode::WholeCoder;
use haulout::encode::form;
use haulout::encode::form::Layout;
use haulout::format::directory::Codec;
use haulout::format::directory::FramedBlock;
use haulout::format::form::BlockForm;
use haulout::hash::BlockHasher;
use haulout::innodb::PageSize;
use haulout::innodb::trailer::PAGE_BYTES_MIN;
use haulout::innodb::trailer::restore;
use haulout_fuzz::Input;
use haulout_fuzz::graft;
use haulout_fuzz::usize_of;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mode = input.byte();
    // Readers refuse what is longer before they come here.
    let length = usize_of(input.number() % 64 << (mode % 16)) % FRAME_RAW_BYTES_MAX;
    let base = input.piece().repeat(1 + usize::from(mode));
    match mode % 3 {
        0 => decode(input.rest(), &base, length),
        1 => {
            let block = input.piece().to_vec();
            let hasher = BlockHasher::new([4; 32]);
            let hash = hasher.hash(&block);
            let mut coder = WholeCoder::new(Level::AUTO, ReadBack::On, hasher.clone());
            let page = PageSize::from_bytes(4096 << (mode % 5)).expect("4 to 64 KiB");
            let layout = if mode >= 128 { Layout::Columns } else { Layout::Rows };
            let mut raw = Vec::new();
            let form = form::append(&mut raw, &block, page, layout);
            let blocks = vec![FramedBlock { hash, length: block.len(), form }];
            let frame = coder.encode(&raw, blocks, Compress::Try).expect("it is read back");
            let (codec, form) = (frame.codec(), frame.blocks()[0].form);
            let text = frame.text();
            decode(&graft(text, &mut input), &base, block.len());
            let mut decoder = FrameDecoder::new();
            let back = match codec {
                Codec::Zstd => {
                    decoder.decode_forms(text, block.len(), [(block.len(), form)].into_iter())
                }
                _ => decoder.decode(codec, text, block.len()),
            };
            assert_eq!(back, Ok(&block[..]));
        }
        _ => {
            let mut block = [&base, input.piece()].concat();
            if mode >= 128 && block.len() >= PAGE_BYTES_MIN {
                restore(&mut block);
            }
            let hasher = BlockHasher::new([4; 32]);
            let hash = hasher.hash(&block);
            let mut coder = DeltaCoder::new(ReadBack::On, hasher, Trailers::LeftOut);
            let Ok(Some(delta)) = coder.encode(&block, hash, &base) else { return };
            decode(&graft(delta.text(), &mut input), &base, block.len());
            let mut decoder = DeltaDecoder::new();
            let back = decoder.decode(delta.text(), &base, block.len(), delta.form());
            assert_eq!(back, Ok(&block[..]));
        }
    }
});

fn decode(text: &[u8], base: &[u8], length: usize) {
    for page in [0, 1 << 12, 1 << 14, 1 << 16] {
        let form = BlockForm::normal(page).unwrap_or_default();
        let form = if length % 2 == 1 { form.without_trailer() } else { form };
        let second = (base.len() % 2 == 1).then_some(base);
        let Ok(prefix) = form::prefix(form, base, second) else { continue };
        if let Ok(out) = DeltaDecoder::new().decode(text, &prefix, length, form) {
            assert_eq!(out.len(), length);
        }
        let whole = BlockForm::normal(page).unwrap_or_default();
        let blocks = [(length / 2, whole), (length - length / 2, whole.in_columns())];
        if let Ok(out) = FrameDecoder::new().decode_forms(text, length, blocks.into_iter()) {
            assert_eq!(out.len(), length);
        }
    }
    for codec in [Codec::Raw, Codec::Zstd, Codec::ZstdPrefix] {
        if let Ok(out) = FrameDecoder::new().decode(codec, text, length) {
            assert_eq!(out.len(), length);
        }
    }
}
