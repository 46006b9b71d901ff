//! The one TLS client configuration, for REST and sockets alike.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// Why there is no TLS configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file of additional roots cannot be read as PEM.
    #[error("cannot read the certificates in {}: {why}; set [net] ca_file to a PEM file", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A certificate of that file is not fit to be a root.
    #[error("{} holds a certificate that cannot be a root: {why}", path.display())]
    BadRoot {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The cryptography does not support the protocol versions, which is a bug of ours.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// The roots of the operating system and those of `ca_file`, TLS 1.2 and 1.3, no client
/// certificate.
///
/// Without any root of the operating system only `ca_file` is trusted, which a container that talks
/// to nothing but its own guilds wants; that is said in the log.
///
/// # Errors
///
/// Where `ca_file` cannot be used.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (trusted, _) = roots.add_parsable_certificates(native.certs);
    if trusted == 0 && ca_file.is_none() {
        tracing::warn!(
            "the operating system has no root certificates: https and wss will fail; install them \
             or set [net] ca_file"
        );
    }
    if let Some(path) = ca_file {
        for certificate in read_pem(path)? {
            roots.add(certificate).map_err(|error| TlsError::BadRoot {
                path: path.to_path_buf(),
                why: error.to_string(),
            })?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// What to do about a failure of TLS, wherever in `error` it stands; `None` where there was none, or
/// nobody can tell.
pub(crate) fn advice(error: &(dyn Error + 'static)) -> Option<&'static str> {
    use rustls::{CertificateError as Fault, Error::InvalidCertificate};
    let error = within(error)?;
    if let InvalidCertificate(Fault::UnknownIssuer | Fault::BadSignature) = error {
        // A bad signature is that of another CA with the name of one that is trusted.
        Some(
            "nobody who is trusted here has signed the server's certificate: if it is the right \
             server, give the certificate of its CA as `ca_file`",
        )
    } else if let InvalidCertificate(
        Fault::NotValidForName | Fault::NotValidForNameContext { .. },
    ) = error
    {
        Some(
            "reach the server by a name that its certificate has, or give it a certificate for \
             this one",
        )
    } else if let InvalidCertificate(
        Fault::Expired
        | Fault::ExpiredContext { .. }
        | Fault::NotValidYet
        | Fault::NotValidYetContext { .. },
    ) = error
    {
        Some("renew the server's certificate, or set this machine's clock")
    } else if let rustls::Error::InvalidMessage(_) = error {
        Some("the server does not speak TLS there: see whether its URL should begin with http:")
    } else {
        None
    }
}

/// Finds the failure of TLS under what wraps it: an I/O error does not tell what it holds as its
/// source.
fn within<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let held = || -> Option<&'e (dyn Error + 'static)> {
        Some(error.downcast_ref::<io::Error>()?.get_ref()?)
    };
    error
        .downcast_ref()
        .or_else(|| within(held()?))
        .or_else(|| within(error.source()?))
}

fn read_pem(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fault = |why: String| TlsError::CaFile {
        path: path.to_path_buf(),
        why,
    };
    let pem = std::fs::read(path).map_err(|error: io::Error| fault(error.to_string()))?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fault(error.to_string()))?;
    if certificates.is_empty() {
        return Err(fault("there is no certificate in it".into()));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = client_config(Some(file.path())).unwrap_err().to_string();
        let expected = format!(
            "cannot read the certificates in {}: there is no certificate in it; set [net] ca_file \
             to a PEM file",
            file.path().display()
        );
        assert_eq!(error, expected);
    }

    #[test]
    fn no_file_is_fine() {
        assert!(client_config(None).is_ok());
    }
}
