//! jq programs over messages, that cannot take the process down with them.
//!
//! The language is that of the `jaq` crates. Around it stands what a gateway needs: a program is compiled once and
//! its faults are named with line and column; a run is bounded in steps, processor time, depth of recursion and
//! size of values; programs run on threads of their own ([`submit`]), with a stack that deep values fit on, and a thread
//! that does not come back is given up ([`Ticket::abandon`]).
//!
//! A program sees nothing of the process: no environment, no files, no modules, no `halt`, and `debug` writes nothing.
//!
//! How a run is stopped: the interpreter asks for its table of terms before each term that it evaluates. Our table counts that
//! as a step, and once the budget is spent it unwinds the thread's stack up to the run's beginning (`Budget`).

mod budget;
mod compile;
mod natives;
mod pool;
mod program;
mod rewrite;
mod value;

pub use budget::{Limits, Overrun};
pub use compile::CompileError;
pub use pool::{NoWorker, NotDone, PATIENCE, Ticket, Worker, submit, wait_for};
pub use program::{Program, RunError};
pub use value::{Input, Output};

#[cfg(test)]
mod tests;
