//! A proctor whose commands get lost on the way and are sent again, also when they were
//! done long ago.

use std::{sync::Arc, time::Duration};

use invigil::domain::person::Role;
use invigil_client::protocol::{
    candidate::NoticeLevel,
    proctor::{ActionName, Args, Command, CommandResult, Target},
};
use tokio::time::{sleep, timeout};

use crate::{
    candidate::person,
    dice::Dice,
    stage::{EXAM, Stage},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Commands until nothing is left that could be commanded.
pub(crate) async fn act(stage: Arc<Stage>, mut dice: Dice) {
    let mut given: Vec<Command> = Vec::new();
    for number in 0.. {
        sleep(Duration::from_millis(2_000 + dice.next() % 8_000)).await;
        let repeat = !given.is_empty() && dice.below(4) == 0;
        let command = if repeat {
            dice.pick(&given).clone()
        } else {
            command(&stage, number, &mut dice)
        };
        for _ in 0..=dice.below(4) {
            stage.count("commands");
            if let Some(result) = give(&stage, &command, &mut dice).await {
                note(&stage, &command, &result);
                break;
            }
            sleep(Duration::from_millis(dice.next() % 1_000)).await;
        }
        given.push(command);
    }
}

fn command(stage: &Stage, number: u64, dice: &mut Dice) -> Command {
    let attempts: Vec<String> = stage.world.oracle(|_, tables| {
        let attempts = tables.attempts.keys();
        attempts.map(ToString::to_string).collect()
    });
    let target = if attempts.is_empty() || dice.below(2) == 0 {
        Target::Exam(EXAM.to_owned())
    } else {
        Target::Attempt(dice.pick(&attempts).clone())
    };
    // More time for a while only, or the exam would never end.
    let (action, args) = if number < 6 && dice.below(2) == 0 {
        let ms = Some(2_000);
        (
            ActionName::Extend,
            Args {
                ms,
                ..Args::default()
            },
        )
    } else {
        let args = Args {
            text: Some("Please read question 2 again.".to_owned()),
            level: Some(NoticeLevel::Info),
            ack: Some(false),
            ..Args::default()
        };
        (ActionName::Message, args)
    };
    Command {
        id: format!("command-{number}"),
        target,
        action,
        args,
    }
}

/// None: nothing is known of it.
async fn give(stage: &Arc<Stage>, command: &Command, dice: &mut Dice) -> Option<CommandResult> {
    let node = stage.pick(dice)?;
    let command = command.clone();
    let doing = tokio::spawn(async move {
        node.switch.is_on().await;
        let pat = person("pat", Role::Proctor);
        let result = node.engine.command(&pat, &|_| true, command, &|_| ()).await;
        node.switch.is_on().await;
        result
    });
    timeout(PATIENCE, doing).await.ok()?.unwrap().ok()
}

fn note(stage: &Stage, command: &Command, result: &CommandResult) {
    let Target::Attempt(attempt) = &command.target else {
        return;
    };
    if result.done == 1 {
        let attempt = attempt.parse().unwrap();
        stage
            .world
            .oracle(|oracle, _| oracle.done(attempt, &command.id));
    }
}
