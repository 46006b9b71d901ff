//! The one HTTP proxy, for REST and sockets alike.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::Url;
use selvedge_core::Secret;

/// An HTTP proxy, with or without credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    authorization: Option<Secret>,
}

/// What to do where the proxy answers 407.
pub(crate) const CREDENTIALS: &str = "put the user and the password that the proxy knows into its \
                                      URL";
/// What to do where the proxy answers something else instead of opening a tunnel.
pub(crate) const NO_TUNNEL: &str = "see whether the proxy lets connections to this server through, \
                                    and whether the server runs";
/// What to do where nobody is there.
pub(crate) const ABSENT: &str = "see whether the proxy runs and its URL is right";

impl Proxy {
    /// Reads `http://host:port` or `http://user:password@host:port`; `None` where it is something
    /// else.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let bare = matches!(url.path(), "" | "/") && url.query().is_none();
        if url.scheme() != "http" || !bare {
            return None;
        }
        let authorization = (!url.username().is_empty()).then(|| {
            let user = decoded(url.username());
            let password = decoded(url.password().unwrap_or_default());
            let encoded = BASE64_STANDARD.encode(format!("{user}:{password}"));
            Secret::new(&format!("Basic {encoded}"))
        });
        Some(Self {
            host: url.host_str()?.to_owned(),
            port: url.port_or_known_default()?,
            authorization,
        })
    }

    /// Host and port, for a socket.
    pub fn address(&self) -> (&str, u16) {
        (self.host.trim_matches(['[', ']']), self.port)
    }

    /// The URL without credentials.
    pub fn url(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }

    /// The value of the header `Proxy-Authorization`.
    pub fn authorization(&self) -> Option<&Secret> {
        self.authorization.as_ref()
    }
}

/// Undoes percent-encoding; what is no encoding stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let pair = after
            .split_at_checked(2)
            .and_then(|(pair, after)| Some((std::str::from_utf8(pair).ok()?, after)))
            .and_then(|(pair, after)| Some((u8::from_str_radix(pair, 16).ok()?, after)));
        match (byte, pair) {
            (b'%', Some((value, after))) => {
                bytes.push(value);
                rest = after;
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_of_the_url() {
        let proxy = Proxy::parse("http://me:p%40ss@proxy.example:3128").unwrap();
        assert_eq!(proxy.url(), "http://proxy.example:3128");
        assert_eq!(
            proxy.authorization().unwrap().expose(),
            format!("Basic {}", BASE64_STANDARD.encode("me:p@ss"))
        );
        assert!(!format!("{proxy:?}").contains("cEBzcw"));
        assert_eq!(
            Proxy::parse("http://[::1]:8080").unwrap().address(),
            ("::1", 8080)
        );
        for wrong in [
            "proxy:3128",
            "https://proxy",
            "socks5://proxy",
            "http://proxy/path",
        ] {
            assert_eq!(Proxy::parse(wrong), None, "{wrong}");
        }
    }
}
