//! The Pusher connector alone, on a bus in memory: `pusher_server 127.0.0.1:6001 ['{"apps": [...]}']`.
//!
//! It shows what a program needs in order to embed the connector; the gateway's binary does the same and more.

use ratatosk_connector::{
    http::{HttpListener, Origins},
    lifecycle::Lifecycle,
};
use ratatosk_core::Bus;
use ratatosk_pusher::{config::PusherConfig, server::Server};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:6001".to_owned());
    let config: PusherConfig = match arguments.next() {
        Some(json) => serde_json::from_str(&json)?,
        None => PusherConfig::default(),
    };
    let life = Lifecycle::default();
    let server = Server::new(
        Bus::in_memory(),
        life.clone(),
        Origins::new(["*"]),
        ratatosk_connector::access::Access::open(),
        &config,
    )?;
    let listener = tokio::net::TcpListener::bind(&address).await?;
    let http = HttpListener::plain(listener);
    life.spawn("http", http.serve(server.router(), life.clone()));
    tokio::signal::ctrl_c().await?;
    life.close();
    life.wait(std::time::Duration::from_secs(10)).await;
    Ok(())
}
