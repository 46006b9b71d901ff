//! JSON Web Tokens with HS256, and nothing else of that standard.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use selvedge_core::{
    Secret, Wall,
    id::{GuildId, UserId},
};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::ServeError;

/// The longest token that is looked at. Ours have some 300 bytes.
const TOKEN_BYTES_MAX: usize = 4_096;

/// The key that tokens are signed with.
#[derive(Clone)]
pub(crate) struct SigningKey(Hmac<Sha256>);

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// Whose it is.
    pub(crate) sub: UserId,
    /// The guild that it is for; absent in a token for Center itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) gid: Option<GuildId>,
    /// When it was made, in seconds since 1970.
    pub(crate) iat: i64,
    /// From when on it is dead, in seconds since 1970.
    pub(crate) exp: i64,
}

/// Why a token is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("not a token of three parts")]
    Shape,
    #[error("its algorithm is not HS256, or it demands what is not known here")]
    Header,
    #[error("its signature is not ours")]
    Signature,
    #[error("its claims are not ours")]
    Claims,
    #[error("it has expired")]
    Expired,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    /// Extensions that must be understood (RFC 7515, section 4.1.11): none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

impl SigningKey {
    /// A key from its bytes.
    pub(crate) fn new(bytes: &[u8; 32]) -> Result<Self, ServeError> {
        match Hmac::new_from_slice(bytes) {
            Ok(mac) => Ok(Self(mac)),
            Err(error) => Err(ServeError::Bug(error.to_string())),
        }
    }

    /// Signs `claims`.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<Secret, serde_json::Error> {
        let header = Header {
            alg: "HS256".into(),
            typ: Some("JWT".into()),
            crit: None,
        };
        let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header)?);
        let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?);
        let signed = format!("{header}.{claims}");
        let mac = self.0.clone().chain_update(&signed).finalize();
        let mac = URL_SAFE_NO_PAD.encode(mac.into_bytes());
        Ok(Secret::new(&format!("{signed}.{mac}")))
    }

    /// The claims of `token`, where it was signed with this key and lives at `now`. The signature is
    /// compared in constant time, and nothing of the claims is read before it.
    pub(crate) fn verify(&self, token: &str, now: Wall) -> Result<Claims, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::Shape);
        }
        let (signed, mac) = token.rsplit_once('.').ok_or(Refused::Shape)?;
        let (header, claims) = signed.split_once('.').ok_or(Refused::Shape)?;
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| Refused::Shape)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| Refused::Header)?;
        if header.alg != "HS256" || header.crit.is_some() {
            return Err(Refused::Header);
        }
        let mac = URL_SAFE_NO_PAD.decode(mac).map_err(|_| Refused::Shape)?;
        self.0
            .clone()
            .chain_update(signed)
            .verify_slice(&mac)
            .map_err(|_| Refused::Signature)?;
        let claims = URL_SAFE_NO_PAD
            .decode(claims)
            .map_err(|_| Refused::Claims)?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| Refused::Claims)?;
        if now.as_millis() >= claims.exp.saturating_mul(1_000) {
            return Err(Refused::Expired);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            sub: UserId::new("u_1").unwrap(),
            gid: GuildId::new("g"),
            iat: 1_000,
            exp: 1_900,
        }
    }

    fn key() -> SigningKey {
        SigningKey::new(&[7; 32]).unwrap()
    }

    /// A token with any header, rightly signed.
    fn token(header: &str, claims: &str) -> String {
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let mac = key().0.chain_update(&signed).finalize().into_bytes();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    fn verify(token: &str) -> Result<Claims, Refused> {
        key().verify(token, Wall::from_millis(1_500_000))
    }

    #[test]
    fn a_token_lives_until_the_second_of_its_end() {
        let token = key().sign(&claims()).unwrap();
        for (millis, result) in [
            (0, Ok(claims())),
            (1_899_999, Ok(claims())),
            (1_900_000, Err(Refused::Expired)),
            (i64::MAX, Err(Refused::Expired)),
        ] {
            let now = Wall::from_millis(millis);
            assert_eq!(key().verify(token.expose(), now), result);
        }
    }

    /// RFC 7515, appendix A.1: the signature of the standard's own example.
    #[test]
    fn the_signature_is_that_of_the_standard() {
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                     eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                     dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let key = SigningKey(Hmac::new_from_slice(&URL_SAFE_NO_PAD.decode(key).unwrap()).unwrap());
        assert_eq!(
            key.verify(token, Wall::from_millis(0)),
            Err(Refused::Claims),
            "signed well, but not with our claims"
        );
    }

    #[test]
    fn what_was_tampered_with_is_refused() {
        let token = key().sign(&claims()).unwrap();
        let parts: Vec<&str> = token.expose().split('.').collect();
        let (header, body, mac) = (parts[0], parts[1], parts[2]);
        let other = URL_SAFE_NO_PAD.encode(r#"{"sub":"u_2","iat":0,"exp":9999}"#);
        for (token, refused) in [
            (format!("{header}.{other}.{mac}"), Refused::Signature),
            (format!("{header}.{body}."), Refused::Signature),
            (format!("{header}.{body}.{mac:.20}"), Refused::Signature),
            (format!("{header}.{body}.{mac}.{mac}"), Refused::Signature),
            (format!("{header}.{body}"), Refused::Shape),
            (format!("{header}.{body}.{mac}="), Refused::Shape),
            (format!(" {header}.{body}.{mac}"), Refused::Shape),
            (String::new(), Refused::Shape),
            ("x".repeat(1 << 20), Refused::Shape),
            ("...".into(), Refused::Header),
        ] {
            assert_eq!(verify(&token), Err(refused), "{token:.200}");
        }
        let other = SigningKey::new(&[8; 32]).unwrap().sign(&claims()).unwrap();
        assert_eq!(verify(other.expose()), Err(Refused::Signature));
    }

    #[test]
    fn other_algorithms_and_claims_are_refused_though_signed() {
        let body = serde_json::to_string(&claims()).unwrap();
        assert_eq!(verify(&token(r#"{"alg":"HS256"}"#, &body)), Ok(claims()));
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"hs256"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"HS256","crit":["x"]}"#,
            r#"{"typ":"JWT"}"#,
            "[]",
            "",
        ] {
            assert_eq!(
                verify(&token(header, &body)),
                Err(Refused::Header),
                "{header}"
            );
        }
        for body in [r#"{"sub":"u"}"#, r#"{"sub":"","iat":1,"exp":2}"#, "x"] {
            let token = token(r#"{"alg":"HS256"}"#, body);
            assert_eq!(verify(&token), Err(Refused::Claims), "{body}");
        }
    }
}
