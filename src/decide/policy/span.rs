//! [`Span`], a time span as a [`Duration`] or as text.

use std::fmt;
use std::time::Duration;

/// A time span: a [`Duration`], or text with a unit, such as `60min`, `90s` or `1h 30m`.
///
/// `0` means no time. A number without a unit, a negative number or any other invalid text is
/// stored as an error. The option then counts as zero, and the build fails with an error that names
/// the option. A typing error thus never makes grace longer.
///
/// | text | duration |
/// |---|---|
/// | `90s`, `90sec` | 90 seconds |
/// | `60min`, `60m` | 60 minutes |
/// | `2h`, `1.5h`, `1h 30m` | hours, a fraction, a sum |
/// | `0`, `0s` | none |
/// | `60`, `1.5`, `-5m`, `unlimited` | an error |
///
/// The syntax is that of [`humantime`](https://docs.rs/humantime); spaces around the text are
/// ignored.
///
/// ```
/// use std::time::Duration;
/// use clerk_resilience::policy::Span;
///
/// assert_eq!(Span::from("1h 30m").duration(), Ok(Duration::from_secs(90 * 60)));
/// assert_eq!(Span::from("0").duration(), Ok(Duration::ZERO));
/// for text in ["5", "", "false", "-5m", "for ever"] {
///     assert!(Span::from(text).duration().is_err(), "{text}");
/// }
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Span(Result<Duration, SpanError>);

impl Span {
    /// Returns the duration.
    ///
    /// # Errors
    ///
    /// Returns [`SpanError`] if the text is no time span.
    pub fn duration(self) -> Result<Duration, SpanError> {
        self.0
    }
}

impl From<Duration> for Span {
    fn from(span: Duration) -> Self {
        Self(Ok(span))
    }
}

impl From<&str> for Span {
    fn from(text: &str) -> Self {
        let span = humantime::parse_duration(text.trim());
        Self(span.map_err(|_| SpanError { text: text.chars().take(SpanError::SHOWN).collect() }))
    }
}

impl From<String> for Span {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

/// An invalid text for a time span.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SpanError {
    text: String,
}

impl SpanError {
    /// Maximum number of characters of the text that the message repeats.
    const SHOWN: usize = 40;
}

impl fmt::Display for SpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no span of time; write a number with its unit, ", self.text)?;
        f.write_str("as \"60min\" or \"90s\", or \"0s\" for none")
    }
}

impl std::error::Error for SpanError {}
