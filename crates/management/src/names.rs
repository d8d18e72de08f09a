//! Enums that are texts in columns and on the wire.

/// Declares an enum with a name for each variant: `as_str`, `from_name`, `from_field`,
/// serde and columns of type `text`. An unknown name in a column is an error.
macro_rules! named_column {
    (
        $(#[$doc:meta])*
        $type:ident { $($(#[$about:meta])* $variant:ident = $name:literal),+ $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $type {
            $($(#[$about])* #[serde(rename = $name)] $variant),+
        }

        impl $type {
            /// Returns the name in columns and on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            /// Returns the variant with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// Returns the variant that a field of a request names.
            ///
            /// # Errors
            /// [`ManagementError::Invalid`](crate::ManagementError::Invalid), as the database
            /// reports a value outside a column's list.
            pub fn from_field(field: &str, name: &str) -> Result<Self, $crate::ManagementError> {
                Self::from_name(name).ok_or_else(|| {
                    $crate::ManagementError::invalid_field(field, "is not allowed")
                })
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl sqlx::Type<sqlx::Postgres> for $type {
            fn type_info() -> sqlx::postgres::PgTypeInfo {
                <str as sqlx::Type<sqlx::Postgres>>::type_info()
            }

            fn compatible(info: &sqlx::postgres::PgTypeInfo) -> bool {
                <str as sqlx::Type<sqlx::Postgres>>::compatible(info)
            }
        }

        impl sqlx::postgres::PgHasArrayType for $type {
            fn array_type_info() -> sqlx::postgres::PgTypeInfo {
                <String as sqlx::postgres::PgHasArrayType>::array_type_info()
            }
        }

        impl sqlx::Encode<'_, sqlx::Postgres> for $type {
            fn encode_by_ref(
                &self,
                buffer: &mut sqlx::postgres::PgArgumentBuffer,
            ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                <&str as sqlx::Encode<'_, sqlx::Postgres>>::encode(self.as_str(), buffer)
            }
        }

        impl<'row> sqlx::Decode<'row, sqlx::Postgres> for $type {
            fn decode(
                value: sqlx::postgres::PgValueRef<'row>,
            ) -> Result<Self, sqlx::error::BoxDynError> {
                let name = <&str as sqlx::Decode<'row, sqlx::Postgres>>::decode(value)?;
                Self::from_name(name).ok_or_else(|| {
                    format!("`{name}` is not a {}", stringify!($type)).into()
                })
            }
        }
    };
}

pub(crate) use named_column;

#[cfg(test)]
mod tests {
    use crate::{ManagementError, courses::EnrolmentStatus};

    #[test]
    fn a_name_is_the_same_in_columns_and_on_the_wire() {
        let status: EnrolmentStatus = serde_json::from_str("\"dropped\"").unwrap();
        assert_eq!(status, EnrolmentStatus::Dropped);
        assert_eq!(serde_json::to_string(&status).unwrap(), "\"dropped\"");
        assert_eq!(EnrolmentStatus::from_name(status.as_str()), Some(status));
    }

    #[test]
    fn an_unknown_name_is_an_error_and_no_default() {
        assert!(serde_json::from_str::<EnrolmentStatus>("\"lost\"").is_err());
        let Err(ManagementError::Invalid(faults)) = EnrolmentStatus::from_field("status", "lost")
        else {
            panic!("`lost` is no status");
        };
        assert_eq!(faults[0].field, "status");
        assert_eq!(faults[0].message, "is not allowed");
    }
}
