//! An MQTT broker and nothing else: `cargo run -p ratatosk-mqtt --example broker -- 1883 8083`.
//!
//! The first port speaks MQTT over TCP, the second MQTT over WebSocket at `/mqtt`.

use std::{error::Error, sync::Arc};

use ratatosk_connector::{
    http::{HttpListener, Origins},
    lifecycle::Lifecycle,
    listener::Listener,
};
use ratatosk_core::{Bus, Connector};
use ratatosk_mqtt::{
    config::MqttConfig,
    server::{Anonymous, MqttServer, Settings},
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut ports = std::env::args().skip(1).map(|port| port.parse::<u16>());
    let tcp = TcpListener::bind(("127.0.0.1", ports.next().unwrap_or(Ok(1883))?)).await?;
    let web = TcpListener::bind(("127.0.0.1", ports.next().unwrap_or(Ok(8083))?)).await?;
    let life = Lifecycle::default();
    let settings = Settings::from(&MqttConfig::default());
    let server = MqttServer::new(settings, Bus::in_memory(), life.clone(), Arc::new(Anonymous));
    let router = server.router("/mqtt", Origins::new(["*"]));
    let http = HttpListener::plain(web);
    let listener = Listener::plain(tcp, Connector::register("mqtt"), server.settings().max_connections);
    life.spawn("http", http.serve(router, life.clone()));
    life.spawn("mqtt", async move { server.serve(listener).await });
    tokio::signal::ctrl_c().await?;
    life.close();
    life.wait(std::time::Duration::from_secs(5)).await;
    Ok(())
}
