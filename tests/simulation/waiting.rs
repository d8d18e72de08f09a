//! A single attempt, step by step: an actor that waits for the store must not loop.

use std::{sync::Arc, time::Duration};

use invigil_client::protocol::{
    candidate::NoticePriority,
    proctor::{ActionName, CommandArgs, CommandTarget, ProctorCommand},
};
use invigil_domain::person::PersonRole;
use tokio::time::{sleep, timeout};

use crate::{
    candidate::{ADDRESS, new_device, person},
    dice::Dice,
    network::Network,
    node::Node,
    stage::EXAM,
    variant::Variant,
    world::World,
};

/// A connection ends without anything to save. Long after that, a command that was done is
/// sent again, and waits for one more commit. Once the rest is durable, only that wait
/// keeps the actor. On a clock that stands still while anything runs, an actor that checks
/// in a loop never ends. Returns true if the command was done before.
pub(crate) async fn idle_and_asked_again(seed: u64) -> bool {
    let mut dice = Dice::new(seed);
    let world = Arc::new(World::new(Variant::Plain, None));
    let network = Network::new(dice.fork());
    network.calm_down();
    let node = Node::start("one", &world, &network, dice.fork()).await;
    let ann = person("ann", PersonRole::Candidate);
    let started = node
        .engine
        .start_attempt(&ann, &EXAM.into(), None, ADDRESS)
        .await;
    let attempt = started.unwrap().identity.id;
    let (handle, opened) = node
        .engine
        .connect_candidate(attempt, new_device(&node))
        .await
        .unwrap();
    let command = ProctorCommand {
        id: "again".to_owned(),
        target: CommandTarget::Attempt(attempt.to_string()),
        action: ActionName::Message,
        args: CommandArgs {
            text: Some("Please read question 2 again.".to_owned()),
            level: Some(NoticePriority::Info),
            ack: Some(false),
            ..CommandArgs::default()
        },
    };
    // Now and then the command is done and not noted: then it comes to the actor again.
    let patience = Duration::from_millis(dice.next() % 40);
    let first = timeout(patience, give(&node, &command)).await;
    sleep(Duration::from_secs(1)).await;
    let done = world.oracle(|_, tables| {
        let mut timeline = tables.attempts[&attempt].timeline.values();
        timeline.any(|entry| entry.kind == "notice")
    });

    network.set_store_slow(4_000);
    let again = tokio::spawn({
        let node = node.clone();
        async move { give(&node, &command).await }
    });
    sleep(Duration::from_millis(dice.next() % 8_000)).await;
    handle.report_disconnect(opened.connection).await;
    again.await.unwrap();
    first.is_err() && done
}

async fn give(node: &Node, command: &ProctorCommand) {
    let pat = person("pat", PersonRole::Proctor);
    let result = node
        .engine
        .run_command(&pat, &|_| true, command.clone(), &|_| ());
    assert_eq!(result.await.unwrap().failed, []);
}
