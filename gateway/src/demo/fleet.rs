//! The simulated sensor fleet: a real MQTT client that connects to the gateway over loopback as any device would.

use std::{net::SocketAddr, time::Duration};

use ratatosk_connector::lifecycle::Lifecycle;
use ratatosk_core::{Bus, Channel, Origin, Publication};
use serde_json::json;

use super::ROOT;
use crate::{config::Sources, run::Gateway};

/// The fleet's MQTT client id.
pub(super) const CLIENT_ID: &str = "sensor-fleet";
/// The pause between two readings, of all sensors in turn.
const PAUSE: Duration = Duration::from_millis(450);
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// A sensor: a value that wanders, and is drawn back to where it began.
#[derive(Debug, Clone)]
struct Sensor {
    name: &'static str,
    unit: &'static str,
    home: f64,
    step: f64,
    value: f64,
}

const fn sensor(name: &'static str, unit: &'static str, home: f64, step: f64) -> Sensor {
    Sensor { name, unit, home, step, value: home }
}

static SENSORS: [Sensor; 6] = [
    sensor("kitchen/temperature", "°C", 21.5, 0.4),
    sensor("office/co2", "ppm", 640.0, 25.0),
    sensor("greenhouse/humidity", "%", 71.0, 1.5),
    sensor("roof/wind", "m/s", 6.2, 0.9),
    sensor("cellar/power", "W", 412.0, 30.0),
    sensor("well/level", "cm", 183.0, 1.2),
];

/// The channels, below the root.
pub(super) fn names() -> Vec<&'static str> {
    SENSORS.iter().map(|sensor| sensor.name).collect()
}

impl Sensor {
    /// The next reading; `chance` is between 0 and 1.
    fn next(&mut self, chance: f64) -> f64 {
        self.value += (chance - 0.5) * 2.0 * self.step + (self.home - self.value) * 0.06;
        (self.value * 10.0).round() / 10.0
    }
}

/// Connects the fleet to the MQTT listener, and lets it publish until the gateway ends.
///
/// # Errors
/// The client cannot be made, which would be a fault of the program.
pub(super) fn start(gateway: &Gateway, mqtt: SocketAddr) -> anyhow::Result<()> {
    let (bus, life) = (Bus::in_memory(), Lifecycle::default());
    let upstream = json!([{
        "name": CLIENT_ID, "kind": "mqtt", "url": format!("mqtt://{mqtt}"), "client_id": CLIENT_ID,
        "out": [{ "from": format!("{ROOT}/#") }],
    }]);
    let given = vec![("upstreams".to_owned(), upstream, "demo".to_owned())];
    let sources = Sources { file: None, given, env: Vec::new(), set: Vec::new() };
    let mut resolved = crate::config::load(&sources)?;
    let Some(upstream) = resolved.upstreams.pop() else { return Ok(()) };
    let handle = crate::run::join(&bus, &life, &upstream)?;
    let closing = gateway.closing();
    gateway.spawn("sensor fleet", async move {
        tokio::select! {
            () = publish(&bus) => {}
            () = closing => {}
        }
        handle.stop();
        life.close();
        life.wait(GOODBYE).await;
        bus.close();
    });
    Ok(())
}

async fn publish(bus: &Bus) {
    let mut sensors = SENSORS.clone();
    let channels: Vec<Option<Channel>> =
        sensors.iter().map(|sensor| Channel::new(format!("{ROOT}/{}", sensor.name)).ok()).collect();
    for n in 1_u64.. {
        for (sensor, channel) in sensors.iter_mut().zip(&channels) {
            let Some(channel) = channel.clone() else { continue };
            let reading = json!({ "value": sensor.next(fastrand::f64()), "unit": sensor.unit, "n": n });
            let publication = Publication::new(channel, reading.to_string(), Origin::gateway()).retained(true);
            // The bus of its own refuses nothing that is not reserved.
            let _ = bus.publish(publication);
            // All sensors once at the start, so that the page has something to show; then one after the other.
            if n > 1 {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_wander_near_their_home() {
        for sensor in &SENSORS {
            let mut wandering = sensor.clone();
            for n in 0..1000_u32 {
                let value = wandering.next(f64::from(n % 7) / 6.0);
                assert!((value - sensor.home).abs() < sensor.step * 20.0, "{} reads {value}", sensor.name);
            }
        }
    }
}
