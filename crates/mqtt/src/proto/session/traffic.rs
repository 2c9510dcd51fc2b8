use super::{Bounds, flight::Flights, outgoing::Outgoing, queue::Queue};

/// What a session has under way.
#[derive(Debug)]
pub(super) struct Traffic<M> {
    pub(super) flights: Flights<M>,
    pub(super) queue: Queue<M>,
    /// Packet identifiers of QoS 2 publications that the client has not released, ascending.
    pub(super) received: Vec<u16>,
}

impl<M: Outgoing> Traffic<M> {
    /// The traffic of a session, made if there is none.
    pub(super) fn of(place: &mut Option<Box<Self>>, bounds: Bounds) -> &mut Self {
        place.get_or_insert_with(|| {
            Box::new(Self { flights: Flights::default(), queue: Queue::new(bounds), received: Vec::new() })
        })
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.flights.len() == 0 && self.queue.len() == 0 && self.received.is_empty()
    }
}
