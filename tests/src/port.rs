//! A port of loopback that is kept for a server which comes and goes.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// How many dials wait to be accepted.
const BACKLOG: u32 = 128;

/// The port. A socket that never listens is bound to it, so that while the server is gone nobody else
/// gets the port, and whoever dials is refused.
#[derive(Debug)]
pub struct Port {
    addr: SocketAddr,
    _held: TcpSocket,
}

impl Port {
    /// Keeps one that is free.
    ///
    /// # Errors
    ///
    /// Where the system has none.
    pub fn keep() -> io::Result<Self> {
        let held = bound(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let addr = held.local_addr()?;
        Ok(Self { addr, _held: held })
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.addr.port()
    }

    /// Its origin, as a server without TLS has it.
    pub fn origin(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Listens on it, until that is dropped.
    ///
    /// # Errors
    ///
    /// Where somebody does already.
    pub fn listen(&self) -> io::Result<TcpListener> {
        bound(self.addr)?.listen(BACKLOG)
    }
}

fn bound(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn nobody_else_gets_it_while_the_server_is_gone() {
        let port = Port::keep().unwrap();
        let refused = || async {
            let dial = TcpStream::connect(port.addr).await;
            dial.unwrap_err().kind() == io::ErrorKind::ConnectionRefused
        };
        assert!(refused().await);
        for _ in 0..2 {
            let listener = port.listen().unwrap();
            TcpStream::connect(port.addr).await.unwrap();
            listener.accept().await.unwrap();
            assert!(port.listen().is_err());
            drop(listener);
            assert!(refused().await);
        }
        let plain = TcpSocket::new_v4().unwrap();
        assert!(plain.bind(port.addr).is_err());
    }
}
