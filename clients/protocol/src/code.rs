//! Codes: every number and name that stands for a reason.
//!
//! The names are a contract: they are used on the wire, in documents and in metrics.
//! Each enum is one list, from which [`crate::schema`] is made too.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Defines an enum of codes, with wire names and meanings in one place for serde, for
/// people and for the schema.
macro_rules! names {
    (
        $(#[$doc:meta])*
        $name:ident { $($variant:ident = $wire:literal, $meaning:literal;)+ }
    ) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            Serialize, Deserialize, JsonSchema,
        )]
        pub enum $name {
            $(
                #[doc = $meaning]
                #[serde(rename = $wire)]
                $variant,
            )+
        }

        impl $name {
            /// All codes, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $wire,)+
                }
            }

            /// The meaning, an English sentence.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)+
                }
            }

            /// Returns the code with this name on the wire.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($wire => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

names! {
    /// Reason for closing a socket. On the wire as a number in the close frame and
    /// as a name in `bye`.
    CloseCode {
        Finished = "finished", "The attempt is over and everything is stored.";
        Draining = "draining", "This node is shutting down; connect again at once.";
        FrameTooBig = "frame_too_big", "A frame was bigger than `limits.frame_bytes`.";
        InternalError = "internal_error", "The engine is at fault.";
        Idle = "idle", "The client was silent for 3 heartbeat intervals.";
        RateLimited = "rate_limited", "The client kept sending over the rate after a warning.";
        SlowConsumer = "slow_consumer", "The client reads too slowly.";
        Moved = "moved", "Another node owns the attempt.";
        Overloaded = "overloaded", "The node refuses new work for now.";
        BadMessage = "bad_message", "A frame was not a message of the protocol.";
        Unauthorized = "unauthorized", "The token is missing, invalid or expired.";
        Forbidden = "forbidden", "The token is valid, but the access rules deny it.";
        Superseded = "superseded", "The attempt was opened elsewhere, and that session took over.";
        Closed = "closed", "The attempt can no longer be entered.";
    }
}

impl CloseCode {
    /// The number in the close frame.
    pub const fn number(self) -> u16 {
        match self {
            Self::Finished => 1000,
            Self::Draining => 1001,
            Self::FrameTooBig => 1009,
            Self::InternalError => 1011,
            Self::Idle => 4408,
            Self::RateLimited => 4429,
            Self::SlowConsumer => 4430,
            Self::Moved => 4431,
            Self::Overloaded => 4432,
            Self::BadMessage => 4500,
            Self::Unauthorized => 4501,
            Self::Forbidden => 4503,
            Self::Superseded => 4509,
            Self::Closed => 4510,
        }
    }

    /// Returns the code with this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.number() == number)
    }

    /// Returns the `code` of the preceding `bye`; none for codes without a `bye`.
    pub const fn bye_code(self) -> Option<&'static str> {
        match self {
            Self::FrameTooBig | Self::InternalError => None,
            Self::Finished
            | Self::Draining
            | Self::Idle
            | Self::RateLimited
            | Self::SlowConsumer
            | Self::Moved
            | Self::Overloaded
            | Self::BadMessage
            | Self::Unauthorized
            | Self::Forbidden
            | Self::Superseded
            | Self::Closed => Some(self.as_str()),
        }
    }

    /// True if a client may connect again by itself.
    pub const fn allows_reconnect(self) -> bool {
        may_reconnect(self.number())
    }
}

/// True if a client may connect again by itself after a close frame with this
/// number: below 4500, except 1000, which ends the attempt.
pub const fn may_reconnect(number: u16) -> bool {
    number < 4500 && number != 1000
}

names! {
    /// Reason for a refusal, which is final.
    RefusalCode {
        Gap = "gap", "The number is too high; `detail.expected` was due. It is not used up.";
        NotOpen = "not_open", "The exam has not opened.";
        Conflict = "conflict", "The stored answer is newer: `detail` has its `rev` and `value`.";
        UnknownQuestion = "unknown_question", "The paper has no such question.";
        BadValue = "bad_value", "The value does not fit the question.";
        TooLarge = "too_large", "The value is bigger than `limits.answer_bytes`.";
        Paused = "paused", "The attempt is paused.";
        TimeOver = "time_over", "The time is over.";
        Closed = "closed", "The attempt is handed in or void.";
        Locked = "locked", "The question's section is over, or has not begun.";
    }
}

names! {
    /// Error of a message or request; the socket stays open.
    ErrorCode {
        UnknownMessage = "unknown_message", "There is no message of this type.";
        BadEvent = "bad_event", "The event is malformed and was not recorded.";
        BadCommand = "bad_command", "The command is malformed.";
        Conflict = "conflict", "The command's id was used for another command.";
        Forbidden = "forbidden", "The target does not exist, or the role does not cover it.";
        RateLimited = "rate_limited", "A warning: the client sends too much.";
        Unavailable = "unavailable", "Not possible now; try again later.";
    }
}

names! {
    /// Kind of event that a candidate's client can notice; besides these, any `x-...`.
    EventKind {
        FocusLost = "focus_lost", "The page lost the focus.";
        FocusGained = "focus_gained", "The page has the focus again.";
        PageHidden = "page_hidden", "The page cannot be seen.";
        PageVisible = "page_visible", "The page can be seen again.";
        FullscreenExit = "fullscreen_exit", "The page does not fill the screen any more.";
        Copy = "copy", "Something was copied.";
        Cut = "cut", "Something was cut.";
        Paste = "paste", "Something was pasted.";
        ContextMenu = "context_menu", "The context menu was asked for.";
        Print = "print", "The page was to be printed.";
        Screenshot = "screenshot", "A picture of the screen was taken.";
        Devtools = "devtools", "The browser's developer tools were opened.";
        SecondScreen = "second_screen", "There is a second screen.";
        Offline = "offline", "There was no connection, for `data.ms`; sent after the fact.";
        FaceAbsent = "face_absent", "The camera sees nobody.";
        FaceMultiple = "face_multiple", "The camera sees more than one person.";
        FaceMismatch = "face_mismatch", "The camera sees somebody else.";
        Voice = "voice", "The microphone hears a voice.";
        Phone = "phone", "The camera sees a telephone.";
        VirtualMachine = "virtual_machine", "The client runs in a virtual machine.";
        ScreenShareStopped = "screen_share_stopped", "The screen is not shared any more.";
    }
}

impl EventKind {
    /// Longest name of a custom event, `x-` included.
    pub const NAME_BYTES_MAX: usize = 64;

    /// True if an event may have this name: a known kind, or `x-` and a name.
    pub fn is_allowed(name: &str) -> bool {
        let own = name.len() > 2 && name.len() <= Self::NAME_BYTES_MAX && name.starts_with("x-");
        (own && !name.chars().any(char::is_control)) || Self::from_name(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_of_close_codes_are_unique_and_round_trip() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_number(code.number()), Some(*code));
            assert_eq!(CloseCode::from_name(code.as_str()), Some(*code));
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }

    #[test]
    fn a_client_reconnects_below_4500_but_not_after_the_end() {
        let stay_away: Vec<u16> = CloseCode::ALL
            .iter()
            .filter(|code| !code.allows_reconnect())
            .map(|code| code.number())
            .collect();
        assert_eq!(stay_away, [1000, 4500, 4501, 4503, 4509, 4510]);
        assert!(may_reconnect(1006), "a socket that just broke");
    }

    #[test]
    fn event_names_are_the_known_ones_or_short_ones_of_ones_own() {
        assert!(EventKind::is_allowed("focus_lost"));
        assert!(EventKind::is_allowed("x-mouse"));
        assert!(EventKind::is_allowed(&format!("x-{}", "a".repeat(62))));
        for name in ["", "x-", "mouse", "x-a\0", &format!("x-{}", "a".repeat(63))] {
            assert!(!EventKind::is_allowed(name), "{name:?}");
        }
    }
}
