//! Table of organisations.

use super::{Organization, OrganizationDraft};
use crate::{ids::OrganizationId, resource::Resource};

/// The resource of organisations.
#[derive(Debug)]
pub struct OrganizationResource;

impl Resource for OrganizationResource {
    type Id = OrganizationId;
    type Draft = OrganizationDraft;
    type Row = Organization;
    const TABLE: &'static str = "organizations";
    const COLUMNS: &'static [&'static str] = &[
        "name",
        "code",
        "type",
        "parent_id",
        "settings",
        "branding",
        "contact_info",
        "max_users",
        "max_exams",
        "is_active",
    ];
    const SELECT: &'static str = "
        SELECT t.id, jsonb_build_object(
            'id', t.id, 'revision', t.revision, 'name', t.name, 'code', t.code, 'type', t.type,
            'parent_id', t.parent_id, 'settings', t.settings, 'branding', t.branding,
            'contact_info', t.contact_info, 'max_users', t.max_users, 'max_exams', t.max_exams,
            'is_active', t.is_active, 'created_at', t.created_at,
            'level', (WITH RECURSIVE above AS (
                SELECT t.parent_id AS id
                UNION ALL
                SELECT o.parent_id FROM organizations AS o JOIN above ON o.id = above.id
            ) SELECT count(*) FROM above WHERE above.id IS NOT NULL))
        FROM organizations AS t";

    fn revision(row: &Organization) -> i32 {
        row.revision
    }
}
