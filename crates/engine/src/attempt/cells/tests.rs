//! Cells that come and go with their callers.

use futures_util::FutureExt;
use tokio::sync::mpsc;

use super::*;
use crate::attempt::mailbox::ActorMessage;

const ONE: AttemptId = AttemptId(1);

/// A running actor's handle; it is closed with the receiver.
fn running() -> (ActorHandle, mpsc::Receiver<ActorMessage>) {
    let (sender, mailbox) = mpsc::channel(1);
    (ActorHandle::new(sender), mailbox)
}

fn fill(caller: &CellCaller<'_>, handle: &ActorHandle) {
    caller.handle().set(handle.clone()).unwrap();
}

#[test]
fn an_empty_cell_goes_with_its_last_caller() {
    let cells = ActorCells::default();
    let (first, second) = (cells.join(ONE), cells.join(ONE));
    drop(first);
    assert_eq!(cells.attempts(), [ONE], "the second one may still fill it");
    let (handle, _mailbox) = running();
    fill(&second, &handle);
    drop(second);
    assert!(cells.find(ONE).is_some_and(|it| it.same_actor(&handle)));
    let cells = ActorCells::default();
    drop((cells.join(ONE), cells.join(ONE)));
    assert_eq!(cells.attempts(), []);
}

#[test]
fn callers_that_only_look_make_no_cell() {
    let cells = ActorCells::default();
    assert!(cells.join_existing(ONE).is_none());
    assert!(cells.find(ONE).is_none());
    let loading = cells.join(ONE);
    let waiting = cells.join_existing(ONE).unwrap();
    assert!(cells.find(ONE).is_none(), "not there yet");
    drop(waiting);
    assert_eq!(cells.attempts(), [ONE]);
    drop(loading);
    assert_eq!(cells.attempts(), []);
}

#[test]
fn a_cancelled_load_leaves_no_cell() {
    let cells = ActorCells::default();
    let load = async {
        let caller = cells.join(ONE);
        let never = std::future::pending::<Result<ActorHandle, ()>>;
        caller.handle().get_or_try_init(never).await.ok();
    };
    let mut load = Box::pin(load);
    assert!(load.as_mut().now_or_never().is_none());
    assert_eq!(cells.attempts(), [ONE]);
    drop(load);
    assert_eq!(cells.attempts(), []);
}

#[test]
fn an_actor_that_has_ended_makes_room_for_the_next() {
    let cells = ActorCells::default();
    let (handle, mailbox) = running();
    let caller = cells.join(ONE);
    fill(&caller, &handle);
    drop(caller);
    let (early, late) = (cells.join(ONE), cells.join(ONE));
    drop(mailbox);
    assert!(cells.find(ONE).is_none());
    // The first caller that sees it removes the cell, whoever else has it.
    drop(early);
    let next = cells.join(ONE);
    let (handle, _mailbox) = running();
    fill(&next, &handle);
    drop(late);
    assert!(cells.find(ONE).is_some());
}

#[test]
fn an_actor_removes_its_own_cell_only() {
    let cells = ActorCells::default();
    let (old, _mailbox) = running();
    let caller = cells.join(ONE);
    fill(&caller, &old);
    let cell = caller.downgrade();
    drop(caller);
    cells.remove(ONE, &cell);
    assert_eq!(cells.attempts(), []);
    let (new, _mailbox) = running();
    fill(&cells.join(ONE), &new);
    cells.remove(ONE, &cell);
    assert_eq!(cells.handles().len(), 1);
}
