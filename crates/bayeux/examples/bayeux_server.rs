//! The Bayeux server in a program of one's own: `cargo run -p ratatosk-bayeux --example bayeux_server -- 127.0.0.1:8080 '{"timeout":"5s"}'`.
//!
//! The second argument is a `[bayeux]` section as JSON. The first line of the output is the bound address.

use ratatosk_bayeux::{
    config::BayeuxConfig,
    server::{BayeuxServer, ServerConfig},
};
use ratatosk_connector::{
    http::{HttpListener, Origins},
    lifecycle::Lifecycle,
};
use ratatosk_core::Bus;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:0".into());
    let config: BayeuxConfig =
        arguments.next().map_or(Ok(BayeuxConfig::default()), |json| serde_json::from_str(&json))?;
    let life = Lifecycle::default();
    let server = BayeuxServer::new(ServerConfig {
        config,
        bus: Bus::in_memory(),
        life: life.clone(),
        origins: Origins::new(["*"]),
        access: ratatosk_connector::access::Access::open(),
    });
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("{}", listener.local_addr()?);
    HttpListener::plain(listener).serve(server.router(), life).await;
    Ok(())
}
