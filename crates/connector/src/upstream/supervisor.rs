//! The one place where connections are tried again.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::sync::watch;

use super::{
    contract::{ClientSide, EndKind, Ended},
    port::Port,
    status::State,
};
use crate::backoff::{Backoff, BackoffConfig};

/// How long a client side may take to say goodbye before it is cut off.
const GOODBYE: Duration = Duration::from_secs(3);

/// What an operator wants of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Run,
    Pause,
    Drain,
    Stop,
}

/// The order in force. `kick` changes when a refused upstream is to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Orders {
    pub(super) order: Order,
    pub(super) kick: u64,
}

/// Runs attempt after attempt until it is told to stop, or nobody holds the handle any more.
pub(super) async fn supervise<C: ClientSide>(mut client: C, mut port: Port, config: BackoffConfig) {
    let mut orders = port.orders.clone();
    let mut backoff = Backoff::new(config);
    let mut kick = orders.borrow().kick;
    while may_run(&mut orders, &port).await {
        let kicked = std::mem::replace(&mut kick, orders.borrow().kick) != kick;
        if kicked {
            backoff.reset();
        }
        port.board.set(State::Connecting, &"".into());
        let ended = attempt(&mut client, &mut port, &mut orders.clone()).await;
        let lasted = port.ended(ended.reason());
        match ended.kind() {
            EndKind::Asked if orders.borrow().order != Order::Run => backoff.reset(),
            EndKind::Refused => {
                port.board.set(State::Refused, ended.reason());
                changed(&mut orders).await;
            }
            EndKind::Asked | EndKind::Lost => {
                port.board.set(State::Down, ended.reason());
                backoff.connected_for(lasted);
                let pause = backoff.delay(fastrand::f64()).max(ended.not_before());
                tracing::debug!(upstream = %port.upstream, ?pause, "next attempt after a pause");
                wait(&mut orders, pause).await;
            }
        }
    }
    port.board.set(State::Stopped, &"stopped".into());
}

/// Waits while the upstream is paused; false once it is to stop.
async fn may_run(orders: &mut watch::Receiver<Orders>, port: &Port) -> bool {
    loop {
        let order = orders.borrow_and_update().order;
        match order {
            Order::Run => return orders.has_changed().is_ok(),
            Order::Drain if port.outlet.queue.depth(std::time::Instant::now()).messages > 0 => {
                return orders.has_changed().is_ok();
            }
            Order::Drain | Order::Stop => return false,
            Order::Pause => port.board.set(State::Paused, &"paused".into()),
        }
        if orders.changed().await.is_err() {
            return false;
        }
    }
}

async fn changed(orders: &mut watch::Receiver<Orders>) {
    // An error means that the handle is gone, which the caller sees next.
    let _ = orders.changed().await;
}

async fn wait(orders: &mut watch::Receiver<Orders>, pause: Duration) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = changed(orders) => {}
    }
}

/// One attempt. A panic in a client side is a failed attempt, not the end of the upstream.
async fn attempt<C: ClientSide>(client: &mut C, port: &mut Port, orders: &mut watch::Receiver<Orders>) -> Ended {
    let upstream = port.upstream.clone();
    let guarded = AssertUnwindSafe(client.attempt(port)).catch_unwind();
    tokio::select! {
        ended = guarded => ended.unwrap_or_else(|panic| panicked(&upstream, &*panic)),
        () = overdue(orders) => Ended::asked(),
    }
}

/// Resolves some time after the attempt was told to end.
async fn overdue(orders: &mut watch::Receiver<Orders>) {
    let told = |orders: &Orders| matches!(orders.order, Order::Pause | Order::Stop);
    let _ = orders.wait_for(told).await;
    tokio::time::sleep(GOODBYE).await;
}

fn panicked(upstream: &Arc<str>, panic: &(dyn std::any::Any + Send)) -> Ended {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(%upstream, panic = text.unwrap_or("unknown"), "a client side panicked");
    Ended::lost("internal error")
}
