//! A span of time, as programs and as people write it.

use std::fmt;
use std::time::Duration;

/// A span of time: a [`Duration`], or text with a unit, as `60min`, `90s` or `1h 30m`.
///
/// `0` means none at all. A number without a unit, a negative one and anything else that is no span
/// is kept as the mistake that it is: as no time at all, and as an error at build that names the
/// option.
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
    /// The span.
    ///
    /// # Errors
    ///
    /// [`SpanError`] when it was written as text that is none.
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

/// A text that is no span of time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SpanError {
    text: String,
}

impl SpanError {
    /// So much of the text is repeated.
    const SHOWN: usize = 40;
}

impl fmt::Display for SpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no span of time; write a number with its unit, ", self.text)?;
        f.write_str("as \"60min\" or \"90s\", or \"0s\" for none")
    }
}

impl std::error::Error for SpanError {}
