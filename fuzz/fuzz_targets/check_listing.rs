//! Any bytes as a page of a listing: checked without a panic, and what is accepted has the right
//! root element.
#![no_main]

use haulout::store::remote::listing::Asked;
use haulout::store::remote::listing::Dialect;
use haulout::store::remote::listing::check_page;
use haulout_fuzz::Input;
use haulout_fuzz::graft;
use libfuzzer_sys::fuzz_target;

const S3: &str = "<ListBucketResult><Name>b</Name><Prefix>db/</Prefix><KeyCount>1</KeyCount>\
                  <IsTruncated>false</IsTruncated><Contents><Key>db/&#97;</Key></Contents>\
                  </ListBucketResult>";
const AZURE: &str = "<EnumerationResults ContainerName=\"b\"><Prefix>db/</Prefix><Blobs><Blob>\
                     <Name>db/a</Name></Blob></Blobs><NextMarker /></EnumerationResults>";

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let (dialect, valid, root) = match input.byte() % 2 {
        0 => (Dialect::S3, S3, "ListBucketResult"),
        _ => (Dialect::Azure, AZURE, "EnumerationResults"),
    };
    let asked = Asked { dialect, bucket: "b".to_owned(), prefix: "db/".to_owned() };
    check_page(&asked, valid.as_bytes()).expect("a good page is accepted");
    let page = match input.byte() % 2 {
        0 => input.rest().to_vec(),
        _ => graft(valid.as_bytes(), &mut input),
    };
    if check_page(&asked, &page).is_ok() {
        assert!(page.windows(root.len()).any(|window| window == root.as_bytes()));
    }
});
