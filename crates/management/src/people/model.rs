//! Fields of people.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    UserRole,
    ids::{LoginId, OrganizationId, UserId},
};
use invigil_domain::person::GroupSet;

/// The fields of a person that administrators edit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PersonDraft {
    /// Unique sign-in name.
    pub username: String,
    /// Display name.
    pub name: String,
    /// Given name, if kept separately.
    pub first_name: Option<String>,
    /// Family name, if kept separately.
    pub last_name: Option<String>,
    /// E-mail address, or empty.
    pub email: String,
    /// Number of the person's organisation.
    pub organization_id: OrganizationId,
    /// Address of a portrait.
    pub avatar_url: Option<String>,
    /// Further fields, nothing secret.
    pub profile: Map<String, Value>,
    /// True if the person may sign in.
    pub is_active: bool,
    /// Factor of the duration of every exam, 1 or more.
    #[serde(with = "rust_decimal::serde::float")]
    pub time_factor: Decimal,
    /// Time added to every exam, in milliseconds.
    pub extra_time_ms: i64,
    /// Codes of exams besides those of the person's courses; null: all of the organisation.
    pub exam_codes: Option<Vec<String>>,
    /// Groups of a candidate; of a proctor, the groups to watch (empty: all).
    pub groups: Vec<String>,
}

/// A role that a person holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GrantedRole {
    /// Expiry as the database writes it; none: the role does not expire.
    pub expires_at: Option<String>,
    /// Number of the organisation; none: for the whole installation.
    pub organization_id: Option<OrganizationId>,
    /// The role.
    pub role: UserRole,
}

/// A person as staff read it, without password hash and with private fields masked.
#[derive(Debug, Clone, Deserialize)]
pub struct PersonRecord {
    /// Number of the person.
    pub id: UserId,
    /// Incremented by every change; served as the `ETag`.
    pub revision: i32,
    /// The fields that administrators edit.
    #[serde(flatten)]
    pub draft: PersonDraft,
    /// Valid roles.
    pub roles: Vec<GrantedRole>,
    /// Telephone number, masked.
    pub phone_masked: Option<String>,
    /// Number of the identity card, masked.
    pub id_card_masked: Option<String>,
    /// True if a password is set.
    pub has_password: bool,
    /// True if an access code is set.
    pub has_access_code: bool,
    /// Time of the last log-in.
    pub last_login: Option<DateTime<Utc>>,
    /// End of the lock after too many failed log-ins.
    pub locked_until: Option<DateTime<Utc>>,
    /// Time of the first import or of creation.
    pub created_at: DateTime<Utc>,
}

/// A change of a person's sealed fields.
#[derive(Debug, Default)]
pub struct PrivateChange {
    /// Telephone number in E.164, such as `+8613800138000`.
    pub phone: FieldChange,
    /// Number of the identity card.
    pub id_card: FieldChange,
}

/// The change of an optional field.
#[derive(Debug, Default)]
pub enum FieldChange {
    /// The field was omitted and stays.
    #[default]
    Keep,
    /// The field was null and is removed.
    Remove,
    /// The field gets this value.
    Set(String),
}

/// Private fields of a person, in clear.
#[derive(Debug)]
pub struct PrivateFields {
    /// Telephone number.
    pub phone: Option<String>,
    /// Number of the identity card.
    pub id_card: Option<String>,
}

/// The complete set of a person's roles in one organisation.
#[derive(Debug)]
pub struct RoleAssignment {
    /// Number of the organisation; none: for the whole installation.
    pub organization_id: Option<OrganizationId>,
    /// Roles of the person there.
    pub roles: Vec<UserRole>,
    /// Expiry; none: the roles do not expire.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A valid log-in.
#[derive(Debug, Clone, Deserialize)]
pub struct ActiveLogin {
    /// Number of the log-in.
    pub id: LoginId,
    /// Time of the log-in.
    pub created_at: DateTime<Utc>,
    /// Time at which the log-in expires.
    pub expires_at: DateTime<Utc>,
    /// Time of the last use, to the minute.
    pub last_activity: DateTime<Utc>,
    /// Client address.
    pub ip_address: Option<String>,
    /// `User-Agent` of the client.
    pub user_agent: Option<String>,
    /// True for the log-in of the request itself.
    pub current: bool,
}

/// A checked line of an import.
#[derive(Debug, Serialize)]
pub struct PersonImportRow {
    /// Sign-in name.
    pub username: String,
    /// Display name.
    pub name: String,
    /// E-mail address, or empty.
    pub email: String,
    /// Role in the organisation.
    pub role: UserRole,
    /// Keyed hash of the access code in hexadecimal; none: unchanged.
    pub code: Option<String>,
    /// Codes of exams; none: all of the organisation.
    pub exams: Option<Vec<String>>,
    /// Groups of a candidate, or watched by a proctor.
    pub groups: GroupSet,
    /// Factor of the duration.
    pub time_factor: Decimal,
    /// Extra time in milliseconds.
    pub extra_time_ms: i64,
}

/// Counts of an import's effects.
#[derive(Debug, Clone, Copy)]
pub struct ImportSummary {
    /// People added.
    pub created: i64,
    /// People replaced.
    pub updated: i64,
    /// Enrolments added or changed.
    pub enrolled: i64,
}
