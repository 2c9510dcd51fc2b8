//! Black-box tests, one module per behaviour or stock client. Every test starts its own gateway.

mod access;
mod admin;
mod architecture;
mod bayeux_clients;
mod bridge_mosquitto;
mod console;
mod cross_protocol;
mod dashboards;
mod demo;
mod deploy;
mod drain;
mod live_page;
mod mercure;
mod metrics;
mod mqtt_clients;
mod mqtt_mosquitto;
mod pusher_js;
mod pusher_sdks;
mod readme;
mod sse_browser;
mod sse_input;
mod sse_nchan;
mod sse_resume;
mod sse_slow;
mod sse_stream;
mod sub_pub;
