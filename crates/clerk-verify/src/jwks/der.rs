//! Extracts the numbers of an RSA public key in DER.

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// Returns `n` and `e`, big-endian without the sign byte, of a DER `RSAPublicKey` (RFC 8017 A.1.1).
/// The key is bare or inside a `SubjectPublicKeyInfo` (RFC 5280 §4.1). `None` when the input is
/// malformed.
#[must_use]
pub fn modulus_and_exponent(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (members, _) = element(der, SEQUENCE)?;
    if let Some((_algorithm, rest)) = element(members, SEQUENCE) {
        let (bits, _) = element(rest, BIT_STRING)?;
        return modulus_and_exponent(bits.strip_prefix(&[0])?);
    }
    let (n, rest) = element(members, INTEGER)?;
    let (e, _) = element(rest, INTEGER)?;
    Some((without_sign(n), without_sign(e)))
}

/// Returns the content of the DER element with this tag, and the bytes after it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        (digits.iter().fold(0, |sum: usize, digit| (sum << 8) | usize::from(*digit)), rest)
    };
    (found == tag).then(|| rest.split_at_checked(length)).flatten()
}

fn without_sign(integer: &[u8]) -> &[u8] {
    integer.strip_prefix(&[0]).unwrap_or(integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_found_in_both_wrappings() {
        let bare = [0x30, 0x07, 0x02, 0x02, 0x00, 0x85, 0x02, 0x01, 0x03];
        assert_eq!(modulus_and_exponent(&bare), Some((&[0x85][..], &[3][..])));
        let mut wrapped = vec![0x30, 0x0e, 0x30, 0x00, 0x03, 0x0a, 0x00];
        wrapped.extend(bare);
        assert_eq!(modulus_and_exponent(&wrapped), Some((&[0x85][..], &[3][..])));
    }

    #[test]
    fn anything_else_has_no_numbers_and_causes_no_panic() {
        let wrapped_twice = [0x30, 0x05, 0x30, 0x00, 0x03, 0x01, 0x01];
        for der in
            [&[][..], &[0x30], &[0x30, 0x84, 0xff], &[0x30, 0x02, 0x02, 0x05], &wrapped_twice]
        {
            assert_eq!(modulus_and_exponent(der), None, "{der:?}");
        }
    }
}
