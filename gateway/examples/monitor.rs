//! A handler of monitor events: who comes and goes, and what they publish, on one bus for all protocols.
//!
//! `cargo run --example monitor`

use ratatosk::{
    Gateway,
    core::{MonitorEvent, MonitorHandler, monitor::Monitored},
};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::mpsc};

/// Passes on what is interesting. It is called where things happen, so it must not block: the queue is bounded, and what finds
/// no room in it is dropped.
struct Told(mpsc::Sender<String>);

impl MonitorHandler for Told {
    fn handle(&self, monitored: &Monitored) {
        let line = match &monitored.event {
            MonitorEvent::CreatedClient { client_id, connector } => format!("{connector} client {client_id} came"),
            MonitorEvent::ClientSubscribed { channel, .. } => format!("somebody subscribed to {channel}"),
            // Channels that begin with `$` are the gateway's own.
            MonitorEvent::ReceivedMessage { message } if message.channel.is_reserved() => return,
            MonitorEvent::ReceivedMessage { message } => format!("a message on {}", message.channel),
            MonitorEvent::DestroyedClient { client_id, reason, .. } => format!("{client_id} left: {reason}"),
            _ => return,
        };
        let _ = self.0.try_send(line);
    }

    fn wants_messages(&self) -> bool {
        true
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (sender, mut told) = mpsc::channel(1024);
    let gateway = Gateway::builder()
        .set("http.listen", "127.0.0.1:0")
        .set("mqtt.listen", "off")
        .set("admin.listen", "off")
        .monitor(Told(sender))
        .start()?;

    // A client, to have something to tell: it opens an event stream, is sent one message, and leaves.
    let Some(http) = gateway.addresses().http else { anyhow::bail!("the HTTP listener is on") };
    let mut client = TcpStream::connect(http).await?;
    client.write_all(b"GET /sse?channel=news HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    while let Some(line) = told.recv().await {
        println!("{line}");
        if line.contains("subscribed") {
            gateway.publish(&ratatosk::core::Channel::new("news")?, "hello")?;
            client.shutdown().await?;
        }
        if line.contains("left") {
            break;
        }
    }
    gateway.stop(true).await;
    Ok(())
}
