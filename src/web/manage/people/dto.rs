//! People on the wire.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::web::manage::WireResource;
use invigil_management::{
    ManagementError, UserRole,
    ids::OrganizationId,
    people::{
        ActiveLogin, FieldChange, GrantedRole, ImportSummary, PersonDraft, PersonRecord,
        PersonResource, PrivateChange, PrivateFields, RoleAssignment,
    },
};

/// The fields of a person that administrators edit.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PersonDraft)]
pub(in crate::web) struct PersonBody {
    /// Unique sign-in name.
    username: String,
    /// Display name.
    name: String,
    /// Given name, if kept separately.
    #[serde(default)]
    first_name: Option<String>,
    /// Family name, if kept separately.
    #[serde(default)]
    last_name: Option<String>,
    /// E-mail address, or empty.
    #[serde(default)]
    email: String,
    /// Number of the person's organisation.
    organization_id: i64,
    /// Address of a portrait.
    #[serde(default)]
    avatar_url: Option<String>,
    /// Further fields, nothing secret.
    #[serde(default)]
    #[schema(value_type = Object)]
    profile: Map<String, Value>,
    /// True if the person may sign in.
    #[serde(default = "yes")]
    is_active: bool,
    /// Factor of the duration of every exam, 1 or more.
    #[serde(default = "one", with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    time_factor: Decimal,
    /// Time added to every exam, in milliseconds.
    #[serde(default)]
    extra_time_ms: i64,
    /// Codes of exams besides those of the person's courses; null: all of the organisation.
    #[serde(default = "no_exams")]
    exam_codes: Option<Vec<String>>,
    /// Groups of a candidate; of a proctor, the groups to watch (empty: all).
    #[serde(default)]
    groups: Vec<String>,
}

/// A person as staff read it, without password hash and with private fields masked.
#[derive(Serialize, ToSchema)]
#[schema(as = PersonRow)]
pub(in crate::web) struct PersonView {
    /// Number of the person.
    id: i64,
    /// Incremented by every change; served as the `ETag`.
    revision: i32,
    /// The fields that administrators edit.
    #[serde(flatten)]
    draft: PersonBody,
    /// Valid roles, as `role` and `organization_id`.
    #[schema(value_type = Vec<Object>)]
    roles: Vec<GrantedRole>,
    /// Telephone number, masked.
    phone_masked: Option<String>,
    /// Number of the identity card, masked.
    id_card_masked: Option<String>,
    /// True if a password is set.
    has_password: bool,
    /// True if an access code is set.
    has_access_code: bool,
    /// Time of the last log-in.
    last_login: Option<DateTime<Utc>>,
    /// End of the lock after too many failed log-ins.
    locked_until: Option<DateTime<Utc>>,
    /// Time of the first import or of creation.
    created_at: DateTime<Utc>,
}

impl WireResource for PersonResource {
    type Body = PersonBody;
    type View = PersonView;

    fn into_draft(body: PersonBody) -> Result<PersonDraft, ManagementError> {
        Ok(PersonDraft {
            username: body.username,
            name: body.name,
            first_name: body.first_name,
            last_name: body.last_name,
            email: body.email,
            organization_id: OrganizationId(body.organization_id),
            avatar_url: body.avatar_url,
            profile: body.profile,
            is_active: body.is_active,
            time_factor: body.time_factor,
            extra_time_ms: body.extra_time_ms,
            exam_codes: body.exam_codes,
            groups: body.groups,
        })
    }
}

impl From<PersonDraft> for PersonBody {
    fn from(draft: PersonDraft) -> Self {
        Self {
            username: draft.username,
            name: draft.name,
            first_name: draft.first_name,
            last_name: draft.last_name,
            email: draft.email,
            organization_id: draft.organization_id.0,
            avatar_url: draft.avatar_url,
            profile: draft.profile,
            is_active: draft.is_active,
            time_factor: draft.time_factor,
            extra_time_ms: draft.extra_time_ms,
            exam_codes: draft.exam_codes,
            groups: draft.groups,
        }
    }
}

impl From<PersonRecord> for PersonView {
    fn from(row: PersonRecord) -> Self {
        Self {
            id: row.id.0,
            revision: row.revision,
            draft: row.draft.into(),
            roles: row.roles,
            phone_masked: row.phone_masked,
            id_card_masked: row.id_card_masked,
            has_password: row.has_password,
            has_access_code: row.has_access_code,
            last_login: row.last_login,
            locked_until: row.locked_until,
            created_at: row.created_at,
        }
    }
}

fn yes() -> bool {
    true
}

fn one() -> Decimal {
    Decimal::ONE
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "the default of an optional field that is not none"
)]
fn no_exams() -> Option<Vec<String>> {
    Some(Vec::new())
}

/// A change of a person's sealed fields; null removes a field, an omitted field stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Private)]
pub(in crate::web) struct PrivateBody {
    /// Telephone number in E.164, such as `+8613800138000`.
    #[serde(default, deserialize_with = "field_change")]
    #[schema(value_type = Option<String>)]
    phone: FieldChange,
    /// Number of the identity card.
    #[serde(default, deserialize_with = "field_change")]
    #[schema(value_type = Option<String>)]
    id_card: FieldChange,
}

/// Returns the change by a field that is present: null removes it.
fn field_change<'de, D: Deserializer<'de>>(deserializer: D) -> Result<FieldChange, D::Error> {
    let value = Option::deserialize(deserializer)?;
    Ok(value.map_or(FieldChange::Remove, FieldChange::Set))
}

impl From<PrivateBody> for PrivateChange {
    fn from(body: PrivateBody) -> Self {
        Self {
            phone: body.phone,
            id_card: body.id_card,
        }
    }
}

/// Private fields of a person, in clear.
#[derive(Serialize)]
pub(in crate::web) struct PrivateView {
    id_card: Option<String>,
    phone: Option<String>,
}

impl From<PrivateFields> for PrivateView {
    fn from(fields: PrivateFields) -> Self {
        Self {
            id_card: fields.id_card,
            phone: fields.phone,
        }
    }
}

/// The complete set of a person's roles in one organisation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Roles)]
pub(in crate::web) struct RolesBody {
    /// Number of the organisation; none: for `super_admin` alone.
    #[serde(default)]
    organization_id: Option<i64>,
    /// `candidate`, `proctor`, `teacher`, `admin`; `super_admin` without an organisation.
    roles: Vec<String>,
    /// Expiry; none: the roles do not expire.
    #[serde(default)]
    expires_at: Option<DateTime<Utc>>,
}

impl TryFrom<RolesBody> for RoleAssignment {
    type Error = ManagementError;

    fn try_from(body: RolesBody) -> Result<Self, ManagementError> {
        let roles = body.roles.iter();
        Ok(Self {
            organization_id: body.organization_id.map(OrganizationId),
            roles: roles
                .map(|name| UserRole::from_field("role", name))
                .collect::<Result<_, _>>()?,
            expires_at: body.expires_at,
        })
    }
}

/// A valid log-in.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(in crate::web) struct LoginView {
    /// Number of the log-in.
    id: i64,
    /// Time of the log-in.
    created_at: DateTime<Utc>,
    /// Time at which the log-in expires.
    expires_at: DateTime<Utc>,
    /// Time of the last use, to the minute.
    last_activity: DateTime<Utc>,
    /// Client address.
    ip_address: Option<String>,
    /// `User-Agent` of the client.
    user_agent: Option<String>,
    /// True for the log-in of the request itself.
    current: bool,
}

impl From<ActiveLogin> for LoginView {
    fn from(login: ActiveLogin) -> Self {
        Self {
            id: login.id.0,
            created_at: login.created_at,
            expires_at: login.expires_at,
            last_activity: login.last_activity,
            ip_address: login.ip_address,
            user_agent: login.user_agent,
            current: login.current,
        }
    }
}

/// Counts of an import's effects.
#[derive(Serialize, ToSchema)]
#[schema(as = Imported)]
pub(in crate::web) struct ImportView {
    /// People added.
    created: i64,
    /// People replaced.
    updated: i64,
    /// Enrolments added or changed.
    enrolled: i64,
}

impl From<ImportSummary> for ImportView {
    fn from(summary: ImportSummary) -> Self {
        Self {
            created: summary.created,
            updated: summary.updated,
            enrolled: summary.enrolled,
        }
    }
}
