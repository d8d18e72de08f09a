//! Organisations on the wire.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::web::manage::WireResource;
use invigil_management::{
    ManagementError,
    ids::OrganizationId,
    organizations::{Organization, OrganizationDraft, OrganizationResource, OrganizationType},
};

/// The editable fields of an organisation.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OrganizationDraft)]
pub(in crate::web) struct OrganizationBody {
    /// Display name.
    name: String,
    /// Unique code of upper case letters, digits, `-` and `_`.
    code: String,
    /// `university`, `school`, `company`, `training` or `government`.
    r#type: String,
    /// Number of the parent organisation.
    #[serde(default)]
    parent_id: Option<i64>,
    /// Free settings of the institution.
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
    /// Colours and images of its pages.
    #[serde(default)]
    #[schema(value_type = Object)]
    branding: Map<String, Value>,
    /// Contact details.
    #[serde(default)]
    #[schema(value_type = Object)]
    contact_info: Map<String, Value>,
    /// Limit of people; none: no limit.
    #[serde(default)]
    max_users: Option<i32>,
    /// Limit of exams; none: no limit.
    #[serde(default)]
    max_exams: Option<i32>,
    /// True if the organisation is active.
    #[serde(default = "yes")]
    is_active: bool,
}

/// An organisation as staff read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Organization)]
pub(in crate::web) struct OrganizationView {
    /// Number of the organisation.
    id: i64,
    /// Incremented by every change; served as the `ETag`.
    revision: i32,
    /// The fields that people edit.
    #[serde(flatten)]
    draft: OrganizationBody,
    /// Depth in the hierarchy; 0 without a parent.
    level: i32,
    /// Time of creation.
    created_at: DateTime<Utc>,
}

impl WireResource for OrganizationResource {
    type Body = OrganizationBody;
    type View = OrganizationView;

    fn into_draft(body: OrganizationBody) -> Result<OrganizationDraft, ManagementError> {
        Ok(OrganizationDraft {
            name: body.name,
            code: body.code,
            r#type: OrganizationType::from_field("type", &body.r#type)?,
            parent_id: body.parent_id.map(OrganizationId),
            settings: body.settings,
            branding: body.branding,
            contact_info: body.contact_info,
            max_users: body.max_users,
            max_exams: body.max_exams,
            is_active: body.is_active,
        })
    }
}

impl From<OrganizationDraft> for OrganizationBody {
    fn from(draft: OrganizationDraft) -> Self {
        Self {
            name: draft.name,
            code: draft.code,
            r#type: draft.r#type.to_string(),
            parent_id: draft.parent_id.map(i64::from),
            settings: draft.settings,
            branding: draft.branding,
            contact_info: draft.contact_info,
            max_users: draft.max_users,
            max_exams: draft.max_exams,
            is_active: draft.is_active,
        }
    }
}

impl From<Organization> for OrganizationView {
    fn from(row: Organization) -> Self {
        Self {
            id: row.id.0,
            revision: row.revision,
            draft: row.draft.into(),
            level: row.level,
            created_at: row.created_at,
        }
    }
}

fn yes() -> bool {
    true
}
