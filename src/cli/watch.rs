//! `invigil watch`: a proctor's console in a terminal, for servers without a
//! browser, and for scripts.
//!
//! Commands are typed as lines: `pause 3 fire alarm`, `extend * 10`. On a
//! terminal the board is drawn anew when it changes; with `--plain`, or where
//! the output is no terminal, every message is one line of JSON.

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
    Client, Console, Heard,
    protocol::proctor::{ConsoleMessage, ProctorMessage, Watch},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines, Stdin, stdin},
    time::{MissedTickBehavior, interval},
};

use self::{
    board::Board,
    order::{Order, Wanted},
};

/// How often the board is drawn at most.
const DRAW_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Code of the exam
    #[arg(long, value_name = "CODE")]
    exam: String,
    /// Address of the engine
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// Who watches: the id of a proctor
    #[arg(long, value_name = "ID")]
    user: String,
    /// The access code; asked for where it is not given
    #[arg(
        long,
        value_name = "CODE",
        env = "INVIGIL_CODE",
        hide_env_values = true
    )]
    code: Option<String>,
    /// One line of JSON for every message, no drawing
    #[arg(long)]
    plain: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut lines = BufReader::new(stdin()).lines();
    let code = match args.code {
        Some(code) => code,
        None => ask(&mut lines).await?,
    };
    let client = Client::login(&args.server, &args.user, code.trim())
        .await
        .with_context(|| format!("cannot sign in at {}", args.server))?;
    let console = Console::open(client.base(), client.token());
    let exam = args.exam.clone();
    console.say(ProctorMessage::Watch(Watch { exam })).await;
    let mut session = Session {
        console,
        board: Board::new(args.exam),
        drawn: !args.plain && stdout().is_terminal(),
        changed: true,
    };
    let mut draw = interval(DRAW_INTERVAL);
    draw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut typing = true;
    loop {
        tokio::select! {
            heard = session.console.next() => match heard {
                Some(heard) => session.hear(heard)?,
                None => return Ok(ExitCode::SUCCESS),
            },
            line = lines.next_line(), if typing => match line.context("read a command")? {
                Some(line) => if session.obey(&line).await? {
                    return Ok(ExitCode::SUCCESS);
                },
                // Nobody types: whoever wants the board still gets it.
                None => typing = false,
            },
            _ = draw.tick() => session.draw()?,
        }
    }
}

async fn ask(lines: &mut Lines<BufReader<Stdin>>) -> anyhow::Result<String> {
    super::print("access code: ")?;
    let line = lines.next_line().await.context("read the access code")?;
    line.context("no access code")
}

struct Session {
    console: Console,
    board: Board,
    drawn: bool,
    changed: bool,
}

impl Session {
    fn hear(&mut self, heard: Heard) -> anyhow::Result<()> {
        match heard {
            Heard::Message(message) => {
                if !self.drawn {
                    let line = serde_json::to_string(&*message).context("write a message")?;
                    super::print(&format!("{line}\n"))?;
                }
                if let ConsoleMessage::Error(error) = &*message
                    && error.code.as_str() == "forbidden"
                    && !self.board.is_there()
                {
                    bail!(
                        "{}: no such exam, or it is not yours to watch",
                        self.board.exam()
                    );
                }
                self.board.apply(*message);
            }
            Heard::Lost => self.board.lost(),
            Heard::Ended(code) => bail!("the engine closed the console with {code}"),
        }
        self.changed = true;
        Ok(())
    }

    /// Does what was typed. True: enough.
    async fn obey(&mut self, line: &str) -> anyhow::Result<bool> {
        self.changed = true;
        match order::parse(line, &self.board) {
            Ok(Order::Nothing) => {}
            Ok(Order::Quit) => return Ok(true),
            Ok(Order::Help) => self.board.note(order::HELP),
            Ok(Order::Confirm(wanted)) => {
                self.board
                    .note(&format!("type `yes` to {}", wanted.summary()));
                self.board.confirm(wanted);
            }
            Ok(Order::Yes) => match self.board.take_confirmed() {
                Some(wanted) => self.say(wanted).await,
                None => self.board.note("there is nothing to confirm"),
            },
            Ok(Order::Do(wanted)) => self.say(wanted).await,
            Err(fault) if self.drawn => self.board.note(&fault),
            Err(fault) => {
                let fault = serde_json::json!({ "t": "fault", "detail": fault });
                super::print(&format!("{fault}\n"))?;
            }
        }
        Ok(false)
    }

    async fn say(&mut self, wanted: Wanted) {
        self.board.note(&wanted.summary());
        if !self.console.say(wanted.message).await {
            self.board.note("the console has ended");
        }
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        if self.drawn && std::mem::take(&mut self.changed) {
            super::print(&screen::draw(&self.board))?;
        }
        Ok(())
    }
}
