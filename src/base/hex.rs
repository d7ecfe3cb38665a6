//! Bytes as lower-case hexadecimal text, and back.
//!
//! Ids appear in object names and messages, so there is exactly one spelling of each: two
//! lower-case digits for a byte. Anything else is no id.
//!
//! It does not read upper case, spaces or prefixes.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Spells `bytes` with two lower-case digits each.
pub fn encode(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Reads exactly `N` bytes, or nothing.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(bytes)
}

/// Reads bytes of any number, or nothing.
pub fn decode_all(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some(value(*high)? << 4 | value(*low)?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_back() {
        let all: [u8; 256] = std::array::from_fn(|value| u8::try_from(value).unwrap());
        assert_eq!(decode::<256>(&encode(&all)), Some(all));
        assert_eq!(encode(&[0x0f, 0xa0]), "0fa0");
        assert_eq!(decode_all(&encode(&all)), Some(all.to_vec()));
    }

    #[test]
    fn there_is_one_spelling() {
        for wrong in ["0", "0F", "0g", " 0", "000", "0x"] {
            assert_eq!(decode::<1>(wrong), None, "{wrong:?}");
            assert_eq!(decode_all(wrong), None, "{wrong:?}");
        }
    }
}
