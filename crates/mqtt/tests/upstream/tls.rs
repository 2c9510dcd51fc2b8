//! TLS: trust, names, client certificates, and failures that say what they are.

use std::{path::Path, process::Command};

use ratatosk_connector::{config_types::ClientTlsConfig, upstream::State};
use ratatosk_mqtt::config::MqttUpstreamConfig;

use crate::{
    bench::{Upstream, spec, within},
    mosquitto::Mosquitto,
};

/// An authority, a server certificate for 127.0.0.1 and a client certificate, made by openssl.
fn certificates(dir: &Path) {
    let run = |args: &str| {
        let output = Command::new("openssl").current_dir(dir).args(args.split(' ')).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::write(dir.join("server.ext"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    std::fs::write(dir.join("client.ext"), "basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n").unwrap();
    for ca in ["ca", "other"] {
        run(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={ca} -keyout {ca}.key -out {ca}.pem"
        ));
    }
    for name in ["server", "client"] {
        run(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        ));
        run(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.pem"
        ));
    }
}

fn broker(dir: &Path, protocol: &str) -> Mosquitto {
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let listener = format!(
        "protocol {protocol}\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n",
        at("ca.pem"),
        at("server.pem"),
        at("server.key")
    );
    Mosquitto::with("allow_anonymous true\npersistence false\n", &listener)
}

#[tokio::test(flavor = "multi_thread")]
async fn mutual_tls_over_tcp_and_websocket() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let file = |name: &str| Some(dir.path().join(name));
    let tls = ClientTlsConfig { ca: file("ca.pem"), cert: file("client.pem"), key: file("client.key") };
    for (protocol, scheme) in [("mqtt", "mqtts"), ("websockets", "mqtt+wss")] {
        let broker = broker(dir.path(), protocol);
        let url = format!("{scheme}://127.0.0.1:{}", broker.port);
        let up = Upstream::new(&url, &MqttUpstreamConfig { tls: tls.clone(), ..Default::default() }, spec(&[], &[]));
        assert!(within(up.handle.reached(State::Up)).await, "{scheme}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_named() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let file = |name: &str| Some(dir.path().join(name));
    let broker = broker(dir.path(), "mqtt");
    let with = |tls: ClientTlsConfig, host: &str| {
        let config = MqttUpstreamConfig { tls, ..Default::default() };
        Upstream::new(&format!("mqtts://{host}:{}", broker.port), &config, spec(&[], &[]))
    };
    let (cert, key) = (file("client.pem"), file("client.key"));
    let stranger = ClientTlsConfig { ca: file("other.pem"), cert: cert.clone(), key: key.clone() };
    let told = with(stranger, "127.0.0.1").event().await;
    assert!(told.contains("TLS with 127.0.0.1 failed") && told.contains("UnknownIssuer"), "{told}");
    let misnamed = ClientTlsConfig { ca: file("ca.pem"), cert, key };
    let told = with(misnamed, "localhost").event().await;
    assert!(told.contains("TLS with localhost failed") && told.contains("not valid for name"), "{told}");
    let missing = ClientTlsConfig { ca: file("no.pem"), ..Default::default() };
    let told = with(missing, "127.0.0.1").event().await;
    assert!(told.contains("cannot read certificate") && told.contains("no.pem"), "{told}");
}
