//! The ciphers against published vectors and against a second implementation.

use aes_gcm_siv::Aes256GcmSiv;
use aes_gcm_siv::KeyInit;
use aes_gcm_siv::aead::Aead;
use aes_gcm_siv::aead::Payload;
use proptest::prelude::any;
use proptest::proptest;
use proptest::test_runner::Config;

use crate::base::hex;
use crate::seal::secret::Secret;
use crate::seal::suite::AeadKey;
use crate::seal::suite::Nonce;
use crate::seal::suite::Suite;

struct Vector {
    key: &'static str,
    nonce: &'static str,
    aad: &'static str,
    text: &'static str,
    sealed: &'static str,
}

/// From RFC 8452, appendix C.2.
const RFC_8452: &[Vector] = &[
    Vector {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "",
        text: "",
        sealed: "07f5f4169bbf55a8400cd47ea6fd400f",
    },
    Vector {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "",
        text: "0100000000000000",
        sealed: "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28",
    },
    Vector {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "01",
        text: "020000000000000000000000",
        sealed: "163d6f9cc1b346cd453a2e4cc1a4a19ae800941ccdc57cc8413c277f",
    },
    Vector {
        key: "0100000000000000000000000000000000000000000000000000000000000000",
        nonce: "030000000000000000000000",
        aad: "010000000000000000000000",
        text: "02000000",
        sealed: "22b3f4cd1835e517741dfddccfa07fa4661b74cf",
    },
    Vector {
        key: "e66021d5eb8e4f4066d4adb9c33560e4f46e44bb3da0015c94f7088736864200",
        nonce: "e0eaf5284d884a0e77d31646",
        aad: "",
        text: "",
        sealed: "169fbb2fbf389a995f6390af22228a62",
    },
    Vector {
        key: "a44102952ef94b02b805249bac80e6f61455bfac8308a2d40d8c845117808235",
        nonce: "5c9e940fea2f582950a70d5a",
        aad: "0da55210cc1c1b0abde3b2f204d1e9f8b06bc47f",
        text: "1db2316fd568378da107b52b",
        sealed: "8dbeb9f7255bf5769dd56692404099c2587f64979f21826706d497d5",
    },
    Vector {
        key: "3c535de192eaed3822a2fbbe2ca9dfc88255e14a661b8aa82cc54236093bbc23",
        nonce: "688089e55540db1872504e1c",
        aad: concat!("734320ccc9d9bbbb19cb81b2af4ecbc3e72834321f7aa0f70b7282b4f33df23f", "167541",),
        text: "ced532ce4159b035277d4dfbb7db62968b13cd4eec",
        sealed: concat!(
            "626660c26ea6612fb17ad91e8e767639edd6c9faee9d6c7029675b89eaf4ba1d",
            "ed1a286594",
        ),
    },
];

fn bytes(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    pairs.map(|pair| hex::decode::<1>(pair).unwrap()[0]).collect()
}

fn key(suite: Suite, bytes: &[u8; 32]) -> AeadKey {
    AeadKey::new(suite, Secret::build(|own| own.copy_from_slice(bytes)))
}

#[test]
fn the_cipher_is_the_one_of_rfc_8452() {
    for vector in RFC_8452 {
        let key = key(Suite::Aes256GcmSiv, &hex::decode(vector.key).unwrap());
        let nonce = || Nonce::stored(hex::decode(vector.nonce).unwrap());
        let mut buffer = bytes(vector.text);
        key.seal(nonce(), &bytes(vector.aad), &mut buffer, 0);
        assert_eq!(hex::encode(&buffer), vector.sealed);
        key.open(&nonce(), &bytes(vector.aad), &mut buffer, "vector").unwrap();
        assert_eq!(hex::encode(&buffer), vector.text);
    }
}

proptest! {
    #![proptest_config(Config::with_cases(512))]

    #[test]
    fn a_second_implementation_agrees(
        secret in any::<[u8; 32]>(),
        nonce in any::<[u8; 12]>(),
        aad in proptest::collection::vec(any::<u8>(), 0..200),
        text in proptest::collection::vec(any::<u8>(), 0..3000),
    ) {
        let other = Aes256GcmSiv::new(&secret.into());
        let payload = Payload { msg: &text, aad: &aad };
        let expected = other.encrypt(&nonce.into(), payload).unwrap();
        let mut buffer = text.clone();
        key(Suite::Aes256GcmSiv, &secret).seal(Nonce::stored(nonce), &aad, &mut buffer, 0);
        assert_eq!(buffer, expected);
    }

    #[test]
    fn the_keyed_tag_is_what_the_table_says(
        secret in any::<[u8; 32]>(),
        nonce in any::<[u8; 12]>(),
        aad in proptest::collection::vec(any::<u8>(), 0..200),
        text in proptest::collection::vec(any::<u8>(), 0..3000),
    ) {
        let aad_bytes = u64::try_from(aad.len()).unwrap().to_le_bytes();
        let input = [&nonce[..], &aad_bytes, &aad, &text].concat();
        let tag = blake3::keyed_hash(&secret, &input);
        let mut buffer = text.clone();
        key(Suite::KeyedTag, &secret).seal(Nonce::stored(nonce), &aad, &mut buffer, 0);
        assert_eq!(buffer, [&text, &tag.as_bytes()[..16]].concat());
    }
}

#[test]
fn what_stands_before_the_text_is_left_alone() {
    for suite in [Suite::KeyedTag, Suite::Aes256GcmSiv] {
        let key = key(suite, &[9; 32]);
        let mut alone = b"text".to_vec();
        key.seal(Nonce::only(), b"aad", &mut alone, 0);
        let mut behind = b"head text".to_vec();
        key.seal(Nonce::only(), b"aad", &mut behind, 5);
        assert_eq!(behind, [b"head ", &alone[..]].concat());
    }
}
