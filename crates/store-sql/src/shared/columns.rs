//! Columns whose type differs between the databases, as one type of value each.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::{
    Decode, Encode, Postgres, Sqlite, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef},
    sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef},
    types::Json,
};

use crate::convert::{instant_from_column, instant_to_column};
use invigil_domain::time::Timestamp;

type Result<T> = std::result::Result<T, BoxDynError>;

/// An instant: timestamptz, which is finer than a [`Timestamp`], or milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeColumn(pub(crate) Timestamp);

impl Type<Postgres> for TimeColumn {
    fn type_info() -> PgTypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }
}

impl Type<Sqlite> for TimeColumn {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }

    fn compatible(found: &SqliteTypeInfo) -> bool {
        <i64 as Type<Sqlite>>::compatible(found)
    }
}

impl Encode<'_, Postgres> for TimeColumn {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull> {
        let instant = instant_to_column(self.0)?;
        <DateTime<Utc> as Encode<'_, Postgres>>::encode(instant, buffer)
    }
}

impl Encode<'_, Sqlite> for TimeColumn {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull> {
        <i64 as Encode<'_, Sqlite>>::encode(self.0.as_ms(), buffer)
    }
}

impl<'r> Decode<'r, Postgres> for TimeColumn {
    fn decode(value: PgValueRef<'r>) -> Result<Self> {
        let instant = <DateTime<Utc> as Decode<'r, Postgres>>::decode(value)?;
        Ok(Self(instant_from_column(instant)))
    }
}

impl<'r> Decode<'r, Sqlite> for TimeColumn {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self> {
        let ms = <i64 as Decode<'r, Sqlite>>::decode(value)?;
        Ok(Self(Timestamp::from_ms(ms)))
    }
}

/// A decimal: numeric, or text.
#[derive(Debug)]
pub(crate) struct DecimalColumn(pub(crate) Decimal);

impl Type<Postgres> for DecimalColumn {
    fn type_info() -> PgTypeInfo {
        <Decimal as Type<Postgres>>::type_info()
    }
}

impl Type<Sqlite> for DecimalColumn {
    fn type_info() -> SqliteTypeInfo {
        <str as Type<Sqlite>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for DecimalColumn {
    fn decode(value: PgValueRef<'r>) -> Result<Self> {
        <Decimal as Decode<'r, Postgres>>::decode(value).map(Self)
    }
}

impl<'r> Decode<'r, Sqlite> for DecimalColumn {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self> {
        let text = <&str as Decode<'r, Sqlite>>::decode(value)?;
        let decimal = text.parse().map_err(|error| format!("{text}: {error}"))?;
        Ok(Self(decimal))
    }
}

/// An attempt's number: smallint, or SQLite's only integer.
#[derive(Debug)]
pub(crate) struct NumberColumn(pub(crate) u16);

impl Type<Postgres> for NumberColumn {
    fn type_info() -> PgTypeInfo {
        <i16 as Type<Postgres>>::type_info()
    }
}

impl Type<Sqlite> for NumberColumn {
    fn type_info() -> SqliteTypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }

    fn compatible(found: &SqliteTypeInfo) -> bool {
        <i64 as Type<Sqlite>>::compatible(found)
    }
}

impl<'r> Decode<'r, Postgres> for NumberColumn {
    fn decode(value: PgValueRef<'r>) -> Result<Self> {
        let number = <i16 as Decode<'r, Postgres>>::decode(value)?;
        Ok(Self(number.try_into()?))
    }
}

impl<'r> Decode<'r, Sqlite> for NumberColumn {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self> {
        let number = <i64 as Decode<'r, Sqlite>>::decode(value)?;
        Ok(Self(number.try_into()?))
    }
}

/// A list: an array, or a JSON array.
#[derive(Debug)]
pub(crate) struct ListColumn<T>(pub(crate) Vec<T>);

impl<T> Type<Postgres> for ListColumn<T>
where
    Vec<T>: Type<Postgres>,
{
    fn type_info() -> PgTypeInfo {
        <Vec<T> as Type<Postgres>>::type_info()
    }

    fn compatible(found: &PgTypeInfo) -> bool {
        <Vec<T> as Type<Postgres>>::compatible(found)
    }
}

impl<T> Type<Sqlite> for ListColumn<T> {
    fn type_info() -> SqliteTypeInfo {
        <str as Type<Sqlite>>::type_info()
    }
}

impl<'q, T> Encode<'q, Postgres> for ListColumn<T>
where
    Vec<T>: Encode<'q, Postgres>,
{
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull> {
        self.0.encode_by_ref(buffer)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        self.0.produces()
    }
}

impl<T: Serialize> Encode<'_, Sqlite> for ListColumn<T> {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull> {
        <Json<&Vec<T>> as Encode<'_, Sqlite>>::encode(Json(&self.0), buffer)
    }
}

impl<'r, T> Decode<'r, Postgres> for ListColumn<T>
where
    Vec<T>: Decode<'r, Postgres>,
{
    fn decode(value: PgValueRef<'r>) -> Result<Self> {
        Vec::decode(value).map(Self)
    }
}

impl<'r, T: Deserialize<'r> + 'r> Decode<'r, Sqlite> for ListColumn<T> {
    fn decode(value: SqliteValueRef<'r>) -> Result<Self> {
        let Json(list) = <Json<Vec<T>> as Decode<'r, Sqlite>>::decode(value)?;
        Ok(Self(list))
    }
}
