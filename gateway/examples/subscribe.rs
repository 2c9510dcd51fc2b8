//! Subscribing and publishing in process: the program is one more client of its own gateway, without a socket.
//!
//! `cargo run --example subscribe`

use ratatosk::{
    Gateway,
    core::{Channel, Filter},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let gateway = Gateway::builder()
        .set("http.listen", "127.0.0.1:0")
        .set("mqtt.listen", "127.0.0.1:0")
        .set("admin.listen", "off")
        .start()?;
    let mut readings = gateway.subscribe([Filter::new("sensors/#")?]).await;

    // What any client of any protocol publishes would arrive in the same way.
    for celsius in [20.5, 21.0, 21.5] {
        gateway.publish(&Channel::new("sensors/kitchen/temp")?, format!("{{\"c\":{celsius}}}"))?;
    }
    for _ in 0..3 {
        let message = readings.next().await.map_err(|ended| anyhow::anyhow!("the subscription ended: {ended}"))?;
        println!("{} {}", message.channel, String::from_utf8_lossy(&message.payload));
    }
    drop(readings);
    gateway.stop(true).await;
    Ok(())
}
