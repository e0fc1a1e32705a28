//! `__client_uat`: when the browser's client last changed, in Unix seconds.

use http::HeaderMap;

use super::cookie::CookieNames;
use super::locate::SessionCookies;

/// The `__client_uat` that belongs to a session cookie: of the same kind, with or without a suffix,
/// or else the other. `None` when there is neither.
pub(crate) fn client_uat(headers: &HeaderMap, names: &CookieNames, token: &str) -> Option<f64> {
    let cookies = SessionCookies::find(headers, names);
    let number = |value: Option<&[u8]>| {
        let value = std::str::from_utf8(value?).unwrap_or_default();
        (!value.is_empty()).then(|| leading_number(value))
    };
    let (own, plain) = (number(cookies.suffixed_client_uat), number(cookies.client_uat));
    let suffixed = cookies.suffixed_session == Some(token.as_bytes());
    if suffixed { own.or(plain) } else { plain.or(own) }
}

/// The beginning of a value as a whole number, as browsers read one; zero when there is none.
pub(crate) fn leading_number(value: &str) -> f64 {
    let value = value.trim_start();
    let (sign, digits) = match value.as_bytes().first() {
        Some(b'-') => (-1.0, &value[1..]),
        Some(b'+') => (1.0, &value[1..]),
        _ => (1.0, value),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        _ => (10, digits),
    };
    let fold = |sum: f64, digit: u32| sum * f64::from(radix) + f64::from(digit);
    sign * digits.chars().map_while(|c| c.to_digit(radix)).fold(0.0, fold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_far_as_it_goes() {
        for (value, number) in [
            ("12", 12.0),
            (" 12abc", 12.0),
            ("1.9", 1.0),
            ("-3", -3.0),
            ("0x10", 16.0),
            ("abc", 0.0),
            ("", 0.0),
        ] {
            assert!((leading_number(value) - number).abs() < f64::EPSILON, "{value}");
        }
    }
}
