//! Enums whose variants have the same name on the wire, in files and in the stores.

/// Gives an enum of unit variants `ALL`, `NAMES`, `as_str` and `from_name`.
macro_rules! named {
    ($type:ident { $($variant:ident = $name:literal),+ $(,)? }) => {
        impl $type {
            /// All variants, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// All names, in the order of [`Self::ALL`].
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// The name in files, on the wire and in the stores.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            /// Returns the variant with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == name)
            }
        }
    };
}

pub(crate) use named;
