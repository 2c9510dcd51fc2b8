//! A compiled program, and a run of it.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use jaq_core::{Ctx, Exn, Filter, Vars};
use jaq_json::Val;

use super::{
    budget::{Bounded, Budget, Limits, Meter, Overrun},
    compile::{CompileError, compile},
    natives::shown,
    pool::{self, Worker},
    value::{self, Input, Output},
};

/// So much of an error is told, in bytes.
const READABLE: usize = 200;

/// Why a run has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The program raised an error.
    #[error("{0}")]
    Raised(String),
    /// A bound was hit.
    #[error("{0}")]
    Overrun(Overrun),
    /// What it yields is too much, or cannot be written.
    #[error("{0}")]
    Output(String),
    /// What it was given cannot be read.
    #[error("the payload cannot be read: {0}")]
    Input(String),
    /// A fault of the interpreter.
    #[error("the interpreter failed")]
    Internal,
}

/// A compiled program. Cloning shares it; two are equal when their texts are.
#[derive(Clone)]
pub struct Program(Arc<Inner>);

struct Inner {
    code: String,
    filter: Filter<Bounded>,
    limits: Limits,
}

impl Program {
    /// Compiles. `variables` are the names, with their `$`, of values that each run gives.
    ///
    /// # Errors
    /// What is wrong with the text, with line and column.
    pub fn compile(code: &str, variables: &[&str], limits: Limits) -> Result<Self, CompileError> {
        // Reading recurses with the text.
        let filter = pool::on_deep_stack(|| compile(code, variables));
        let filter = filter.unwrap_or_else(|| {
            Err(CompileError { line: 1, column: 1, problem: "there is no thread to compile the program on".to_owned() })
        })?;
        Ok(Self(Arc::new(Inner { code: code.to_owned(), filter, limits })))
    }

    /// The text it was compiled from.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// Runs it: all that it yields, or nothing and why. `variables` are in the order of [`Program::compile`].
    ///
    /// # Errors
    /// The program failed, or hit a bound.
    pub fn run(&self, worker: &Worker, input: Input<'_>, variables: &[Input<'_>]) -> Result<Vec<Output>, RunError> {
        let (mut outputs, limits) = (Vec::new(), &self.0.limits);
        let mut room = limits.bytes;
        self.each(worker, input, variables, |value| {
            if outputs.len() >= limits.outputs {
                return Err(RunError::Output(format!("it makes more than {} messages of one", limits.outputs)));
            }
            let output = value::output(value, room).map_err(RunError::Output)?;
            room = room.saturating_sub(output.len());
            outputs.push(output);
            Ok(true)
        })?;
        Ok(outputs)
    }

    /// Whether it yields anything but `null` and `false`.
    ///
    /// # Errors
    /// The program failed, or hit a bound, before it said so.
    pub fn holds(&self, worker: &Worker, input: Input<'_>, variables: &[Input<'_>]) -> Result<bool, RunError> {
        let mut holds = false;
        self.each(worker, input, variables, |value| {
            holds = !matches!(value, Val::Null | Val::Bool(false));
            Ok(!holds)
        })?;
        Ok(holds)
    }

    /// Calls `take` with every value until it has enough.
    fn each(
        &self,
        worker: &Worker,
        input: Input<'_>,
        variables: &[Input<'_>],
        take: impl FnMut(Val) -> Result<bool, RunError>,
    ) -> Result<(), RunError> {
        let budget = Budget::new(&self.0.limits);
        let ran = catch_unwind(AssertUnwindSafe(|| self.evaluate(&budget, input, variables, take)));
        worker.used(budget.deepest(), ran.is_err());
        ran.unwrap_or_else(|payload| Err(stopped(&*payload)))
    }

    fn evaluate(
        &self,
        budget: &Budget,
        input: Input<'_>,
        variables: &[Input<'_>],
        mut take: impl FnMut(Val) -> Result<bool, RunError>,
    ) -> Result<(), RunError> {
        let input = input.value().map_err(RunError::Input)?;
        let variables = variables.iter().map(|variable| variable.value());
        let variables: Vec<Val> = variables.collect::<Result<_, _>>().map_err(RunError::Input)?;
        let filter = &self.0.filter;
        let meter = Meter { lut: &filter.lut, budget };
        let context = Ctx::<Bounded>::new(meter, Vars::new(variables));
        for result in filter.id.run((context, input)) {
            if !take(result.map_err(raised)?)? {
                break;
            }
        }
        Ok(())
    }
}

fn raised(exception: Exn<'_, Val>) -> RunError {
    match exception.get_err() {
        Ok(error) => {
            let text = shown(&error, READABLE);
            // `error("text")` says the text.
            RunError::Raised(serde_json::from_str(&text).unwrap_or(text))
        }
        Err(_) => RunError::Internal,
    }
}

fn stopped(payload: &(dyn Any + Send)) -> RunError {
    payload.downcast_ref::<Overrun>().map_or(RunError::Internal, |overrun| RunError::Overrun(*overrun))
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.0.code == other.0.code
    }
}

impl Eq for Program {}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Program({:?})", self.0.code)
    }
}
