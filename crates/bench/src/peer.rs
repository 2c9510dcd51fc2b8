//! Configurations for servers to compare with, in their fastest sensible setting: one worker, no logs.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

/// nginx with nchan; paths as Ratatosk's. Answers the command to start it.
pub(crate) fn nchan(home: &Path, http: SocketAddr) -> Result<Vec<String>> {
    let dir = home.display();
    let config = format!(
        "daemon off; master_process off; worker_processes 1; pid {dir}/pid; error_log stderr crit;\n\
         load_module /usr/lib/nginx/modules/ngx_nchan_module.so;\n\
         worker_rlimit_nofile 100000;\n\
         events {{ worker_connections 60000; use epoll; }}\n\
         http {{\n\
           access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
           fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
           keepalive_requests 1000000000; tcp_nodelay on; nchan_shared_memory_size 256M;\n\
           server {{ listen {http} backlog=4096;\n\
             location = /sse {{ nchan_subscriber eventsource; nchan_channel_id $arg_channel;\n\
               nchan_subscriber_first_message newest; }}\n\
             location = /publish {{ nchan_publisher; nchan_channel_id $arg_channel;\n\
               nchan_message_buffer_length 2000; nchan_message_timeout 5m; }}\n\
           }}\n\
         }}\n"
    );
    let file = home.join("nginx.conf");
    std::fs::write(&file, config)?;
    Ok(words(&["nginx", "-p", &dir.to_string(), "-c", &file.display().to_string()]))
}

/// Mosquitto with a TCP and a WebSocket listener. Answers the command to start it.
pub(crate) fn mosquitto(home: &Path, mqtt: SocketAddr, http: SocketAddr) -> Result<Vec<String>> {
    let config = format!(
        "allow_anonymous true\nlog_type none\npersistence false\nset_tcp_nodelay true\n\
         max_queued_messages 10000\nmax_inflight_messages 0\n\
         listener {} {}\nlistener {} {}\nprotocol websockets\n",
        mqtt.port(),
        mqtt.ip(),
        http.port(),
        http.ip(),
    );
    let file = home.join("mosquitto.conf");
    std::fs::write(&file, config)?;
    Ok(words(&["mosquitto", "-c", &file.display().to_string()]))
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|&word| word.to_owned()).collect()
}
