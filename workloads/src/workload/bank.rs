//! `bank`: money moves between accounts, and whoever reads them all finds the same total.
//!
//! A transfer is one transaction of two increments, `["inc",a,-x]` and `["inc",b,x]`; a read is one
//! transaction of a read of every account. Where transactions are atomic and their reads share one
//! moment every total is [`TOTAL`]. An increment cannot look before it takes, so balances may
//! become negative: the total is what counts. A transfer of unknown outcome changes no total.
//!
//! The first transaction opens the accounts, and nothing else happens before it is known to have
//! succeeded. Should nobody know, other accounts are opened and the first are never looked at.

use history::{EventKind, MicroOp};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Needs, Settings, Workload, no_labels};
use crate::generator::{Completion, GenContext, GenOp, Generator, Next};
use crate::rng::{Stream, stream};

/// Accounts of a bank: as many as one final read takes, so that it shows a total.
pub const ACCOUNTS: i64 = 8;
/// What each account holds at first.
const OPENING_BALANCE: i64 = 100;
/// What all accounts hold together at any moment.
pub const TOTAL: i64 = ACCOUNTS * OPENING_BALANCE;
/// The largest transfer.
const TRANSFER_MAX: i64 = 5;

/// See the module's doc.
pub static BANK: Workload = Workload {
    name: "bank",
    summary: "transfers between accounts, and reads of all of them: the total never changes",
    checkers: &["bank"],
    needs: Needs { micro_ops: &["r", "inc"], atomic_over: "everything" },
    generator,
    labels: no_labels,
};

fn generator(settings: &Settings) -> Box<dyn Generator> {
    Box::new(Bank { first: 0, state: State::Closed, rng: stream(settings.seed, Stream::Generator) })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The accounts are to be opened.
    Closed,
    /// Somebody is at it.
    Opening,
    /// They are open.
    Open,
}

struct Bank {
    /// The key of the first account; the others follow.
    first: i64,
    state: State,
    rng: ChaCha8Rng,
}

impl Generator for Bank {
    fn next(&mut self, context: &GenContext<'_>) -> Next {
        let Some(&session) = context.free.first() else {
            return Next::Pending;
        };
        let mops = match self.state {
            State::Opening => return Next::Pending,
            State::Closed => {
                self.state = State::Opening;
                self.accounts().map(|key| inc(key, OPENING_BALANCE)).collect()
            }
            State::Open if self.rng.random_bool(0.5) => {
                self.accounts().map(MicroOp::read).collect()
            }
            State::Open => self.transfer(),
        };
        Next::Op(GenOp { session, mops, final_on: None })
    }

    fn update(&mut self, completion: &Completion<'_>) {
        if self.state != State::Opening || completion.final_on.is_some() {
            return;
        }
        self.state = match completion.status {
            EventKind::Ok => State::Open,
            EventKind::Fail => State::Closed,
            _ => {
                self.first += ACCOUNTS;
                State::Closed
            }
        };
    }
}

fn inc(key: i64, delta: i64) -> MicroOp {
    MicroOp::Inc { key: key.into(), delta }
}

impl Bank {
    fn accounts(&self) -> std::ops::Range<i64> {
        self.first..self.first + ACCOUNTS
    }

    fn transfer(&mut self) -> Vec<MicroOp> {
        let from = self.rng.random_range(0..ACCOUNTS);
        let to = (from + self.rng.random_range(1..ACCOUNTS)) % ACCOUNTS;
        let amount = self.rng.random_range(1..=TRANSFER_MAX);
        vec![inc(self.first + from, -amount), inc(self.first + to, amount)]
    }
}
