//! Fields of organisations.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ids::OrganizationId, names::named_column};

named_column!(
    /// Kind of an organisation.
    OrganizationType {
        /// A university.
        University = "university",
        /// A school.
        School = "school",
        /// A company.
        Company = "company",
        /// A training centre.
        Training = "training",
        /// An authority.
        Government = "government",
    }
);

/// The editable fields of an organisation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OrganizationDraft {
    /// Display name.
    pub name: String,
    /// Unique code of upper case letters, digits, `-` and `_`.
    pub code: String,
    /// `university`, `school`, `company`, `training` or `government`.
    pub r#type: OrganizationType,
    /// Number of the parent organisation.
    pub parent_id: Option<OrganizationId>,
    /// Free settings of the institution.
    pub settings: Map<String, Value>,
    /// Colours and images of its pages.
    pub branding: Map<String, Value>,
    /// Contact details.
    pub contact_info: Map<String, Value>,
    /// Limit of people; none: no limit.
    pub max_users: Option<i32>,
    /// Limit of exams; none: no limit.
    pub max_exams: Option<i32>,
    /// True if the organisation is active.
    pub is_active: bool,
}

/// An organisation as staff read it.
#[derive(Debug, Clone, Deserialize)]
pub struct Organization {
    /// Number of the organisation.
    pub id: OrganizationId,
    /// Incremented by every change; served as the `ETag`.
    pub revision: i32,
    /// The fields that people edit.
    #[serde(flatten)]
    pub draft: OrganizationDraft,
    /// Depth in the hierarchy; 0 without a parent.
    pub level: i32,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
}
