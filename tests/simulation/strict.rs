//! What a strict verifier would do: who passes within the token's time, and who never does.

use test_support::token::Kind;

use crate::oracle::{Checked, Facts, must};
use crate::plan::{Route, Via};

const SECOND: i64 = 1_000;
/// Everybody was verified at the start, which counts for ten minutes.
pub(crate) const VERIFIED: i64 = 10 * 60;
/// The clocks may differ by this much.
const LEEWAY: i64 = 5 * SECOND;

pub(crate) fn check(facts: &Facts<'_>) -> Checked {
    sound(facts)?;
    complete(facts)?;
    honest(facts)
}

/// Nobody passes but with a good token, within its time, that was not taken back (I3, I7).
fn sound(facts: &Facts<'_>) -> Checked {
    let Some(seen) = &facts.answer.seen else { return Ok(()) };
    let (kind, token, wall) = (facts.token.kind, facts.token, facts.wall());
    must(kind.is_genuine() && kind != Kind::Pending, "I12", || format!("a {kind:?} token passed"))?;
    must(facts.key_is_known() != Some(false), "I12", || "a distrusted key passed".into())?;
    let revoked = facts.memory.is_revoked(token.owner(), token.claims_as_of());
    must(!revoked, "I3", || "a revoked session passed".into())?;
    must(wall >= token.iat * SECOND - LEEWAY, "I7", || "a token from the future passed".into())?;
    let not_before = kind != Kind::NotYet || wall >= (token.iat + 60) * SECOND - LEEWAY;
    must(not_before, "I7", || "a token passed before its nbf".into())?;
    let timely = wall < token.exp() * SECOND + LEEWAY;
    must(timely || seen.grace.is_some(), "I7", || "an expired token passed as fresh".into())?;
    let recent = facts.ask.route != Route::Recent || seen.grace.is_some() || is_verified(facts);
    must(recent, "G12", || "an old verification passed".into())
}

/// The minutes in the token, and the whole minutes since its claims were read, are fewer than ten.
fn is_verified(facts: &Facts<'_>) -> bool {
    let token = facts.token;
    let age = facts.wall().div_euclid(SECOND) - token.claims_as_of();
    token.iat.max(0) / 60 + age.max(0) / 60 < VERIFIED / 60
}

/// What a strict verifier accepts passes, whatever is wrong with Clerk.
fn complete(facts: &Facts<'_>) -> Checked {
    let (kind, token, wall) = (facts.token.kind, facts.token, facts.wall());
    let good = matches!(kind, Kind::Plain | Kind::Rotated | Kind::OldClaims | Kind::LongLived);
    let timely = wall >= token.iat * SECOND && wall < token.exp() * SECOND + LEEWAY - SECOND;
    let revoked = facts.memory.may_be_revoked(token.owner(), token.claims_as_of());
    let verified = facts.ask.route != Route::Recent || is_verified(facts);
    let due = good
        && timely
        && !revoked
        && verified
        && facts.is_plain()
        && facts.key_is_known() == Some(true);
    let fresh = facts.answer.seen.as_ref().is_some_and(|seen| seen.grace.is_none());
    must(!due || fresh, "L1", || format!("a good token got {}", facts.answer.status))
}

/// Invalid is never 503, undeterminable is never 401.
fn honest(facts: &Facts<'_>) -> Checked {
    let (kind, status) = (facts.token.kind, facts.answer.status);
    if !facts.is_plain() || facts.memory.keys.is_none() {
        return Ok(());
    }
    // The cookie of another instance on the same host counts as no token.
    let foreign = kind == Kind::WrongIssuer && facts.ask.via == Via::Cookie;
    let invalid = kind.is_invalid() && !foreign && facts.key_is_known() == Some(true);
    must(!invalid || status == 401, "A1", || format!("an invalid token got {status}"))?;
    let revoked = facts.memory.is_revoked(facts.token.owner(), facts.token.iat);
    let denied = kind == Kind::Plain && revoked && facts.key_is_known() == Some(true);
    must(!denied || status == 401, "A1", || format!("a revoked session got {status}"))?;
    let token = facts.token;
    let plain = kind == Kind::Plain && !facts.memory.may_be_revoked(token.owner(), token.iat);
    let gone = facts.key_is_known() != Some(true);
    let down = facts.outage_is_beyond_doubt();
    must(!(plain && down && status == 401) || gone, "A2", || "signed out by an outage".into())
}
