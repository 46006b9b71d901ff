//! The plugin's MCP handler over streamable HTTP, for clients that speak nothing else. The plugin itself
//! has standard input and output alone.

use std::{io, sync::Arc};

use axum::Router;
use futures::Stream;
use rmcp::{
    model::{ClientJsonRpcMessage, ServerJsonRpcMessage},
    transport::streamable_http_server::{
        SessionId, SessionManager, StreamableHttpServerConfig, StreamableHttpService,
        session::{
            ServerSseMessage,
            local::{LocalSessionManager, LocalSessionManagerError, SessionTransport},
        },
    },
};
use selvedge::host::{self, Host, Wire, log};
use selvedge_core::{id::AgentId, plugin::config::Profile};
use tokio::{net::TcpListener, task::JoinHandle};

/// The origins of pages that may ask: those of this machine, on any port.
const ORIGINS: [&str; 3] = ["http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*"];

/// A server on loopback. Dropping it closes its port.
#[derive(Debug)]
pub struct OverHttp {
    port: u16,
    task: JoinHandle<()>,
}

impl OverHttp {
    /// Serves a host side with these agents, none of which is running.
    ///
    /// # Errors
    ///
    /// Where there is no free port.
    pub async fn start(agents: impl IntoIterator<Item = AgentId>) -> io::Result<Self> {
        let (_, host) = host::channel(agents, Profile::Plexum, log::channel().1);
        let host = Arc::new(host);
        let sessions = Sessions {
            host: Arc::clone(&host),
            inner: LocalSessionManager::default(),
        };
        // Which hosts it answers to is loopback's names, unless it is told others.
        let config = StreamableHttpServerConfig::default().with_allowed_origins(ORIGINS);
        let handler = move || Ok(host.handler());
        let service = StreamableHttpService::new(handler, Arc::new(sessions), config);
        let app = Router::new().route_service("/mcp", service);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(async move {
            // It ends with the test.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { port, task })
    }

    /// Where it is asked.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }
}

impl Drop for OverHttp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sessions whose messages pass through the wire of the plugin, as on standard input and output.
struct Sessions {
    host: Arc<Host>,
    inner: LocalSessionManager,
}

impl SessionManager for Sessions {
    type Error = LocalSessionManagerError;
    type Transport = Wire<SessionTransport>;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Self::Error> {
        let (id, transport) = self.inner.create_session().await?;
        Ok((id, self.host.wire(transport)))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Self::Error> {
        self.inner.initialize_session(id, message).await
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Self::Error> {
        self.inner.has_session(id).await
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Self::Error> {
        self.inner.close_session(id).await
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.inner.create_stream(id, message).await
    }

    async fn accept_message(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<(), Self::Error> {
        self.inner.accept_message(id, message).await
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.inner.create_standalone_stream(id).await
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Self::Error> {
        self.inner.resume(id, last_event_id).await
    }
}
