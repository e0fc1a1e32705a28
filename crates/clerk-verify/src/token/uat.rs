//! `__client_uat`: when the browser's client last changed, in Unix seconds.

/// Parses the whole number at the beginning of a value, as browsers do; zero when there is none.
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
