//! What the edge reads out of a token: how long it lives.

use std::time::Duration;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::Deserialize;

/// With or without padding, since writers of tokens differ.
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The longest life that is believed: a year.
const LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

#[derive(Deserialize)]
struct Claims {
    exp: serde_json::Number,
    iat: serde_json::Number,
}

/// `exp − iat` of a JWT, both by the clock of its maker; `None` where that cannot be read. The
/// signature is not looked at: the token is the guild's to judge.
pub fn life(token: &str) -> Option<Duration> {
    let claims = token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&BASE64_URL.decode(claims).ok()?).ok()?;
    let seconds = claims.exp.as_f64()? - claims.iat.as_f64()?;
    let life = Duration::try_from_secs_f64(seconds).ok()?;
    (!life.is_zero()).then(|| life.min(LIFE_MAX))
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    fn token(claims: &str) -> String {
        format!("h.{}.s", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_life_is_the_difference_of_two_dates_of_one_clock() {
        let minutes = |minutes: u64| Some(Duration::from_secs(minutes * 60));
        assert_eq!(life(&token(r#"{"iat":1000,"exp":1900}"#)), minutes(15));
        assert_eq!(life(&token(r#"{"iat":1000.5,"exp":1900.5}"#)), minutes(15));
        assert_eq!(
            life(&format!(
                "h.{}=.s",
                BASE64_URL_SAFE_NO_PAD.encode(r#"{"iat":40,"exp":100}"#)
            )),
            minutes(1)
        );
        for odd in [
            r#"{"iat":1900,"exp":1000}"#,
            r#"{"iat":1,"exp":1}"#,
            r#"{"exp":1}"#,
            r#"{"iat":"a","exp":"b"}"#,
            "[]",
        ] {
            assert_eq!(life(&token(odd)), None, "{odd}");
        }
        for odd in ["", "opaque", "a.b", "a..c", "a.ü.c"] {
            assert_eq!(life(odd), None, "{odd}");
        }
        assert_eq!(
            life(&token(r#"{"iat":0,"exp":1e300}"#)),
            None,
            "a life beyond what a duration holds"
        );
    }
}
