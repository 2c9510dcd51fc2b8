//! A gateway inside a program, with routes of the program's own beside the protocols'.
//!
//! `cargo run --example embed`, then `curl -N 'http://127.0.0.1:8080/sse?channel=%23'` and `curl http://127.0.0.1:8080/hello`.

use axum::{Router, routing::get};
use ratatosk::Gateway;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let gateway = Gateway::builder()
        .set("http.listen", &listen)
        .set("mqtt.listen", "off")
        .set("admin.listen", "off")
        .routes(Router::new().route("/hello", get(|| async { "hello from the program\n" })))
        .start()?;
    println!("listening on {:?}", gateway.addresses().http);
    tokio::signal::ctrl_c().await?;
    gateway.stop(true).await;
    Ok(())
}
