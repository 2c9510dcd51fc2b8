//! A TCP proxy whose wire a test can cut: connections break, and new ones break too until it is mended.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The proxy; gone when dropped.
pub struct Proxy {
    /// Where clients connect.
    pub address: SocketAddr,
    whole: watch::Sender<bool>,
    target: Arc<Mutex<SocketAddr>>,
    accepted: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy to `target`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let whole = watch::Sender::new(true);
        let target = Arc::new(Mutex::new(target));
        let accepted = Arc::new(AtomicUsize::new(0));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&target), whole.subscribe(), Arc::clone(&accepted)));
        Self { address, whole, target, accepted, accepting }
    }

    /// Breaks every connection, and every new one, until [`Proxy::mend`].
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Lets new connections through again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }

    /// Sends new connections to another server.
    ///
    /// # Panics
    /// Never.
    pub fn retarget(&self, target: SocketAddr) {
        *self.target.lock().expect("no holder panics") = target;
    }

    /// How many connections were let through so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.whole.send_replace(false);
    }
}

async fn accept(
    listener: TcpListener,
    target: Arc<Mutex<SocketAddr>>,
    whole: watch::Receiver<bool>,
    accepted: Arc<AtomicUsize>,
) {
    while let Ok((client, _)) = listener.accept().await {
        if !*whole.borrow() {
            continue;
        }
        accepted.fetch_add(1, Ordering::SeqCst);
        let target = *target.lock().expect("no holder panics");
        tokio::spawn(carry(client, target, whole.clone()));
    }
}

async fn carry(mut client: TcpStream, target: SocketAddr, mut whole: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}
