//! A proctor whose commands get lost on the way and are sent again, also long after they
//! were done.

use std::{sync::Arc, time::Duration};

use invigil_client::protocol::{
    candidate::NoticePriority,
    proctor::{ActionName, CommandArgs, CommandResult, CommandTarget, ProctorCommand},
};
use invigil_domain::{attempt::LifecycleStatus, id::AttemptId, person::PersonRole};
use tokio::time::{sleep, timeout};

use crate::{
    candidate::person,
    dice::Dice,
    stage::{EXAM, Stage},
};

const PAT: &str = "pat";

const PATIENCE: Duration = Duration::from_secs(20);

/// Sends commands until no attempt is left to command.
pub(crate) async fn act(stage: Arc<Stage>, mut dice: Dice) {
    let mut given: Vec<ProctorCommand> = Vec::new();
    for number in 0.. {
        // A candidate who waits for help after the faults does not wait long.
        let most_ms = if stage.network.is_calm() {
            1_000
        } else {
            8_000
        };
        sleep(Duration::from_millis(2_000 + dice.next() % most_ms)).await;
        let repeat = !given.is_empty() && dice.below(4) == 0;
        let locked_out = stage.locked_out();
        let command = if repeat {
            dice.pick(&given).clone()
        } else if !locked_out.is_empty() {
            release(&locked_out, number)
        } else {
            command(&stage, number, &mut dice)
        };
        for _ in 0..=dice.below(4) {
            stage.count(match command.action {
                ActionName::Extend => "commands to extend",
                ActionName::Pause => "commands to pause",
                ActionName::Resume => "commands to resume",
                ActionName::Release => "commands to release",
                ActionName::Message
                | ActionName::Submit
                | ActionName::Cancel
                | ActionName::Flag
                | ActionName::Unflag
                | ActionName::Resolve
                | ActionName::Assign => "commands with a message",
            });
            if let Some(result) = give(&stage, &command, &mut dice).await {
                note(&stage, &command, &result);
                break;
            }
            sleep(Duration::from_millis(dice.next() % 1_000)).await;
        }
        given.push(command);
    }
}

fn command(stage: &Stage, number: u64, dice: &mut Dice) -> ProctorCommand {
    let (attempts, paused) = stage.world.oracle(|_, tables| {
        let rows = tables.attempts.iter();
        let paused = rows.filter(|(_, row)| row.control.status == LifecycleStatus::Paused);
        let paused: Vec<AttemptId> = paused.map(|(id, _)| *id).collect();
        let attempts = tables.attempts.keys().map(ToString::to_string);
        (attempts.collect::<Vec<_>>(), paused)
    });
    let mut target = if attempts.is_empty() || dice.below(2) == 0 {
        CommandTarget::Exam(EXAM.to_owned())
    } else {
        CommandTarget::Attempt(dice.pick(&attempts).clone())
    };
    // Extensions and pauses come for a while only, or the exam would never end.
    let (action, args) = match dice.below(4) {
        _ if !paused.is_empty() && (number >= 6 || dice.below(2) == 0) => {
            // The board shows the paused attempts.
            if dice.below(2) == 0 {
                target = CommandTarget::Attempt(dice.pick(&paused).to_string());
            }
            (ActionName::Resume, CommandArgs::default())
        }
        0 if number < 6 => {
            let ms = Some(2_000);
            (
                ActionName::Extend,
                CommandArgs {
                    ms,
                    ..CommandArgs::default()
                },
            )
        }
        1 if number < 6 => (ActionName::Pause, CommandArgs::default()),
        _ => {
            let args = CommandArgs {
                text: Some("Please read question 2 again.".to_owned()),
                level: Some(NoticePriority::Info),
                ack: Some(false),
                ..CommandArgs::default()
            };
            (ActionName::Message, args)
        }
    };
    ProctorCommand {
        id: format!("command-{number}"),
        target,
        action,
        args,
    }
}

/// Lets candidates in that were refused for a second device.
fn release(attempts: &[AttemptId], number: u64) -> ProctorCommand {
    ProctorCommand {
        id: format!("command-{number}"),
        target: CommandTarget::Attempts(attempts.iter().map(ToString::to_string).collect()),
        action: ActionName::Release,
        args: CommandArgs::default(),
    }
}

/// Sends a command; returns none if nothing is known of its result.
async fn give(
    stage: &Arc<Stage>,
    command: &ProctorCommand,
    dice: &mut Dice,
) -> Option<CommandResult> {
    let node = stage.pick(dice)?;
    let command = command.clone();
    let doing = tokio::spawn(async move {
        node.switch.is_on().await;
        let pat = person(PAT, PersonRole::Proctor);
        let result = node
            .engine
            .run_command(&pat, &|_| true, command, &|_| ())
            .await;
        node.switch.is_on().await;
        result
    });
    timeout(PATIENCE, doing).await.ok()?.unwrap().ok()
}

/// Notes a command as done to every target that is not named as failed.
fn note(stage: &Stage, command: &ProctorCommand, result: &CommandResult) {
    stage.world.oracle(|oracle, tables| {
        let targets = match &command.target {
            CommandTarget::Attempt(attempt) => vec![attempt.parse().unwrap()],
            CommandTarget::Attempts(attempts) => {
                attempts.iter().map(|id| id.parse().unwrap()).collect()
            }
            CommandTarget::Exam(_) => tables.targets(&PAT.into(), &command.id),
        };
        for attempt in targets {
            let name = attempt.to_string();
            if !result.failed.iter().any(|failed| failed.attempt == name) {
                oracle.done(attempt, &command.id);
            }
        }
    });
}
