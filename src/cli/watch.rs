//! `invigil watch`: a proctor's console in a terminal, for machines without a
//! browser and for scripts.
//!
//! Commands are typed as lines: `pause 3 fire alarm`, `extend * 10`. A terminal
//! shows the board and redraws it on changes; with `--plain`, or without a
//! terminal, each message is one line of JSON.

mod board;
mod order;
mod screen;

use std::{
    io::{IsTerminal as _, stdout},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use invigil_client::{
    ApiClient, ConsoleClient, ConsoleUpdate,
    protocol::proctor::{ProctorClientMessage, ProctorServerMessage, WatchRequest},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines, Stdin, stdin},
    time::{MissedTickBehavior, interval},
};

use self::{
    board::TerminalBoard,
    order::{InputAction, TypedMessage},
};

/// Least time between two drawings of the board.
const DRAW_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Code of the exam
    #[arg(long, value_name = "CODE")]
    exam: String,
    /// Address of the engine
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// Id of the proctor
    #[arg(long, value_name = "ID")]
    user: String,
    /// Access code; without it, the terminal asks for it
    #[arg(
        long,
        value_name = "CODE",
        env = "INVIGIL_CODE",
        hide_env_values = true
    )]
    code: Option<String>,
    /// Print each message as a line of JSON, without the board
    #[arg(long)]
    plain: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut lines = BufReader::new(stdin()).lines();
    let code = match args.code {
        Some(code) => code,
        None => ask_access_code(&mut lines).await?,
    };
    let client = ApiClient::sign_in(&args.server, &args.user, code.trim())
        .await
        .with_context(|| format!("cannot sign in at {}", args.server))?;
    let console = ConsoleClient::open(client.base_url(), client.token());
    let exam = args.exam.clone();
    console
        .send_message(ProctorClientMessage::Watch(WatchRequest { exam }))
        .await;
    let mut session = TerminalConsole {
        console,
        board: TerminalBoard::new(args.exam),
        drawn: !args.plain && stdout().is_terminal(),
        changed: true,
    };
    let mut draw = interval(DRAW_INTERVAL);
    draw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut typing = true;
    loop {
        tokio::select! {
            heard = session.console.next_update() => match heard {
                Some(heard) => session.handle_heard(heard)?,
                None => return Ok(ExitCode::SUCCESS),
            },
            line = lines.next_line(), if typing => match line.context("read a command")? {
                Some(line) => if session.run_line(&line).await? {
                    return Ok(ExitCode::SUCCESS);
                },
                // Standard input has ended; the board is still shown.
                None => typing = false,
            },
            _ = draw.tick() => session.draw_if_changed()?,
        }
    }
}

async fn ask_access_code(lines: &mut Lines<BufReader<Stdin>>) -> anyhow::Result<String> {
    super::print_text("access code: ")?;
    let line = lines.next_line().await.context("read the access code")?;
    line.context("standard input has no access code")
}

struct TerminalConsole {
    console: ConsoleClient,
    board: TerminalBoard,
    drawn: bool,
    changed: bool,
}

impl TerminalConsole {
    fn handle_heard(&mut self, heard: ConsoleUpdate) -> anyhow::Result<()> {
        match heard {
            ConsoleUpdate::Message(message) => {
                if !self.drawn {
                    let line = serde_json::to_string(&*message).context("write a message")?;
                    super::print_text(&format!("{line}\n"))?;
                }
                if let ProctorServerMessage::Error(error) = &*message
                    && error.code.as_str() == "forbidden"
                    && !self.board.is_loaded()
                {
                    bail!("there is no exam {} that you may watch", self.board.exam());
                }
                self.board.apply_message(*message);
            }
            ConsoleUpdate::Lost => self.board.mark_disconnected(),
            ConsoleUpdate::Ended(code) => bail!("the engine closed the console with {code}"),
        }
        self.changed = true;
        Ok(())
    }

    /// Runs a typed line; returns true to quit.
    async fn run_line(&mut self, line: &str) -> anyhow::Result<bool> {
        self.changed = true;
        match order::parse_line(line, &self.board) {
            Ok(InputAction::Empty) => {}
            Ok(InputAction::Quit) => return Ok(true),
            Ok(InputAction::Help) => self.board.add_to_log(order::HELP),
            Ok(InputAction::Confirm(wanted)) => {
                self.board
                    .add_to_log(&format!("type `yes` to {}", wanted.summary()));
                self.board.hold_for_confirmation(wanted);
            }
            Ok(InputAction::Yes) => match self.board.take_confirmed() {
                Some(wanted) => self.send_typed(wanted).await,
                None => self.board.add_to_log("no command waits for `yes`"),
            },
            Ok(InputAction::Send(wanted)) => self.send_typed(wanted).await,
            Err(fault) if self.drawn => self.board.add_to_log(&fault),
            Err(fault) => {
                let fault = serde_json::json!({ "t": "fault", "detail": fault });
                super::print_text(&format!("{fault}\n"))?;
            }
        }
        Ok(false)
    }

    async fn send_typed(&mut self, wanted: TypedMessage) {
        self.board.add_to_log(&wanted.summary());
        if !self.console.send_message(wanted.message).await {
            self.board.add_to_log("the console has ended");
        }
    }

    fn draw_if_changed(&mut self) -> anyhow::Result<()> {
        if self.drawn && std::mem::take(&mut self.changed) {
            super::print_text(&screen::render_board(&self.board))?;
        }
        Ok(())
    }
}
